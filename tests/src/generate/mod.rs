//! Histories from seeds. One seed makes one history on every machine: only `ChaCha8`, whose output is specified, is used.

mod keys;
mod operations;
mod sizes;

pub use keys::KeyPool;
pub use operations::{Swarm, history, shrink};
pub use sizes::size;
