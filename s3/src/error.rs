//! One table: cause ↔ S3 code ↔ HTTP status ↔ message.
//!
//! Codes, statuses and messages follow the AWS page "Error responses" of the S3 API reference. A code that AWS
//! does not have is never sent. `S3Failure` adds the few elements that clients read besides the code.

macro_rules! error_table {
    ($( $variant:ident $status:literal $message:literal; )*) => {
        /// A refusal that S3 clients know by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum S3Error {
            $( #[doc = $message] $variant, )*
        }

        impl S3Error {
            /// Every row of the table.
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            /// The text of `<Code>`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => stringify!($variant), )* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $( Self::$variant => $status, )* }
            }

            /// The text of `<Message>` unless the failure has a better one.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $( Self::$variant => $message, )* }
            }
        }
    };
}

error_table! {
    AccessDenied 403 "Access Denied";
    AuthorizationHeaderMalformed 400 "The authorization header you provided is invalid.";
    AuthorizationQueryParametersError 400 "The authorization query parameters that you provided are not valid.";
    BadDigest 400 "The Content-MD5 or checksum value that you specified did not match what the server received.";
    BucketAlreadyExists 409 "The requested bucket name is not available. Please select a different name and try again.";
    BucketAlreadyOwnedByYou 409 "The bucket that you tried to create already exists, and you own it.";
    BucketNotEmpty 409 "The bucket that you tried to delete is not empty.";
    ConditionalRequestConflict 409 "A conflicting operation occurred during the conditional request. Please retry.";
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed object size.";
    EntityTooSmall 400 "Your proposed upload is smaller than the minimum allowed object size.";
    ExpiredToken 400 "The provided token has expired.";
    IllegalLocationConstraintException 400 "The specified location constraint is not valid for this endpoint.";
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header.";
    InternalError 500 "We encountered an internal error. Please try again.";
    InvalidAccessKeyId 403 "The access key ID that you provided does not exist in our records.";
    InvalidArgument 400 "Invalid Argument";
    InvalidBucketName 400 "The specified bucket is not valid.";
    InvalidBucketState 409 "The request is not valid for the current state of the bucket.";
    InvalidChunkSizeError 400 "The chunk size of the request body is not valid.";
    InvalidDigest 400 "The Content-MD5 or checksum value that you specified is not valid.";
    InvalidEncryptionAlgorithmError 400 "The encryption request that you specified is not valid.";
    InvalidLocationConstraint 400 "The specified location constraint is not valid.";
    InvalidObjectState 403 "The operation is not valid for the current state of the object.";
    InvalidPart 400 "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not match the part's entity tag.";
    InvalidPartNumber 416 "The requested partnumber is not satisfiable";
    InvalidPartOrder 400 "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
    InvalidRange 416 "The requested range is not satisfiable";
    InvalidRequest 400 "Invalid Request";
    InvalidStorageClass 400 "The storage class that you specified is not valid.";
    InvalidTag 400 "The tag provided was not a valid tag.";
    InvalidToken 400 "The provided token is malformed or otherwise not valid.";
    InvalidURI 400 "The specified URI couldn't be parsed.";
    KeyTooLongError 400 "Your key is too long.";
    MalformedPOSTRequest 400 "The body of your POST request is not well-formed multipart/form-data.";
    MalformedTrailerError 400 "The request contained trailing data that was not well-formed or did not conform to our published schema.";
    MalformedXML 400 "The XML that you provided was not well formed or did not validate against our published schema.";
    MaxMessageLengthExceeded 400 "Your request was too large.";
    MetadataTooLarge 400 "Your metadata headers exceed the maximum allowed metadata size.";
    MethodNotAllowed 405 "The specified method is not allowed against this resource.";
    MissingContentLength 411 "You must provide the Content-Length HTTP header.";
    MissingRequestBodyError 400 "Request Body is empty";
    MissingSecurityHeader 400 "Your request is missing a required header.";
    NoSuchBucket 404 "The specified bucket does not exist.";
    NoSuchBucketPolicy 404 "The bucket policy does not exist";
    NoSuchCORSConfiguration 404 "The CORS configuration does not exist";
    NoSuchConfiguration 404 "The specified configuration does not exist.";
    NoSuchKey 404 "The specified key does not exist.";
    NoSuchLifecycleConfiguration 404 "The lifecycle configuration does not exist";
    NoSuchObjectLockConfiguration 404 "The specified object does not have a ObjectLock configuration";
    NoSuchPublicAccessBlockConfiguration 404 "The public access block configuration was not found";
    NoSuchTagSet 404 "The TagSet does not exist";
    NoSuchUpload 404 "The specified multipart upload does not exist. The upload ID might not be valid, or the multipart upload might have been aborted or completed.";
    NoSuchVersion 404 "The version ID specified in the request does not match an existing version.";
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration";
    NotImplemented 501 "A header or query you provided requested a function that is not implemented.";
    NotModified 304 "Not Modified";
    ObjectLockConfigurationNotFoundError 404 "Object Lock configuration does not exist for this bucket";
    OperationAborted 409 "A conflicting conditional operation is currently in progress against this resource. Try again.";
    OwnershipControlsNotFoundError 404 "The bucket ownership controls were not found";
    PermanentRedirect 301 "The bucket that you are attempting to access must be addressed using the specified endpoint.";
    PreconditionFailed 412 "At least one of the preconditions that you specified did not hold.";
    ReplicationConfigurationNotFoundError 404 "The replication configuration was not found";
    RequestHeaderSectionTooLarge 400 "Your request header section exceeds the maximum allowed request header section size.";
    RequestTimeTooSkewed 403 "The difference between the request time and the server's time is too large.";
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period.";
    ServerSideEncryptionConfigurationNotFoundError 404 "The server side encryption configuration was not found";
    ServiceUnavailable 503 "Service is unable to handle request.";
    SignatureDoesNotMatch 403 "The request signature that the server calculated does not match the signature that you provided. Check your secret access key and signing method.";
    SlowDown 503 "Please reduce your request rate.";
    TooManyBuckets 400 "You have attempted to create more buckets than are allowed.";
    UnexpectedContent 400 "This request contains unsupported content.";
    UnsupportedSignature 400 "The provided request is signed with an unsupported STS Token version or the signature version is not supported.";
    XAmzContentSHA256Mismatch 400 "The provided 'x-amz-content-sha256' header does not match what was computed.";
}

/// The name of an element that a failure carries besides code, message, resource and request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailName {
    /// The region that the client should have signed for.
    Region,
    /// The bucket in question.
    BucketName,
    /// The key in question.
    Key,
    /// Size of the object, for `InvalidRange`, in bytes.
    ActualObjectSize,
    /// The range as sent, for `InvalidRange`.
    RangeRequested,
    /// The argument in question, for `InvalidArgument`.
    ArgumentName,
    /// Its value as sent.
    ArgumentValue,
    /// The access key id as sent, for `InvalidAccessKeyId` and `SignatureDoesNotMatch`.
    AwsAccessKeyId,
    /// The condition that did not hold, for `PreconditionFailed`.
    Condition,
    /// The upload in question, for `NoSuchUpload`.
    UploadId,
    /// The part in question, for `InvalidPart` and `EntityTooSmall`.
    PartNumber,
    /// Size of what was sent, in bytes.
    ProposedSize,
    /// Largest size allowed, in bytes.
    MaxSizeAllowed,
    /// Smallest size allowed, in bytes.
    MinSizeAllowed,
    /// Longest allowed skew, in milliseconds.
    MaxAllowedSkewMilliseconds,
    /// The date as sent.
    RequestTime,
    /// The method as sent, for `MethodNotAllowed`.
    Method,
    /// The header in question, for `NotImplemented` and `AccessDenied`.
    Header,
}

impl DetailName {
    /// The element's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Region => "Region",
            Self::BucketName => "BucketName",
            Self::Key => "Key",
            Self::ActualObjectSize => "ActualObjectSize",
            Self::RangeRequested => "RangeRequested",
            Self::ArgumentName => "ArgumentName",
            Self::ArgumentValue => "ArgumentValue",
            Self::AwsAccessKeyId => "AWSAccessKeyId",
            Self::Condition => "Condition",
            Self::UploadId => "UploadId",
            Self::PartNumber => "PartNumber",
            Self::ProposedSize => "ProposedSize",
            Self::MaxSizeAllowed => "MaxSizeAllowed",
            Self::MinSizeAllowed => "MinSizeAllowed",
            Self::MaxAllowedSkewMilliseconds => "MaxAllowedSkewMilliseconds",
            Self::RequestTime => "RequestTime",
            Self::Method => "Method",
            Self::Header => "Header",
        }
    }
}

/// The value of a detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetailValue {
    /// A count or a size.
    Number(u64),
    /// What the client sent, or a name; escaped when written.
    Text(Box<str>),
    /// A text of ours.
    Static(&'static str),
}

/// A refusal with what the client may want to know about it. The resource and the request id are added once, by
/// whoever writes the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Failure {
    /// The row of the table.
    pub error: S3Error,
    /// A better message than the table's.
    pub message: Option<&'static str>,
    /// Elements after the message, in order.
    pub details: Vec<(DetailName, DetailValue)>,
}

impl S3Failure {
    /// A failure with the table's message and no details. Does not allocate.
    #[must_use]
    pub const fn new(error: S3Error) -> Self {
        Self { error, message: None, details: Vec::new() }
    }

    /// The same failure with another message.
    #[must_use]
    pub fn message(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    /// The same failure with one more number.
    #[must_use]
    pub fn number(mut self, name: DetailName, value: u64) -> Self {
        self.details.push((name, DetailValue::Number(value)));
        self
    }

    /// The same failure with one more text, which may come from the client.
    #[must_use]
    pub fn text(mut self, name: DetailName, value: &str) -> Self {
        self.details.push((name, DetailValue::Text(value.into())));
        self
    }

    /// The same failure with one more text of ours.
    #[must_use]
    pub fn note(mut self, name: DetailName, value: &'static str) -> Self {
        self.details.push((name, DetailValue::Static(value)));
        self
    }

    /// The message to send.
    #[must_use]
    pub fn message_text(&self) -> &'static str {
        self.message.unwrap_or_else(|| self.error.message())
    }
}

impl From<S3Error> for S3Failure {
    fn from(error: S3Error) -> Self {
        Self::new(error)
    }
}

impl core::fmt::Display for S3Failure {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{}: {}", self.error.code(), self.message_text())
    }
}

impl core::error::Error for S3Failure {}

#[cfg(test)]
mod tests {
    use super::{DetailName, S3Error, S3Failure};

    #[test]
    fn every_status_is_an_http_status_that_s3_uses() {
        for error in S3Error::ALL {
            let known = [301, 304, 400, 403, 404, 405, 409, 411, 412, 416, 500, 501, 503];
            assert!(known.contains(&error.status()), "{error:?}");
            assert!(!error.message().is_empty());
        }
    }

    #[test]
    fn codes_that_clients_match_on_are_spelled_as_aws_spells_them() {
        let rows = [
            (S3Error::NoSuchKey, "NoSuchKey", 404),
            (S3Error::ConditionalRequestConflict, "ConditionalRequestConflict", 409),
            (S3Error::XAmzContentSHA256Mismatch, "XAmzContentSHA256Mismatch", 400),
            (S3Error::NoSuchCORSConfiguration, "NoSuchCORSConfiguration", 404),
            (S3Error::InvalidRange, "InvalidRange", 416),
            (S3Error::SlowDown, "SlowDown", 503),
        ];
        for (error, code, status) in rows {
            assert_eq!(error.code(), code);
            assert_eq!(error.status(), status);
        }
    }

    #[test]
    fn a_failure_keeps_its_own_message_and_details_in_order() {
        let failure = S3Failure::new(S3Error::InvalidRange)
            .message("other")
            .number(DetailName::ActualObjectSize, 7)
            .text(DetailName::RangeRequested, "bytes=9-");
        assert_eq!(failure.message_text(), "other");
        assert_eq!(failure.details[0].0.as_str(), "ActualObjectSize");
        assert_eq!(failure.to_string(), "InvalidRange: other");
    }
}
