//! Connections: kept, pipelined, refused, timed, drained.

use super::client::{Client, NEVER, Payload, call, content};
use super::rig::{REGION, run, run_seeded};
use ashlar_engine::runtime::Runtime as _;
use ashlar_s3::server::{Served, ServerConfig};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn requests_may_be_pipelined() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let mut wire = Vec::new();
        for number in 0..20 {
            let (head, body) =
                call("PUT", &format!("/bucket/{number}")).body(content(number * 300)).sign(&world.runtime);
            wire.extend([head, body].concat());
            let (head, _) = call("GET", &format!("/bucket/{number}")).sign(&world.runtime);
            wire.extend(head);
        }
        client.raw(&wire).await;
        for number in 0..20 {
            client.response(false).await.assert_status(200);
            assert!(client.response(false).await.assert_status(200).body == content(number * 300));
        }
    });
}

#[test]
fn continue_comes_after_the_signature_and_only_then() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let put = call("PUT", "/bucket/key").body(content(100_000)).line("Expect: 100-continue");
        let (head, body) = put.sign(&world.runtime);
        client.raw(&head).await;
        assert_eq!(client.response(false).await.status, 100);
        client.raw(&body).await;
        client.response(false).await.assert_status(200);
        for refused in [
            call("PUT", "/absent/key").body("x").line("Expect: 100-continue"),
            call("PUT", "/bucket/key").header("if-none-match", "*").body("x").line("Expect: 100-continue"),
        ] {
            let mut other = world.connect().await;
            other.raw(&refused.sign(&world.runtime).0).await;
            let answer = other.response(false).await;
            assert!([404, 412].contains(&answer.status));
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(other.is_closed().await);
        }
        let (mut head, _) = put.sign(&world.runtime);
        let at = head.windows(10).position(|window| window == b"Signature=").unwrap() + 10;
        head[at] = if head[at] == b'0' { b'1' } else { b'0' };
        let mut other = world.connect().await;
        other.raw(&head).await;
        other.response(false).await.assert_error(403, "SignatureDoesNotMatch");
        assert!(other.is_closed().await);
    });
}

#[test]
fn a_refused_body_is_dropped_if_short_and_else_ends_the_connection() {
    run(|world| async move {
        let mut client = world.connect().await;
        let answer = client.send(&call("PUT", "/absent/key").body(content(60_000))).await;
        answer.assert_error(404, "NoSuchBucket");
        assert_eq!(answer.header("connection"), None);
        let answer = client.send(&call("GET", "/absent/key").body("a body").line("Content-Length: 6")).await;
        answer.assert_error(404, "NoSuchBucket");
        let answer = client.send(&call("PUT", "/absent/key").body(content(30_000)).outer(1000)).await;
        answer.assert_error(404, "NoSuchBucket");
        let answer = client.send(&call("PUT", "/absent/key").body(content(1_000_000))).await;
        assert_eq!(answer.assert_error(404, "NoSuchBucket").header("connection"), Some("close"));
        assert!(client.is_closed().await);
    });
}

#[test]
fn malformed_requests_are_refused_and_end_the_connection() {
    run(|world| async move {
        let long = format!("GET / HTTP/1.1\r\nHost: h\r\nx: {}\r\n\r\n", "a".repeat(20_000));
        let rows: [(&str, u16); 8] = [
            ("GET /\r\n\r\n", 400),
            ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("GET / HTTP/1.1\nHost: h\n\n", 400),
            (&long, 400),
        ];
        for (wire, status) in rows {
            let mut client = world.connect().await;
            client.raw(wire.as_bytes()).await;
            let answer = client.response(false).await;
            assert_eq!(answer.status, status, "{:?}", &wire[..wire.len().min(60)]);
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(answer.header("date").is_some());
            assert_eq!(answer.header("server"), Some("Ashlar"));
            assert!(client.is_closed().await);
        }
        let mut client = world.connect().await;
        client.raw(b"GET /bucket HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.response(false).await.assert_error(403, "AccessDenied");
        client.raw(b"OPTIONS /bucket HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.response(false).await.assert_error(403, "AccessDenied");
    });
}

#[test]
fn heads_have_no_body_even_when_they_fail() {
    run(|world| async move {
        let mut client = world.connect().await;
        let failed = client.send(&call("HEAD", "/absent/key")).await;
        assert_eq!(failed.status, 404);
        assert_eq!(failed.header("x-amz-bucket-region"), Some(REGION));
        // The next answer begins right behind the head.
        client.send(&call("GET", "/")).await.assert_status(200);
        let closing = client.send(&call("GET", "/").line("Connection: close")).await;
        assert_eq!(closing.assert_status(200).header("connection"), Some("close"));
        assert!(client.is_closed().await);
    });
}

#[test]
fn slow_clients_are_told_and_left() {
    run(|world| async move {
        let mut idle = world.connect().await;
        let begun = world.runtime.now();
        assert!(idle.is_closed().await);
        assert!(world.runtime.now().since(begun) >= Duration::from_secs(60));
        let mut slow_head = world.connect().await;
        slow_head.raw(b"GET / HT").await;
        slow_head.response(false).await.assert_error(400, "RequestTimeout");
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let (head, body) = call("PUT", "/bucket/key").body(content(1_000_000)).sign(&world.runtime);
        let mut silent = world.connect().await;
        silent.raw(&head).await;
        silent.raw(&body[..500_000]).await;
        silent.response(false).await.assert_error(400, "RequestTimeout");
        let mut trickle = world.connect().await;
        trickle.raw(&head).await;
        let begun = world.runtime.now();
        for byte in &body {
            if trickle.stream.send_bytes(&[*byte], NEVER).await.is_err() {
                break;
            }
            world.runtime.sleep(Duration::from_secs(5)).await;
            if world.runtime.now().since(begun) > Duration::from_secs(40) {
                break;
            }
        }
        trickle.response(false).await.assert_error(400, "RequestTimeout");
        let mut gone = world.connect().await;
        gone.raw(&head).await;
        gone.raw(&body[..700_000]).await;
        drop(gone);
        client = world.connect().await;
        client.send(&call("GET", "/bucket/key")).await.assert_error(404, "NoSuchKey");
    });
}

#[test]
fn a_stop_lets_requests_finish_and_closes_idle_connections() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let mut idle = world.connect().await;
        idle.send(&call("GET", "/")).await.assert_status(200);
        let (head, body) = call("PUT", "/bucket/key").body(content(1_000_000)).sign(&world.runtime);
        client.raw(&head).await;
        client.raw(&body[..400_000]).await;
        world.runtime.sleep(Duration::from_secs(1)).await;
        (world.stop)();
        assert!(idle.is_closed().await);
        client.raw(&body[400_000..]).await;
        let answer = client.response(false).await;
        assert_eq!(answer.assert_status(200).header("connection"), Some("close"));
        assert!(client.is_closed().await);
        world.runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(*world.served.borrow(), [Served::Drained, Served::Drained]);
    });
}

#[test]
fn what_outlasts_the_drain_is_cut() {
    let settings = ServerConfig { drain: Duration::from_secs(2), ..ServerConfig::new(REGION) };
    run_seeded(1, settings, |world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let (head, _) = call("PUT", "/bucket/key").body(content(1_000_000)).sign(&world.runtime);
        client.raw(&head).await;
        world.runtime.sleep(Duration::from_secs(1)).await;
        (world.stop)();
        assert!(client.is_closed().await);
        world.runtime.sleep(Duration::from_secs(1)).await;
        assert!(world.served.borrow().contains(&Served::Cut));
    });
}

#[test]
fn more_connections_than_allowed_wait_their_turn() {
    let settings = ServerConfig { connections_max: 1, ..ServerConfig::new(REGION) };
    run_seeded(2, settings, |world| async move {
        let gets = (0..12).map(|_| {
            let world = world.clone();
            async move {
                let mut client = world.connect().await;
                client.send(&call("GET", "/").line("Connection: close")).await.assert_status(200);
            }
        });
        futures_util::future::join_all(gets).await;
    });
}

/// Sends a request and looks at its answer.
async fn get(client: &mut Client) {
    client.send(&call("GET", "/")).await.assert_status(200);
}

#[test]
fn idle_connections_give_way_to_others_and_go_on_later() {
    let settings = ServerConfig { attended_max: 1, ..ServerConfig::new(REGION) };
    run_seeded(3, settings, |world| async move {
        let began = world.runtime.now();
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = world.connect().await;
            get(&mut client).await;
            clients.push(client);
        }
        for _ in 0..3 {
            for client in &mut clients {
                get(client).await;
            }
        }
        assert!(world.runtime.now().since(began) < Duration::from_secs(2), "none waits for silence to end");
        // All at once, in turn.
        let (head, _) = call("GET", "/").sign(&world.runtime);
        for client in &mut clients {
            client.raw(&head).await;
        }
        for client in &mut clients {
            client.response(false).await.assert_status(200);
        }
    });
}

#[test]
fn what_comes_while_a_connection_gives_way_is_not_lost() {
    let settings = ServerConfig { attended_max: 1, ..ServerConfig::new(REGION) };
    for seed in 0..20 {
        run_seeded(seed, settings.clone(), |world| async move {
            let load = (0..6).map(|_| {
                let world = world.clone();
                async move {
                    let mut client = world.connect().await;
                    for _ in 0..30 {
                        get(&mut client).await;
                    }
                }
            });
            futures_util::future::join_all(load).await;
        });
    }
}

#[test]
fn the_longest_idle_connection_is_closed_for_a_new_one() {
    // On each of two cores.
    let settings = ServerConfig { connections_max: 2, ..ServerConfig::new(REGION) };
    run_seeded(4, settings, |world| async move {
        let mut busy = world.connect().await;
        busy.send(&call("PUT", "/bucket")).await.assert_status(200);
        let (head, body) = call("PUT", "/bucket/key").body(content(100_000)).sign(&world.runtime);
        busy.raw(&head).await;
        busy.raw(&body[..50_000]).await;
        let began = world.runtime.now();
        let mut idle = Vec::new();
        for _ in 0..12 {
            let mut client = world.connect().await;
            get(&mut client).await;
            idle.push(client);
        }
        let took = world.runtime.now().since(began);
        assert!(took < Duration::from_secs(12), "a second of silence is enough: {took:?}");
        let mut open = 0;
        for client in &mut idle {
            open += usize::from(!client.is_closed_within(Duration::from_millis(50)).await);
        }
        assert!((1..=3).contains(&open), "{open} idle beside one at work");
        get(idle.last_mut().unwrap()).await;
        busy.raw(&body[50_000..]).await;
        busy.response(false).await.assert_status(200);
    });
}

#[test]
fn more_busy_clients_than_places_take_turns() {
    let settings = ServerConfig { connections_max: 2, ..ServerConfig::new(REGION) };
    run_seeded(5, settings, |world| async move {
        let ended = Rc::new(Cell::new(0));
        let load = (0..8).map(|_| {
            let (world, ended) = (world.clone(), Rc::clone(&ended));
            async move {
                let mut client = world.connect().await;
                for _ in 0..200 {
                    let answer = client.send(&call("GET", "/")).await;
                    if answer.assert_status(200).header("connection") == Some("close") {
                        assert!(client.is_closed().await);
                        client = world.connect().await;
                        ended.set(ended.get() + 1);
                    }
                }
            }
        });
        let began = world.runtime.now();
        futures_util::future::join_all(load).await;
        assert!(ended.get() > 100, "{} gave way", ended.get());
        assert!(world.runtime.now().since(began) < Duration::from_secs(20), "none waits for silence");
    });
}

#[test]
fn uploads_must_tell_their_length() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let put = call("PUT", "/bucket/key").payload(Payload::Unsigned);
        client.send(&put.clone().without_length()).await.assert_error(411, "MissingContentLength");
        let huge = put.without_length().line("Content-Length: 6442450944");
        client.send(&huge).await.assert_error(400, "EntityTooLarge");
    });
}
