//! Outputs read back from a log: for the simulated fleet, which acts on commands, and for people who watch.

use serde_json::Value;
use tillwatch_core::log::RawRecord;

/// One output as it lies in a record of any mode and format: its `CloudEvents` type and data.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `CloudEvents` type.
    pub event_type: String,
    /// Its data.
    pub data: Value,
}

impl Seen {
    /// Reads a record of an output topic; none where it is none of Tillwatch's.
    #[must_use]
    pub fn of(raw: &RawRecord<'_>) -> Option<Self> {
        let header = |wanted: &str| {
            let found = raw.headers.iter().find(|(name, _)| *name == wanted);
            found.and_then(|(_, value)| std::str::from_utf8(value).ok())
        };
        let content_type = header("content-type")?;
        let value = raw.value?;
        let payload: Value = if content_type.ends_with("cbor") {
            ciborium::from_reader(value).ok()?
        } else {
            serde_json::from_slice(value).ok()?
        };
        if content_type.starts_with("application/cloudevents+") {
            let event_type = payload.get("type")?.as_str()?.to_owned();
            return Some(Self { event_type, data: payload.get("data")?.clone() });
        }
        Some(Self { event_type: header("ce_type")?.to_owned(), data: payload })
    }

    /// A text of its data; empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_core::{
        cloudevents::{Encoding, Format, Mode, encode},
        output::{Cancelled, Data, Id, Output},
    };

    use super::*;

    #[test]
    fn every_mode_and_format_reads_the_same() {
        let cancelled = Cancelled {
            command: Id::of(&[b"x"]),
            kind: "reprint".to_owned(),
            txn: None,
            reason: "cleared".to_owned(),
            cleared_by: None,
        };
        let output = Output {
            id: Id::of(&[b"y"]),
            source: "/tillwatch/compensate".to_owned(),
            time: 0,
            subject: None,
            key: "T1".to_owned(),
            data: Data::Cancelled(cancelled),
        };
        for mode in [Mode::Binary, Mode::Structured] {
            for format in [Format::Json, Format::Cbor] {
                let message = encode(&output, Encoding { mode, format });
                let headers: Vec<(&str, &[u8])> =
                    message.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                let raw = RawRecord { offset: 0, ingest: 0, key: None, value: Some(&message.value), headers: &headers };
                let seen = Seen::of(&raw).expect("it is one of ours");
                assert_eq!(seen.event_type, "pos.command.cancelled");
                assert_eq!(seen.text("/kind"), "reprint");
            }
        }
    }
}
