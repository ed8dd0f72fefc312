//! The query parameters of presigned URLs.

use crate::auth::authorization::{
    ALGORITHM, CredentialScope, SignatureParts, is_header_list, parse_signature,
};
use crate::auth::error::AuthError;
use crate::http::query::Query;
use crate::limits::PRESIGNED_EXPIRES_S_MAX;

/// The parameter that is not part of what is signed.
pub const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// What a presigned URL says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presigned<'q> {
    /// Whose key, which headers, which signature.
    pub parts: SignatureParts<'q>,
    /// `X-Amz-Date`, as sent.
    pub date: &'q str,
    /// Life from that date on, in seconds: 1 to 604,800.
    pub expires_s: u32,
}

/// Whether a query holds anything that only a signed URL of any version holds.
#[must_use]
pub fn is_signed(query: &Query<'_>) -> bool {
    ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE_PARAMETER, "Signature", "AWSAccessKeyId"]
        .into_iter()
        .any(|name| query.has(name))
}

impl<'q> Presigned<'q> {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Another mechanism, a parameter that is missing, doubled or malformed, or too long a life.
    pub fn parse(query: &'q Query<'_>) -> Result<Self, AuthError> {
        let malformed = AuthError::QueryMalformed(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
             X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        );
        match query.get("X-Amz-Algorithm") {
            Some(ALGORITHM) => {}
            None if query.has("X-Amz-Credential") || query.has(SIGNATURE_PARAMETER) => return Err(malformed),
            _ => return Err(AuthError::UnsupportedMechanism),
        }
        let unique = |name| query.get(name).filter(|_| query.count(name) == 1).ok_or(malformed);
        unique("X-Amz-Algorithm")?;
        let scope = CredentialScope::parse(unique("X-Amz-Credential")?).ok_or(AuthError::QueryMalformed(
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ))?;
        let signed_headers = unique("X-Amz-SignedHeaders")?;
        let signature = parse_signature(unique(SIGNATURE_PARAMETER)?).ok_or(malformed)?;
        if !is_header_list(signed_headers) {
            return Err(malformed);
        }
        let expires_s = parse_expires(unique("X-Amz-Expires")?)?;
        Ok(Self {
            parts: SignatureParts { scope, signed_headers, signature },
            date: unique("X-Amz-Date")?,
            expires_s,
        })
    }
}

fn parse_expires(digits: &str) -> Result<u32, AuthError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthError::QueryMalformed("X-Amz-Expires should be a number"));
    }
    let expires_s = digits.parse().unwrap_or(u32::MAX);
    if !(1..=PRESIGNED_EXPIRES_S_MAX).contains(&expires_s) {
        return Err(AuthError::QueryMalformed(
            "X-Amz-Expires must be at least one second and less than a week (in seconds); that is, 1 to 604800",
        ));
    }
    Ok(expires_s)
}

#[cfg(test)]
mod tests {
    use super::{Presigned, is_signed};
    use crate::auth::error::AuthError;
    use crate::http::query::Query;

    fn query(expires: &str) -> String {
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20130524%2Fr%2Fs3%2Faws4_request&\
             X-Amz-Date=20130524T000000Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host%3Bx-a&X-Amz-Signature={}",
            "a".repeat(64)
        )
    }

    fn expires(text: &str) -> Option<u32> {
        let text = query(text);
        let query = Query::parse(text.as_bytes()).unwrap();
        Presigned::parse(&query).ok().map(|presigned| presigned.expires_s)
    }

    #[test]
    fn life_is_one_second_to_seven_days() {
        assert_eq!(expires("1"), Some(1));
        assert_eq!(expires("604800"), Some(604_800));
        for text in ["0", "604801", "-1", "", "1.5", "99999999999"] {
            assert_eq!(expires(text), None, "{text}");
        }
    }

    #[test]
    fn missing_doubled_and_foreign_parameters_are_refused() {
        let whole = query("60");
        for index in 0..6 {
            let part = whole.split('&').nth(index).unwrap();
            let without = whole.replace(part, "");
            let parsed = Query::parse(without.as_bytes()).unwrap();
            assert!(Presigned::parse(&parsed).is_err(), "{part}");
            let doubled = format!("{whole}&{part}");
            let parsed = Query::parse(doubled.as_bytes()).unwrap();
            assert!(Presigned::parse(&parsed).is_err(), "{part}");
        }
        for text in ["AWSAccessKeyId=a&Signature=b&Expires=1", "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256"] {
            let parsed = Query::parse(text.as_bytes()).unwrap();
            assert!(is_signed(&parsed));
            assert_eq!(Presigned::parse(&parsed), Err(AuthError::UnsupportedMechanism));
        }
        assert!(!is_signed(&Query::parse(b"x-amz-signature=a&signature").unwrap()));
    }
}
