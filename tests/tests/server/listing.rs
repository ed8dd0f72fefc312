//! Listings.

use super::client::call;
use super::rig::run;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crc_fast::{CrcAlgorithm, checksum};

#[test]
fn keys_are_in_binary_order_and_pages_join_up() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        for key in ["b", "a/1", "a/2", "a", "B", "c%20d", "%C3%BC"] {
            client.send(&call("PUT", &format!("/bucket/{key}")).body("x")).await.assert_status(200);
        }
        let all = ["B", "a", "a/1", "a/2", "b", "c d", "ü"];
        let list = || call("GET", "/bucket").query("list-type", "2");
        let whole = client.send(&list()).await;
        assert_eq!(whole.assert_status(200).elements("Key"), all);
        assert_eq!(whole.element("KeyCount"), Some("7"));
        assert_eq!(whole.element("IsTruncated"), Some("false"));
        assert!(whole.elements("Owner").is_empty());
        assert_eq!(client.send(&list().query("fetch-owner", "true")).await.elements("Owner").len(), 7);
        let mut found = Vec::new();
        let mut request = list().query("max-keys", "2");
        loop {
            let page = client.send(&request).await;
            found.extend(page.elements("Key").into_iter().map(str::to_owned));
            let Some(token) = page.element("NextContinuationToken") else { break };
            request = list().query("max-keys", "2").query("continuation-token", token);
        }
        assert_eq!(found, all);
        let rolled = client.send(&list().query("delimiter", "/")).await;
        assert_eq!(rolled.elements("Key"), ["B", "a", "b", "c d", "ü"]);
        assert_eq!(rolled.elements("CommonPrefixes"), ["<Prefix>a/</Prefix>"]);
        let encoded = client.send(&list().query("encoding-type", "url")).await;
        assert!(encoded.elements("Key").contains(&"c+d"));
        assert!(encoded.elements("Key").contains(&"%C3%BC"));
        let after = client.send(&list().query("start-after", "a/1x")).await;
        assert_eq!(after.elements("Key"), ["a/2", "b", "c d", "ü"]);
        let none = client.send(&list().query("max-keys", "0")).await;
        assert_eq!((none.element("KeyCount"), none.element("IsTruncated")), (Some("0"), Some("false")));
        for (name, value) in [
            ("max-keys", "many"),
            ("max-keys", "-1"),
            ("encoding-type", "x"),
            ("continuation-token", "nonsense"),
            ("continuation-token", ""),
        ] {
            client.send(&list().query(name, value)).await.assert_error(400, "InvalidArgument");
        }
    });
}

#[test]
fn the_first_version_pages_by_marker() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        for key in ["a/1", "a/2", "b", "c/1", "d"] {
            client.send(&call("PUT", &format!("/bucket/{key}")).body("x")).await.assert_status(200);
        }
        let list = || call("GET", "/bucket").query("max-keys", "2");
        let plain = client.send(&list()).await;
        assert_eq!(plain.elements("Key"), ["a/1", "a/2"]);
        assert_eq!(plain.element("NextMarker"), None);
        let next = client.send(&list().query("marker", "a/2")).await;
        assert_eq!(next.elements("Key"), ["b", "c/1"]);
        let rolled = client.send(&list().query("delimiter", "/")).await;
        assert_eq!(rolled.element("NextMarker"), Some("b"));
        let rolled = client.send(&list().query("delimiter", "/").query("marker", "b")).await;
        assert_eq!(rolled.elements("Key"), ["d"]);
        assert_eq!(rolled.elements("CommonPrefixes"), ["<Prefix>c/</Prefix>"]);
        assert_eq!(rolled.elements("Owner").len(), 1);
    });
}

#[test]
fn words_longer_than_any_key_find_nothing_or_what_comes_behind_them() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let longest = "m".repeat(1024);
        for key in ["a", longest.as_str(), "z"] {
            client.send(&call("PUT", &format!("/bucket/{key}")).body("x")).await.assert_status(200);
        }
        for key in ["a", "z"] {
            client
                .send(&call("POST", &format!("/bucket/{key}")).query("uploads", ""))
                .await
                .assert_status(200);
        }
        let too_long = "m".repeat(1025);
        // The token of a page that ended with that name, had there been one.
        let sum = checksum(CrcAlgorithm::Crc32Iscsi, too_long.as_bytes()).to_le_bytes();
        let token = URL_SAFE_NO_PAD.encode([&sum[..4], too_long.as_bytes()].concat());
        let lists = [
            (call("GET", "/bucket").query("list-type", "2"), "start-after", too_long.as_str()),
            (call("GET", "/bucket").query("list-type", "2"), "continuation-token", token.as_str()),
            (call("GET", "/bucket"), "marker", too_long.as_str()),
            (call("GET", "/bucket").query("versions", ""), "key-marker", too_long.as_str()),
            (call("GET", "/bucket").query("uploads", ""), "key-marker", too_long.as_str()),
        ];
        for (list, marker, value) in lists {
            let none = client.send(&list.clone().query("prefix", &too_long)).await;
            assert_eq!(none.assert_status(200).elements("Key"), Vec::<&str>::new(), "{marker}");
            let behind = client.send(&list.query(marker, value)).await;
            assert_eq!(behind.assert_status(200).elements("Key"), ["z"], "{marker}");
        }
    });
}
