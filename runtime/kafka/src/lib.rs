//! [`tillwatch_core::log::Log`] on Apache Kafka, by rdkafka.
//!
//! Owns everything that speaks Kafka: the worker's consumer and transactional producer ([`KafkaLog`]), restoring, ticks, topics ([`admin`]),
//! and plain reading and writing for the tools ([`read`], [`produce`]). Owns no thread of its own that stays beside librdkafka's, no policy
//! about when to commit, and no meaning of a record's bytes.

pub mod admin;
mod client;
mod committer;
pub mod config;
mod context;
mod cover;
mod error;
mod log;
mod position;
pub mod produce;
pub mod read;
mod restore;
mod tick;
mod transaction;
mod wait;

pub use config::{Config, Invalid, Mechanism, Sasl, Secret, Security, Timeouts, Tls, Topics};
pub use context::Health;
pub use log::KafkaLog;
pub use wait::{look, take_in};
