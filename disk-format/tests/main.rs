//! The stored images, and what damage may do to them, in one program.

#[cfg(test)]
mod fixtures;
mod golden;
mod hostile;
