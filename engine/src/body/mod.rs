//! Bodies: from received bytes to rows and extent pages, and back.
//!
//! Invariants: a record holds at most [`crate::limits::INLINE_EXTENTS_MAX`] entries, whatever the
//! size of its body; a body in progress holds the buffers of at most three rows, the one that fills
//! and [`crate::limits::BODY_ROWS_IN_FLIGHT`] on their way; everything a reader hands out was
//! verified by the row store.

mod difference;
mod reader;
mod relocate;
mod space;
mod spare;
mod tree;
mod writer;

pub(crate) use difference::{Difference, difference};
pub(crate) use reader::ExtentStream;
pub(crate) use relocate::{Held, Moves, Rewriting, find_held};
pub(crate) use space::{BodySpace, walk_body};
pub(crate) use spare::SpareEntries;
pub(crate) use tree::build_tree;
pub(crate) use writer::{BodyPlace, BodySink};
