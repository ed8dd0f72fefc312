//! What kind of disk is simulated.

use super::latency::Latency;

/// What a disk stands for, which decides what `prepare` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// A block device: nothing.
    Device,
    /// A file: it zeroes the range.
    File,
    /// As `File`, and durable writes into unprepared ranges count as violations.
    StrictFile,
}

/// What kind of disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskConfig {
    /// Its path.
    pub name: String,
    /// Bytes; only written sectors take memory.
    pub bytes: u64,
    /// Smallest addressable unit, bytes.
    pub logical_block: u32,
    /// Acknowledged writes stay in a cache that a power cut empties, until a flush.
    pub volatile_cache: bool,
    /// Spinning medium.
    pub rotational: bool,
    /// What it stands for.
    pub backing: Backing,
    /// How long things take.
    pub latency: Latency,
}

impl DiskConfig {
    /// A flash block device with a volatile cache.
    #[must_use]
    pub fn flash(name: &str, bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
            logical_block: 4096,
            volatile_cache: true,
            rotational: false,
            backing: Backing::Device,
            latency: Latency::flash(),
        }
    }

    /// A file that demands preparation.
    #[must_use]
    pub fn strict_file(name: &str, bytes: u64) -> Self {
        Self { backing: Backing::StrictFile, ..Self::flash(name, bytes) }
    }
}
