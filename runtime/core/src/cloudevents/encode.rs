//! Outputs to records and to JSON lines. The same output gives the same bytes.

use serde::{Serialize, Serializer, ser::SerializeMap};
use tillwatch_wit::contract::Instant;

use crate::{
    log::{Message, Tick},
    output::{Data, Finding, Output, Resolution, rfc3339},
};

/// How a record carries its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers, `data` as the payload.
    #[default]
    Binary,
    /// All in the payload.
    Structured,
}

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// RFC 8259.
    Json,
    /// RFC 8949.
    #[default]
    Cbor,
}

/// How outputs are written; binary mode and CBOR by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Where the attributes stand.
    pub mode: Mode,
    /// How the payload is written.
    pub format: Format,
}

/// The record of an output. Evidence is between Tillwatch and itself, and compact whatever readers of the other topics prefer.
///
/// # Panics
/// Never: what an output holds can be written in both formats.
#[must_use]
pub fn encode(output: &Output, encoding: Encoding) -> Message {
    let encoding = if matches!(output.data, Data::Evidence(_)) { Encoding::default() } else { encoding };
    let (content_type, value) = match (encoding.mode, encoding.format) {
        (Mode::Binary, format) => (format.media_type(), format.write(&Payload(&output.data))),
        (Mode::Structured, format) => {
            let content_type = match format {
                Format::Json => "application/cloudevents+json",
                Format::Cbor => "application/cloudevents+cbor",
            };
            (content_type, format.write(&Structured { output, topic: None, content_type: format.media_type() }))
        }
    };
    let mut headers = vec![("content-type", content_type.to_owned())];
    if encoding.mode == Mode::Binary {
        headers.extend([
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", output.id.as_str().to_owned()),
            ("ce_source", output.source.clone()),
            ("ce_type", output.data.event_type().to_owned()),
        ]);
        headers.extend(output.subject.clone().map(|subject| ("ce_subject", subject)));
        headers.push(("ce_time", rfc3339(output.time)));
        headers.push(("ce_partitionkey", output.key.clone()));
    }
    Message { topic: output.data.topic(), key: output.key.clone(), headers, value }
}

/// An output as one line: a structured CloudEvent in JSON with its topic as an attribute. No line break at the end.
///
/// # Panics
/// Never: what an output holds can be written as JSON.
#[must_use]
pub fn encode_line(output: &Output, topic_name: &str) -> String {
    let line = Structured { output, topic: Some(topic_name), content_type: Format::Json.media_type() };
    serde_json::to_string(&line).expect("invariant: an output can be written as JSON")
}

/// A tick as one line of `replay`'s input. No line break at the end.
///
/// # Panics
/// Never: texts can be written as JSON.
#[must_use]
pub fn tick_line(tick: Tick, ingest: Instant) -> String {
    header_line(tick.headers(), ingest)
}

/// A record that is all headers as one line of JSON.
pub(super) fn header_line(headers: Vec<(&'static str, impl Into<String>)>, ingest: Instant) -> String {
    let mut line = serde_json::Map::new();
    for (name, value) in headers {
        line.insert(name.trim_start_matches("ce_").to_owned(), value.into().into());
    }
    line.insert("ingesttime".to_owned(), rfc3339(ingest).into());
    serde_json::to_string(&line).expect("invariant: texts can be written as JSON")
}

impl Format {
    /// Of `data` in this format.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Cbor => "application/cbor",
        }
    }

    fn write(self, value: &impl Serialize) -> Vec<u8> {
        match self {
            Self::Json => serde_json::to_vec(value).expect("invariant: an output can be written as JSON"),
            Self::Cbor => {
                let mut out = Vec::with_capacity(512);
                ciborium::into_writer(value, &mut out).expect("invariant: an output can be written as CBOR");
                out
            }
        }
    }
}

/// An event with its attributes.
struct Structured<'a> {
    output: &'a Output,
    topic: Option<&'a str>,
    content_type: &'static str,
}

impl Serialize for Structured<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let output = self.output;
        let length = 8 + usize::from(output.subject.is_some()) + usize::from(self.topic.is_some());
        let mut map = serializer.serialize_map(Some(length))?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", output.id.as_str())?;
        map.serialize_entry("source", &output.source)?;
        map.serialize_entry("type", output.data.event_type())?;
        if let Some(subject) = &output.subject {
            map.serialize_entry("subject", subject)?;
        }
        map.serialize_entry("time", &rfc3339(output.time))?;
        map.serialize_entry("partitionkey", &output.key)?;
        if let Some(topic) = self.topic {
            map.serialize_entry("topic", topic)?;
        }
        map.serialize_entry("datacontenttype", self.content_type)?;
        map.serialize_entry("data", &Payload(&output.data))?;
        map.end()
    }
}

/// What stands in `data`.
struct Payload<'a>(&'a Data);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// A finding and how it ended, side by side.
        #[derive(Serialize)]
        struct Ended<'a> {
            #[serde(flatten)]
            finding: &'a Finding,
            #[serde(flatten)]
            resolution: &'a Resolution,
        }
        match self.0 {
            Data::Raised(finding) | Data::Updated(finding) => finding.serialize(serializer),
            Data::Cleared(finding, resolution) => Ended { finding, resolution }.serialize(serializer),
            Data::Command(command) => command.serialize(serializer),
            Data::Cancelled(cancelled) => cancelled.serialize(serializer),
            Data::Evidence(derived) => derived.serialize(serializer),
            Data::Told(told) => told.serialize(serializer),
            Data::Incident(incident) => incident.serialize(serializer),
            Data::DeadLetter(letter) => letter.serialize(serializer),
        }
    }
}
