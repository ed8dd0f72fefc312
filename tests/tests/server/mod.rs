//! The real server over the real engine in the simulator, spoken to byte by byte.

mod buckets;
mod client;
mod conditions;
mod http;
mod listing;
mod multipart;
mod objects;
mod rig;
mod slow;
mod tls;
