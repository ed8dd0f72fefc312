//! What memory on the heap takes.

/// Bytes that the allocator takes for so many: it has four sizes between a power of two and the next, and gives the
/// smallest that is large enough.
pub(crate) fn allocated_bytes(bytes: usize) -> usize {
    let bytes = bytes.max(BYTES_MIN);
    let power = bytes.next_power_of_two();
    let step = if bytes == power { power } else { power >> 3 };
    bytes.next_multiple_of(step)
}

/// Smaller ones are not told apart.
const BYTES_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::allocated_bytes;

    #[test]
    fn four_sizes_to_each_power_of_two() {
        for (asked, taken) in [
            (0, 16),
            (16, 16),
            (17, 20),
            (4096, 4096),
            (4097, 5120),
            (6144, 6144),
            (7169, 8192),
            (33_972, 40_960),
        ] {
            assert_eq!(allocated_bytes(asked), taken, "{asked}");
        }
    }
}
