//! What the program can do: one module per subcommand. Each takes checked options and returns a verdict.

pub mod inspect;

pub mod load;
