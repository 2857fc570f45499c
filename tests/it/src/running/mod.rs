//! Whole processes on a real log, for tests: the binary as a child, a deployment with topics of its own, a feed, and the verdict.
//!
//! What a deployment must have said is always taken from `tillwatch replay` of what `tillwatch export` gives, so that both are tested
//! against the log's own truth.

pub mod deployment;
pub mod embedded;
pub mod feed;
pub mod process;
pub mod verdict;
