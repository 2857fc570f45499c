//! The real binary from outside: child processes on a real Apache Kafka and on the embedded log, killed, stopped, fed with rubbish.
//!
//! Owns what only whole processes can show; what a deployment must have said is judged by [`tillwatch_it::running`].

mod bad_input;
mod cli;
mod embedded;
mod kafka;
