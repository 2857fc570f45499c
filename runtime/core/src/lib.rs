//! The pure middle of Tillwatch: events in, effects out.
//!
//! Owns order, watermark, deduplication, timers, keyed state, the routing of events to rules, and what every output says. Owns no I/O,
//! no clock, no threads and no logging: time is an argument, facts go in as plain values, decisions come out as [`output::Output`]s and
//! [`log::Changes`]. The same input gives the same bytes.

pub mod cloudevents;
pub mod event;
pub mod limits;
mod line;
pub mod log;
pub mod output;
pub mod partition;
pub mod rules;
pub mod stage;
pub mod words;

pub use tillwatch_wit::contract::Instant;
