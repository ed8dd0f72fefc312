//! Conditional reads and writes.

use super::client::call;
use super::rig::run;

#[test]
fn reads() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let put =
            client.send(&call("PUT", "/bucket/key").header("cache-control", "max-age=1").body("x")).await;
        let tag = put.header("etag").unwrap().to_owned();
        let head = client.send(&call("HEAD", "/bucket/key")).await;
        let modified = head.header("last-modified").unwrap().to_owned();
        let (past, future) = ("Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2027 00:00:00 GMT");
        let rows: [(&[(&str, &str)], u16); 11] = [
            (&[("if-match", &tag)], 200),
            (&[("if-match", "*")], 200),
            (&[("if-match", "\"other\"")], 412),
            (&[("if-none-match", &tag)], 304),
            (&[("if-none-match", "\"other\"")], 200),
            (&[("if-modified-since", &modified)], 304),
            (&[("if-modified-since", past)], 200),
            (&[("if-unmodified-since", past)], 412),
            (&[("if-unmodified-since", future)], 200),
            (&[("if-match", &tag), ("if-unmodified-since", past)], 200),
            (&[("if-none-match", "\"other\""), ("if-modified-since", future)], 200),
        ];
        for (conditions, status) in rows {
            for method in ["GET", "HEAD"] {
                let mut request = call(method, "/bucket/key");
                for (name, value) in conditions {
                    request = request.header(name, value);
                }
                let got = client.send(&request).await;
                assert_eq!(got.status, status, "{method} {conditions:?}");
                if status == 304 {
                    assert_eq!(got.header("etag"), Some(tag.as_str()));
                    assert_eq!(got.header("cache-control"), Some("max-age=1"));
                    assert_eq!(got.header("content-length"), None);
                }
            }
        }
    });
}

#[test]
fn writes() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let put = |body: &str| call("PUT", "/bucket/key").body(body);
        client.send(&put("0").header("if-match", "\"x\"")).await.assert_error(404, "NoSuchKey");
        let made = client.send(&put("1").header("if-none-match", "*")).await;
        let tag = made.assert_status(200).header("etag").unwrap().to_owned();
        client.send(&put("2").header("if-none-match", "*")).await.assert_error(412, "PreconditionFailed");
        client.send(&put("3").header("if-match", "\"x\"")).await.assert_error(412, "PreconditionFailed");
        client.send(&put("4").header("if-match", &tag)).await.assert_status(200);
        client
            .send(&put("5").header("if-match", tag.trim_matches('"')))
            .await
            .assert_error(412, "PreconditionFailed");
        client.send(&put("6").header("if-none-match", &tag)).await.assert_error(501, "NotImplemented");
        let got = client.send(&call("GET", "/bucket/key")).await;
        assert_eq!(got.text(), "4");
    });
}

#[test]
fn of_many_that_create_one_wins() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let tries = (0..8).map(|number| {
            let world = world.clone();
            async move {
                let mut client = world.connect().await;
                let body = format!("writer {number}").repeat(10_000);
                let put = call("PUT", "/bucket/lock").header("if-none-match", "*").body(body.clone());
                (client.send(&put).await.status, body)
            }
        });
        let answers = futures_util::future::join_all(tries).await;
        let won: Vec<&String> =
            answers.iter().filter(|(status, _)| *status == 200).map(|(_, body)| body).collect();
        assert_eq!(won.len(), 1, "one writer wins");
        assert!(answers.iter().all(|(status, _)| [200, 412].contains(status)));
        let got = client.send(&call("GET", "/bucket/lock")).await;
        assert_eq!(got.text(), won[0]);
    });
}
