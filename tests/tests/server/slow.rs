//! Clients that take their time, many of them: what they hold is bounded, and others are served.

use super::client::{Client, call, content};
use super::rig::{REGION, World, run_seeded, run_small};
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::LinkPlan;
use ashlar_s3::server::ServerConfig;
use futures_util::future::join_all;
use std::time::Duration;

const LISTINGS: usize = 40;
/// Names so long that a page takes half a MiB.
const KEYS: usize = 240;

fn listing() -> super::client::Call {
    call("GET", "/bucket").query("list-type", "2").query("encoding-type", "url")
}

/// A bucket whose listing is long.
async fn long_bucket(world: &World) {
    let mut client = world.connect().await;
    client.send(&call("PUT", "/bucket")).await.assert_status(200);
    for number in 0..KEYS {
        let key = format!("/bucket/{number:04}{}", "%22".repeat(900));
        client.send(&call("PUT", &key).body("x")).await.assert_status(200);
    }
}

/// A connection that asks for a listing and reads nothing of it. Next to nothing of it fits on the way.
async fn ask_and_wait(world: &World) -> Client {
    let plan = LinkPlan { window_bytes: 8 << 10, ..LinkPlan::default() };
    let mut client = world.connect_with(plan).await;
    client.raw(&listing().sign(&world.runtime).0).await;
    client
}

/// How many of many listings that nobody reads are begun at a time, and the bytes of one.
async fn begun_listings(world: World) -> (usize, usize) {
    long_bucket(&world).await;
    let whole = world.connect().await.send(&listing()).await;
    let page_bytes = whole.assert_status(200).body.len();
    assert!(page_bytes > 600_000, "{page_bytes}");
    let mut clients = join_all((0..LISTINGS).map(|_| ask_and_wait(&world))).await;
    // Longer than anybody waits for memory, shorter than anybody may read slowly.
    world.runtime.sleep(Duration::from_secs(15)).await;
    let mut other = world.connect().await;
    other.send(&call("PUT", "/bucket/small").body("x")).await.assert_status(200);
    other.send(&call("GET", "/bucket/small")).await.assert_status(200);
    // By now all of them are cut.
    world.runtime.sleep(Duration::from_secs(90)).await;
    world.connect().await.send(&listing()).await.assert_status(200);
    let mut begun = 0;
    for client in &mut clients {
        let bytes = client.read_to_end().await;
        let text = client.received_text(60);
        if text.starts_with("HTTP/1.1 200") {
            assert!(bytes < page_bytes, "who reads nothing is cut");
            begun += 1;
        } else {
            assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        }
    }
    (begun, page_bytes)
}

#[test]
fn answers_that_nobody_reads_take_bounded_memory_and_not_for_long() {
    let settings = ServerConfig { document_bytes: 2 << 20, ..ServerConfig::new(REGION) };
    run_seeded(0, settings, |world| async move {
        let (begun, page_bytes) = Box::pin(begun_listings(world)).await;
        // On each of two cores: 2 MiB, and one more that was on its way.
        let most = 2 * ((2_usize << 20).div_ceil(page_bytes) + 1);
        assert!((2..=most).contains(&begun), "{begun} answers held at a time, of {page_bytes} bytes each");
    });
    run_seeded(0, ServerConfig::new(REGION), |world| async move {
        assert_eq!(Box::pin(begun_listings(world)).await.0, LISTINGS, "with more memory nobody is refused");
    });
}

const SOON: Duration = Duration::from_secs(1);

/// Objects go in and come out again, in that time.
async fn serves(world: &World, within: Duration) {
    let began = world.runtime.now();
    let mut client = world.connect().await;
    client.send(&call("PUT", "/bucket/key").body(content(300_000))).await.assert_status(200);
    let found = client.send(&call("GET", "/bucket/key")).await;
    assert!(found.assert_status(200).body == content(300_000));
    let took = world.runtime.now().since(began);
    assert!(took < within, "{took:?}");
}

#[test]
fn heads_that_never_end_leave_memory_for_others() {
    run_small(4 << 20, |world| async move {
        world.connect().await.send(&call("PUT", "/bucket")).await.assert_status(200);
        let mut clients = Vec::new();
        for number in 0..1500 {
            let mut client = world.connect().await;
            // More than the smallest buffer holds, in half of them; never the last line.
            let head = format!("GET /{} HTTP/1.1\r\n", "x".repeat(if number % 2 == 0 { 10 } else { 6000 }));
            client.raw(head.as_bytes()).await;
            clients.push(client);
        }
        // Not all of them have a buffer at a time: who asks after them waits for some times the fifth of a second that
        // each may take now.
        serves(&world, Duration::from_secs(3)).await;
        // The first ones made room, and a head in pieces is still a head.
        assert!(clients[0].is_closed().await);
        let mut client = world.connect().await;
        let (head, _) = call("GET", "/bucket/key").sign(&world.runtime);
        for piece in head.chunks(200) {
            client.raw(piece).await;
            world.runtime.sleep(Duration::from_millis(10)).await;
        }
        client.response(false).await.assert_status(200);
    });
}

#[test]
fn refused_bodies_that_never_come_leave_memory_for_others() {
    run_small(4 << 20, |world| async move {
        world.connect().await.send(&call("PUT", "/bucket")).await.assert_status(200);
        let mut clients = Vec::new();
        for _ in 0..1000 {
            let mut client = world.connect().await;
            client.raw(b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").await;
            clients.push(client);
        }
        // As many as are attended to at a time have a fifth of a second each.
        serves(&world, Duration::from_secs(3)).await;
    });
}

#[test]
fn connections_that_wait_leave_memory_for_others() {
    run_small(4 << 20, |world| async move {
        world.connect().await.send(&call("PUT", "/bucket")).await.assert_status(200);
        let mut clients = Vec::new();
        for _ in 0..2500 {
            clients.push(world.connect().await);
        }
        serves(&world, SOON).await;
        for client in clients.iter_mut().step_by(100) {
            client.send(&call("HEAD", "/bucket/key")).await.assert_status(200);
            client.send(&call("HEAD", "/bucket/key")).await.assert_status(200);
        }
    });
}

#[test]
fn more_requests_at_once_than_memory_holds_are_served_in_turn() {
    run_small(4 << 20, |world| async move {
        world.connect().await.send(&call("PUT", "/bucket")).await.assert_status(200);
        serves(&world, SOON).await;
        let mut clients = Vec::new();
        for _ in 0..3000 {
            clients.push(world.connect().await);
        }
        // All of them before any answer is read.
        let (head, _) = call("GET", "/bucket/key").header("range", "bytes=0-99").sign(&world.runtime);
        for client in &mut clients {
            client.raw(&head).await;
        }
        for client in &mut clients {
            client.response(false).await.assert_status(206);
        }
        serves(&world, SOON).await;
    });
}

#[test]
fn error_documents_are_short() {
    run_seeded(0, ServerConfig::new(REGION), |world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        client.raw(format!("GET /bucket/{} HTTP/1.1\r\nHost: x\r\n\r\n", "'".repeat(7000)).as_bytes()).await;
        let refused = client.response(false).await;
        refused.assert_error(403, "AccessDenied");
        assert!(refused.body.len() <= 16 << 10, "{}", refused.body.len());
        assert_eq!(refused.element("Resource"), Some("/"));
    });
}
