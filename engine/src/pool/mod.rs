//! The devices of a pool and who uses which part of them.
//!
//! Every core holds a `PoolView`: its handles on the devices, the groups it has met, the codecs.
//! Core 0 also holds the `PoolOwner`: the only place where segments are given out and taken back,
//! where the device table changes and where superblocks are written. The others ask it through a
//! `PoolLink`.
//!
//! Invariants: a segment belongs to at most one group; a group's generation is never used twice
//! (it holds the mount's epoch, which is durable before anything else is written); a fenced device
//! is not written any more.

mod add;
mod choose_plan;
mod clean_plan;
mod create;
mod identify;
mod labels;
mod ledger;
mod link;
mod owner;
mod pace;
mod pins;
mod room;
mod superblocks;
mod ticks;
mod view;
mod watched;

pub use add::{AddError, add_devices};
pub(crate) use clean_plan::{Candidate, Level, Terms, choose_victims};
pub use create::{CreateError, CreateOptions, create_pool};
pub use identify::{DeviceReport, DeviceStanding, Identified, IdentifyError, identify};
pub(crate) use labels::rewrite_labels;
pub(crate) use ledger::Side;
pub(crate) use link::{OpenedGroup, PoolLink, PoolReply, PoolRequest, Purpose};
pub(crate) use owner::{
    NextScrub, OwnedDevice, OwnerGroup, PoolOwner, RebuildJob, ScrubJob, ScrubList, Space, data_bytes,
};
pub(crate) use pins::PinSet;
pub(crate) use room::{Patience, Room};
pub(crate) use superblocks::write_superblocks;
pub(crate) use view::{DeviceUse, PoolFacts, PoolView};
