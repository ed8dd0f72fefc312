//! From devices to a serving engine and back: opening, recovery, checkpoints, taking space back,
//! closing. Core 0 leads; the others do what they are told through the mesh.
//!
//! Opening:
//! 1. Recognise the pool; write a superblock with the next epoch before anything else is written.
//! 2. Read the checkpoint; every core opens its share of the index.
//! 3. Find the groups that were opened behind the checkpoint and read the old logs from there; every core
//!    applies the records of its keys.
//! 4. Every core opens a new log; a first checkpoint makes all of this the new starting point.
//! 5. Serve.

mod avoider;
mod cleaner;
mod coordinator;
mod lost;
mod node;
mod open;
mod rebuilder;
mod restore;
mod scrubber;
mod search_plan;
mod start;
mod survey;
mod young;

pub use cleaner::CleaningStatus;
pub(crate) use node::Node;
pub use rebuilder::RebuildStatus;
pub use scrubber::ScrubStatus;
pub(crate) use start::start;
pub use start::{EngineMesh, EngineOptions, StartError, StartReport};
pub use survey::{Survey, survey};
