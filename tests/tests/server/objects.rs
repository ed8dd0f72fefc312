//! Objects: in, out, copied, gone; in every form that a body can be sent.

use super::client::{Payload, call, content};
use super::rig::run;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::LinkPlan;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

fn md5_hex(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes)))
}

#[test]
fn sizes_from_none_to_many_rows_come_back_as_they_were() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        for bytes in [0, 1, 4096, 65_536, 65_537, 300_000, 5_000_001] {
            let body = content(bytes);
            let path = format!("/bucket/object-{bytes}");
            let put = client.send(&call("PUT", &path).body(body.clone())).await;
            assert_eq!(put.assert_status(200).header("etag"), Some(md5_hex(&body).as_str()));
            let got = client.send(&call("GET", &path)).await;
            assert_eq!(got.assert_status(200).header("etag"), put.header("etag"));
            assert_eq!(got.header("content-type"), Some("binary/octet-stream"));
            assert_eq!(got.header("accept-ranges"), Some("bytes"));
            assert!(got.body == body, "{bytes} bytes");
            let head = client.send(&call("HEAD", &path)).await;
            let interesting =
                |name: &str| (head.header(name).map(str::to_owned), got.header(name).map(str::to_owned));
            for name in ["content-length", "etag", "last-modified", "content-type"] {
                let (of_head, of_get) = interesting(name);
                assert_eq!(of_head, of_get, "{name}");
            }
        }
    });
}

#[test]
fn metadata_come_back_and_aws_chunked_does_not() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let put = call("PUT", "/bucket/key")
            .header("cache-control", "no-store")
            .header("content-encoding", "gzip, aws-chunked")
            .header("content-type", "text/plain")
            .header("expires", "never ever")
            .header("x-amz-meta-colour", "blue")
            .header("x-amz-storage-class", "STANDARD")
            .body("hello");
        client.send(&put).await.assert_status(200);
        let got = client.send(&call("GET", "/bucket/key")).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-encoding", "gzip"),
            ("content-type", "text/plain"),
            ("expires", "never ever"),
            ("x-amz-meta-colour", "blue"),
        ] {
            assert_eq!(got.header(name), Some(value));
        }
        let overridden =
            client.send(&call("GET", "/bucket/key").query("response-content-type", "text/html")).await;
        assert_eq!(overridden.header("content-type"), Some("text/html"));
        let split = client.send(&call("GET", "/bucket/key").query("response-expires", "a\r\nb: c")).await;
        split.assert_error(400, "InvalidArgument");
    });
}

#[test]
fn every_payload_mode_in_pieces_of_every_size() {
    run(|world| async move {
        let plan = LinkPlan { piece_bytes_max: 700, ..LinkPlan::default() };
        let mut client = world.connect_with(plan).await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let body = content(150_000);
        let crc = "x-amz-checksum-crc32c:";
        let digest = ashlar_s3_crc32c(&body);
        let trailer: &'static str = format!("{crc}{digest}").leak();
        let modes = [
            Payload::Hashed,
            Payload::Unsigned,
            Payload::SignedChunks(65_536),
            Payload::SignedChunks(100),
            Payload::Trailer(100_000, trailer),
            Payload::Trailer(77, trailer),
        ];
        for (index, mode) in modes.into_iter().enumerate() {
            for outer in [None, Some(40_000), Some(99)] {
                let path = format!("/bucket/mode-{index}-{outer:?}").replace(['(', ')'], "");
                let mut put = call("PUT", &path).body(body.clone()).payload(mode);
                put.outer_chunk = outer;
                client.send(&put).await.assert_status(200);
                let got = client.send(&call("GET", &path).header("x-amz-checksum-mode", "ENABLED")).await;
                assert!(got.assert_status(200).body == body, "{mode:?} {outer:?}");
                if matches!(mode, Payload::Trailer(..)) {
                    assert_eq!(got.header("x-amz-checksum-crc32c"), Some(digest.as_str()));
                } else {
                    assert!(got.header("x-amz-checksum-crc64nvme").is_some());
                }
                assert_eq!(got.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
            }
        }
    });
}

fn ashlar_s3_crc32c(bytes: &[u8]) -> String {
    use ashlar_s3::checksum::hasher::ChecksumHasher;
    let mut hasher = ChecksumHasher::new(ashlar_s3::value::ChecksumAlgorithm::Crc32c);
    hasher.update(bytes);
    hasher.finish().to_base64().to_string()
}

#[test]
fn wrong_hashes_leave_nothing_behind() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        client.send(&call("PUT", "/bucket/key").body("old")).await.assert_status(200);
        let put = || call("PUT", "/bucket/key").body(content(200_000));
        let wrong_md5 = STANDARD.encode([7; 16]);
        let trailer = "x-amz-checksum-crc32:AAAAAA==";
        let cases = [
            (put().header("content-md5", &wrong_md5), 400, "BadDigest"),
            (put().header("content-md5", "short"), 400, "InvalidDigest"),
            (put().header("x-amz-checksum-crc32", "AAAAAA=="), 400, "BadDigest"),
            (put().header("x-amz-checksum-sha256", "AAAAAA=="), 400, "InvalidRequest"),
            (put().payload(Payload::Trailer(1000, trailer)), 400, "BadDigest"),
            (put().payload(Payload::Trailer(1000, "x-amz-checksum-crc32:!")), 400, "MalformedTrailerError"),
            (put().header("x-amz-storage-class", "GLACIER"), 400, "InvalidStorageClass"),
            (put().header("x-amz-server-side-encryption", "AES256"), 501, "NotImplemented"),
            (put().header("x-amz-object-lock-mode", "COMPLIANCE"), 501, "NotImplemented"),
            (put().header("x-amz-acl", "public-read"), 501, "NotImplemented"),
            (put().header("x-amz-tagging", "a=b"), 501, "NotImplemented"),
        ];
        for (wrong, status, code) in cases {
            let mut client = world.connect().await;
            client.send(&wrong).await.assert_error(status, code);
        }
        let (head, mut body) = put().sign(&world.runtime);
        body[100_000] ^= 1;
        let mut other = world.connect().await;
        other.raw(&[head, body].concat()).await;
        other.response(false).await.assert_error(400, "XAmzContentSHA256Mismatch");
        let (head, mut body) = put().payload(Payload::SignedChunks(65_536)).sign(&world.runtime);
        body[100_000] ^= 1;
        let mut other = world.connect().await;
        other.raw(&[head, body].concat()).await;
        other.response(false).await.assert_error(403, "SignatureDoesNotMatch");
        let got = client.send(&call("GET", "/bucket/key")).await;
        assert_eq!(got.assert_status(200).text(), "old");
    });
}

#[test]
fn ranges() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let body = content(1_000_000);
        client.send(&call("PUT", "/bucket/key").body(body.clone())).await.assert_status(200);
        client.send(&call("PUT", "/bucket/empty")).await.assert_status(200);
        let get = |range: &str| call("GET", "/bucket/key").line(&format!("Range: {range}"));
        for (range, start, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=5-99", 5, 100),
            ("bytes=262143-262144", 262_143, 262_145),
            ("bytes=999999-", 999_999, 1_000_000),
            ("bytes=-3", 999_997, 1_000_000),
            ("bytes=-2000000", 0, 1_000_000),
            ("bytes=900000-9999999", 900_000, 1_000_000),
        ] {
            let got = client.send(&get(range)).await;
            assert_eq!(
                got.assert_status(206).header("content-range").unwrap(),
                format!("bytes {start}-{}/1000000", end - 1)
            );
            assert!(got.body == body[start..end], "{range}");
        }
        let beyond = client.send(&get("bytes=1000000-")).await;
        assert_eq!(beyond.assert_error(416, "InvalidRange").header("content-range"), Some("bytes */1000000"));
        for ignored in ["bytes=1-2,4-5", "bytes=5-1", "lines=1-2"] {
            assert_eq!(client.send(&get(ignored)).await.assert_status(200).body.len(), 1_000_000);
        }
        let empty = client.send(&call("GET", "/bucket/empty").line("Range: bytes=0-")).await;
        empty.assert_error(416, "InvalidRange");
        let part = client.send(&call("GET", "/bucket/key").query("partNumber", "1")).await;
        assert_eq!(part.assert_status(206).body.len(), 1_000_000);
        client
            .send(&call("GET", "/bucket/key").query("partNumber", "2"))
            .await
            .assert_error(416, "InvalidPartNumber");
    });
}

#[test]
fn deletes() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        for key in ["a", "b", "c"] {
            client.send(&call("PUT", &format!("/bucket/{key}")).body(key)).await.assert_status(200);
        }
        client.send(&call("DELETE", "/bucket/absent")).await.assert_status(204);
        client
            .send(&call("DELETE", "/bucket/a").header("if-match", "\"nonsense\""))
            .await
            .assert_error(412, "PreconditionFailed");
        client
            .send(&call("DELETE", "/bucket/a").query("versionId", "v1"))
            .await
            .assert_error(404, "NoSuchVersion");
        client.send(&call("DELETE", "/bucket/a").query("versionId", "null")).await.assert_status(204);
        let document = "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>";
        let several = call("POST", "/bucket").query("delete", "").body(document);
        client.send(&several).await.assert_error(400, "InvalidRequest");
        let sum = STANDARD.encode(Md5::digest(document));
        let done = client.send(&several.header("content-md5", &sum)).await;
        assert_eq!(done.assert_status(200).elements("Key"), ["a", "b"]);
        let quiet = "<Delete><Quiet>true</Quiet><Object><Key>c</Key><ETag>nonsense</ETag></Object></Delete>";
        let sum = ashlar_s3_crc32c(quiet.as_bytes());
        let several = call("POST", "/bucket").query("delete", "").body(quiet);
        let done = client.send(&several.header("x-amz-checksum-crc32c", &sum)).await;
        assert_eq!(done.assert_status(200).elements("Code"), ["PreconditionFailed"]);
        let left = client.send(&call("GET", "/bucket")).await;
        assert_eq!(left.elements("Key"), ["c"]);
    });
}

#[test]
fn copies() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let body = content(300_000);
        let put = call("PUT", "/bucket/a%25b%20c").header("x-amz-meta-a", "1").body(body.clone());
        let tag = client.send(&put).await.assert_status(200).header("etag").unwrap().to_owned();
        let copy =
            |source: &str| call("PUT", "/bucket/copy").header("x-amz-copy-source", source).without_length();
        for source in ["/bucket/a%25b%20c", "bucket/a%25b%20c", "bucket/a%25b%20c?versionId=null"] {
            let made = client.send(&copy(source)).await;
            assert_eq!(made.assert_status(200).element("ETag"), Some(tag.replace('"', "&quot;").as_str()));
        }
        let got = client.send(&call("GET", "/bucket/copy")).await;
        assert!(got.body == body);
        assert_eq!(got.header("x-amz-meta-a"), Some("1"));
        let replaced =
            copy("bucket/copy").header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-b", "2");
        client.send(&replaced).await.assert_status(200);
        let got = client.send(&call("HEAD", "/bucket/copy")).await;
        assert_eq!((got.header("x-amz-meta-a"), got.header("x-amz-meta-b")), (None, Some("2")));
        client.send(&copy("bucket/copy")).await.assert_error(400, "InvalidRequest");
        client.send(&copy("bucket/absent")).await.assert_error(404, "NoSuchKey");
        client.send(&copy("absent/key")).await.assert_error(404, "NoSuchBucket");
        client.send(&copy("nonsense")).await.assert_error(400, "InvalidArgument");
        let failing = copy("bucket/a%25b%20c").header("x-amz-copy-source-if-match", "\"other\"");
        client.send(&failing).await.assert_error(412, "PreconditionFailed");
        let summed = copy("bucket/a%25b%20c").header("x-amz-checksum-algorithm", "CRC32C");
        let made = client.send(&summed).await;
        assert_eq!(made.element("ChecksumCRC32C"), Some(ashlar_s3_crc32c(&body).as_str()));
    });
}

#[test]
fn bytes_that_cannot_be_read_never_look_whole() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        client.send(&call("PUT", "/bucket/key").body(content(3_000_000))).await.assert_status(200);
        for disk in &world.disks {
            disk.set_dead(true);
        }
        client.send(&call("GET", "/bucket/key")).await.assert_error(500, "InternalError");
        for disk in &world.disks {
            disk.set_dead(false);
        }
        world.runtime.sleep(std::time::Duration::from_millis(1)).await;
    });
}
