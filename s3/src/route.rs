//! Method + resource + query → operation: one table.
//!
//! Every sub-resource that S3 has stands in the table, with its operation, its "never set" answer, or a refusal.
//! What stands nowhere is refused if it looks like a sub-resource: it never falls through to a listing or an
//! object. `x-id`, which SDKs add for their own logs, means nothing.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::head::{Method, RequestHead};
use crate::http::query::Query;
use crate::http::uri::Resource;
use crate::xml::unset::UnsetConfiguration;

/// What a request asks for. A configuration's operations presuppose that its bucket or object exists; whoever
/// carries them out checks that first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// ListBuckets
    ListBuckets,
    /// A CORS preflight, which is never signed.
    Preflight,
    /// HeadBucket
    HeadBucket,
    /// CreateBucket
    CreateBucket,
    /// DeleteBucket
    DeleteBucket,
    /// GetBucketLocation
    GetBucketLocation,
    /// ListObjects
    ListObjectsV1,
    /// ListObjectsV2
    ListObjectsV2,
    /// ListObjectVersions
    ListObjectVersions,
    /// ListMultipartUploads
    ListMultipartUploads,
    /// DeleteObjects
    DeleteObjects,
    /// GetObject
    GetObject,
    /// HeadObject
    HeadObject,
    /// GetObjectAttributes
    GetObjectAttributes,
    /// PutObject
    PutObject,
    /// CopyObject
    CopyObject,
    /// DeleteObject
    DeleteObject,
    /// CreateMultipartUpload
    CreateMultipartUpload,
    /// UploadPart
    UploadPart,
    /// UploadPartCopy
    UploadPartCopy,
    /// CompleteMultipartUpload
    CompleteMultipartUpload,
    /// AbortMultipartUpload
    AbortMultipartUpload,
    /// ListParts
    ListParts,
    /// Reading a configuration that was never set.
    GetUnset(UnsetConfiguration),
    /// Deleting one: 204, as on AWS.
    DeleteUnset(UnsetConfiguration),
}

/// What a sub-resource answers to one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// An operation.
    Do(Operation),
    /// An operation that reads from another object if `x-amz-copy-source` is there.
    OrCopy(Operation, Operation),
    /// A configuration by `id`, or the list of all.
    ByIdOrList(&'static str),
    /// 501: S3 has it, we do not yet.
    Later,
    /// 405: S3 does not have it.
    Never,
}

/// One row: name, then GET, PUT, POST, DELETE.
type Row = (&'static str, [Answer; 4]);

use Answer::{ByIdOrList, Do, Later, Never, OrCopy};

const fn read(what: UnsetConfiguration) -> Answer {
    Do(Operation::GetUnset(what))
}

/// A configuration that can be read and written.
const fn setting(name: &'static str, what: UnsetConfiguration) -> Row {
    (name, [read(what), Later, Never, Never])
}

/// A configuration that can be read, written and deleted.
const fn removable(name: &'static str, what: UnsetConfiguration) -> Row {
    (name, [read(what), Later, Never, Do(Operation::DeleteUnset(what))])
}

/// Something of S3 that we do not have yet.
const fn later(name: &'static str) -> Row {
    (name, [Later; 4])
}

/// Configurations of which a bucket has several.
const fn numbered(name: &'static str, list: &'static str) -> Row {
    let delete = Do(Operation::DeleteUnset(UnsetConfiguration::NumberedConfiguration));
    (name, [ByIdOrList(list), Later, Never, delete])
}

const BUCKET_ROWS: &[Row] = &[
    setting("acl", UnsetConfiguration::Acl),
    setting("versioning", UnsetConfiguration::Versioning),
    setting("accelerate", UnsetConfiguration::Accelerate),
    setting("requestPayment", UnsetConfiguration::RequestPayment),
    setting("logging", UnsetConfiguration::Logging),
    setting("notification", UnsetConfiguration::Notification),
    setting("object-lock", UnsetConfiguration::ObjectLock),
    setting("policyStatus", UnsetConfiguration::PolicyStatus),
    removable("cors", UnsetConfiguration::Cors),
    removable("lifecycle", UnsetConfiguration::Lifecycle),
    removable("policy", UnsetConfiguration::Policy),
    removable("tagging", UnsetConfiguration::BucketTagging),
    removable("website", UnsetConfiguration::Website),
    removable("encryption", UnsetConfiguration::Encryption),
    removable("replication", UnsetConfiguration::Replication),
    removable("publicAccessBlock", UnsetConfiguration::PublicAccessBlock),
    removable("ownershipControls", UnsetConfiguration::OwnershipControls),
    numbered("analytics", "ListBucketAnalyticsConfigurationsResult"),
    numbered("inventory", "ListInventoryConfigurationsResult"),
    numbered("metrics", "ListMetricsConfigurationsResult"),
    numbered("intelligent-tiering", "ListBucketIntelligentTieringConfigurationsOutput"),
    ("location", [Do(Operation::GetBucketLocation), Never, Never, Never]),
    ("uploads", [Do(Operation::ListMultipartUploads), Never, Never, Never]),
    ("versions", [Do(Operation::ListObjectVersions), Never, Never, Never]),
    ("delete", [Never, Never, Do(Operation::DeleteObjects), Never]),
    later("session"),
    later("abac"),
    later("metadataConfiguration"),
    later("metadataInventoryTable"),
    later("metadataJournalTable"),
    later("metadataAnnotationTable"),
    later("metadataTable"),
];

const OBJECT_ROWS: &[Row] = &[
    setting("acl", UnsetConfiguration::Acl),
    setting("retention", UnsetConfiguration::ObjectRetention),
    setting("legal-hold", UnsetConfiguration::ObjectRetention),
    removable("tagging", UnsetConfiguration::ObjectTagging),
    ("torrent", [read(UnsetConfiguration::Torrent), Never, Never, Never]),
    ("attributes", [Do(Operation::GetObjectAttributes), Never, Never, Never]),
    ("uploads", [Never, Never, Do(Operation::CreateMultipartUpload), Never]),
    (
        "uploadId",
        [
            Do(Operation::ListParts),
            OrCopy(Operation::UploadPart, Operation::UploadPartCopy),
            Do(Operation::CompleteMultipartUpload),
            Do(Operation::AbortMultipartUpload),
        ],
    ),
    ("restore", [Never, Never, Later, Never]),
    ("select", [Never, Never, Later, Never]),
    ("encryption", [Never, Later, Never, Never]),
    ("renameObject", [Never, Later, Never, Never]),
    later("annotation"),
    later("annotations"),
];

/// Parameters that are no sub-resources, of any operation.
const PARAMETERS: &[&str] = &[
    "allow-unordered",
    "annotationName",
    "AWSAccessKeyId",
    "bucket-region",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "Expires",
    "fetch-owner",
    "id",
    "key-marker",
    "list-type",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "select-type",
    "Signature",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "versionId",
    "x-id",
];

/// Finds the operation of a request.
///
/// # Errors
/// `MethodNotAllowed`, `NotImplemented`, or `InvalidArgument` for parameters that contradict each other.
pub fn route(
    head: &RequestHead<'_>,
    resource: &Resource<'_>,
    query: &Query<'_>,
) -> Result<Operation, S3Failure> {
    let method = head.method();
    if method == Method::Options {
        return Ok(Operation::Preflight);
    }
    let rows = match resource {
        Resource::Service => &[],
        Resource::Bucket(_) => BUCKET_ROWS,
        Resource::Object(..) => OBJECT_ROWS,
    };
    let is_copy = head.header("x-amz-copy-source").is_some();
    match (sub_resource(rows, query)?, resource) {
        (Some(row), _) => of_row(row, method, is_copy, query),
        (None, Resource::Service) => match method {
            Method::Get => Ok(Operation::ListBuckets),
            Method::Head | Method::Put | Method::Post | Method::Delete | Method::Options => {
                Err(not_allowed(method))
            }
        },
        (None, Resource::Bucket(_)) => of_bucket(method, query),
        (None, Resource::Object(..)) => of_object(method, is_copy, query),
    }
}

/// The one row that the query names. Looks at every parameter, so that nothing unknown slips by.
fn sub_resource<'t>(rows: &'t [Row], query: &Query<'_>) -> Result<Option<&'t Row>, S3Failure> {
    let mut found: Option<&Row> = None;
    for parameter in query.parameters() {
        let name = parameter.name.as_ref();
        if let Some(row) = rows.iter().find(|row| row.0 == name) {
            if found.is_some() {
                return Err(S3Failure::new(S3Error::InvalidArgument)
                    .message("Conflicting query string parameters")
                    .text(DetailName::ArgumentName, name));
            }
            found = Some(row);
            continue;
        }
        let is_known = PARAMETERS.contains(&name)
            || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
        // A name with a value is somebody's own parameter, which AWS ignores too; a bare name asks for something.
        if !is_known && parameter.value.is_empty() {
            return Err(S3Failure::new(S3Error::NotImplemented).text(DetailName::ArgumentName, name));
        }
    }
    Ok(found)
}

fn of_row(row: &Row, method: Method, is_copy: bool, query: &Query<'_>) -> Result<Operation, S3Failure> {
    let (name, [get, put, post, delete]) = *row;
    let answer = match method {
        Method::Get => get,
        Method::Put => put,
        Method::Post => post,
        Method::Delete => delete,
        Method::Head | Method::Options => Never,
    };
    match answer {
        Do(operation) => Ok(operation),
        OrCopy(plain, copy) => Ok(if is_copy { copy } else { plain }),
        ByIdOrList(list) => Ok(Operation::GetUnset(match query.has("id") {
            true => UnsetConfiguration::NumberedConfiguration,
            false => UnsetConfiguration::ConfigurationList(list),
        })),
        Later => Err(S3Failure::new(S3Error::NotImplemented).note(DetailName::ArgumentName, name)),
        Never => Err(not_allowed(method)),
    }
}

fn of_bucket(method: Method, query: &Query<'_>) -> Result<Operation, S3Failure> {
    match method {
        Method::Get => match query.get("list-type") {
            None => Ok(Operation::ListObjectsV1),
            Some("2") => Ok(Operation::ListObjectsV2),
            Some(_) => {
                Err(S3Failure::new(S3Error::InvalidArgument).note(DetailName::ArgumentName, "list-type"))
            }
        },
        Method::Head => Ok(Operation::HeadBucket),
        Method::Put => Ok(Operation::CreateBucket),
        Method::Delete => Ok(Operation::DeleteBucket),
        // An upload by a browser's form.
        Method::Post => Err(S3Error::NotImplemented.into()),
        Method::Options => Ok(Operation::Preflight),
    }
}

fn of_object(method: Method, is_copy: bool, query: &Query<'_>) -> Result<Operation, S3Failure> {
    match method {
        Method::Get => Ok(Operation::GetObject),
        Method::Head => Ok(Operation::HeadObject),
        // A part without its upload would replace the whole object.
        Method::Put if query.has("partNumber") => {
            Err(S3Failure::new(S3Error::InvalidArgument).note(DetailName::ArgumentName, "uploadId"))
        }
        Method::Put => Ok(if is_copy { Operation::CopyObject } else { Operation::PutObject }),
        Method::Delete => Ok(Operation::DeleteObject),
        Method::Post => Err(not_allowed(method)),
        Method::Options => Ok(Operation::Preflight),
    }
}

fn not_allowed(method: Method) -> S3Failure {
    S3Failure::new(S3Error::MethodNotAllowed).note(DetailName::Method, method.as_str())
}

#[cfg(test)]
mod tests {
    use super::{BUCKET_ROWS, OBJECT_ROWS, Operation, PARAMETERS, route};
    use crate::error::S3Error;
    use crate::http::head;
    use crate::http::query::Query;
    use crate::http::uri::{BaseDomains, parse_resource};
    use crate::xml::unset::UnsetConfiguration;

    fn routed_with(line: &str, headers: &str) -> Result<Operation, S3Error> {
        let bytes = format!("{line} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let head = head::parse(bytes.as_bytes()).unwrap().unwrap();
        let query = Query::parse(head.query()).unwrap();
        let resource = parse_resource(head.path(), head.host(), &BaseDomains::default()).unwrap();
        route(&head, &resource, &query).map_err(|failure| failure.error)
    }

    fn routed(line: &str) -> Result<Operation, S3Error> {
        routed_with(line, "")
    }

    #[test]
    fn what_clients_ask_for() {
        let rows = [
            ("GET /", Operation::ListBuckets),
            ("GET /?x-id=ListBuckets", Operation::ListBuckets),
            ("PUT /abc/", Operation::CreateBucket),
            ("HEAD /abc", Operation::HeadBucket),
            ("DELETE /abc", Operation::DeleteBucket),
            ("GET /abc/?location", Operation::GetBucketLocation),
            ("GET /abc?prefix=a&delimiter=", Operation::ListObjectsV1),
            ("GET /abc?list-type=2&start-after=x&fetch-owner=true", Operation::ListObjectsV2),
            ("GET /abc?uploads=&prefix=", Operation::ListMultipartUploads),
            ("POST /abc/?delete=", Operation::DeleteObjects),
            ("GET /abc?versions", Operation::ListObjectVersions),
            ("PUT /abc/k?x-id=PutObject", Operation::PutObject),
            ("GET /abc/k?partNumber=1&versionId=null&response-expires=", Operation::GetObject),
            ("GET /abc/k?my-own=parameter", Operation::GetObject),
            ("HEAD /abc/k", Operation::HeadObject),
            ("DELETE /abc/k?versionId=null", Operation::DeleteObject),
            ("GET /abc/k?attributes", Operation::GetObjectAttributes),
            ("POST /abc/k?uploads=", Operation::CreateMultipartUpload),
            ("PUT /abc/k?partNumber=1&uploadId=u", Operation::UploadPart),
            ("POST /abc/k?uploadId=u", Operation::CompleteMultipartUpload),
            ("DELETE /abc/k?uploadId=u", Operation::AbortMultipartUpload),
            ("GET /abc/k?uploadId=u&max-parts=1", Operation::ListParts),
            ("OPTIONS /abc/k?acl", Operation::Preflight),
            ("GET /abc?versioning", Operation::GetUnset(UnsetConfiguration::Versioning)),
            ("GET /abc/k?tagging", Operation::GetUnset(UnsetConfiguration::ObjectTagging)),
            ("DELETE /abc?tagging", Operation::DeleteUnset(UnsetConfiguration::BucketTagging)),
            ("GET /abc?inventory&id=1", Operation::GetUnset(UnsetConfiguration::NumberedConfiguration)),
            (
                "GET /abc?inventory",
                Operation::GetUnset(UnsetConfiguration::ConfigurationList(
                    "ListInventoryConfigurationsResult",
                )),
            ),
        ];
        for (line, expected) in rows {
            assert_eq!(routed(line), Ok(expected), "{line}");
        }
        let source = "x-amz-copy-source: /abc/k\r\n";
        assert_eq!(routed_with("PUT /abc/k", source), Ok(Operation::CopyObject));
        assert_eq!(routed_with("PUT /abc/k?uploadId=u&partNumber=1", source), Ok(Operation::UploadPartCopy));
    }

    #[test]
    fn what_is_refused() {
        let rows = [
            ("HEAD /", S3Error::MethodNotAllowed),
            ("PUT /", S3Error::MethodNotAllowed),
            ("GET /?attribution", S3Error::NotImplemented),
            ("GET /abc?somethingNew", S3Error::NotImplemented),
            ("GET /abc/k?somethingNew=", S3Error::NotImplemented),
            ("DELETE /abc?somethingNew", S3Error::NotImplemented),
            ("PUT /abc?policy", S3Error::NotImplemented),
            ("PUT /abc/k?acl", S3Error::NotImplemented),
            ("POST /abc", S3Error::NotImplemented),
            ("POST /abc/k", S3Error::MethodNotAllowed),
            ("POST /abc/k?select&select-type=2", S3Error::NotImplemented),
            ("GET /abc/k?uploads", S3Error::MethodNotAllowed),
            ("HEAD /abc/k?acl", S3Error::MethodNotAllowed),
            ("PUT /abc/k?partNumber=1", S3Error::InvalidArgument),
            ("GET /abc?acl&policy", S3Error::InvalidArgument),
            ("GET /abc?acl&acl", S3Error::InvalidArgument),
            ("GET /abc?list-type=3", S3Error::InvalidArgument),
        ];
        for (line, expected) in rows {
            assert_eq!(routed(line), Err(expected), "{line}");
        }
    }

    #[test]
    fn no_sub_resource_falls_through() {
        let plain = ["GET", "PUT", "POST", "DELETE", "HEAD"];
        for (path, rows) in [("/abc", BUCKET_ROWS), ("/abc/k", OBJECT_ROWS)] {
            for (name, _) in rows {
                for method in plain {
                    let with = routed(&format!("{method} {path}?{name}"));
                    assert!(
                        with.is_err() || with != routed(&format!("{method} {path}")),
                        "{method} {path}?{name}"
                    );
                }
                assert!(!PARAMETERS.contains(name), "{name} is a sub-resource or a parameter, not both");
            }
        }
    }
}
