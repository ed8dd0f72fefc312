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

pub mod server;
mod listener;
mod connection;
mod dispatch;
mod op;
mod front;
mod config;
mod wire;
pub mod tls;
pub mod route;
pub mod auth;
pub mod xml;
pub mod http;
pub mod checksum;
pub mod value;
pub mod error;
pub mod limits;
