//! The real binary from outside: child processes on a real Apache Kafka and on the embedded log, killed, stopped, fed with rubbish.
//!
//! Owns what only whole processes can show. What a deployment must have said is always taken from `tillwatch replay` of what
//! `tillwatch export` gives, so that both are tested against the log's own truth.

mod bad_input;
mod cli;
mod embedded;
mod feed;
mod kafka;
mod process;
mod topics;
mod verdict;
