//! What a namespace says of itself: its number, and the answer to Identify.

use super::find::PassedOver;
use std::os::fd::{AsRawFd, OwnedFd};

/// `NVME_IOCTL_ID`: the number of the namespace behind a descriptor.
const IOCTL_ID: libc::c_ulong = 0x4e40;
/// `NVME_IOCTL_ADMIN_CMD`: one command to the controller.
const IOCTL_ADMIN: libc::c_ulong = 0xc048_4e41;
const IDENTIFY: u8 = 0x06;
/// Dword 10 of Identify: which structure.
const OF_NAMESPACE: u32 = 0;
const OF_CONTROLLER: u32 = 1;
const STRUCTURE_BYTES: usize = 4096;
/// Optional commands, bit 2: Dataset Management.
const ONCS_DATASET_MANAGEMENT: u16 = 1 << 2;

/// `struct nvme_passthru_cmd`, bytes as the kernel takes them: like a ring's command, and a result behind.
#[repr(C, align(8))]
struct AdminCommand([u8; 72]);

#[repr(C, align(4096))]
struct Structure([u8; STRUCTURE_BYTES]);

/// How blocks look and what is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// Blocks of the namespace.
    pub(super) blocks: u64,
    /// Bytes of a block, or 0 when the answer makes no sense.
    pub(super) block_bytes: u32,
    /// Bytes of metadata of a block.
    pub(super) metadata_bytes: u32,
    /// Dataset Management is understood.
    pub(super) deallocates: bool,
}

/// The namespace's number.
pub(super) fn number(fd: &OwnedFd) -> Option<u32> {
    // SAFETY: this request takes no argument and touches no memory of ours.
    let number = unsafe { libc::ioctl(fd.as_raw_fd(), IOCTL_ID) };
    u32::try_from(number).ok().filter(|number| *number > 0)
}

/// Asks namespace and controller.
pub(super) fn identify(fd: &OwnedFd, namespace: u32) -> Result<Identity, PassedOver> {
    let format = ask(fd, namespace, OF_NAMESPACE)?;
    let controller = ask(fd, 0, OF_CONTROLLER)?;
    Ok(read(&format.0, &controller.0))
}

fn ask(fd: &OwnedFd, namespace: u32, which: u32) -> Result<Box<Structure>, PassedOver> {
    let mut structure = Box::new(Structure([0; STRUCTURE_BYTES]));
    let mut command = Box::new(AdminCommand([0; 72]));
    let address = (&raw mut *structure).expose_provenance() as u64;
    command.0[0] = IDENTIFY;
    command.0[4..8].copy_from_slice(&namespace.to_le_bytes());
    command.0[24..32].copy_from_slice(&address.to_le_bytes());
    command.0[36..40].copy_from_slice(&4096_u32.to_le_bytes());
    command.0[40..44].copy_from_slice(&which.to_le_bytes());
    // SAFETY: the request reads and writes 72 bytes at its argument, and through the address in there 4096
    // bytes: both are boxes of exactly these sizes that live until the call, which waits, has returned.
    let asked = unsafe { libc::ioctl(fd.as_raw_fd(), IOCTL_ADMIN, &raw mut *command) };
    match asked {
        0 => Ok(structure),
        status if status > 0 => Err(PassedOver::Identify { result: status }),
        _ => {
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            Err(PassedOver::Identify { result: -errno })
        }
    }
}

/// | of the namespace | |
/// |---|---|
/// | 0..8 | its blocks |
/// | 26 | format in use: bits 0 to 3, and 5 to 6 above them |
/// | 128.. | four bytes per format: metadata bytes (16 bits), logarithm of the block (8 bits) |
///
/// Of the controller: bytes 520 and 521 are its optional commands.
fn read(namespace: &[u8; STRUCTURE_BYTES], controller: &[u8; STRUCTURE_BYTES]) -> Identity {
    let mut blocks = [0; 8];
    blocks.copy_from_slice(&namespace[..8]);
    let used = namespace[26];
    let format = usize::from(used & 0xf | (used >> 5 & 3) << 4);
    let at = 128 + 4 * format;
    let shift = u32::from(namespace[at + 2]);
    let commands = u16::from_le_bytes([controller[520], controller[521]]);
    Identity {
        blocks: u64::from_le_bytes(blocks),
        block_bytes: 1_u32.checked_shl(shift).filter(|_| shift >= 9).unwrap_or(0),
        metadata_bytes: u32::from(u16::from_le_bytes([namespace[at], namespace[at + 1]])),
        deallocates: commands & ONCS_DATASET_MANAGEMENT != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_in_use_is_found_among_all() {
        let (mut namespace, mut controller) = ([0; STRUCTURE_BYTES], [0; STRUCTURE_BYTES]);
        namespace[..8].copy_from_slice(&262_144_u64.to_le_bytes());
        namespace[128..132].copy_from_slice(&[0, 0, 9, 0]);
        namespace[132..136].copy_from_slice(&[8, 0, 12, 0]);
        namespace[128 + 4 * 17..][..4].copy_from_slice(&[0, 0, 12, 0]);
        let plain = Identity { blocks: 262_144, block_bytes: 512, metadata_bytes: 0, deallocates: false };
        assert_eq!(read(&namespace, &controller), plain);
        namespace[26] = 1;
        controller[520] = 4;
        let protected = Identity { block_bytes: 4096, metadata_bytes: 8, deallocates: true, ..plain };
        assert_eq!(read(&namespace, &controller), protected);
        namespace[26] = 0x21;
        assert_eq!(read(&namespace, &controller).metadata_bytes, 0, "the upper bits count too");
        namespace[128 + 4 * 17 + 2] = 200;
        assert_eq!(read(&namespace, &controller).block_bytes, 0, "nonsense is no block");
    }

    #[test]
    fn what_is_no_namespace_has_no_number() {
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert_eq!(number(&file), None);
        assert!(matches!(identify(&file, 1), Err(PassedOver::Identify { .. })));
    }
}
