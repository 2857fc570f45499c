//! What the integration tests share.
//!
//! Owns the way to the things that only a machine has: the built components, the binary, a Kafka. Holds no test: those are in
//! `tests/`, one file for each promise.

pub mod cases;
pub mod machine;
pub mod running;
pub mod visits;
