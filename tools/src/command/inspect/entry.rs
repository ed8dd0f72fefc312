//! Keys and values of the index as one line of text.

use ashlar_disk_format::DecodeError;
use ashlar_disk_format::key::{
    Space, decode_bucket_key, decode_object_key, decode_part_key, decode_shared_key, decode_shared_ref_key,
    decode_unref_key, decode_upload_key,
};
use ashlar_disk_format::value::{ValueKind, decode_bucket, decode_object, decode_part, value_kind};

/// What a key names; for one that cannot be read, why and its bytes.
pub(super) fn key_text(key: &[u8]) -> String {
    parse_key(key).unwrap_or_else(|error| format!("{} ({error})", hex::encode(key)))
}

/// What a value is; for one that cannot be read, why.
pub(super) fn value_text(value: &[u8]) -> String {
    parse_value(value).unwrap_or_else(|error| format!("{} bytes ({error})", value.len()))
}

fn parse_key(key: &[u8]) -> Result<String, DecodeError> {
    Ok(match Space::of(key)? {
        Space::Bucket => format!("bucket {}", decode_bucket_key(key)?),
        Space::Object => {
            let (bucket, name) = decode_object_key(key)?;
            format!("object {bucket}/{}", name.escape_ascii())
        }
        Space::Upload => {
            let (bucket, name, upload) = decode_upload_key(key)?;
            format!("upload {bucket}/{} {}", name.escape_ascii(), hex::encode(upload))
        }
        Space::Part => {
            let (bucket, name, upload, part) = decode_part_key(key)?;
            format!("part {bucket}/{} {} {part}", name.escape_ascii(), hex::encode(upload))
        }
        Space::Shared => format!("shared {}", hex::encode(decode_shared_key(key)?.0)),
        Space::SharedRef => {
            let (id, token) = decode_shared_ref_key(key)?;
            format!("shared reference {} {token}", hex::encode(id.0))
        }
        Space::Unref => {
            let (id, token) = decode_unref_key(key)?;
            format!("unreference {} {token}", hex::encode(id.0))
        }
    })
}

fn parse_value(value: &[u8]) -> Result<String, DecodeError> {
    Ok(match value_kind(value)? {
        ValueKind::Bucket => format!("bucket {}", decode_bucket(value)?.id),
        ValueKind::Object => {
            let object = decode_object(value)?;
            let extents = object.extents().count();
            format!("object of {} bytes, {extents} extents", object.size)
        }
        ValueKind::Part => format!("part of {} bytes", decode_part(value)?.size),
        kind @ (ValueKind::Upload | ValueKind::Shared | ValueKind::SharedRef | ValueKind::Unref) => {
            format!("{kind:?}, {} bytes", value.len()).to_lowercase()
        }
    })
}
