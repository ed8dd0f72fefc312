//! Compares answers of the model with answers of the real thing, and says in few words where they part.

mod answer;
mod ledger;
mod pages;

pub use answer::{Mismatch, compare};
pub use ledger::{Ledger, Outcome};
pub use pages::{check_page, check_walk};
