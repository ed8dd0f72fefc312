//! User metadata: what came as `x-amz-meta-*`, names lower-cased and without that prefix, values trimmed,
//! duplicates joined with a comma, 2 KB together (AWS page "Working with object metadata").

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::METADATA_BYTES_MAX;
use std::collections::BTreeMap;

/// Legal user metadata. Iterates by name, so that equal metadata have equal bytes when stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    entries: BTreeMap<Box<str>, Vec<u8>>,
    bytes: usize,
}

/// Why metadata are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// More than 2 KB of names and values.
    TooLarge {
        /// Bytes so far.
        found: usize,
    },
    /// A name that is empty or holds a byte that no header name can hold.
    Name,
}

impl Metadata {
    /// No metadata.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one header. `name` is without `x-amz-meta-`, in any case; `value` as it stood in the header.
    ///
    /// # Errors
    /// The limit is passed, or the name is none.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), MetadataError> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(MetadataError::Name);
        }
        let value = value.trim_ascii();
        let key: Box<str> = name.to_ascii_lowercase().into();
        let added = if self.entries.contains_key(&key) { value.len() + 1 } else { key.len() + value.len() };
        let found = self.bytes.saturating_add(added);
        if found > METADATA_BYTES_MAX {
            return Err(MetadataError::TooLarge { found });
        }
        self.bytes = found;
        self.entries
            .entry(key)
            .and_modify(|present| {
                present.push(b',');
                present.extend_from_slice(value);
            })
            .or_insert_with(|| value.to_vec());
        Ok(())
    }

    /// Name and value pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(name, value)| (name.as_ref(), value.as_slice()))
    }

    /// The value under a lower-case name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(Vec::as_slice)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl From<MetadataError> for S3Failure {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::TooLarge { found } => Self::new(S3Error::MetadataTooLarge)
                .number(DetailName::ProposedSize, u64::try_from(found).unwrap_or(u64::MAX))
                .number(DetailName::MaxSizeAllowed, 2048),
            MetadataError::Name => {
                Self::new(S3Error::InvalidArgument).message("A metadata name is not valid.")
            }
        }
    }
}

/// RFC 9110 `tchar`.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::{Metadata, MetadataError};

    #[test]
    fn names_fold_values_trim_duplicates_join() {
        let mut metadata = Metadata::new();
        metadata.add("Colour", b" red ").unwrap();
        metadata.add("colour", b"blue").unwrap();
        metadata.add("a", b"").unwrap();
        let all: Vec<_> = metadata.iter().collect();
        assert_eq!(all, [("a", &b""[..]), ("colour", &b"red,blue"[..])]);
        assert_eq!(metadata.add("", b"x"), Err(MetadataError::Name));
    }

    #[test]
    fn the_limit_counts_names_values_and_commas() {
        let mut metadata = Metadata::new();
        metadata.add("n", &[b'v'; 2046]).unwrap();
        assert_eq!(metadata.add("n", b""), Ok(()));
        assert_eq!(metadata.add("n", b""), Err(MetadataError::TooLarge { found: 2049 }));
    }
}
