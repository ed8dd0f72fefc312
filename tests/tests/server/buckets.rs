//! Buckets.

use super::client::call;
use super::rig::{REGION, run};

#[test]
fn a_bucket_is_made_found_listed_and_deleted() {
    run(|world| async move {
        let mut client = world.connect().await;
        let made = client.send(&call("PUT", "/first")).await;
        assert_eq!(made.assert_status(200).header("location"), Some("/first"));
        client.send(&call("PUT", "/second/")).await.assert_status(200);
        client.send(&call("PUT", "/first")).await.assert_error(409, "BucketAlreadyOwnedByYou");
        let found = client.send(&call("HEAD", "/first")).await;
        assert_eq!(found.assert_status(200).header("x-amz-bucket-region"), Some(REGION));
        client.send(&call("HEAD", "/third")).await.assert_status(404);
        let all = client.send(&call("GET", "/")).await;
        assert_eq!(all.assert_status(200).elements("Name"), ["first", "second"]);
        let page = client.send(&call("GET", "/").query("max-buckets", "1")).await;
        assert_eq!(page.elements("Name"), ["first"]);
        let token = page.element("ContinuationToken").unwrap();
        let rest = client.send(&call("GET", "/").query("continuation-token", token)).await;
        assert_eq!(rest.elements("Name"), ["second"]);
        let place = client.send(&call("GET", "/first").query("location", "")).await;
        assert!(place.assert_status(200).text().contains(&format!(">{REGION}</LocationConstraint>")));
        client.send(&call("PUT", "/first/key").body("x")).await.assert_status(200);
        client.send(&call("DELETE", "/first")).await.assert_error(409, "BucketNotEmpty");
        client.send(&call("DELETE", "/first/key")).await.assert_status(204);
        client.send(&call("DELETE", "/first")).await.assert_status(204);
        client.send(&call("DELETE", "/first")).await.assert_error(404, "NoSuchBucket");
    });
}

#[test]
fn a_location_constraint_is_ours_or_refused() {
    run(|world| async move {
        let mut client = world.connect().await;
        let document = |region: &str| {
            format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
        };
        client.send(&call("PUT", "/ours").body(document(REGION))).await.assert_status(200);
        let refused = client.send(&call("PUT", "/theirs").body(document("mars-1"))).await;
        refused.assert_error(400, "IllegalLocationConstraintException");
        client.send(&call("PUT", "/theirs").body("<nonsense")).await.assert_error(400, "MalformedXML");
        client.send(&call("PUT", "/Upper")).await.assert_error(400, "InvalidBucketName");
    });
}

#[test]
fn what_was_never_set_has_its_own_answers() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        client.send(&call("PUT", "/bucket/key").body("x")).await.assert_status(200);
        let get = |path: &str, name: &str| call("GET", path).query(name, "");
        let versioning = client.send(&get("/bucket", "versioning")).await;
        assert!(versioning.assert_status(200).text().contains("<VersioningConfiguration"));
        client.send(&get("/bucket", "cors")).await.assert_error(404, "NoSuchCORSConfiguration");
        client.send(&get("/absent", "cors")).await.assert_error(404, "NoSuchBucket");
        client.send(&get("/bucket/key", "acl")).await.assert_status(200);
        client.send(&get("/bucket/absent", "acl")).await.assert_error(404, "NoSuchKey");
        client.send(&call("PUT", "/bucket").query("policy", "")).await.assert_error(501, "NotImplemented");
        client.send(&call("DELETE", "/bucket").query("policy", "")).await.assert_status(204);
        let versions = client.send(&get("/bucket", "versions")).await;
        assert_eq!(versions.assert_status(200).elements("VersionId"), ["null"]);
    });
}

#[test]
fn a_bucket_may_be_named_by_the_host() {
    run(|world| async move {
        let mut client = world.connect().await;
        client.send(&call("PUT", "/").host("by-host.s3.test")).await.assert_status(200);
        client.send(&call("PUT", "/key").host("by-host.s3.test").body("x")).await.assert_status(200);
        let read = client.send(&call("GET", "/by-host/key")).await;
        assert_eq!(read.assert_status(200).text(), "x");
    });
}
