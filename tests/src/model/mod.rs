//! The executable reference: a `BTreeMap` that says what S3 must answer. It never looks at the engine.

mod content;
mod listing;
mod operation;
mod store;

pub use content::{Body, Content, Tag};
pub use listing::{Listing, Page, Row};
pub use operation::{Condition, Operation, Refusal, Reply, TagMatch, UploadName, View};
pub use store::Store;
