//! One connection: read a head, have it answered, send the answer, again. Times and buffers, no meaning.

use crate::dispatch;
use crate::front::{Core, ResponseIds};
use crate::http::head::{BodyFraming, HeadError, RequestHead, is_whole, parse};
use crate::http::response::ResponseIdentity;
use crate::limits::{CROWDED_MAX, HANDSHAKE_MAX, HEAD_BYTES_MAX, HEAD_MAX, IDLE_MAX, WARM_MAX};
use crate::tls::{CurrentTls, Tls};
use crate::wire::exchange::{Exchange, Leftover, linger};
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use crate::wire::reply::{Reply, SendFault};
use crate::wire::window::Window;
use ashlar_engine::runtime::{Monotonic, Runtime};
use ashlar_engine::sync::{Seat, Share};
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};

/// What reading a head came to.
enum Incoming {
    /// The lines of a whole head are in the window.
    Head,
    /// Bytes that are none.
    Malformed(HeadError),
    /// The head took too long.
    Slow,
    /// No request since then; that is a while, or others need what served this connection.
    Rests(Monotonic),
    /// The connection ends without an answer.
    Nothing,
}

/// Serves one connection to its end. While it is idle it is little more than a socket: what serves a request lies on
/// the heap, is bounded, and goes on to others when nothing is said for a while, or at once if they wait for it.
/// `place` is its place among all connections; it is lost only after a silence, or with an answer that says so.
pub(crate) async fn serve<R: Runtime>(core: &Core<R>, stream: R::Stream, place: &Seat) {
    let mut link = Link::Plain(stream);
    let mut handshake = core.config.tls.as_ref().map(CurrentTls::get);
    let mut silent_since = core.runtime.now();
    loop {
        let silence_max = if handshake.is_some() { HANDSHAKE_MAX } else { IDLE_MAX };
        if !speaks(core, &link, place, silent_since, silence_max).await {
            return link.finish().await;
        }
        place.work();
        let seat = core.crowd.seat().await;
        let seats = Seats { place, attended: &seat };
        let Some(rests) = Box::pin(attend(core, link, handshake.take(), seats)).await else { return };
        (link, silent_since) = rests;
    }
}

/// Waits for bytes, without a buffer. Not if there are none for too long, if the server is to end, or if others need the
/// place of one that has been silent.
async fn speaks<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    place: &Seat,
    silent_since: Monotonic,
    silence_max: Duration,
) -> bool {
    let stopped = core.stopped();
    if core.is_stopping() {
        return false;
    }
    let readable = async {
        let soon = link.readable(silent_since.after(WARM_MAX)).await;
        if !matches!(soon, Err(WireFault::TimedOut)) {
            return soon.is_ok();
        }
        place.rest();
        let late = pin!(link.readable(silent_since.after(silence_max)));
        match select(late, pin!(place.asked())).await {
            Either::Left((readable, _)) => readable.is_ok(),
            Either::Right(((), _)) => false,
        }
    };
    match select(pin!(readable), stopped).await {
        Either::Left((readable, _)) => readable,
        Either::Right(((), _)) => false,
    }
}

/// What a connection holds that others may wait for: its place among all, and what serves it.
#[derive(Clone, Copy)]
struct Seats<'s> {
    place: &'s Seat,
    attended: &'s Seat,
}

/// Serves a connection until it rests: that, and since when. `None` when it has ended.
async fn attend<R: Runtime>(
    core: &Core<R>,
    link: Link<R>,
    handshake: Option<Tls>,
    seats: Seats<'_>,
) -> Option<(Link<R>, Monotonic)> {
    let link = match (link, handshake) {
        (Link::Plain(stream), Some(tls)) => Box::pin(open(core, stream, tls)).await?,
        (link, _) => link,
    };
    let Some(silent_since) = serve_requests(core, &link, seats).await else {
        link.finish().await;
        return None;
    };
    Some((link, silent_since))
}

/// Agrees on keys. `None` if that came to nothing.
async fn open<R: Runtime>(core: &Core<R>, stream: R::Stream, tls: Tls) -> Option<Link<R>> {
    let stopped = core.stopped();
    if core.is_stopping() {
        return None;
    }
    let opened = match select(pin!(agree(core, stream, tls)), stopped).await {
        Either::Left((opened, _)) => opened,
        Either::Right(((), _)) => return None,
    };
    match opened {
        Ok(link) => Some(link),
        Err(refused) => {
            while_there_is_room(core, linger(&core.runtime, &refused?, Window::default())).await;
            None
        }
    }
}

/// A peer that keeps us waiting makes room if others need it, as with an unfinished head.
async fn agree<R: Runtime>(core: &Core<R>, stream: R::Stream, tls: Tls) -> Result<Link<R>, Option<Link<R>>> {
    let mut place = core.crowd.linger(core.runtime.now());
    match select(pin!(Link::open(&core.runtime, stream, tls)), place.cut()).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => Err(None),
    }
}

/// Answers requests until none comes: since when. `None` if none will come.
async fn serve_requests<R: Runtime>(core: &Core<R>, link: &Link<R>, seats: Seats<'_>) -> Option<Monotonic> {
    let mut window = Window::default();
    let mut admission = None;
    loop {
        let refusal = match read_head(core, link, &mut window, &mut admission, seats.attended).await {
            Incoming::Head => None,
            Incoming::Rests(silent_since) => return Some(silent_since),
            Incoming::Nothing => return None,
            Incoming::Malformed(error) => Some(error_reply(core, |ids| dispatch::refuse_head(error, ids))),
            Incoming::Slow => Some(error_reply(core, dispatch::refuse_slow)),
        };
        if let Some(refusal) = refusal {
            refuse(core, link, refusal, window).await;
            return None;
        }
        let (buffer, start, end) = window.into_parts()?;
        let received = buffer.bytes().get(start..end).unwrap_or_default();
        let head = match parse(received) {
            Ok(head) => head?,
            Err(error) => {
                let refusal = error_reply(core, |ids| dispatch::refuse_head(error, ids));
                refuse(core, link, refusal, Window::of(buffer, start, end)).await;
                return None;
            }
        };
        let behind_head = received.get(head.head_len()..).unwrap_or_default();
        let leftover = match answer(core, link, &head, behind_head, seats.place).await? {
            Leftover::Window(rest) => Err(rest),
            Leftover::BehindHead(used) => Ok(start + head.head_len() + used),
        };
        window = match leftover {
            Ok(start) => Window::of(buffer, start, end),
            Err(rest) => rest,
        };
    }
}

/// Says why, and ends the connection.
async fn refuse<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    (mut reply, ids): (Reply<R>, ResponseIds),
    window: Window,
) {
    if reply.send(&core.runtime, link, identity(core, &ids, false)).await.is_ok() {
        while_there_is_room(core, linger(&core.runtime, link, window)).await;
    }
}

fn error_reply<R: Runtime>(
    core: &Core<R>,
    make: impl FnOnce(&ResponseIds) -> Reply<R>,
) -> (Reply<R>, ResponseIds) {
    let ids = core.ids();
    (make(&ids), ids)
}

fn identity<'i, R: Runtime>(core: &Core<R>, ids: &'i ResponseIds, keep_alive: bool) -> ResponseIdentity<'i> {
    ResponseIdentity { now: core.now(), request_id: &ids.request, host_id: &ids.host, keep_alive }
}

/// Receives until a head is whole. Waits long for its first byte, and shortly for the others. What was admitted stays so
/// until the connection is idle again.
async fn read_head<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    window: &mut Window,
    admission: &mut Option<Share>,
    seat: &Seat,
) -> Incoming {
    window.shrink();
    if window.is_empty() {
        link.rest();
        *admission = None;
        if let Err(end) = wait_for_request(core, link, window, seat).await {
            return end;
        }
    }
    let began = core.runtime.now();
    let mut lingering = None;
    let incoming = loop {
        match is_whole(window.bytes()) {
            Ok(true) => break Incoming::Head,
            Ok(false) => {}
            Err(error) => break Incoming::Malformed(error),
        }
        let place = lingering.get_or_insert_with(|| core.crowd.linger(began));
        let deadline = began.after(if core.crowd.is_crowded() { CROWDED_MAX } else { HEAD_MAX });
        let received = match select(pin!(receive(core, link, window, deadline)), place.cut()).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => return Incoming::Nothing,
        };
        match received {
            Ok(()) => {}
            Err(WireFault::TimedOut) => break Incoming::Slow,
            Err(WireFault::Ended | WireFault::Gone | WireFault::Crowded) => return Incoming::Nothing,
        }
    };
    // The answer, a refusal too, takes buffers: only now the place of those who keep us waiting is left.
    match admission {
        Some(share) => share.resize(window.capacity()),
        None => *admission = Some(core.crowd.admit(window.capacity()).await),
    }
    drop(lingering);
    incoming
}

async fn receive<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    window: &mut Window,
    deadline: Monotonic,
) -> Result<(), WireFault> {
    window.make_room(&core.runtime, HEAD_BYTES_MAX).await?;
    window.receive(link, HEAD_BYTES_MAX, deadline).await.map(|_| ())
}

/// Waits for the first bytes of a request. Not for long, not if others need what serves this connection, and not if the
/// server is to end.
async fn wait_for_request<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    window: &mut Window,
    seat: &Seat,
) -> Result<(), Incoming> {
    let stopped = core.stopped();
    if core.is_stopping() {
        return Err(Incoming::Nothing);
    }
    let began = core.runtime.now();
    seat.rest();
    let first = async {
        window.make_room(&core.runtime, HEAD_BYTES_MAX).await?;
        window.receive_unless(link, HEAD_BYTES_MAX, began.after(WARM_MAX), seat.asked()).await
    };
    let received = match select(pin!(first), stopped).await {
        Either::Left((received, _)) => received,
        Either::Right(((), _)) => return Err(Incoming::Nothing),
    };
    match received {
        Ok(_) => {
            seat.work();
            Ok(())
        }
        Err(WireFault::TimedOut) => Err(Incoming::Rests(began)),
        Err(WireFault::Ended | WireFault::Gone | WireFault::Crowded) => Err(Incoming::Nothing),
    }
}

/// Answers one request. What was received behind it, if the connection goes on.
async fn answer<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    head: &RequestHead<'_>,
    behind_head: &[u8],
    place: &Seat,
) -> Option<Leftover> {
    let has_body = !matches!(head.framing(), BodyFraming::None | BodyFraming::Length(0));
    link.begin(has_body).await.ok()?;
    let ids = core.ids();
    let mut exchange = Exchange::new(&core.runtime, link, head, behind_head);
    let mut reply = dispatch::answer(core, head, &mut exchange, &ids).await?;
    let may_go_on = settle(core, &mut exchange).await && head.keep_alive() && !core.is_stopping();
    // Where more clients come than there are places for, and none is idle, they take turns.
    let goes_on = may_go_on && !place.is_wanted();
    let sent = reply.send(&core.runtime, link, identity(core, &ids, goes_on)).await;
    let is_sent = match sent {
        Ok(()) => true,
        Err(SendFault::Head(_) | SendFault::Unreadable) => {
            reply = dispatch::apologise(head, &ids);
            reply.send(&core.runtime, link, identity(core, &ids, goes_on)).await.is_ok()
        }
        // Half an answer is worse than none: the length says that it is not whole.
        Err(SendFault::CutShort | SendFault::Wire(_)) => return None,
    };
    // What it read may go where it likes, however long the client takes to close.
    drop(reply);
    if is_sent && goes_on {
        return Some(exchange.into_leftover());
    }
    if is_sent {
        while_there_is_room(core, exchange.linger()).await;
    }
    None
}

/// Ends the request's way in. What the client still has to send for that, it sends at its own pace.
async fn settle<R: Runtime>(core: &Core<R>, exchange: &mut Exchange<'_, R>) -> bool {
    if !exchange.has_rest() {
        return exchange.settle().await;
    }
    while_there_is_room(core, exchange.settle()).await.unwrap_or(false)
}

/// What a peer may make last, unless others need its place.
async fn while_there_is_room<R: Runtime, T>(core: &Core<R>, work: impl Future<Output = T>) -> Option<T> {
    let mut place = core.crowd.linger(core.runtime.now());
    let no_room = async {
        if core.crowd.is_crowded() {
            core.runtime.sleep(CROWDED_MAX).await;
        } else {
            place.cut().await;
        }
    };
    match select(pin!(work), pin!(no_room)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
