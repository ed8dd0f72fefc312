//! Newtypes of everything that is counted or addressed on a device. Conversions between them are named
//! functions here and nowhere else.
#![expect(
    missing_debug_implementations,
    reason = "rkyv's derive gives a tuple struct's resolver no Debug; all that is declared here has it"
)]

use crate::constants::WRITE_UNIT;
use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;

/// Declares a small integer newtype that also lives inside `rkyv` archives.
macro_rules! integer {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Archive, Serialize, Deserialize,
        )]
        #[rkyv(derive(Debug))]
        pub struct $name(pub $inner);

        impl From<&<$name as Archive>::Archived> for $name {
            fn from(archived: &<$name as Archive>::Archived) -> Self {
                Self(archived.0.to_native())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Declares a 16-byte identity, shown like a UUID.
macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Archive, Serialize, Deserialize,
        )]
        #[rkyv(derive(Debug))]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_identity(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_identity(&self.0, f)
            }
        }
    };
}

identity! {
    /// Which pool a byte belongs to; random, made once with the pool.
    PoolId
}
identity! {
    /// Which device this is; random, made once when the device joins a pool.
    DeviceId
}
integer! {
    /// Slot of the pool's group table. Reused after a group is freed; the generation tells users apart.
    GroupId(u32)
}
integer! {
    /// Which use of a group slot: mount epoch in the high half, counter in the low. Never reused.
    Generation(u64)
}
integer! {
    /// Mount epoch: bumped durably before a mount writes anything else.
    Epoch(u32)
}
integer! {
    /// 0-based place of a device in the pool's device table. Never reused.
    DeviceIndex(u16)
}
integer! {
    /// 0-based segment of a device.
    SegmentIndex(u32)
}
integer! {
    /// Distance of a row from the start of its segment, in write units.
    RowOffset(u32)
}
integer! {
    /// Height of a row: size of each of its chunks, in write units (1 to 256).
    Height(u16)
}
integer! {
    /// Which log; a core of the mount that wrote it.
    LogId(u16)
}
integer! {
    /// Position of a row in its log, counted from 1.
    RowSequence(u64)
}
integer! {
    /// A bucket's number; 0 is reserved, never reused.
    BucketId(u64)
}
integer! {
    /// 0-based virtual shard, below [`crate::constants::VIRTUAL_SHARDS`].
    VirtualShard(u16)
}

impl Generation {
    /// The `counter`-th group made in the mount `epoch`.
    #[must_use]
    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        // `u64::from` is not const; both operands are widened from u32.
        Self(((epoch.0 as u64) << 32) | counter as u64)
    }

    /// The mount that made this group.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        let Ok(epoch) = u32::try_from(self.0 >> 32) else {
            unreachable!("a u64 shifted right by 32 fits a u32")
        };
        Epoch(epoch)
    }

    /// Which group of its mount this is.
    #[must_use]
    pub fn counter(self) -> u32 {
        let Ok(counter) = u32::try_from(self.0 & u64::from(u32::MAX)) else {
            unreachable!("the low half of a u64 fits a u32")
        };
        counter
    }
}

impl RowOffset {
    /// Distance from the start of the segment in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * u64::from(WRITE_UNIT)
    }

    /// The offset just behind a row of `height` that begins here. Behind 2^32 write units, which no segment
    /// reaches, there is nothing.
    #[must_use]
    pub fn after(self, height: Height) -> Self {
        Self(self.0.saturating_add(u32::from(height.0)))
    }
}

impl Height {
    /// Size of each chunk in bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        u32::from(self.0) * WRITE_UNIT
    }

    /// The lowest height that holds `bytes`.
    ///
    /// # Errors
    /// `None` when it would be above the highest chunk.
    #[must_use]
    pub fn holding(bytes: u32) -> Option<Self> {
        let units = u16::try_from(bytes.div_ceil(WRITE_UNIT)).ok()?;
        (units <= crate::constants::HEIGHT_MAX).then_some(Self(units.max(1)))
    }
}

fn write_identity(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_holds_epoch_and_counter() {
        let generation = Generation::new(Epoch(7), 9);
        assert_eq!(generation.0, 7 << 32 | 9);
        assert_eq!(generation.epoch(), Epoch(7));
    }

    #[test]
    fn identity_reads_like_a_uuid() {
        let id = PoolId(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(id.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn heights_round_up_and_stop_at_the_limit() {
        assert_eq!(Height::holding(0), Some(Height(1)));
        assert_eq!(Height::holding(4096), Some(Height(1)));
        assert_eq!(Height::holding(4097), Some(Height(2)));
        assert_eq!(Height::holding(1 << 20), Some(Height(256)));
        assert_eq!(Height::holding((1 << 20) + 1), None);
        assert_eq!(RowOffset(3).after(Height(2)).bytes(), 5 * 4096);
    }
}
