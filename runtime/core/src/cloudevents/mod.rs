//! CloudEvents 1.0 in and out: binary and structured mode, JSON and CBOR.
//!
//! Owns the way from a record's bytes to an [`Event`](crate::event::Event) (or a dead letter: every record gives exactly one
//! [`Record`](crate::partition::Record), whatever its bytes), the masking of card numbers before anything else sees them, the bytes of every
//! output, and the JSON lines of `replay` and `export`. Owns no topic names beyond the one it is told, and does not judge what an event means.

mod cbor;
mod decode;
mod encode;
mod envelope;
mod failure;
mod fields;
mod json;
mod line;
pub mod mask;
mod names;
mod stage;
mod time;
mod usual;

#[cfg(test)]
mod tests;

pub use decode::{Counts, Decoder};
pub use encode::{Encoding, Format, Mode, encode, encode_line, tick_line};
pub use failure::CODES;
