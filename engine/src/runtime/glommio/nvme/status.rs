//! What a completion says: the controller's status, or an error of the kernel's.

use super::super::super::contract::DeviceError;

/// Status code and its type, without hints for a retry.
const STATUS_BITS: u16 = 0x7ff;
/// Generic status: the blocks are not all within the namespace.
const OUT_OF_RANGE: u16 = 0x080;

/// The outcome of a transfer of `bytes` at `offset`. Positive results are the controller's status, negative
/// ones an error number.
pub(super) fn outcome(result: i32, offset: u64, bytes: usize) -> Result<(), DeviceError> {
    if result < 0 {
        return Err(DeviceError::Io { errno: result.saturating_neg() });
    }
    let status = u16::try_from(result).unwrap_or(u16::MAX) & STATUS_BITS;
    match (result, status) {
        (0, _) => Ok(()),
        (_, OUT_OF_RANGE) => Err(DeviceError::OutOfRange { offset, bytes }),
        (_, status) => Err(DeviceError::Nvme { status }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_success_or_a_typed_error() {
        assert_eq!(outcome(0, 0, 4096), Ok(()));
        assert_eq!(outcome(-libc::ENODEV, 0, 4096), Err(DeviceError::Io { errno: libc::ENODEV }));
        // Unrecovered read error, as it comes with "more" and "do not retry".
        assert_eq!(outcome(0x6281, 0, 4096), Err(DeviceError::Nvme { status: 0x281 }));
        assert_eq!(outcome(0x4080, 8192, 4096), Err(DeviceError::OutOfRange { offset: 8192, bytes: 4096 }));
        for result in 1..=0x7fff {
            assert!(outcome(result, 0, 0).is_err(), "{result:#x}");
        }
        assert!(outcome(i32::MAX, 0, 0).is_err());
        assert!(outcome(i32::MIN, 0, 0).is_err());
    }
}
