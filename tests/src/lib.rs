//! Whole-system tests: what the store must answer, operations to ask it for, and how to compare.
//!
//! The model knows nothing of the engine. A driver in `tests/` applies each [`model::Operation`] both to the engine
//! on a [`rig`] and to [`model::Store`], and hands both answers to [`check`]. Everything is deterministic: one
//! seed, one history.

pub mod load;
pub mod driver;
pub mod rig;

pub mod check;
pub mod generate;
pub mod model;
