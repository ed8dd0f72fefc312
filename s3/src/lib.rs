//! Bytes on a socket to engine requests and back.
//!
//! ```text
//! socket bytes ─► http::head::RequestHead ─► auth::verify::Authenticated ─► route::Operation
//!              ─► (dispatch: engine call) ─► xml / http::response ─► socket bytes
//! body bytes   ─► auth::payload::VerifiedBody (over http::body::BodyReader) ─► payload slices
//! ```
//!
//! The composition root does, on every core:
//!
//! ```ignore
//! let config = Rc::new(ServerConfig::new("us-east-1").with_key("access", "secret"));
//! let listener = runtime.listen(address)?;
//! ashlar_s3::server::serve(runtime.clone(), engine.clone(), listener, config, runtime.shutdown()).await;
//! engine.shutdown().await?; // on core 0, once all cores have returned from `serve`
//! ```
//!
//! Modules stand top layer first: a module imports only modules listed after it. Everything listed below
//! `route` is plain functions over bytes: no I/O, no clock, no async.
#![forbid(unsafe_code)]

/// One core's front end: [`server::serve`] is what the program calls on every core.
pub mod server;

/// Accepts connections.
mod listener;

/// One connection: heads in, answers out.
mod connection;

/// Request to operation to reply.
mod dispatch;

/// Operations, one file per family.
mod op;

/// What all connections of one core share.
mod front;

/// What the operator decided.
mod config;

/// A connection's bytes in the engine's buffers: bodies in, replies out.
mod wire;

/// Method, path and query to the kind of operation: one table.
pub mod route;

/// SigV4: the only makers of `Authenticated` and of verified bodies.
pub mod auth;

/// XML documents in both directions.
pub mod xml;

/// HTTP/1.1 grammars: heads, bodies, addresses, ranges, dates, conditions, responses.
pub mod http;

/// Incremental checksums and ETags.
pub mod checksum;

/// Types that can only hold legal values.
pub mod value;

/// Cause, S3 code, HTTP status and message: one table.
pub mod error;

/// Every bound of this crate, in one place.
pub mod limits;
