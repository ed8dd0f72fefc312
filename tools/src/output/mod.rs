//! How tools read and print sizes, durations and tables, so that none formats by hand.

mod duration;
mod size;
mod table;

pub use duration::{DurationError, format_duration, parse_duration};
pub use size::{SizeError, format_size, parse_size};
pub use table::Table;
