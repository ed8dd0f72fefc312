//! Waiting inside one core: an event, a one-shot answer, a counting limit, a quota, seats, a border between operations.
//! None crosses threads.

mod epochs;

mod event;
mod limit;
mod oneshot;
mod quota;
mod seats;

pub use epochs::{Epochs, OpGuard};
pub use event::{Event, EventWait};
pub use limit::{Limit, Permit};
pub use oneshot::{Answer, AnswerTo, Answers, answer};
pub use quota::{Quota, Share};
pub use seats::{Seat, Seats};
