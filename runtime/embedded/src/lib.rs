//! The log on an embedded storage engine: for one machine without Kafka, for the demo and for tests.
//!
//! Owns a directory with topics, partitions, offsets, records, the changelog and the committed positions, and the promise of
//! [`tillwatch_core::log`] over them: what a commit holds becomes visible together or not at all, and what was acknowledged is on the
//! disk. One process writes; its workers and its HTTP ingest share one group commit. fjall (ADR 0001) keeps the bytes; that it drops a
//! torn tail without a word is made good here by a second small file, `acknowledged`. Owns no clock (it is an option), no events and
//! no threads.

#[doc(hidden)]
pub mod acknowledged;
mod engine;
mod fault;
mod group;
mod options;
#[doc(hidden)]
pub mod record;
mod retention;
mod salvage;
mod store;
mod topics;
mod worker;
mod write;

pub use acknowledged::Lost;
pub use options::{Clock, Limits, Options, Retention, TopicOptions};
pub use store::{NewRecord, Store, To};
pub use worker::EmbeddedLog;
