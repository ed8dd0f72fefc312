//! Little-endian cursor over bytes, after rustls `msgs/codec.rs`: lengths come back as arrays of known size,
//! bytes that are left over are an error, and no index expression is in sight.

use crate::error::{DecodeError, Field, Structure};

/// Reads untrusted bytes front to back.
pub(crate) struct Reader<'a> {
    structure: Structure,
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(structure: Structure, bytes: &'a [u8]) -> Self {
        Self { structure, rest: bytes, offset: 0 }
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, field: Field, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Short {
                structure: self.structure,
                field,
                offset: self.offset as u64,
                needed: count as u64,
                found: self.rest.len() as u64,
            });
        };
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: Field) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, field: Field) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: Field) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: Field) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: Field) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// The next `count` bytes must be zero: a later version may give them a meaning.
    pub(crate) fn reserved(&mut self, count: usize) -> Result<(), DecodeError> {
        let start = self.offset;
        let bytes = self.take(Field::Header, count)?;
        match bytes.iter().position(|&byte| byte != 0) {
            None => Ok(()),
            Some(position) => Err(DecodeError::Reserved {
                structure: self.structure,
                offset: (start + position) as u64,
                found: bytes.get(position).copied().unwrap_or_default(),
            }),
        }
    }

    /// All that is left must be zero.
    pub(crate) fn reserved_rest(&mut self) -> Result<(), DecodeError> {
        self.reserved(self.rest.len())
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing {
            structure: self.structure,
            offset: self.offset as u64,
            found: self.rest.len() as u64,
        })
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }
}

/// Writes our own values front to back. The caller gives room enough: a lack of it is a programming error.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    offset: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let end = self.offset + bytes.len();
        let Some(room) = self.bytes.get_mut(self.offset..end) else {
            unreachable!("the caller gives room for {end} bytes")
        };
        room.copy_from_slice(bytes);
        self.offset = end;
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        let end = self.offset + count;
        let Some(room) = self.bytes.get_mut(self.offset..end) else {
            unreachable!("the caller gives room for {end} bytes")
        };
        room.fill(0);
        self.offset = end;
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }
}

/// A length as it is stored.
///
/// # Panics
/// At 4 GiB, which no structure of ours reaches.
pub(crate) fn length_u32(length: usize) -> u32 {
    let Ok(length) = u32::try_from(length) else { unreachable!("structures are far below 4 GiB") };
    length
}

/// A count that a limit keeps below 256.
pub(crate) fn count_u8(count: usize) -> u8 {
    let Ok(count) = u8::try_from(count) else { unreachable!("limited to {} members", u8::MAX) };
    count
}

/// A count that a limit keeps below 65536.
pub(crate) fn count_u16(count: usize) -> u16 {
    let Ok(count) = u16::try_from(count) else { unreachable!("limited to {} entries", u16::MAX) };
    count
}

/// Checks that a number is within its limits.
pub(crate) fn within(
    structure: Structure,
    field: Field,
    range: std::ops::RangeInclusive<u64>,
    found: u64,
) -> Result<(), DecodeError> {
    if range.contains(&found) {
        return Ok(());
    }
    Err(DecodeError::OutOfRange { structure, field, minimum: *range.start(), maximum: *range.end(), found })
}

/// Checks that the magic is that of the structure.
pub(crate) fn magic(structure: Structure, expected: u64, found: u64) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Magic { structure, expected, found })
}

/// Checks that this build reads the version.
pub(crate) fn version(structure: Structure, expected: u16, found: u16) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Version { structure, expected, found })
}

/// Checks a stored checksum against the one computed.
pub(crate) fn checksum(structure: Structure, expected: u32, found: u32) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Checksum { structure, expected, found })
}
