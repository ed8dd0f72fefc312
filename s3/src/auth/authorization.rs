//! The `Authorization` header of SigV4, and the scope that header and presigned URLs share.

use crate::auth::error::AuthError;

/// The algorithm that we speak.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// `access key/date/region/service/aws4_request`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialScope<'a> {
    /// The access key id; may hold `/` itself.
    pub access_key: &'a str,
    /// Eight digits.
    pub date: &'a str,
    /// The region that was signed for.
    pub region: &'a str,
    /// The service that was signed for.
    pub service: &'a str,
}

/// What a SigV4 signature consists of, wherever it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureParts<'a> {
    /// Whose key, and for what.
    pub scope: CredentialScope<'a>,
    /// Lower-case names joined by `;`, in order.
    pub signed_headers: &'a str,
    /// The signature.
    pub signature: [u8; 32],
}

impl<'a> CredentialScope<'a> {
    /// Reads a credential.
    #[must_use]
    pub fn parse(credential: &'a str) -> Option<Self> {
        let mut parts = credential.rsplitn(5, '/');
        let terminator = parts.next()?;
        let (service, region, date, access_key) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        (terminator == "aws4_request" && is_date && !access_key.is_empty()).then_some(Self {
            access_key,
            date,
            region,
            service,
        })
    }
}

impl<'a> SignatureParts<'a> {
    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// Another mechanism, or not of SigV4's form.
    pub fn parse(header: &'a [u8]) -> Result<Self, AuthError> {
        let malformed = AuthError::HeaderMalformed("The authorization header is malformed.");
        let text = core::str::from_utf8(header.trim_ascii()).ok().ok_or(malformed)?;
        let (algorithm, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            return Err(AuthError::UnsupportedMechanism);
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        let mut rest = Some(rest);
        while let Some(parts) = rest {
            let (part, behind) =
                cut(parts, b',').map_or((parts, None), |(part, behind)| (part, Some(behind)));
            rest = behind;
            let (name, value) = cut(part.trim(), b'=').ok_or(malformed)?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(malformed),
            };
            if slot.replace(value).is_some() {
                return Err(malformed);
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(malformed);
        };
        let scope = CredentialScope::parse(credential).ok_or(AuthError::HeaderMalformed(
            "The authorization header is malformed; the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ))?;
        let signature = parse_signature(signature).ok_or(malformed)?;
        if !is_header_list(signed_headers) {
            return Err(malformed);
        }
        Ok(Self { scope, signed_headers, signature })
    }
}

/// What stands before and behind the first `separator`, an ASCII byte. Looks at many bytes at once, since every
/// request has such a header.
fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(separator, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// 64 lower-case hex digits.
pub(super) fn parse_signature(digits: &str) -> Option<[u8; 32]> {
    let mut signature = [0; 32];
    if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some(signature)
}

/// The names in a list of signed headers.
pub(super) fn header_names(list: &str) -> impl Iterator<Item = &[u8]> {
    list.as_bytes().split(|&byte| byte == b';')
}

/// Whether the names are lower-case, not empty, and rise strictly, so that none is listed twice.
pub(super) fn is_header_list(names: &str) -> bool {
    let mut previous: &[u8] = b"";
    header_names(names).all(|name| {
        let rises = previous < name;
        previous = name;
        rises && name.iter().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
    })
}

#[cfg(test)]
mod tests {
    use super::{CredentialScope, SignatureParts};
    use crate::auth::error::AuthError;

    fn header(credential: &str, names: &str, signature: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names},Signature={signature}")
    }

    #[test]
    fn the_form_of_aws() {
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        let text = header("A/K/20130524/us-east-1/s3/aws4_request", "host;range;x-amz-date", signature);
        let parts = SignatureParts::parse(text.as_bytes()).unwrap();
        let scope =
            CredentialScope { access_key: "A/K", date: "20130524", region: "us-east-1", service: "s3" };
        assert_eq!(parts.scope, scope);
        assert_eq!(parts.signed_headers, "host;range;x-amz-date");
        assert_eq!(hex::encode(parts.signature), signature);
    }

    #[test]
    fn other_forms_are_refused() {
        let good = "a".repeat(64);
        let scope = "A/20130524/r/s3/aws4_request";
        for text in [
            header("A/20130524/r/s3/aws4", "host", &good),
            header("A/2013052/r/s3/aws4_request", "host", &good),
            header("/20130524/r/s3/aws4_request", "host", &good),
            header("20130524/r/s3/aws4_request", "host", &good),
            header(scope, "x;host", &good),
            header(scope, "host;host", &good),
            header(scope, "Host", &good),
            header(scope, "", &good),
            header(scope, "host", "aa"),
            header(scope, "host", &"A".repeat(64)),
            header(scope, "host", &good) + ",Signature=a",
            "AWS4-HMAC-SHA256".into(),
            "AWS4-HMAC-SHA256 Credential=A/20130524/r/s3/aws4_request".into(),
        ] {
            let error = SignatureParts::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, AuthError::HeaderMalformed(_)), "{text}");
        }
        for text in ["AWS AKID:sig", "AWS4-ECDSA-P256-SHA256 Credential=x", "Basic abc", ""] {
            assert_eq!(
                SignatureParts::parse(text.as_bytes()),
                Err(AuthError::UnsupportedMechanism),
                "{text}"
            );
        }
    }
}
