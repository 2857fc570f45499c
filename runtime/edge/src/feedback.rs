//! Outputs read back from a log: for the simulated fleet, which acts on commands, and for people who watch.

use serde_json::{Map, Value};
use tillwatch_core::log::RawRecord;

/// One output as it lies in a record of any mode and format: its `CloudEvents` type and data.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `CloudEvents` type.
    pub event_type: String,
    /// Its data.
    pub data: Value,
}

/// A record of an output topic as `replay` writes it: one structured event in JSON with `topic`; none where it is none of Tillwatch's.
#[must_use]
pub fn line(raw: &RawRecord<'_>, topic: &str) -> Option<String> {
    let Seen { event_type, data } = Seen::of(raw)?;
    let mut event = Map::new();
    let whole = raw.value.filter(|_| header(raw, "ce_type").is_none()).and_then(|value| payload(raw, value));
    for name in ["specversion", "id", "source", "type", "subject", "time", "partitionkey"] {
        let attribute = match &whole {
            Some(whole) => whole.get(name).cloned(),
            None => header(raw, &format!("ce_{name}")).map(Value::from),
        };
        event.extend(attribute.map(|value| (name.to_owned(), value)));
    }
    event.insert("type".to_owned(), event_type.into());
    event.insert("topic".to_owned(), topic.into());
    event.insert("datacontenttype".to_owned(), "application/json".into());
    event.insert("data".to_owned(), data);
    Some(Value::Object(event).to_string())
}

fn header<'a>(raw: &RawRecord<'a>, wanted: &str) -> Option<&'a str> {
    let found = raw.headers.iter().find(|(name, _)| *name == wanted);
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

fn payload(raw: &RawRecord<'_>, value: &[u8]) -> Option<Value> {
    if header(raw, "content-type")?.ends_with("cbor") {
        ciborium::from_reader(value).ok()
    } else {
        serde_json::from_slice(value).ok()
    }
}

impl Seen {
    /// Reads a record of an output topic; none where it is none of Tillwatch's.
    #[must_use]
    pub fn of(raw: &RawRecord<'_>) -> Option<Self> {
        let payload = payload(raw, raw.value?)?;
        if header(raw, "content-type")?.starts_with("application/cloudevents+") {
            let event_type = payload.get("type")?.as_str()?.to_owned();
            return Some(Self { event_type, data: payload.get("data")?.clone() });
        }
        Some(Self { event_type: header(raw, "ce_type")?.to_owned(), data: payload })
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
        cloudevents::{Encoding, Format, Mode, encode, encode_line},
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
                let line: Value =
                    serde_json::from_str(&line(&raw, "pos.commands").expect("it is one of ours")).expect("JSON");
                let replayed: Value = serde_json::from_str(&encode_line(&output, "pos.commands")).expect("JSON");
                assert_eq!(line, replayed);
            }
        }
    }
}
