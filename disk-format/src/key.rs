//! The key spaces of the index. A key is `space u8 ‖ bucket u64 big-endian ‖ escaped name ‖ 00 00 ‖ suffix`,
//! or `space u8 ‖ identity` for what is not in a bucket, so that byte order of keys is the order in which a
//! listing wants them: space, bucket, name bytes, then newest version first.
//!
//! Escaping: a byte 00 of the name becomes 00 FF, and 00 00 ends the name. Names keep their byte order, and no
//! name's key is a prefix of another's.
//!
//! | space | key | value |
//! |---|---|---|
//! | 1 bucket | bucket 0, bucket name | `BucketRecord` |
//! | 2 object | bucket, name, version u64 (bits inverted, so newest first; 0 for the null version) | `ObjectRecord` |
//! | 3 upload | bucket, name, upload identity | `UploadRecord` |
//! | 4 part | bucket, name, upload identity, part u16 big-endian | `PartRecord` |
//! | 5 shared | shared identity | `SharedRecord` |
//! | 6 shared reference | shared identity, token u64 big-endian | `SharedRefRecord` |
//! | 7 unreference | virtual shard u16 big-endian of the object that shared, shared identity, token u64 big-endian | `UnrefRecord` |

use crate::bytes::{Reader, within};
use crate::constants::{NAME_BYTES_MAX, VIRTUAL_SHARDS};
use crate::error::{DecodeError, Field, Structure};
use crate::units::{BucketId, VirtualShard};
use rkyv::{Archive, Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::Xxh3;

/// First byte of a key. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Bucket settings by bucket name.
    Bucket = 1,
    /// Objects.
    Object = 2,
    /// Multipart uploads under way.
    Upload = 3,
    /// Their parts.
    Part = 4,
    /// Bodies that several objects share.
    Shared = 5,
    /// Who shares them.
    SharedRef = 6,
    /// Sharers that are to be taken off.
    Unref = 7,
}

/// Identity of a shared body. Its first two bytes (little-endian) name the virtual shard that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct SharedId(pub [u8; 16]);

/// Suffix of an object key for the null version.
const NULL_VERSION: [u8; 8] = [0; 8];
const TERMINATOR: [u8; 2] = [0, 0];
const ESCAPED_ZERO: [u8; 2] = [0, 0xff];

impl SharedId {
    /// An identity owned by `vshard`; `unique` is never reused in the pool.
    #[must_use]
    pub fn new(vshard: VirtualShard, unique: [u8; 14]) -> Self {
        assert!(vshard.0 < VIRTUAL_SHARDS, "there are {VIRTUAL_SHARDS} virtual shards");
        let mut id = [0; 16];
        let (owner, rest) = id.split_at_mut(2);
        owner.copy_from_slice(&vshard.0.to_le_bytes());
        rest.copy_from_slice(&unique);
        Self(id)
    }

    /// The virtual shard that owns the body.
    #[must_use]
    pub fn vshard(self) -> VirtualShard {
        let [low, high, ..] = self.0;
        // The remainder keeps an identity from damaged bytes inside the table.
        VirtualShard(u16::from_le_bytes([low, high]) & (VIRTUAL_SHARDS - 1))
    }
}

impl Space {
    /// The number on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Bucket => 1,
            Self::Object => 2,
            Self::Upload => 3,
            Self::Part => 4,
            Self::Shared => 5,
            Self::SharedRef => 6,
            Self::Unref => 7,
        }
    }

    /// The space of a key.
    ///
    /// # Errors
    /// [`DecodeError`] for an empty key or a first byte without meaning.
    pub fn of(key: &[u8]) -> Result<Self, DecodeError> {
        match Reader::new(Structure::Key, key).u8(Field::Space)? {
            1 => Ok(Self::Bucket),
            2 => Ok(Self::Object),
            3 => Ok(Self::Upload),
            4 => Ok(Self::Part),
            5 => Ok(Self::Shared),
            6 => Ok(Self::SharedRef),
            7 => Ok(Self::Unref),
            other => Err(DecodeError::Unknown {
                structure: Structure::Key,
                field: Field::Space,
                found: u64::from(other),
            }),
        }
    }
}

/// The virtual shard that owns a name: top 12 bits of XXH3-64 over bucket (little-endian) and name.
#[must_use]
pub fn virtual_shard(bucket: BucketId, name: &[u8]) -> VirtualShard {
    let mut hasher = Xxh3::new();
    hasher.update(&bucket.0.to_le_bytes());
    hasher.update(name);
    let top = hasher.digest() >> (u64::BITS - u32::from(VIRTUAL_SHARDS).trailing_zeros());
    let Ok(top) = u16::try_from(top) else { unreachable!("12 bits are left") };
    VirtualShard(top)
}

/// Key of a bucket's settings.
#[must_use]
pub fn bucket_key(name: &str) -> Vec<u8> {
    named(Space::Bucket, BucketId(0), name.as_bytes(), &[])
}

/// Start of all bucket keys.
#[must_use]
pub fn bucket_prefix() -> Vec<u8> {
    vec![Space::Bucket.number()]
}

/// Key of an object's null version.
#[must_use]
pub fn object_key(bucket: BucketId, name: &[u8]) -> Vec<u8> {
    named(Space::Object, bucket, name, &NULL_VERSION)
}

/// The same, for a look-up: a key of ordinary length takes no memory of its own.
#[must_use]
pub fn object_lookup_key(bucket: BucketId, name: &[u8]) -> LookupKey {
    named(Space::Object, bucket, name, &NULL_VERSION)
}

/// Start of the keys of all objects whose names begin with `name_prefix`.
#[must_use]
pub fn object_prefix(bucket: BucketId, name_prefix: &[u8]) -> Vec<u8> {
    prefix(Space::Object, bucket, name_prefix)
}

/// Key of an upload.
#[must_use]
pub fn upload_key(bucket: BucketId, name: &[u8], upload_id: [u8; 16]) -> Vec<u8> {
    named(Space::Upload, bucket, name, &upload_id)
}

/// Start of the keys of all uploads whose names begin with `name_prefix`.
#[must_use]
pub fn upload_prefix(bucket: BucketId, name_prefix: &[u8]) -> Vec<u8> {
    prefix(Space::Upload, bucket, name_prefix)
}

/// Key of a part.
#[must_use]
pub fn part_key(bucket: BucketId, name: &[u8], upload_id: [u8; 16], part: u16) -> Vec<u8> {
    let mut key: Vec<u8> = named(Space::Part, bucket, name, &upload_id);
    key.extend_from_slice(&ordered_u16(part));
    key
}

/// Start of the keys of all parts of an upload.
#[must_use]
pub fn part_prefix(bucket: BucketId, name: &[u8], upload_id: [u8; 16]) -> Vec<u8> {
    named(Space::Part, bucket, name, &upload_id)
}

/// Key of a shared body.
#[must_use]
pub fn shared_key(id: SharedId) -> Vec<u8> {
    identified(Space::Shared, id, &[])
}

/// Key of one sharer of a shared body.
#[must_use]
pub fn shared_ref_key(id: SharedId, token: u64) -> Vec<u8> {
    identified(Space::SharedRef, id, &ordered_u64(token))
}

/// Start of the keys of all sharers of a shared body.
#[must_use]
pub fn shared_ref_prefix(id: SharedId) -> Vec<u8> {
    identified(Space::SharedRef, id, &[])
}

/// Start of the keys of all shared bodies.
#[must_use]
pub fn shared_prefix() -> Vec<u8> {
    vec![Space::Shared.number()]
}

/// Start of the keys of all sharers of all shared bodies.
#[must_use]
pub fn shared_refs_prefix() -> Vec<u8> {
    vec![Space::SharedRef.number()]
}

/// Key of a sharer that is to be taken off. It belongs to `vshard`, that of the object which shared: not to
/// the shared body's owner, which has not been told yet.
#[must_use]
pub fn unref_key(vshard: VirtualShard, id: SharedId, token: u64) -> Vec<u8> {
    let mut key = unrefs_prefix();
    key.extend_from_slice(&ordered_u16(vshard.0));
    key.extend_from_slice(&id.0);
    key.extend_from_slice(&ordered_u64(token));
    key
}

/// Start of the keys of all sharers that are to be taken off.
#[must_use]
pub fn unrefs_prefix() -> Vec<u8> {
    vec![Space::Unref.number()]
}

/// The least key above all keys that begin with `prefix`; `None` when there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// Bucket and name of an object key.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_object_key(key: &[u8]) -> Result<(BucketId, Vec<u8>), DecodeError> {
    let (bucket, name, mut reader) = open(Space::Object, key)?;
    reader.u64(Field::Version)?;
    reader.finish()?;
    Ok((bucket, name))
}

/// Bucket, name and upload identity of an upload key.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_upload_key(key: &[u8]) -> Result<(BucketId, Vec<u8>, [u8; 16]), DecodeError> {
    let (bucket, name, mut reader) = open(Space::Upload, key)?;
    let upload_id = reader.array(Field::Key)?;
    reader.finish()?;
    Ok((bucket, name, upload_id))
}

/// Bucket, name, upload identity and part number of a part key.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_part_key(key: &[u8]) -> Result<(BucketId, Vec<u8>, [u8; 16], u16), DecodeError> {
    let (bucket, name, mut reader) = open(Space::Part, key)?;
    let upload_id = reader.array(Field::Key)?;
    let part = from_ordered_u16(reader.array(Field::Part)?);
    reader.finish()?;
    Ok((bucket, name, upload_id, part))
}

/// Name of a bucket key.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_bucket_key(key: &[u8]) -> Result<String, DecodeError> {
    let structure = Structure::Key;
    let (bucket, name, reader) = open(Space::Bucket, key)?;
    reader.finish()?;
    within(structure, Field::Bucket, 0..=0, bucket.0)?;
    String::from_utf8(name).map_err(|error| DecodeError::Text {
        structure,
        field: Field::Name,
        offset: error.utf8_error().valid_up_to() as u64,
    })
}

/// Identity of a key in the space of shared bodies.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_shared_key(key: &[u8]) -> Result<SharedId, DecodeError> {
    let mut reader = open_space(Space::Shared, key)?;
    let id = read_identity(&mut reader)?;
    reader.finish()?;
    Ok(id)
}

/// Identity and token of a key in the space of sharers.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_shared_ref_key(key: &[u8]) -> Result<(SharedId, u64), DecodeError> {
    read_token(open_space(Space::SharedRef, key)?)
}

/// Virtual shard, identity and token of a key in the space of sharers to be taken off.
///
/// # Errors
/// [`DecodeError`] by field.
pub fn decode_unref_key(key: &[u8]) -> Result<(VirtualShard, SharedId, u64), DecodeError> {
    let mut reader = open_space(Space::Unref, key)?;
    let vshard = from_ordered_u16(reader.array(Field::VirtualShard)?);
    within(Structure::Key, Field::VirtualShard, 0..=u64::from(VIRTUAL_SHARDS - 1), u64::from(vshard))?;
    let (id, token) = read_token(reader)?;
    Ok((VirtualShard(vshard), id, token))
}

/// Identity and token, which end a key.
fn read_token(mut reader: Reader<'_>) -> Result<(SharedId, u64), DecodeError> {
    let id = read_identity(&mut reader)?;
    let token = from_ordered_u64(reader.array(Field::Key)?);
    reader.finish()?;
    Ok((id, token))
}

/// A key to look up with.
pub type LookupKey = SmallVec<[u8; 128]>;

/// What a key is built in.
trait KeyBytes {
    fn with_room(bytes: usize) -> Self;
    fn push_all(&mut self, bytes: &[u8]);
}

impl KeyBytes for Vec<u8> {
    fn with_room(bytes: usize) -> Self {
        Self::with_capacity(bytes)
    }

    fn push_all(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl KeyBytes for LookupKey {
    fn with_room(bytes: usize) -> Self {
        Self::with_capacity(bytes)
    }

    fn push_all(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn prefix<K: KeyBytes>(space: Space, bucket: BucketId, name_prefix: &[u8]) -> K {
    assert!(name_prefix.len() <= NAME_BYTES_MAX, "names are bounded where requests are parsed");
    let mut key = K::with_room(9 + name_prefix.len() + 32);
    key.push_all(&[space.number()]);
    key.push_all(&ordered_u64(bucket.0));
    for part in name_prefix.split_inclusive(|&byte| byte == 0) {
        match part.split_last() {
            Some((0, front)) => {
                key.push_all(front);
                key.push_all(&ESCAPED_ZERO);
            }
            Some(_) | None => key.push_all(part),
        }
    }
    key
}

fn named<K: KeyBytes>(space: Space, bucket: BucketId, name: &[u8], suffix: &[u8]) -> K {
    let mut key: K = prefix(space, bucket, name);
    key.push_all(&TERMINATOR);
    key.push_all(suffix);
    key
}

fn identified(space: Space, id: SharedId, suffix: &[u8]) -> Vec<u8> {
    let mut key = vec![space.number()];
    key.extend_from_slice(&id.0);
    key.extend_from_slice(suffix);
    key
}

/// Bucket and name of a key of `space`, and a reader that stands at the suffix.
fn open(space: Space, key: &[u8]) -> Result<(BucketId, Vec<u8>, Reader<'_>), DecodeError> {
    let mut reader = open_space(space, key)?;
    let bucket = BucketId(from_ordered_u64(reader.array(Field::Bucket)?));
    let mut name = Vec::with_capacity(key.len());
    loop {
        match reader.u8(Field::Name)? {
            0 => match reader.u8(Field::Name)? {
                0 => break,
                0xff => name.push(0),
                other => {
                    return Err(DecodeError::Unknown {
                        structure: Structure::Key,
                        field: Field::Name,
                        found: u64::from(other),
                    });
                }
            },
            byte => name.push(byte),
        }
    }
    within(Structure::Key, Field::Name, 0..=NAME_BYTES_MAX as u64, name.len() as u64)?;
    Ok((bucket, name, reader))
}

fn read_identity(reader: &mut Reader<'_>) -> Result<SharedId, DecodeError> {
    let id = SharedId(reader.array(Field::Key)?);
    let owner = u16::from_le_bytes([id.0[0], id.0[1]]);
    within(Structure::Key, Field::VirtualShard, 0..=u64::from(VIRTUAL_SHARDS - 1), u64::from(owner))?;
    Ok(id)
}

fn open_space(space: Space, key: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let found = Space::of(key)?;
    if found != space {
        return Err(DecodeError::Mismatch {
            structure: Structure::Key,
            field: Field::Space,
            expected: u64::from(space.number()),
            found: u64::from(found.number()),
        });
    }
    let mut reader = Reader::new(Structure::Key, key);
    reader.u8(Field::Space)?;
    Ok(reader)
}

#[expect(clippy::big_endian_bytes, reason = "byte order of keys must be the order of the numbers")]
fn ordered_u64(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

#[expect(clippy::big_endian_bytes, reason = "byte order of keys must be the order of the numbers")]
fn from_ordered_u64(bytes: [u8; 8]) -> u64 {
    u64::from_be_bytes(bytes)
}

#[expect(clippy::big_endian_bytes, reason = "byte order of keys must be the order of the numbers")]
fn ordered_u16(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

#[expect(clippy::big_endian_bytes, reason = "byte order of keys must be the order of the numbers")]
fn from_ordered_u16(bytes: [u8; 2]) -> u16 {
    u16::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
    use proptest::{collection, prop_oneof, strategy::Just};

    /// Names in which the bytes that escaping touches are frequent.
    fn names() -> impl Strategy<Value = Vec<u8>> {
        collection::vec(prop_oneof![Just(0u8), Just(1u8), Just(0xffu8), any::<u8>()], 0..12)
    }

    proptest! {
        #[test]
        fn keys_order_as_bucket_and_name(a in names(), b in names(), p in 0u64..3, q in 0u64..3) {
            let (left, right) = (object_key(BucketId(p), &a), object_key(BucketId(q), &b));
            prop_assert_eq!(left.cmp(&right), (p, &a).cmp(&(q, &b)));
            let left = part_key(BucketId(p), &a, [7; 16], 255);
            let right = part_key(BucketId(q), &b, [7; 16], 256);
            prop_assert_eq!(left.cmp(&right), (p, &a, 255).cmp(&(q, &b, 256)));
        }

        #[test]
        fn a_prefix_meets_exactly_the_names_that_begin_with_it(name in names(), start in names()) {
            let key = object_key(BucketId(1), &name);
            let prefix = object_prefix(BucketId(1), &start);
            prop_assert_eq!(key.starts_with(&prefix), name.starts_with(&start));
            let end = prefix_end(&prefix).unwrap();
            prop_assert_eq!(prefix <= key && key < end, name.starts_with(&start));
        }

        #[test]
        fn keys_read_back(bucket in any::<u64>(), name in names(), id in any::<[u8; 16]>(), part in any::<u16>()) {
            let bucket = BucketId(bucket);
            prop_assert_eq!(decode_object_key(&object_key(bucket, &name)), Ok((bucket, name.clone())));
            let upload = decode_upload_key(&upload_key(bucket, &name, id));
            prop_assert_eq!(upload, Ok((bucket, name.clone(), id)));
            let key = part_key(bucket, &name, id, part);
            prop_assert_eq!(decode_part_key(&key), Ok((bucket, name.clone(), id, part)));
            prop_assert!(key.starts_with(&part_prefix(bucket, &name, id)));
            prop_assert!(decode_object_key(&key).is_err());
        }

        #[test]
        fn keys_of_sharing_read_back(
            owner in 0..VIRTUAL_SHARDS,
            other in 0..VIRTUAL_SHARDS,
            unique in any::<[u8; 14]>(),
            token in any::<u64>(),
        ) {
            let id = SharedId::new(VirtualShard(owner), unique);
            prop_assert_eq!(decode_shared_key(&shared_key(id)), Ok(id));
            let reference = shared_ref_key(id, token);
            prop_assert_eq!(decode_shared_ref_key(&reference), Ok((id, token)));
            prop_assert!(reference.starts_with(&shared_ref_prefix(id)));
            prop_assert!(reference.starts_with(&shared_refs_prefix()));
            let key = unref_key(VirtualShard(other), id, token);
            prop_assert_eq!(decode_unref_key(&key), Ok((VirtualShard(other), id, token)));
            prop_assert!(key.starts_with(&unrefs_prefix()));
            prop_assert!(decode_shared_ref_key(&key).is_err());
        }
    }

    #[test]
    fn prefix_end_carries() {
        assert_eq!(prefix_end(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(prefix_end(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(prefix_end(&[0xff]), None);
        assert_eq!(prefix_end(&[]), None);
    }

    #[test]
    fn virtual_shards_never_move() {
        // On disk: which core owns a name follows from these numbers.
        let mut buffer = 1u64.to_le_bytes().to_vec();
        buffer.push(b'a');
        let whole = xxhash_rust::xxh3::xxh3_64(&buffer) >> 52;
        assert_eq!(u64::from(virtual_shard(BucketId(1), b"a").0), whole);
        assert!(virtual_shard(BucketId(u64::MAX), b"").0 < VIRTUAL_SHARDS);
        assert_eq!(SharedId::new(VirtualShard(4095), [9; 14]).vshard(), VirtualShard(4095));
    }
}
