//! Garbage for whatever reads bytes that this process did not just write.
//!
//! Owns the targets and nothing else: `cargo xtask fuzz` builds and runs them, and the tests of `tests/it` run them over the committed
//! corpora and over everything that was ever found (`corpus/` and `found/`). A target panics where something is wrong.

pub mod targets;
