//! The bytes of commands: those of the NVM Command Set that we send, and how one transfer becomes several.

/// `NVME_URING_CMD_IO`: a command for the controller in an entry of a ring.
pub(super) const URING_COMMAND: u32 = 0xc048_4e80;
/// The wire format of an entry has room for so much; a command takes the first 72 bytes.
pub(super) const COMMAND_BYTES: usize = 80;
/// A command counts its blocks in 16 bits, from zero.
const BLOCKS_MAX: u64 = 1 << 16;

const FLUSH: u8 = 0x00;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const DATASET_MANAGEMENT: u8 = 0x09;
/// Dataset Management, dword 11: the ranges hold nothing of value.
const DEALLOCATE: u32 = 1 << 2;

/// One range of Dataset Management as the controller reads it.
pub(super) type Range = [u8; 16];

/// What is asked of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Blocks into memory.
    Read { first: u64, blocks: u32 },
    /// Memory into blocks.
    Write { first: u64, blocks: u32 },
    /// Everything written before becomes durable.
    Flush,
    /// The range that memory describes may be forgotten.
    Deallocate,
}

/// `struct nvme_uring_cmd`: all of it in the machine's byte order, which NVMe requires to be little-endian on
/// the wire and the kernel converts.
///
/// | bytes | field |
/// |---|---|
/// | 0 | opcode |
/// | 4..8 | namespace |
/// | 24..32, 36..40 | memory: address, length |
/// | 40..64 | dwords 10 to 15 |
/// | 64..68 | timeout, ms; 0 is the kernel's |
pub(super) fn encode(namespace: u32, command: Command, address: u64, bytes: u32) -> [u8; COMMAND_BYTES] {
    let mut out = [0; COMMAND_BYTES];
    let mut dword = |at: usize, value: u32| out[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let opcode = match command {
        Command::Read { first, blocks } | Command::Write { first, blocks } => {
            assert!(blocks > 0, "no transfer is empty");
            assert!(u64::from(blocks) <= BLOCKS_MAX, "a command counts its blocks in 16 bits");
            let (low, high) = halves(first);
            dword(40, low);
            dword(44, high);
            dword(48, blocks - 1);
            if matches!(command, Command::Read { .. }) { READ } else { WRITE }
        }
        Command::Flush => FLUSH,
        Command::Deallocate => {
            // One range, counted from zero.
            dword(40, 0);
            dword(44, DEALLOCATE);
            DATASET_MANAGEMENT
        }
    };
    dword(4, namespace);
    dword(36, bytes);
    out[0] = opcode;
    out[24..32].copy_from_slice(&address.to_le_bytes());
    out
}

fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
    let high = u32::try_from(value >> 32).unwrap_or(0);
    (low, high)
}

/// `blocks` from block `first` on: context attributes (none), length, start.
pub(super) fn range(first: u64, blocks: u32) -> Range {
    let mut out = [0; 16];
    out[4..8].copy_from_slice(&blocks.to_le_bytes());
    out[8..16].copy_from_slice(&first.to_le_bytes());
    out
}

/// One command's share of a transfer, bytes from the transfer's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) bytes: usize,
}

/// Cuts `length` bytes into pieces of at most `most`, in order.
pub(super) fn pieces(length: usize, most: usize) -> impl Iterator<Item = Piece> {
    assert!(most > 0, "a piece holds something");
    (0..length).step_by(most).map(move |start| Piece { start, bytes: most.min(length - start) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_laid_out_as_the_specification_says() {
        let command = Command::Read { first: 0x1122_3344_5566, blocks: 8 };
        let bytes = encode(7, command, 0xaabb_ccdd_eeff_0011, 32 << 10);
        assert_eq!(bytes[0], 0x02);
        assert_eq!(bytes[1..4], [0; 3]);
        assert_eq!(bytes[4..8], [7, 0, 0, 0]);
        assert_eq!(bytes[8..24], [0; 16], "no dwords 2 and 3, no metadata");
        assert_eq!(bytes[24..32], [0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa]);
        assert_eq!(bytes[32..36], [0; 4], "no metadata");
        assert_eq!(bytes[36..40], [0, 0x80, 0, 0]);
        assert_eq!(bytes[40..48], [0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0], "starting block");
        assert_eq!(bytes[48..52], [7, 0, 0, 0], "eight blocks, counted from zero; no flags");
        assert_eq!(bytes[52..], [0; 28]);
    }

    #[test]
    fn other_commands_differ_where_they_should() {
        let write = encode(1, Command::Write { first: 5, blocks: 65_536 }, 4096, 1 << 28);
        assert_eq!(
            (write[0], &write[40..44], &write[48..52]),
            (0x01, &[5, 0, 0, 0][..], &[255, 255, 0, 0][..])
        );
        let flush = encode(3, Command::Flush, 0, 0);
        let mut expected = [0; COMMAND_BYTES];
        expected[4] = 3;
        assert_eq!(flush, expected);
        let forget = encode(1, Command::Deallocate, 4096, 16);
        assert_eq!((forget[0], &forget[40..44], &forget[44..48]), (0x09, &[0; 4][..], &[4, 0, 0, 0][..]));
        assert_eq!(range(0x0102, 9), [0, 0, 0, 0, 9, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn pieces_cover_a_transfer_once() {
        let cut =
            |length, most| pieces(length, most).map(|piece| (piece.start, piece.bytes)).collect::<Vec<_>>();
        assert_eq!(cut(4096, 8192), [(0, 4096)]);
        assert_eq!(cut(8192, 8192), [(0, 8192)]);
        assert_eq!(cut(20_480, 8192), [(0, 8192), (8192, 8192), (16_384, 4096)]);
        assert!(cut(0, 8192).is_empty());
    }
}
