//! Makes checksums good, so that the fuzzer reaches what stands behind them: a CRC32C is nothing that mutation
//! finds by chance.

use ashlar_disk_format::checksum::{crc32c, crc32c_append};
use ashlar_disk_format::chunk::header_bytes;
use ashlar_disk_format::constants::{CHUNK_HEADER_FIXED_BYTES, FRAME_HEADER_BYTES, MEMBERS_MAX};

/// A block whose last four bytes are the CRC32C of the others, cut or filled with zeros to `length`.
pub fn block(data: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(length, 0);
    let crc = crc32c(&bytes[..length - 4]);
    bytes[length - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A framed archive: length and checksum fit the data.
pub fn frame(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if let Some(length) = bytes.len().checked_sub(FRAME_HEADER_BYTES) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c_append(crc32c(&bytes[..60]), &bytes[64..]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// A chunk header.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let members = bytes.get(12..14).map_or(0, |shape| usize::from(shape[0]) + usize::from(shape[1]));
    if members > MEMBERS_MAX {
        return bytes;
    }
    let length = header_bytes(members);
    bytes.resize(length.max(bytes.len()), 0);
    let crc = crc32c_append(crc32c(&bytes[..124]), &bytes[CHUNK_HEADER_FIXED_BYTES..length]);
    bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// One record that fills the data.
pub fn record(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if let Some(length) = bytes.len().checked_sub(16) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c_append(crc32c(&bytes[..12]), &bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}
