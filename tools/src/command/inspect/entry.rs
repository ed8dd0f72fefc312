//! Keys and values of the index as one line of text.

use ashlar_disk_format::DecodeError;
use ashlar_disk_format::key::{
    Space, decode_bucket_key, decode_object_key, decode_part_key, decode_shared_key, decode_shared_ref_key,
    decode_unref_key, decode_upload_key,
};
use ashlar_disk_format::value::{
    BodyEntry, ValueKind, decode_bucket, decode_object, decode_part, decode_shared, decode_shared_ref,
    decode_unref, value_kind,
};

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
            let (vshard, id, token) = decode_unref_key(key)?;
            format!("unreference {} {token} of virtual shard {}", hex::encode(id.0), vshard.0)
        }
    })
}

fn parse_value(value: &[u8]) -> Result<String, DecodeError> {
    Ok(match value_kind(value)? {
        ValueKind::Bucket => format!("bucket {}", decode_bucket(value)?.id),
        ValueKind::Object => {
            let object = decode_object(value)?;
            let extents = object.extents().count();
            let shared: Vec<String> = object.body.0.iter().filter_map(shared_text).collect();
            format!("object of {} bytes, {extents} extents{}", object.size, shared.concat())
        }
        ValueKind::Part => format!("part of {} bytes", decode_part(value)?.size),
        ValueKind::Shared => {
            let shared = decode_shared(value)?;
            format!("shared body of {} bytes, {} extents", shared.size, shared.body.extents().count())
        }
        ValueKind::SharedRef => {
            let reference = decode_shared_ref(value)?;
            let state = if reference.confirmed { "confirmed" } else { "not confirmed" };
            format!("of {}/{}, {state}", reference.bucket, reference.key.escape_ascii())
        }
        ValueKind::Unref => {
            let unref = decode_unref(value)?;
            format!("takes {} off {}", unref.token, hex::encode(unref.id.0))
        }
        ValueKind::Upload => format!("upload, {} bytes", value.len()),
    })
}

/// Which shared body an entry names, by which reference.
fn shared_text(entry: &BodyEntry) -> Option<String> {
    match entry {
        BodyEntry::Shared { id, token, .. } => {
            Some(format!(", shares {} by reference {token}", hex::encode(id.0)))
        }
        BodyEntry::Data(_) | BodyEntry::Page { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::key::{SharedId, shared_key, shared_ref_key, unref_key};
    use ashlar_disk_format::units::{BucketId, VirtualShard};
    use ashlar_disk_format::value::{SharedRefRecord, UnrefRecord, encode_shared_ref, encode_unref};

    #[test]
    fn sharing_is_shown() {
        let id = SharedId::new(VirtualShard(0x0123), [0xab; 14]);
        let name = format!("2301{}", "ab".repeat(14));
        assert_eq!(key_text(&shared_key(id)), format!("shared {name}"));
        assert_eq!(key_text(&shared_ref_key(id, 9)), format!("shared reference {name} 9"));
        let key = unref_key(VirtualShard(5), id, 9);
        assert_eq!(key_text(&key), format!("unreference {name} 9 of virtual shard 5"));
        let reference = SharedRefRecord { bucket: BucketId(3), key: b"k\n".to_vec(), confirmed: false };
        assert_eq!(value_text(&encode_shared_ref(&reference)), "of 3/k\\n, not confirmed");
        assert_eq!(value_text(&encode_unref(&UnrefRecord { id, token: 9 })), format!("takes 9 off {name}"));
    }
}
