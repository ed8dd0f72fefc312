//! Keeps objects safe and quick on raw devices.
//!
//! Modules are listed top layer first; a module imports only from those below its own.
//!
//! What is absent is part of the design: nothing here knows S3, HTTP or XML; nothing above
//! [`runtime`] knows glommio, io_uring or a file descriptor; nothing holds a lock that another
//! core waits for.

mod api;
mod lifecycle;
mod shard;
mod body;
mod log;
mod rows;
pub mod index;
pub mod pool;
pub mod stripe;
pub mod hash;
pub mod types;
mod mesh;
mod cache;
mod page;
mod heap;
pub mod error;
mod limits;
pub mod runtime;
pub mod buffer;
pub mod sync;
mod number;

pub use api::{Body, BodyWriter, DeviceStatus, Engine, EngineStatus, Object, ObjectPart, ObjectReader};
pub use lifecycle::{
    CleaningStatus, EngineMesh, EngineOptions, RebuildStatus, ScrubStatus, StartError, StartReport, Survey,
    survey,
};
