//! One operation on its way through a disk, and the answer it gets.

use crate::buffer::Buffer;
use crate::runtime::contract::{DeviceError, Durability};
use crate::runtime::sim::power::Boundary;
use crate::sync::AnswerTo;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a read or write comes back with.
pub(crate) type Moved = (Result<(), DeviceError>, Buffer);

/// The disk owns the buffer while the operation is under way.
#[derive(Debug)]
pub(crate) enum Operation {
    Read {
        offset: u64,
        length: usize,
        buffer: Buffer,
        to: AnswerTo<Moved>,
    },
    Write {
        offset: u64,
        length: usize,
        buffer: Buffer,
        durability: Durability,
        to: AnswerTo<Moved>,
    },
    /// Makes durable what was complete up to `sequence`.
    Flush {
        sequence: u64,
        to: AnswerTo<Result<(), DeviceError>>,
    },
    Prepare {
        offset: u64,
        length: u64,
        to: AnswerTo<Result<(), DeviceError>>,
    },
    Discard {
        offset: u64,
        length: u64,
        to: AnswerTo<()>,
    },
}

impl Operation {
    /// Which boundary its completion is, when it changes what is stable.
    pub(crate) fn boundary(&self) -> Option<Boundary> {
        match self {
            Self::Write { .. } | Self::Prepare { .. } => Some(Boundary::Write),
            Self::Flush { .. } => Some(Boundary::Flush),
            Self::Read { .. } | Self::Discard { .. } => None,
        }
    }

    /// A number that differs when anything the device can see differs.
    pub(crate) fn fingerprint(&self) -> u64 {
        let fold = |kind: u64, offset: u64, length: u64| {
            kind.wrapping_add(offset.rotate_left(8)).wrapping_add(length.rotate_left(40))
        };
        match self {
            Self::Read { offset, length, .. } => fold(1, *offset, wide(*length)),
            Self::Write { offset, length, buffer, durability, .. } => {
                let kind = if *durability == Durability::Durable { 2 } else { 3 };
                xxh3_64_with_seed(&buffer.bytes()[..*length], fold(kind, *offset, wide(*length)))
            }
            Self::Flush { sequence, .. } => fold(4, *sequence, 0),
            Self::Prepare { offset, length, .. } => fold(5, *offset, *length),
            Self::Discard { offset, length, .. } => fold(6, *offset, *length),
        }
    }
}

/// An answer not yet given: dropping it means that the host never hears.
#[derive(Debug)]
pub(crate) enum Reply {
    Moved(AnswerTo<Moved>, Result<(), DeviceError>, Buffer),
    Plain(AnswerTo<Result<(), DeviceError>>, Result<(), DeviceError>),
    Advice(AnswerTo<()>),
}

impl Reply {
    pub(crate) fn give(self) {
        match self {
            Self::Moved(to, result, buffer) => to.send((result, buffer)),
            Self::Plain(to, result) => to.send(result),
            Self::Advice(to) => to.send(()),
        }
    }
}

pub(crate) fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
