//! Conversions between integer widths whose success is an invariant: a failure is a bug, so it panics.

/// A count that fits memory.
#[must_use]
#[track_caller]
pub(crate) fn to_usize(value: u64) -> usize {
    let Ok(value) = usize::try_from(value) else { panic!("{value} does not fit an address") };
    value
}

/// A length that its format holds in 32 bits.
#[must_use]
#[track_caller]
pub(crate) fn to_u32(value: usize) -> u32 {
    let Ok(value) = u32::try_from(value) else { panic!("{value} does not fit 32 bits") };
    value
}

/// A count that its format holds in 16 bits.
#[must_use]
#[track_caller]
pub(crate) fn to_u16(value: usize) -> u16 {
    let Ok(value) = u16::try_from(value) else { panic!("{value} does not fit 16 bits") };
    value
}

/// A count that its format holds in 8 bits.
#[must_use]
#[track_caller]
pub(crate) fn to_u8(value: usize) -> u8 {
    let Ok(value) = u8::try_from(value) else { panic!("{value} does not fit 8 bits") };
    value
}

/// A byte count as a signed difference.
#[must_use]
#[track_caller]
pub(crate) fn to_i64(value: u64) -> i64 {
    let Ok(value) = i64::try_from(value) else { panic!("{value} does not fit a signed count") };
    value
}
