//! Bytes on a socket to engine requests and back.
