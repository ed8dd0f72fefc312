//! What the bytes on an Ashlar device mean.
