//! What measurements share. The measurements themselves are in `benches/` (one part of the data
//! path each, by criterion) and `src/bin/` (what devices give; what a running server gives).

pub mod machine;
pub mod usage;
