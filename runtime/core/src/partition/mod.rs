//! One input partition: everything that happens to its records between decoding and encoding.

use tillwatch_wit::contract::Instant;

use crate::{event::Event, log::Tick, output::DeadLetter};

/// One decoded record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// When the log took it in.
    pub ingest: Instant,
    /// What it is.
    pub body: Body,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An event.
    Event(Event),
    /// Time, and perhaps a change of sight.
    Tick(Tick),
    /// Something that could not be read; it goes out as it is.
    Unreadable(Box<DeadLetter>),
}
