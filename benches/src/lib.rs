//! What measurements share. The measurements themselves are in `benches/` (one part of the data path each, by
//! criterion), `src/bin/` (what devices give; several servers in turns) and [`scenario`] (what a server does when it
//! is full, crippled, killed or left alone).
#![expect(clippy::print_stdout, reason = "measurements are told to a person in a terminal")]

pub mod scenario;

pub mod plot;

pub mod figures;

pub mod compare;

pub mod pool;

pub mod loops;

pub mod process;

pub mod responder;

pub mod record;

pub mod spread;

pub mod usage;

pub mod machine;
