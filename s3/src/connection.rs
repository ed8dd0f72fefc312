//! One connection: read a head, have it answered, send the answer, again. Times and buffers, no meaning.

use crate::dispatch;
use crate::front::{Core, ResponseIds};
use crate::http::head::{BodyFraming, HeadError, RequestHead, is_whole, parse};
use crate::http::response::ResponseIdentity;
use crate::limits::{CROWDED_MAX, HANDSHAKE_MAX, HEAD_BYTES_MAX, HEAD_MAX, IDLE_BUFFER_BYTES, IDLE_MAX};
use crate::tls::{CurrentTls, Tls};
use crate::wire::exchange::{Exchange, Leftover, linger};
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use crate::wire::reply::{Reply, SendFault};
use crate::wire::window::Window;
use ashlar_engine::runtime::{Monotonic, Runtime, Stream as _};
use ashlar_engine::sync::Share;
use core::pin::pin;
use futures_util::future::{Either, select};

/// What reading a head came to.
enum Incoming {
    /// The lines of a whole head are in the window.
    Head,
    /// Bytes that are none.
    Malformed(HeadError),
    /// The head took too long.
    Slow,
    /// The connection ends without an answer.
    Nothing,
}

/// Serves one connection to its end.
pub(crate) async fn serve<R: Runtime>(core: &Core<R>, stream: R::Stream) {
    let Some(tls) = core.config.tls.as_ref().map(CurrentTls::get) else {
        return serve_requests(core, &Link::Plain(stream)).await;
    };
    let stopped = core.stopped();
    if core.is_stopping() {
        return;
    }
    let opened = match select(Box::pin(agree(core, stream, tls)), stopped).await {
        Either::Left((opened, _)) => opened,
        Either::Right(((), _)) => return,
    };
    match opened {
        Ok(link) => {
            serve_requests(core, &link).await;
            link.finish().await;
        }
        Err(Some(refused)) => {
            while_there_is_room(core, linger(&core.runtime, &refused, Window::default())).await;
        }
        Err(None) => {}
    }
}

/// Agrees on keys. A peer that says nothing holds no buffer, and one that keeps us waiting makes room if others need
/// it, as with an unfinished head.
async fn agree<R: Runtime>(core: &Core<R>, stream: R::Stream, tls: Tls) -> Result<Link<R>, Option<Link<R>>> {
    let deadline = core.runtime.now().after(HANDSHAKE_MAX);
    if stream.readable(deadline).await.is_err() {
        return Err(None);
    }
    let mut place = core.crowd.linger(core.runtime.now());
    match select(pin!(Link::open(&core.runtime, stream, tls)), place.cut()).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => Err(None),
    }
}

async fn serve_requests<R: Runtime>(core: &Core<R>, link: &Link<R>) {
    let mut window = Window::default();
    let mut admission = None;
    loop {
        let refusal = match read_head(core, link, &mut window, &mut admission).await {
            Incoming::Head => None,
            Incoming::Nothing => return,
            Incoming::Malformed(error) => Some(error_reply(core, |ids| dispatch::refuse_head(error, ids))),
            Incoming::Slow => Some(error_reply(core, dispatch::refuse_slow)),
        };
        if let Some(refusal) = refusal {
            return refuse(core, link, refusal, window).await;
        }
        let Some((buffer, start, end)) = window.into_parts() else { return };
        let received = buffer.bytes().get(start..end).unwrap_or_default();
        let head = match parse(received) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                let refusal = error_reply(core, |ids| dispatch::refuse_head(error, ids));
                return refuse(core, link, refusal, Window::of(buffer, start, end)).await;
            }
        };
        let behind_head = received.get(head.head_len()..).unwrap_or_default();
        let leftover = match answer(core, link, &head, behind_head).await {
            None => return,
            Some(Leftover::Window(rest)) => Err(rest),
            Some(Leftover::BehindHead(used)) => Ok(start + head.head_len() + used),
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
) -> Incoming {
    window.shrink();
    let mut idle = None;
    if window.is_empty() {
        link.rest();
        *admission = None;
        idle = core.crowd.idle_place();
        if idle.is_none() {
            window.release();
        }
        match wait_for_request(core, link, window, admission, idle.is_some()).await {
            Ok(()) => {}
            Err(_) => return Incoming::Nothing,
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
    // The answer, a refusal too, takes buffers: only now the places for those who wait are left.
    match admission {
        Some(share) => share.resize(window.capacity()),
        None => *admission = Some(core.crowd.admit(window.capacity()).await),
    }
    drop((idle, lingering));
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

/// Waits for the first bytes of a request, or until the server is to end; without a buffer if it has no place for
/// one, until its request is let in.
async fn wait_for_request<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    window: &mut Window,
    admission: &mut Option<Share>,
    has_place: bool,
) -> Result<(), WireFault> {
    let stopped = core.stopped();
    if core.is_stopping() {
        return Err(WireFault::Ended);
    }
    let deadline = core.runtime.now().after(IDLE_MAX);
    let first = async {
        if !has_place {
            link.readable(deadline).await?;
            *admission = Some(core.crowd.admit(IDLE_BUFFER_BYTES).await);
        }
        receive(core, link, window, deadline).await
    };
    match select(pin!(first), stopped).await {
        Either::Left((received, _)) => received,
        Either::Right(((), _)) => Err(WireFault::Ended),
    }
}

/// Answers one request. What was received behind it, if the connection goes on.
async fn answer<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    head: &RequestHead<'_>,
    behind_head: &[u8],
) -> Option<Leftover> {
    let has_body = !matches!(head.framing(), BodyFraming::None | BodyFraming::Length(0));
    link.begin(has_body).await.ok()?;
    let ids = core.ids();
    let mut exchange = Exchange::new(&core.runtime, link, head, behind_head);
    let mut reply = dispatch::answer(core, head, &mut exchange, &ids).await?;
    let goes_on = settle(core, &mut exchange).await && head.keep_alive() && !core.is_stopping();
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
