//! Format version and feature flags. The version says how to read the roots (label and superblock); a flag
//! says that a pool uses something that an older build does not know, and what that build may still do.

/// Version of the whole format, stored in label and superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatVersion(pub u16);

/// The version that this build writes.
pub const FORMAT_VERSION: FormatVersion = FormatVersion(1);

/// What a pool uses, in three classes as in ext4 and ZFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FeatureFlags {
    /// A build that does not know the flag may read and write.
    pub compat: u64,
    /// A build that does not know the flag may only read.
    pub read_only_compat: u64,
    /// A build that does not know the flag must not touch the pool.
    pub incompat: u64,
}

/// Flags that this build knows. Version 1 has none.
pub const KNOWN: FeatureFlags = FeatureFlags { compat: 0, read_only_compat: 0, incompat: 0 };

/// What this build may do with a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everything.
    ReadWrite,
    /// Read only: writing would break what it does not know.
    ReadOnly {
        /// The flags that are not known.
        unknown: u64,
    },
    /// Nothing: it cannot tell what the bytes mean.
    Refused {
        /// The flags that are not known.
        unknown: u64,
    },
}

/// What this build may do with a pool of these flags.
#[must_use]
pub fn check(flags: FeatureFlags) -> Access {
    let incompat = flags.incompat & !KNOWN.incompat;
    if incompat != 0 {
        return Access::Refused { unknown: incompat };
    }
    let read_only = flags.read_only_compat & !KNOWN.read_only_compat;
    if read_only != 0 {
        return Access::ReadOnly { unknown: read_only };
    }
    Access::ReadWrite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_take_away_what_they_must() {
        assert_eq!(check(FeatureFlags::default()), Access::ReadWrite);
        assert_eq!(check(FeatureFlags { compat: 8, ..FeatureFlags::default() }), Access::ReadWrite);
        let read_only = FeatureFlags { read_only_compat: 4, ..FeatureFlags::default() };
        assert_eq!(check(read_only), Access::ReadOnly { unknown: 4 });
        let refused = FeatureFlags { incompat: 2, ..read_only };
        assert_eq!(check(refused), Access::Refused { unknown: 2 });
    }
}
