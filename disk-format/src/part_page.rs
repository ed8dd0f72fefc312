//! One page of an object's part table, for objects of more parts than a record lists: written like data and
//! named by an extent of the record, whose checksums cover it.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | count of parts |
//! | 4 | 11 + c each | number u16, size u64, bytes of checksum c u8, checksum |

use crate::bytes::{Reader, Writer, length_u32};
use crate::constants::PARTS_PER_PAGE_MAX;
use crate::error::{DecodeError, Field, Structure};
use crate::value::PartInfo;

const FIXED_BYTES: usize = 11;

/// A page of `parts`.
///
/// # Panics
/// When there are more than [`PARTS_PER_PAGE_MAX`], or a checksum is longer than 255 bytes: both are ours.
#[must_use]
pub fn encode(parts: &[PartInfo]) -> Vec<u8> {
    assert!(parts.len() <= PARTS_PER_PAGE_MAX, "the caller cuts pages");
    let bytes = 4 + parts.iter().map(|part| FIXED_BYTES + part.checksum.len()).sum::<usize>();
    let mut page = vec![0; bytes];
    let mut writer = Writer::new(&mut page);
    writer.u32(length_u32(parts.len()));
    for part in parts {
        writer.u16(part.number);
        writer.u64(part.size);
        writer.u8(crate::bytes::count_u8(part.checksum.len()));
        writer.put(&part.checksum);
    }
    page
}

/// Reads a page.
///
/// # Errors
/// [`DecodeError`] names what is wrong; bytes behind the last part are an error.
pub fn decode(bytes: &[u8]) -> Result<Vec<PartInfo>, DecodeError> {
    let structure = Structure::PartPage;
    let mut reader = Reader::new(structure, bytes);
    let count = reader.u32(Field::Count)?;
    crate::bytes::within(structure, Field::Count, 0..=PARTS_PER_PAGE_MAX as u64, u64::from(count))?;
    let mut parts = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let number = reader.u16(Field::Part)?;
        let size = reader.u64(Field::Length)?;
        let length = reader.u8(Field::Crcs)?;
        let checksum = reader.take(Field::Crcs, usize::from(length))?.to_vec();
        parts.push(PartInfo { number, size, checksum });
    }
    reader.finish()?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<PartInfo> {
        (1..=1000)
            .map(|number| PartInfo { number, size: u64::from(number) << 20, checksum: vec![7; 4] })
            .collect()
    }

    #[test]
    fn a_page_reads_back() {
        assert_eq!(decode(&encode(&parts())), Ok(parts()));
        assert_eq!(decode(&encode(&[])), Ok(Vec::new()));
    }

    #[test]
    fn cut_and_padded_pages_are_refused() {
        let page = encode(&parts());
        for length in 0..page.len().min(200) {
            assert!(decode(&page[..length]).is_err());
        }
        let mut padded = page;
        padded.push(0);
        assert!(decode(&padded).is_err());
    }
}
