//! Waiting inside one core: an event, a one-shot answer, a counting limit. None crosses threads.

mod event;
mod limit;
mod oneshot;

pub use event::{Event, EventWait};
pub use limit::{Limit, Permit};
pub use oneshot::{Answer, AnswerTo, answer};
