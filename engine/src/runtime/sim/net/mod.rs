//! A simulated network: listeners, connections, bytes that come late and in pieces.

mod link;
mod listener;
mod plan;
mod stream;

pub(crate) use listener::Network;
pub use listener::{SimListener, SimNet};
pub use plan::LinkPlan;
pub use stream::SimStream;
