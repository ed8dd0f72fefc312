//! Which segments form a group: the descriptor that log, checkpoint and each segment header hold.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | group |
//! | 4 | 1 | kind |
//! | 5 | 1 | code family |
//! | 6 | 1 | k |
//! | 7 | 1 | m |
//! | 8 | 8 | generation |
//! | 16 | 2 | log |
//! | 18 | 2 | count of members, k + m |
//! | 20 | 6 each | member: device index u16, segment index u32 |

use crate::bytes::{Reader, Writer, count_u16};
use crate::code::CodeShape;
use crate::error::{DecodeError, Field, Structure};
use crate::units::{DeviceIndex, Generation, GroupId, LogId, SegmentIndex};
use rkyv::{Archive, Deserialize, Serialize};

/// What the rows of a group hold. The numbers are on disk; 0 is reserved so that zeroed space is no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum GroupKind {
    /// Log records and small payloads.
    Log = 1,
    /// Payloads of large bodies.
    Data = 2,
    /// Run pages, manifests, checkpoints.
    Index = 3,
}

impl GroupKind {
    /// The number on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Data => 2,
            Self::Index => 3,
        }
    }

    pub(crate) fn from_stored(structure: Structure, number: u8) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(Self::Log),
            2 => Ok(Self::Data),
            3 => Ok(Self::Index),
            other => Err(DecodeError::Unknown { structure, field: Field::Kind, found: u64::from(other) }),
        }
    }
}

/// One segment of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Member {
    /// The device.
    pub device: DeviceIndex,
    /// The segment of that device.
    pub segment: SegmentIndex,
}

/// A group: k + m segments on as many devices, filled in lockstep.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct GroupDescriptor {
    /// Slot of the group table.
    pub group: GroupId,
    /// Which use of that slot.
    pub generation: Generation,
    /// What its rows hold.
    pub kind: GroupKind,
    /// Its code.
    pub shape: CodeShape,
    /// The log that writes it (for data and index groups: the core that does).
    pub log: LogId,
    /// Its segments by member index: first the k data members, then the m parity members.
    pub members: Vec<Member>,
}

const FIXED_BYTES: usize = 20;
const MEMBER_BYTES: usize = 6;

impl GroupDescriptor {
    /// Size of the byte form.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        FIXED_BYTES + MEMBER_BYTES * self.members.len()
    }

    /// Checks that the members fit the shape and that no device appears twice.
    ///
    /// # Errors
    /// [`DecodeError`] by field.
    pub fn check(&self) -> Result<(), DecodeError> {
        let structure = Structure::GroupDescriptor;
        self.shape.check()?;
        let (expected, found) = (self.shape.members() as u64, self.members.len() as u64);
        if expected != found {
            return Err(DecodeError::Mismatch { structure, field: Field::Members, expected, found });
        }
        for (position, member) in self.members.iter().enumerate() {
            let earlier = self.members.iter().take(position);
            if earlier.into_iter().any(|other| other.device == member.device) {
                let found = u64::from(member.device.0);
                return Err(DecodeError::Unknown { structure, field: Field::Device, found });
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        assert!(self.check().is_ok(), "a group is made by placement, which fits members to the shape");
        writer.u32(self.group.0);
        writer.u8(self.kind.number());
        writer.u8(self.shape.family.number());
        writer.u8(self.shape.k);
        writer.u8(self.shape.m);
        writer.u64(self.generation.0);
        writer.u16(self.log.0);
        writer.u16(count_u16(self.members.len()));
        for member in &self.members {
            writer.u16(member.device.0);
            writer.u32(member.segment.0);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let structure = Structure::GroupDescriptor;
        let group = GroupId(reader.u32(Field::Group)?);
        let kind = GroupKind::from_stored(structure, reader.u8(Field::Kind)?)?;
        let [family, k, m] = reader.array(Field::Shape)?;
        let shape = CodeShape::from_stored(family, k, m)?;
        let generation = Generation(reader.u64(Field::Generation)?);
        let log = LogId(reader.u16(Field::Log)?);
        let count = usize::from(reader.u16(Field::Members)?);
        // The shape has bounded the count, so this allocates for at most 64 members.
        if count != shape.members() {
            let (expected, found) = (shape.members() as u64, count as u64);
            return Err(DecodeError::Mismatch { structure, field: Field::Members, expected, found });
        }
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let device = DeviceIndex(reader.u16(Field::Device)?);
            let segment = SegmentIndex(reader.u32(Field::Members)?);
            members.push(Member { device, segment });
        }
        let descriptor = Self { group, generation, kind, shape, log, members };
        descriptor.check()?;
        Ok(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> GroupDescriptor {
        let member = |device| Member { device: DeviceIndex(device), segment: SegmentIndex(9) };
        GroupDescriptor {
            group: GroupId(1),
            generation: Generation(2),
            kind: GroupKind::Data,
            shape: CodeShape::parse("2+1").unwrap(),
            log: LogId(3),
            members: vec![member(0), member(1), member(2)],
        }
    }

    #[test]
    fn byte_form_reads_back() {
        let descriptor = descriptor();
        let mut bytes = vec![0; descriptor.encoded_len()];
        descriptor.write(&mut Writer::new(&mut bytes));
        let mut reader = Reader::new(Structure::GroupDescriptor, &bytes);
        assert_eq!(GroupDescriptor::read(&mut reader), Ok(descriptor));
        assert_eq!(reader.left(), 0);
    }

    #[test]
    fn a_device_holds_one_member_only() {
        let mut twice = descriptor();
        twice.members[2].device = DeviceIndex(0);
        let expected =
            DecodeError::Unknown { structure: Structure::GroupDescriptor, field: Field::Device, found: 0 };
        assert_eq!(twice.check(), Err(expected));
        let mut narrow = descriptor();
        narrow.members.pop();
        assert!(matches!(narrow.check(), Err(DecodeError::Mismatch { expected: 3, found: 2, .. })));
    }
}
