//! Keeps objects safe and quick on raw devices.
