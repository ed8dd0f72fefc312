//! Whole-system tests: what the store must answer, operations to ask it for, and how to compare.
//!
//! The model knows nothing of the engine. A driver in `tests/` applies each [`model::Operation`] both to the engine
//! on a [`rig`] and to [`model::Store`], and hands both answers to [`check`]. Everything is deterministic: one
//! seed, one history.

/// Clients that work at the same time, and what they may find.
pub mod load;
/// The model's operations, asked of the engine.
pub mod driver;
/// The engine on simulated disks and cores.
pub mod rig;

/// Compares answers of the model with answers of the real thing.
pub mod check;
/// Makes operations, keys and sizes from a seed.
pub mod generate;
/// The executable reference.
pub mod model;
