//! Lines of both chunked framings.

use crate::http::body::error::BodyError;

/// Size and signature of an aws-chunk, from its line without CRLF.
pub(super) fn parse_chunk_line(line: &[u8], signed: bool) -> Result<(u64, Option<[u8; 32]>), BodyError> {
    let end = line.iter().position(|&byte| byte == b';').unwrap_or(line.len());
    let (digits, extension) = line.split_at_checked(end).ok_or(BodyError::ChunkSize)?;
    let size = parse_hex(digits).ok_or(BodyError::ChunkSize)?;
    if !signed {
        return Ok((size, None));
    }
    let signature = extension.strip_prefix(b";chunk-signature=").and_then(parse_signature);
    Ok((size, Some(signature.ok_or(BodyError::ChunkSignature)?)))
}

/// 64 lower-case hex digits.
pub(super) fn parse_signature(digits: &[u8]) -> Option<[u8; 32]> {
    let mut signature = [0; 32];
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some(signature)
}

/// 1 to 16 hex digits, below 2^63.
pub(super) fn parse_hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
    i64::try_from(number).is_ok().then_some(number)
}
