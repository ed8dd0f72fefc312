//! Multipart uploads.

use super::client::{Client, Response, call, content};
use super::rig::{World, run};
use md5::{Digest as _, Md5};
use std::fmt::Write as _;

const PART: usize = 5 << 20;

async fn begin(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = call("POST", path).query("uploads", "");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let begun = client.send(&request).await;
    begun.assert_status(200).element("UploadId").unwrap().to_owned()
}

async fn part(client: &mut Client, path: &str, id: &str, number: u16, body: Vec<u8>) -> Response {
    let request = call("PUT", path).query("partNumber", &number.to_string()).query("uploadId", id).body(body);
    client.send(&request).await
}

fn document(parts: &[(u16, &str)]) -> String {
    let mut text = "<CompleteMultipartUpload>".to_owned();
    for (number, tag) in parts {
        write!(text, "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>").unwrap();
    }
    text + "</CompleteMultipartUpload>"
}

async fn complete(client: &mut Client, path: &str, id: &str, parts: &[(u16, &str)]) -> Response {
    client.send(&call("POST", path).query("uploadId", id).body(document(parts))).await
}

async fn ready(world: &World) -> Client {
    let mut client = world.connect().await;
    client.send(&call("PUT", "/bucket")).await.assert_status(200);
    client
}

#[test]
fn parts_become_an_object() {
    run(|world| async move {
        let mut client = ready(&world).await;
        let path = "/bucket/whole";
        let id = begin(&mut client, path, &[("x-amz-meta-a", "1"), ("content-type", "text/x")]).await;
        let bodies = [content(PART), content(PART + 1), b"end".to_vec()];
        let mut tags = Vec::new();
        for (number, body) in [(2, &bodies[0]), (5, &bodies[1]), (9, &bodies[2])] {
            let stored = part(&mut client, path, &id, number, body.clone()).await;
            tags.push(stored.assert_status(200).header("etag").unwrap().to_owned());
            assert!(stored.header("x-amz-checksum-crc64nvme").is_some());
        }
        let listed = client.send(&call("GET", path).query("uploadId", &id).query("max-parts", "2")).await;
        assert_eq!(listed.assert_status(200).elements("PartNumber"), ["2", "5"]);
        assert_eq!(listed.element("NextPartNumberMarker"), Some("5"));
        let rest =
            client.send(&call("GET", path).query("uploadId", &id).query("part-number-marker", "5")).await;
        assert_eq!(rest.elements("PartNumber"), ["9"]);
        let names = [(2, tags[0].as_str()), (5, tags[1].trim_matches('"')), (9, tags[2].as_str())];
        let done = complete(&mut client, path, &id, &names).await;
        let mut joined = Vec::new();
        for body in &bodies {
            joined.extend_from_slice(&Md5::digest(body));
        }
        let tag = format!("\"{}-3\"", hex::encode(Md5::digest(&joined)));
        assert_eq!(done.assert_status(200).element("ETag"), Some(tag.replace('"', "&quot;").as_str()));
        let again = complete(&mut client, path, &id, &names).await;
        assert_eq!(again.assert_status(200).element("ETag"), done.element("ETag"));
        let whole = client.send(&call("GET", path).header("x-amz-checksum-mode", "ENABLED")).await;
        assert!(whole.assert_status(200).body == bodies.concat());
        assert_eq!(whole.header("etag"), Some(tag.as_str()));
        assert_eq!(whole.header("x-amz-meta-a"), Some("1"));
        assert_eq!(whole.header("content-type"), Some("text/x"));
        assert_eq!(whole.header("x-amz-checksum-crc64nvme"), done.element("ChecksumCRC64NVME"));
        let second = client.send(&call("GET", path).query("partNumber", "2")).await;
        assert!(second.assert_status(206).body == bodies[1]);
        assert_eq!(second.header("x-amz-mp-parts-count"), Some("3"));
        client.send(&call("GET", path).query("partNumber", "4")).await.assert_error(416, "InvalidPartNumber");
        client.send(&call("DELETE", path).query("uploadId", &id)).await.assert_error(404, "NoSuchUpload");
        let names = "ETag,ObjectParts,ObjectSize,StorageClass,Checksum";
        let attributes = client
            .send(&call("GET", path).query("attributes", "").header("x-amz-object-attributes", names))
            .await;
        assert_eq!(attributes.assert_status(200).element("ETag"), Some(tag.trim_matches('"')));
        assert_eq!(attributes.element("PartsCount"), Some("3"));
        assert_eq!(attributes.elements("PartNumber").len(), 3);
    });
}

#[test]
fn a_part_of_a_composite_object_says_so() {
    run(|world| async move {
        let mut client = ready(&world).await;
        let path = "/bucket/composite";
        let id = begin(&mut client, path, &[("x-amz-checksum-algorithm", "CRC32")]).await;
        let stored = part(&mut client, path, &id, 1, b"123456789".to_vec()).await;
        let tag = stored.assert_status(200).header("etag").unwrap().to_owned();
        let named =
            document(&[(1, &tag)]).replace("</Part>", "<ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part>");
        client.send(&call("POST", path).query("uploadId", &id).body(named)).await.assert_status(200);
        let ask = call("GET", path).header("x-amz-checksum-mode", "ENABLED");
        let whole = client.send(&ask).await;
        assert!(whole.assert_status(200).header("x-amz-checksum-crc32").unwrap().ends_with("-1"));
        assert_eq!(whole.header("x-amz-checksum-type"), Some("COMPOSITE"));
        let first = client.send(&ask.query("partNumber", "1")).await;
        assert_eq!(first.assert_status(206).header("x-amz-checksum-crc32"), Some("y/Q5Jg=="));
        assert_eq!(first.header("x-amz-checksum-type"), Some("COMPOSITE"));
    });
}

#[test]
fn completions_that_do_not_fit_are_refused() {
    run(|world| async move {
        let mut client = ready(&world).await;
        let path = "/bucket/key";
        let id = begin(&mut client, path, &[]).await;
        let first =
            part(&mut client, path, &id, 1, b"small".to_vec()).await.header("etag").unwrap().to_owned();
        let second =
            part(&mut client, path, &id, 2, b"last".to_vec()).await.header("etag").unwrap().to_owned();
        let (first, second) = (first.as_str(), second.as_str());
        complete(&mut client, path, &id, &[(1, first), (2, second)])
            .await
            .assert_error(400, "EntityTooSmall");
        complete(&mut client, path, &id, &[(2, second), (1, first)])
            .await
            .assert_error(400, "InvalidPartOrder");
        complete(&mut client, path, &id, &[(1, second)]).await.assert_error(400, "InvalidPart");
        complete(&mut client, path, &id, &[(3, first)]).await.assert_error(400, "InvalidPart");
        complete(&mut client, path, &id, &[]).await.assert_error(400, "MalformedXML");
        let other = "0".repeat(32);
        complete(&mut client, path, &other, &[(1, first)]).await.assert_error(404, "NoSuchUpload");
        part(&mut client, path, &other, 1, b"x".to_vec()).await.assert_error(404, "NoSuchUpload");
        part(&mut client, path, &id, 0, b"x".to_vec()).await.assert_error(400, "InvalidArgument");
        part(&mut client, path, &id, 10_001, b"x".to_vec()).await.assert_error(400, "InvalidArgument");
        let sized = call("POST", path).query("uploadId", &id).header("x-amz-mp-object-size", "9");
        client.send(&sized.body(document(&[(1, first)]))).await.assert_error(400, "InvalidRequest");
        complete(&mut client, path, &id, &[(1, first)]).await.assert_status(200);
        assert_eq!(client.send(&call("GET", path)).await.text(), "small");
        let id = begin(&mut client, path, &[]).await;
        let kept =
            part(&mut client, path, &id, 1, b"other".to_vec()).await.header("etag").unwrap().to_owned();
        let guarded = call("POST", path).query("uploadId", &id).header("if-none-match", "*");
        let refused = client.send(&guarded.body(document(&[(1, kept.as_str())]))).await;
        refused.assert_error(412, "PreconditionFailed");
        let uploads = client.send(&call("GET", "/bucket").query("uploads", "")).await;
        assert_eq!(uploads.assert_status(200).elements("UploadId"), [id.as_str()]);
        client.send(&call("DELETE", path).query("uploadId", &id)).await.assert_status(204);
        part(&mut client, path, &id, 1, b"x".to_vec()).await.assert_error(404, "NoSuchUpload");
        let uploads = client.send(&call("GET", "/bucket").query("uploads", "")).await;
        assert!(uploads.elements("UploadId").is_empty());
    });
}

#[test]
fn declared_checksums_are_demanded_and_combined() {
    run(|world| async move {
        let mut client = ready(&world).await;
        let path = "/bucket/key";
        let id = begin(&mut client, path, &[("x-amz-checksum-algorithm", "SHA256")]).await;
        let wrong = call("PUT", path).query("partNumber", "1").query("uploadId", &id);
        let wrong = wrong.header("x-amz-checksum-crc32", "AAAAAA==").body("x");
        client.send(&wrong).await.assert_error(400, "InvalidRequest");
        let stored = part(&mut client, path, &id, 1, b"bytes".to_vec()).await;
        let (tag, sum) = (stored.header("etag").unwrap(), stored.header("x-amz-checksum-sha256").unwrap());
        complete(&mut client, path, &id, &[(1, tag)]).await.assert_error(400, "InvalidRequest");
        let text = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag>\
             <ChecksumSHA256>{sum}</ChecksumSHA256></Part></CompleteMultipartUpload>"
        );
        let done = client.send(&call("POST", path).query("uploadId", &id).body(text)).await;
        assert!(done.assert_status(200).element("ChecksumSHA256").unwrap().ends_with("-1"));
        assert_eq!(done.element("ChecksumType"), Some("COMPOSITE"));
        let read = client.send(&call("HEAD", path).header("x-amz-checksum-mode", "ENABLED")).await;
        assert_eq!(read.header("x-amz-checksum-sha256"), done.element("ChecksumSHA256"));
    });
}

#[test]
fn parts_may_be_copied_from_ranges() {
    run(|world| async move {
        let mut client = ready(&world).await;
        let source = content(700_000);
        client.send(&call("PUT", "/bucket/source").body(source.clone())).await.assert_status(200);
        let path = "/bucket/key";
        let id = begin(&mut client, path, &[]).await;
        let copy = |range: &str| {
            let request = call("PUT", path).query("partNumber", "1").query("uploadId", &id).without_length();
            request.header("x-amz-copy-source", "bucket/source").header("x-amz-copy-source-range", range)
        };
        client.send(&copy("bytes=0-700000")).await.assert_error(400, "InvalidArgument");
        client.send(&copy("bytes=5-")).await.assert_error(400, "InvalidArgument");
        let made = client.send(&copy("bytes=5-600004")).await;
        let tag = hex::encode(Md5::digest(&source[5..600_005]));
        assert_eq!(made.assert_status(200).element("ETag"), Some(format!("&quot;{tag}&quot;").as_str()));
        complete(&mut client, path, &id, &[(1, &tag)]).await.assert_status(200);
        assert!(client.send(&call("GET", path)).await.body == source[5..600_005]);
    });
}
