//! Request to operation to reply; the one file that knows both what was asked and who carries it out.
//!
//! Order: grammar of the query → signature → resource → route → promises that we do not keep → operation. An
//! operation is given a [`Request`], which cannot be made without the signature's proof.

use crate::error::{DetailName, DetailValue, S3Error, S3Failure};
use crate::front::{Core, ResponseIds};
use crate::http::head::{HeadError, Method, RequestHead};
use crate::http::query::Query;
use crate::http::uri::{Resource, parse_resource};
use crate::limits::{ANSWER_BYTES_MAX, FAILURE_BYTES_MAX};
use crate::op::bucket::preflight;
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target};
use crate::op::unsupported;
use crate::route::{Operation, route};
use crate::value::bucket_name::BucketName;
use crate::wire::exchange::Exchange;
use crate::wire::reply::Reply;
use crate::xml::failure;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::Bucket;
use std::rc::Rc;

/// Answers a request. `None` if there is nobody left to answer.
pub(crate) async fn answer<R: Runtime>(
    core: &Core<R>,
    head: &RequestHead<'_>,
    exchange: &mut Exchange<'_, R>,
    ids: &ResponseIds,
) -> Option<Reply<R>> {
    let answered = match Query::parse(head.query()) {
        Ok(query) => carry_out(core, head, &query, exchange).await,
        Err(error) => Err(S3Failure::from(error).into()),
    };
    let mut reply = match answered {
        Ok(reply) => reply,
        Err(Refusal::Gone) => return None,
        Err(Refusal::Failure(failure)) => {
            let path = String::from_utf8_lossy(head.path());
            let mut reply = failure_reply(&failure, &path, ids);
            // Clients that asked in the wrong region look here for the right one.
            if head.method() == Method::Head {
                reply.set("x-amz-bucket-region", core.config.region.clone());
            }
            reply
        }
    };
    if head.method() == Method::Head {
        reply = reply.without_body();
    }
    Some(reply)
}

/// The answer to bytes that are no request.
pub(crate) fn refuse_head<R: Runtime>(error: HeadError, ids: &ResponseIds) -> Reply<R> {
    failure_reply(&error.into(), "/", ids)
}

/// The answer to a head that took too long.
pub(crate) fn refuse_slow<R: Runtime>(ids: &ResponseIds) -> Reply<R> {
    failure_reply(&S3Error::RequestTimeout.into(), "/", ids)
}

/// The answer when the real one could not be begun.
pub(crate) fn apologise<R: Runtime>(head: &RequestHead<'_>, ids: &ResponseIds) -> Reply<R> {
    let reply = failure_reply(&S3Error::InternalError.into(), &String::from_utf8_lossy(head.path()), ids);
    if head.method() == Method::Head { reply.without_body() } else { reply }
}

fn failure_reply<R: Runtime>(failure: &S3Failure, resource: &str, ids: &ResponseIds) -> Reply<R> {
    let mut document = Vec::new();
    failure::write(&mut document, failure, resource, &ids.request, &ids.host);
    if document.len() > FAILURE_BYTES_MAX {
        let unnamed = S3Failure { details: Vec::new(), ..failure.clone() };
        document = Vec::new();
        failure::write(&mut document, &unnamed, "/", &ids.request, &ids.host);
    }
    let mut reply = Reply::document(failure.error.status(), document);
    let size = failure.details.iter().find(|(name, _)| *name == DetailName::ActualObjectSize);
    match (failure.error, size) {
        (S3Error::InvalidRange, Some((_, DetailValue::Number(size)))) => {
            reply.set("Content-Range", format!("bytes */{size}"));
        }
        (S3Error::SlowDown | S3Error::ServiceUnavailable, _) => reply.set("Retry-After", 1),
        _ => {}
    }
    reply
}

async fn carry_out<R: Runtime>(
    core: &Core<R>,
    head: &RequestHead<'_>,
    query: &Query<'_>,
    exchange: &mut Exchange<'_, R>,
) -> Answer<R> {
    if head.method() == Method::Options {
        return Err(preflight().into());
    }
    let proof = core.authenticate(head, query)?;
    let resource = parse_resource(head.path(), head.host(), &core.domains).map_err(S3Failure::from)?;
    let operation = route(head, &resource, query)?;
    unsupported::refuse(head, query, &core.config.owner_id)?;
    let request = Request { core, head, query, proof: &proof };
    if answers_in_rows(operation) {
        let share = core.document_share(ANSWER_BYTES_MAX).await?;
        let reply = Box::pin(of_resource(&request, operation, &resource, exchange)).await?;
        return Ok(reply.holding(share));
    }
    of_resource(&request, operation, &resource, exchange).await
}

/// Whether the answer is as long as what it lists.
const fn answers_in_rows(operation: Operation) -> bool {
    match operation {
        Operation::ListBuckets
        | Operation::ListObjectsV1
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListMultipartUploads
        | Operation::ListParts
        | Operation::GetObjectAttributes => true,
        // These take heap for what they receive, and for the answer with it.
        Operation::DeleteObjects | Operation::CompleteMultipartUpload | Operation::CreateBucket => false,
        Operation::Preflight
        | Operation::HeadBucket
        | Operation::DeleteBucket
        | Operation::GetBucketLocation
        | Operation::GetUnset(_)
        | Operation::DeleteUnset(_)
        | Operation::GetObject
        | Operation::HeadObject
        | Operation::PutObject
        | Operation::CopyObject
        | Operation::DeleteObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::AbortMultipartUpload => false,
    }
}

async fn of_resource<R: Runtime>(
    request: &Request<'_, R>,
    operation: Operation,
    resource: &Resource<'_>,
    exchange: &mut Exchange<'_, R>,
) -> Answer<R> {
    match resource {
        Resource::Service => of_service(request, operation),
        Resource::Bucket(name) => Box::pin(of_bucket(request, operation, name, exchange)).await,
        Resource::Object(name, key) => {
            let bucket = request.bucket(name.as_str())?;
            let target = Target { bucket: &bucket, key: key.as_str() };
            // Reading and writing an object need no memory of their own; the others take it for as long as they run.
            if matches!(operation, Operation::GetObject | Operation::HeadObject) {
                return request.get_object(target).await;
            }
            if operation == Operation::PutObject {
                return request.put_object(target, exchange).await;
            }
            Box::pin(of_object(request, operation, target, exchange)).await
        }
    }
}

fn of_service<R: Runtime>(request: &Request<'_, R>, operation: Operation) -> Answer<R> {
    if operation == Operation::ListBuckets {
        return request.list_buckets();
    }
    Err(S3Error::MethodNotAllowed.into())
}

async fn of_bucket<R: Runtime>(
    request: &Request<'_, R>,
    operation: Operation,
    name: &BucketName,
    exchange: &mut Exchange<'_, R>,
) -> Answer<R> {
    if operation == Operation::CreateBucket {
        return request.create_bucket(name, exchange).await;
    }
    let bucket: Rc<Bucket> = request.bucket(name.as_str())?;
    match operation {
        Operation::HeadBucket => request.head_bucket(&bucket),
        Operation::DeleteBucket => request.delete_bucket(&bucket).await,
        Operation::GetBucketLocation => request.bucket_location(&bucket),
        Operation::ListObjectsV1 => request.list_objects_v1(&bucket).await,
        Operation::ListObjectsV2 => request.list_objects_v2(&bucket).await,
        Operation::ListObjectVersions => request.list_versions(&bucket).await,
        Operation::ListMultipartUploads => request.list_uploads(&bucket).await,
        Operation::DeleteObjects => request.delete_objects(&bucket, exchange).await,
        Operation::GetUnset(what) => request.unset(what),
        Operation::DeleteUnset(_) => Ok(Reply::absent(204)),
        Operation::ListBuckets
        | Operation::Preflight
        | Operation::CreateBucket
        | Operation::GetObject
        | Operation::HeadObject
        | Operation::GetObjectAttributes
        | Operation::PutObject
        | Operation::CopyObject
        | Operation::DeleteObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::CompleteMultipartUpload
        | Operation::AbortMultipartUpload
        | Operation::ListParts => Err(S3Error::MethodNotAllowed.into()),
    }
}

async fn of_object<R: Runtime>(
    request: &Request<'_, R>,
    operation: Operation,
    target: Target<'_>,
    exchange: &mut Exchange<'_, R>,
) -> Answer<R> {
    match operation {
        Operation::GetObject | Operation::HeadObject | Operation::PutObject => {
            unreachable!("answered without memory of their own")
        }
        Operation::GetObjectAttributes => request.object_attributes(target).await,
        Operation::CopyObject => request.copy_object(target).await,
        Operation::DeleteObject => request.delete_object(target).await,
        Operation::CreateMultipartUpload => request.create_upload(target).await,
        Operation::UploadPart => request.upload_part(target, exchange).await,
        // What takes much room while it runs has its own, so that the others need little.
        Operation::UploadPartCopy => Box::pin(request.copy_part(target)).await,
        Operation::CompleteMultipartUpload => Box::pin(request.complete_upload(target, exchange)).await,
        Operation::AbortMultipartUpload => request.abort_upload(target).await,
        Operation::ListParts => request.list_parts(target).await,
        Operation::GetUnset(what) => request.unset_of_object(target, what).await,
        Operation::DeleteUnset(_) => {
            request.object(target).await?;
            Ok(Reply::absent(204))
        }
        Operation::ListBuckets
        | Operation::Preflight
        | Operation::HeadBucket
        | Operation::CreateBucket
        | Operation::DeleteBucket
        | Operation::GetBucketLocation
        | Operation::ListObjectsV1
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListMultipartUploads
        | Operation::DeleteObjects => Err(S3Error::MethodNotAllowed.into()),
    }
}
