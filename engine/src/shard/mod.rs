//! The owner side of a core: the keys whose virtual shards it owns, decided one change at a time.
//!
//! Invariants:
//! - Whoever changes a key holds its lock from the decision until the change is durable, so a
//!   condition is decided against what is durable, and readers see nothing else.
//! - A record that names a shared body has a reference at the body's owner; docs/decisions/0007 says how that
//!   stays so.
//! - A change is applied to index, ledger and counters in the same step in which its row became
//!   durable; a checkpoint falls between two rows, never inside one.

mod buckets;
mod cleaning;
mod commit;
mod holders;
mod listing;
mod locks;
mod lost;
mod message;
mod objects;
mod references;
mod router;
mod sharing;
mod snapshot;
mod state;
mod uploads;

pub(crate) use commit::{DELETE_PREFIX, run_committer};
pub(crate) use message::{
    BucketStep, CallKey, CleanCall, CleanReport, CompleteCall, ListCall, LostCall, LostReport, PartCall,
    PublishCall, Reply, Request, ShardImport, ShardSeed, ShardSnapshot, ShareCall, Shared, Sharer,
    SharingStep,
};
pub(crate) use objects::held_by;
pub(crate) use references::{ask_about_references, send_unreferences};
pub(crate) use router::{Router, vshard_of_key};
pub(crate) use sharing::shared_by;
pub(crate) use state::{CounterDelta, Shard};
