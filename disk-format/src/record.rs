//! Framing of the log records at the end of a row's payload. Records stand back to back in the last
//! `record_bytes` of a row; a record lies within one row.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | magic 0xA51B |
//! | 2 | 1 | kind |
//! | 3 | 1 | version, 1 |
//! | 4 | 4 | length of the body, bytes |
//! | 8 | 2 | virtual shard |
//! | 10 | 2 | reserved, zero |
//! | 12 | 4 | CRC32C of bytes 0 to 11 and of the body |
//! | 16 | … | body |
//!
//! Body of a batch: count of mutations u32, then for each: operation u8 (1 put, 2 delete), key length u32,
//! value length u32 (puts only), key, value. Body of the other kinds: a group descriptor.

use crate::bytes::{Reader, Writer, checksum, length_u32, within};
use crate::checksum::{crc32c, crc32c_append};
use crate::constants::{INDEX_KEY_BYTES_MAX, RECORD_HEADER_BYTES, RECORD_MAGIC, VIRTUAL_SHARDS};
use crate::error::{DecodeError, Field, Structure};
use crate::group::GroupDescriptor;
use crate::units::VirtualShard;
use std::ops::Range;

/// What a record says. The numbers are on disk; 0 is reserved so that zeroed space is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Index mutations.
    Batch = 1,
    /// A group was opened.
    GroupOpen = 2,
    /// The log goes on in another group.
    NextLogGroup = 3,
}

/// One change to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Index key.
    pub key: Vec<u8>,
    /// New value; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// Changes to the index that apply together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// In the order in which they apply.
    pub mutations: Vec<Mutation>,
}

/// One log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Index mutations.
    Batch(Batch),
    /// A group was opened: its rows may follow.
    GroupOpen(GroupDescriptor),
    /// The log goes on in this group; the last record of a log group.
    NextLogGroup(GroupDescriptor),
}

const VERSION: u8 = 1;
const CRC_OFFSET: usize = 12;
const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Operation and key length: no mutation is shorter, which bounds the count that a body can hold.
const MUTATION_BYTES_MIN: usize = 5;
/// Count of mutations, in front of them.
const COUNT_BYTES: usize = 4;

impl Record {
    /// What the record says.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Batch(_) => RecordKind::Batch,
            Self::GroupOpen(_) => RecordKind::GroupOpen,
            Self::NextLogGroup(_) => RecordKind::NextLogGroup,
        }
    }
}

impl RecordKind {
    /// The number on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::GroupOpen => 2,
            Self::NextLogGroup => 3,
        }
    }
}

/// Size of a batch with its header, bytes, from the sizes of its keys and values.
#[must_use]
pub fn batch_len(mutations: impl Iterator<Item = (usize, Option<usize>)>) -> usize {
    let lengths = mutations.map(|(key, value)| MUTATION_BYTES_MIN + key + value.map_or(0, |value| 4 + value));
    RECORD_HEADER_BYTES + COUNT_BYTES + lengths.sum::<usize>()
}

/// Size of the record with its header, bytes.
#[must_use]
pub fn encoded_len(record: &Record) -> usize {
    match record {
        Record::Batch(batch) => batch_len(
            batch
                .mutations
                .iter()
                .map(|mutation| (mutation.key.len(), mutation.value.as_ref().map(Vec::len))),
        ),
        Record::GroupOpen(descriptor) | Record::NextLogGroup(descriptor) => {
            RECORD_HEADER_BYTES + descriptor.encoded_len()
        }
    }
}

/// Appends the record.
///
/// # Panics
/// For a key above [`INDEX_KEY_BYTES_MAX`], a virtual shard above the last or an unsound descriptor.
pub fn encode_record(record: &Record, vshard: VirtualShard, out: &mut Vec<u8>) {
    match record {
        Record::Batch(batch) => {
            let mut encoder = BatchEncoder::new(vshard, out);
            for Mutation { key, value } in &batch.mutations {
                match value {
                    Some(value) => {
                        let _place = encoder.put(key, value);
                    }
                    None => encoder.delete(key),
                }
            }
            encoder.finish();
        }
        Record::GroupOpen(descriptor) | Record::NextLogGroup(descriptor) => {
            let start = out.len();
            out.resize(start + RECORD_HEADER_BYTES + descriptor.encoded_len(), 0);
            descriptor.write(&mut Writer::new(body_from(start, out)));
            write_header(record.kind(), vshard, start, out);
        }
    }
}

/// Appends the record of a batch, one mutation after another, without the batch having to be in one place before.
#[derive(Debug)]
pub struct BatchEncoder<'o> {
    vshard: VirtualShard,
    out: &'o mut Vec<u8>,
    /// Where the record begins.
    start: usize,
    count: usize,
}

impl<'o> BatchEncoder<'o> {
    /// Begins the record behind what is in `out`. It is none before [`BatchEncoder::finish`].
    #[must_use]
    pub fn new(vshard: VirtualShard, out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.resize(start + RECORD_HEADER_BYTES + COUNT_BYTES, 0);
        Self { vshard, out, start, count: 0 }
    }

    /// Adds a mutation that sets `key`. Where in `out` the value is.
    ///
    /// # Panics
    /// For a key above [`INDEX_KEY_BYTES_MAX`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Range<usize> {
        self.begin(PUT, key);
        self.out.extend_from_slice(&length_u32(value.len()).to_le_bytes());
        self.out.extend_from_slice(key);
        let start = self.out.len();
        self.out.extend_from_slice(value);
        start..self.out.len()
    }

    /// Adds a mutation that deletes `key`.
    ///
    /// # Panics
    /// For a key above [`INDEX_KEY_BYTES_MAX`].
    pub fn delete(&mut self, key: &[u8]) {
        self.begin(DELETE, key);
        self.out.extend_from_slice(key);
    }

    /// Writes what stands in front of the mutations.
    ///
    /// # Panics
    /// For a virtual shard above the last.
    pub fn finish(self) {
        Writer::new(body_from(self.start, self.out)).u32(length_u32(self.count));
        write_header(RecordKind::Batch, self.vshard, self.start, self.out);
    }

    fn begin(&mut self, operation: u8, key: &[u8]) {
        assert!(key.len() <= INDEX_KEY_BYTES_MAX, "keys are built by the key module, which bounds them");
        self.count += 1;
        self.out.push(operation);
        self.out.extend_from_slice(&length_u32(key.len()).to_le_bytes());
    }
}

/// The body of the record that begins at `start` of `out` and goes to its end.
fn body_from(start: usize, out: &mut [u8]) -> &mut [u8] {
    out.get_mut(start + RECORD_HEADER_BYTES..).unwrap_or_default()
}

/// Writes the header of the record that begins at `start` of `out` and goes to its end; its body is there.
fn write_header(kind: RecordKind, vshard: VirtualShard, start: usize, out: &mut [u8]) {
    assert!(vshard.0 < VIRTUAL_SHARDS, "there are {VIRTUAL_SHARDS} virtual shards");
    let Some(bytes) = out.get_mut(start..) else { unreachable!("a record begins within what it is in") };
    let length = length_u32(bytes.len() - RECORD_HEADER_BYTES);
    let mut writer = Writer::new(bytes);
    writer.u16(RECORD_MAGIC);
    writer.u8(kind.number());
    writer.u8(VERSION);
    writer.u32(length);
    writer.u16(vshard.0);
    writer.zeros(6);
    let crc = record_crc(bytes);
    Writer::new(bytes.get_mut(CRC_OFFSET..).unwrap_or_default()).u32(crc);
}

/// Reads the records at the end of a row's payload, in order. After an error it ends: where the next record
/// would begin is not known.
#[derive(Debug, Clone)]
pub struct RecordReader<'a> {
    rest: &'a [u8],
}

impl<'a> RecordReader<'a> {
    /// Reads from the record bytes of a row.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that are not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn read(&mut self) -> Result<(VirtualShard, Record), DecodeError> {
        let structure = Structure::Record;
        let mut reader = Reader::new(structure, self.rest);
        let found = reader.u16(Field::Header)?;
        crate::bytes::magic(structure, u64::from(RECORD_MAGIC), u64::from(found))?;
        let kind = reader.u8(Field::Kind)?;
        let version = reader.u8(Field::Version)?;
        crate::bytes::version(structure, u16::from(VERSION), u16::from(version))?;
        let length = reader.u32(Field::Length)? as usize;
        let vshard = VirtualShard(reader.u16(Field::VirtualShard)?);
        reader.reserved(2)?;
        let crc = reader.u32(Field::Header)?;
        let body = reader.take(Field::Body, length)?;
        let (record, rest) = self.rest.split_at(RECORD_HEADER_BYTES + length);
        checksum(structure, crc, record_crc(record))?;
        within(structure, Field::VirtualShard, 0..=u64::from(VIRTUAL_SHARDS - 1), u64::from(vshard.0))?;
        let record = read_body(kind, body)?;
        self.rest = rest;
        Ok((vshard, record))
    }
}

impl Iterator for RecordReader<'_> {
    type Item = Result<(VirtualShard, Record), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

fn record_crc(record: &[u8]) -> u32 {
    let front = record.get(..CRC_OFFSET).unwrap_or_default();
    crc32c_append(crc32c(front), record.get(RECORD_HEADER_BYTES..).unwrap_or_default())
}

fn read_body(kind: u8, body: &[u8]) -> Result<Record, DecodeError> {
    let mut reader = Reader::new(Structure::Record, body);
    let record = match kind {
        1 => Record::Batch(read_batch(&mut reader)?),
        2 => Record::GroupOpen(GroupDescriptor::read(&mut reader)?),
        3 => Record::NextLogGroup(GroupDescriptor::read(&mut reader)?),
        other => {
            let found = u64::from(other);
            return Err(DecodeError::Unknown { structure: Structure::Record, field: Field::Kind, found });
        }
    };
    reader.finish()?;
    Ok(record)
}

fn read_batch(reader: &mut Reader<'_>) -> Result<Batch, DecodeError> {
    let structure = Structure::Record;
    let count = reader.u32(Field::Count)?;
    // Bounds the allocation by the bytes at hand.
    let most = reader.left().div_ceil(MUTATION_BYTES_MIN) as u64;
    within(structure, Field::Count, 0..=most, u64::from(count))?;
    let mut mutations = Vec::with_capacity(count as usize);
    for _ in 0..count {
        mutations.push(read_mutation(reader)?);
    }
    Ok(Batch { mutations })
}

fn read_mutation(reader: &mut Reader<'_>) -> Result<Mutation, DecodeError> {
    let structure = Structure::Record;
    let operation = reader.u8(Field::Mutation)?;
    let key_length = reader.u32(Field::Key)?;
    within(structure, Field::Key, 0..=INDEX_KEY_BYTES_MAX as u64, u64::from(key_length))?;
    let value_length = match operation {
        PUT => Some(reader.u32(Field::Value)?),
        DELETE => None,
        other => {
            return Err(DecodeError::Unknown { structure, field: Field::Mutation, found: u64::from(other) });
        }
    };
    let key = reader.take(Field::Key, key_length as usize)?.to_vec();
    let value = match value_length {
        Some(length) => Some(reader.take(Field::Value, length as usize)?.to_vec()),
        None => None,
    };
    Ok(Mutation { key, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use proptest::{collection, option};

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_allocation() {
        let mut bytes = Vec::new();
        encode_record(&Record::Batch(Batch::default()), VirtualShard(1), &mut bytes);
        bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc = record_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let read = RecordReader::new(&bytes).next().unwrap();
        assert!(matches!(read, Err(DecodeError::OutOfRange { field: Field::Count, maximum: 0, .. })));
    }

    #[test]
    fn reading_ends_at_the_first_bad_record() {
        let mut bytes = Vec::new();
        for vshard in 0..3 {
            encode_record(&Record::Batch(Batch::default()), VirtualShard(vshard), &mut bytes);
        }
        bytes[20 + 16] ^= 1;
        let read: Vec<_> = RecordReader::new(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert!(matches!(read[1], Err(DecodeError::Checksum { .. })));
    }

    #[test]
    fn a_batch_says_where_its_values_are() {
        let mut bytes = vec![7; 5];
        let mut batch = BatchEncoder::new(VirtualShard(3), &mut bytes);
        let first = batch.put(b"a", b"first");
        batch.delete(b"b");
        let second = batch.put(b"c", b"");
        batch.finish();
        assert_eq!((&bytes[first], &bytes[second]), (&b"first"[..], &b""[..]));
        let (_, record) = RecordReader::new(&bytes[5..]).next().unwrap().unwrap();
        let Record::Batch(batch) = record else { panic!("it is a batch") };
        let keys: Vec<&[u8]> = batch.mutations.iter().map(|mutation| &*mutation.key).collect();
        assert_eq!(keys, [b"a", b"b", b"c"]);
    }

    #[test]
    fn zeroed_space_is_no_record() {
        let read = RecordReader::new(&[0; 64]).next().unwrap();
        assert!(matches!(read, Err(DecodeError::Magic { .. })));
    }

    proptest! {
        #[test]
        fn batches_read_back(
            batches in collection::vec(collection::vec(
                (collection::vec(any::<u8>(), 0..40), option::of(collection::vec(any::<u8>(), 0..300))), 0..6,
            ), 0..6),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (vshard, mutations) in (0u16..).zip(batches) {
                let mutations = mutations.into_iter().map(|(key, value)| Mutation { key, value }).collect();
                let record = Record::Batch(Batch { mutations });
                let before = bytes.len();
                encode_record(&record, VirtualShard(vshard), &mut bytes);
                prop_assert_eq!(bytes.len() - before, encoded_len(&record));
                expected.push((VirtualShard(vshard), record));
            }
            let read: Vec<_> = RecordReader::new(&bytes).map(Result::unwrap).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
