//! What the program can do: one module per subcommand. Each takes checked options and returns a verdict.

pub mod doctor;

pub mod serve;

pub mod pool;

pub mod inspect;

pub mod load;

pub mod devices;
