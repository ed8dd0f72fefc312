//! The error document. The only place where resource and request id join a failure.

use crate::error::{DetailValue, S3Failure};
use crate::xml::writer::XmlWriter;

/// Writes `<Error>`. `resource` is the path as sent; the ids are those of the response's headers. AWS gives this
/// document no namespace.
pub fn write(target: &mut Vec<u8>, failure: &S3Failure, resource: &str, request_id: &str, host_id: &str) {
    let mut xml = XmlWriter::begin(target);
    write_in(&mut xml, failure, resource, request_id, host_id);
}

/// Writes `<Error>` into a document under way: a Complete or copy whose 200 was already sent.
pub fn write_in(
    xml: &mut XmlWriter<'_>,
    failure: &S3Failure,
    resource: &str,
    request_id: &str,
    host_id: &str,
) {
    xml.open("Error").text("Code", failure.error.code()).text("Message", failure.message_text());
    for (name, value) in &failure.details {
        match value {
            DetailValue::Number(number) => xml.number(name.as_str(), *number),
            DetailValue::Text(text) => xml.text(name.as_str(), text),
            DetailValue::Static(text) => xml.text(name.as_str(), text),
        };
    }
    xml.text("Resource", resource).text("RequestId", request_id).text("HostId", host_id).close("Error");
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::error::{DetailName, S3Error, S3Failure};

    #[test]
    fn golden_document() {
        let mut text = Vec::new();
        let failure = S3Failure::new(S3Error::NoSuchBucket).text(DetailName::BucketName, "<b>");
        write(&mut text, &failure, "/<b>", "R", "H");
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchBucket</Code>\
            <Message>The specified bucket does not exist.</Message><BucketName>&lt;b&gt;</BucketName>\
            <Resource>/&lt;b&gt;</Resource><RequestId>R</RequestId><HostId>H</HostId></Error>";
        assert_eq!(core::str::from_utf8(&text), Ok(expected));
    }
}
