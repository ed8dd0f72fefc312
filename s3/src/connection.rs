//! One connection: read a head, have it answered, send the answer, again. Times and buffers, no meaning.

use crate::dispatch;
use crate::front::{Core, ResponseIds};
use crate::http::head::{BodyFraming, HeadError, RequestHead, is_whole, parse};
use crate::http::response::ResponseIdentity;
use crate::limits::{HEAD_BYTES_MAX, HEAD_MAX, IDLE_MAX};
use crate::tls::CurrentTls;
use crate::wire::exchange::{Exchange, Leftover, linger};
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use crate::wire::reply::{Reply, SendFault};
use crate::wire::window::Window;
use ashlar_engine::runtime::{Monotonic, Runtime};
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
    let tls = core.config.tls.as_ref().map(CurrentTls::get);
    let stopped = core.stopped();
    if core.is_stopping() {
        return;
    }
    let opened = match select(pin!(Link::open(&core.runtime, stream, tls)), stopped).await {
        Either::Left((opened, _)) => opened,
        Either::Right(((), _)) => return,
    };
    match opened {
        Ok(link) => {
            serve_requests(core, &link).await;
            link.finish().await;
        }
        Err(Some(refused)) => linger(&core.runtime, &refused, Window::default()).await,
        Err(None) => {}
    }
}

async fn serve_requests<R: Runtime>(core: &Core<R>, link: &Link<R>) {
    let mut window = Window::default();
    loop {
        let refusal = match read_head(core, link, &mut window).await {
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
    (reply, ids): (Reply<R>, ResponseIds),
    window: Window,
) {
    if reply.send(&core.runtime, link, identity(core, &ids, false)).await.is_ok() {
        linger(&core.runtime, link, window).await;
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

/// Receives until a head is whole. Waits long for its first byte, and shortly for the others.
async fn read_head<R: Runtime>(core: &Core<R>, link: &Link<R>, window: &mut Window) -> Incoming {
    window.shrink();
    if window.is_empty() {
        link.rest();
        match wait_for_request(core, link, window).await {
            Ok(()) => {}
            Err(_) => return Incoming::Nothing,
        }
    }
    let deadline = core.runtime.now().after(HEAD_MAX);
    loop {
        match is_whole(window.bytes()) {
            Ok(true) => return Incoming::Head,
            Ok(false) => {}
            Err(error) => return Incoming::Malformed(error),
        }
        match receive(core, link, window, deadline).await {
            Ok(()) => {}
            Err(WireFault::TimedOut) => return Incoming::Slow,
            Err(WireFault::Ended | WireFault::Gone | WireFault::Crowded) => return Incoming::Nothing,
        }
    }
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

/// Waits for the first bytes of a request, or until the server is to end.
async fn wait_for_request<R: Runtime>(
    core: &Core<R>,
    link: &Link<R>,
    window: &mut Window,
) -> Result<(), WireFault> {
    let stopped = core.stopped();
    if core.is_stopping() {
        return Err(WireFault::Ended);
    }
    let deadline = core.runtime.now().after(IDLE_MAX);
    match select(pin!(receive(core, link, window, deadline)), stopped).await {
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
    let reply = Box::pin(dispatch::answer(core, head, &mut exchange, &ids)).await?;
    let goes_on = exchange.settle().await && head.keep_alive() && !core.is_stopping();
    let sent = reply.send(&core.runtime, link, identity(core, &ids, goes_on)).await;
    let is_sent = match sent {
        Ok(()) => true,
        Err(SendFault::Head(_) | SendFault::Unreadable) => {
            let reply: Reply<R> = dispatch::apologise(head, &ids);
            reply.send(&core.runtime, link, identity(core, &ids, goes_on)).await.is_ok()
        }
        // Half an answer is worse than none: the length says that it is not whole.
        Err(SendFault::CutShort | SendFault::Wire(_)) => return None,
    };
    if is_sent && goes_on {
        return Some(exchange.into_leftover());
    }
    if is_sent {
        exchange.linger().await;
    }
    None
}
