//! NVMe namespaces without the block layer between: commands go to `/dev/ngXnY` through a ring of their own.
//!
//! Why a second ring: such commands need entries of twice the size, and polled completion is a mode of a
//! whole ring, in which no socket can wait. The driver turns it beside the core's own ring. With polling,
//! the kernel looks for completions when the driver asks, which it does only while transfers are under way;
//! without, an event descriptor wakes the core's own ring.
//!
//! Module order, top first: [`Way`] makes a device's transfers; [`Rings`] are a core's; `transfer` waits for
//! one command; `ring` carries commands; `namespace` opens and tries a namespace out; `identify` asks it about
//! itself; `find` looks for it in sysfs; `command` and `status` know the bytes of the specification.

mod command;
mod find;
mod identify;
mod namespace;
mod ring;
mod rings;
mod status;
mod transfer;
mod way;

#[cfg(test)]
mod tests;

pub use find::PassedOver;
pub(super) use namespace::Namespace;
pub(super) use rings::Rings;
pub(super) use way::{Direction, Way};
