//! The JSON lines of `replay` and `export`: structured CloudEvents with `ingesttime`, and what a log had beside them.
//!
//! An exported record says where it came from in `kafkapartition` and `kafkaoffset`. One that could not be read is a line of type
//! [`RAW`] with its dead letter in `data`, so that a replay has the same dead letter. `data` that JSON cannot say without loss stays CBOR, in `data_base64`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tillwatch_wit::contract::Instant;

use super::{
    cbor,
    decode::{Decoder, declared},
    encode::{Format, Mode, header_line, tick_line},
    envelope::{Attribute, Coding, Data, Envelope, Layout, PREFIX},
    failure::{BAD_ATTRIBUTE, BAD_FIELD, BAD_TIME, EMPTY, Failure, TOO_LARGE},
    json, mask, time,
};
use crate::{
    event::Event,
    log::{PartitionId, RawRecord},
    output::{DeadLetter, rfc3339},
    partition::{Body, Record},
};

/// The type of a line that holds a record as it was, because it could not be read.
pub(super) const RAW: &str = "tillwatch.raw";

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    partition: PartitionId,
    offset: i64,
    ingest: Instant,
}

impl Decoder {
    /// Reads one line: `number` becomes the record's offset. A line without a readable `ingesttime` or `time` has the ingest time of the line before.
    pub fn decode_line(&mut self, number: u64, line: &[u8]) -> Record {
        let offset = i64::try_from(number).expect("invariant: a file has fewer than 2^63 lines");
        let mut line = line.trim_ascii().to_vec();
        self.begin();
        self.masked = mask::suspect(&line) && mask::json(&mut line);
        let mut origin = Origin { partition: 0, offset, ingest: self.last_ingest };
        let body = match self.read_line(&line, &mut origin) {
            Ok(body) => body,
            Err(failure) => {
                let raw = RawRecord { offset, ingest: origin.ingest, key: None, value: Some(&line), headers: &[] };
                self.unreadable(origin.partition, Some(origin.offset), &raw, failure)
            }
        };
        self.count_masked();
        self.last_ingest = self.last_ingest.max(origin.ingest);
        Record { offset, ingest: origin.ingest, body }
    }

    fn read_line(&mut self, line: &[u8], origin: &mut Origin) -> Result<Body, Failure> {
        if line.is_empty() {
            return Err(Failure::new(EMPTY, "the line is empty"));
        }
        let envelope = json::envelope(line, &self.limits);
        // An exported record was measured where it came from, and a line of it is longer than it was.
        let exported = envelope.as_ref().is_ok_and(|envelope| envelope.get(Attribute::Kafkaoffset).is_some());
        let max = self.limits.record_bytes_max;
        if line.len() > max && !exported {
            let reason = format!("the line has {} bytes; `record_bytes_max` is {max}", line.len());
            return Err(Failure::new(TOO_LARGE, reason));
        }
        let envelope = envelope?;
        origin.read(&envelope)?;
        if envelope.text(Attribute::Type) == Some(RAW) {
            return self.raw(&envelope, *origin);
        }
        self.assemble(&envelope, None, origin.ingest, line, None)
    }

    fn raw(&mut self, envelope: &Envelope<'_>, origin: Origin) -> Result<Body, Failure> {
        let Some(Data::Slice { bytes, .. }) = &envelope.data else {
            return Err(Failure::missing("data"));
        };
        let letter: Raw = serde_json::from_slice(bytes)
            .map_err(|_| Failure::new(BAD_FIELD, "`data` of a `tillwatch.raw` line is not as `export` writes it"))?;
        let letter = letter
            .letter(&self.topic, origin)
            .ok_or_else(|| Failure::new(BAD_FIELD, "a text in `data` of a `tillwatch.raw` line is no base64"))?;
        Ok(self.dead(letter))
    }

    /// A record of a log as one line that [`Decoder::decode_line`] reads as the same record. No line break at the end.
    ///
    /// # Panics
    /// Never: what was read can be written as JSON.
    pub fn event_line(&mut self, partition: PartitionId, raw: RawRecord<'_>) -> String {
        let record = self.decode(partition, raw);
        let origin = Origin { partition, offset: raw.offset, ingest: raw.ingest };
        match record.body {
            Body::Tick(tick) => tick_line(tick, raw.ingest),
            Body::Passed(passed) => header_line(passed.headers(), raw.ingest),
            Body::LeftOut(left) => header_line(left.headers(), raw.ingest),
            Body::Unreadable(letter) => {
                let raw = serde_json::to_string(&Raw::of(&letter)).expect("invariant: texts can be written as JSON");
                let mut line = Line::of(origin, RAW, Datum::Json(raw));
                line.text("id", &format!("{partition}-{}", origin.offset));
                line.text("source", "/tillwatch/export");
                line.finish()
            }
            Body::Event(event) => self.readable(origin, &raw, &event),
        }
    }

    fn readable(&self, origin: Origin, raw: &RawRecord<'_>, event: &Event) -> String {
        let mut line = Line::of(origin, event.type_name(), Datum::None);
        line.text("id", event.id());
        line.text("source", event.source());
        line.text("partitionkey", event.key());
        if !event.subject().is_empty() {
            line.text("subject", event.subject());
        }
        if let Some(time) = event.time() {
            line.text("time", &rfc3339(time));
        }
        let payload = event.payload();
        if let (Some(patch), true) = (&self.patch, payload.is_empty()) {
            line.datum = Datum::Base64(patch.text.clone(), patch.format);
            return line.finish();
        }
        let layout = Layout::of(raw).expect("invariant: an event was read by its layout");
        let envelope = match (layout.mode, layout.format) {
            (Mode::Binary, _) => {
                line.header_extensions(raw);
                let mut envelope = Envelope::default();
                envelope.data = Some(Data::Slice { bytes: payload, start: 0, coding: Coding::As(layout.format) });
                Ok(envelope)
            }
            (Mode::Structured, Format::Json) => {
                line.json_extensions(payload);
                json::envelope(payload, &self.limits)
            }
            (Mode::Structured, Format::Cbor) => {
                line.cbor_extensions(payload);
                cbor::envelope(payload, &self.limits)
            }
        };
        line.datum = Datum::of(&envelope.expect("invariant: the payload of an event was read before"));
        line.finish()
    }
}

impl Origin {
    /// Takes what the line says, in the order in which it matters: the time even where the rest is no good.
    fn read(&mut self, envelope: &Envelope<'_>) -> Result<(), Failure> {
        let instant = |attribute: Attribute| envelope.text(attribute).map(time::parse);
        match (instant(Attribute::Ingesttime), instant(Attribute::Time)) {
            (Some(Some(ingest)), _) | (None, Some(Some(ingest))) => self.ingest = ingest,
            (Some(None), _) => return Err(Failure::new(BAD_TIME, "attribute `ingesttime` is no RFC 3339 time")),
            (None, Some(None)) => return Err(Failure::new(BAD_TIME, "attribute `time` is no RFC 3339 time")),
            (None, None) => return Err(Failure::missing(Attribute::Ingesttime.name())),
        }
        if let Some(partition) = envelope.text(Attribute::Kafkapartition) {
            self.partition = partition.parse().map_err(|_| no_number(Attribute::Kafkapartition))?;
        }
        if let Some(offset) = envelope.text(Attribute::Kafkaoffset) {
            self.offset = offset.parse().map_err(|_| no_number(Attribute::Kafkaoffset))?;
        }
        Ok(())
    }
}

fn no_number(attribute: Attribute) -> Failure {
    Failure::new(BAD_ATTRIBUTE, format!("attribute `{}` is no number that fits", attribute.name()))
}

/// `data` of a [`RAW`] line; bytes in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    code: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Raw {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            code: letter.code.clone(),
            reason: letter.reason.clone(),
            key: letter.key.as_ref().map(|key| STANDARD.encode(key)),
            headers: letter.headers.iter().map(|(name, value)| (name.clone(), STANDARD.encode(value))).collect(),
            value: letter.bytes.as_ref().map(|bytes| STANDARD.encode(bytes)),
        }
    }

    /// The dead letter again, masked once more: a file may have been edited.
    fn letter(self, topic: &str, origin: Origin) -> Option<DeadLetter> {
        let bytes = |text: String| {
            let mut bytes = STANDARD.decode(text).ok()?;
            mask::thoroughly(&mut bytes);
            Some(bytes)
        };
        let optional = |text: Option<String>| match text {
            None => Some(None),
            Some(text) => bytes(text).map(Some),
        };
        Some(DeadLetter {
            topic: topic.to_owned(),
            partition: origin.partition,
            offset: Some(origin.offset),
            code: self.code,
            reason: self.reason,
            rule: None,
            visit_key: None,
            key: optional(self.key)?,
            headers: self
                .headers
                .into_iter()
                .map(|(name, value)| bytes(value).map(|value| (name, value)))
                .collect::<Option<_>>()?,
            bytes: optional(self.value)?,
        })
    }
}

/// A line in the making.
struct Line {
    /// Names, and values as JSON.
    attributes: Vec<(String, String)>,
    datum: Datum,
}

impl Line {
    fn of(origin: Origin, event_type: &str, datum: Datum) -> Self {
        let mut line = Self { attributes: Vec::with_capacity(12), datum };
        line.text("specversion", "1.0");
        line.text("type", event_type);
        line.text("ingesttime", &rfc3339(origin.ingest));
        line.attributes.push(("kafkapartition".to_owned(), origin.partition.to_string()));
        // A CloudEvents integer has 32 bits; an offset has more.
        line.text("kafkaoffset", &origin.offset.to_string());
        line
    }

    fn text(&mut self, name: &str, value: &str) {
        self.attributes.push((name.to_owned(), json_text(value)));
    }

    /// An attribute that the runtime does not read.
    fn extension(&mut self, name: &str, value: String) {
        if Attribute::by_name(name).is_none() && name != "data" && name != "data_base64" {
            self.attributes.push((name.to_owned(), value));
        }
    }

    fn header_extensions(&mut self, raw: &RawRecord<'_>) {
        for (name, value) in raw.headers {
            if let (Some(name), Ok(value)) = (name.strip_prefix(PREFIX), std::str::from_utf8(value)) {
                let mut value = value.to_owned().into_bytes();
                mask::plain(&mut value);
                self.extension(name, json_text(&String::from_utf8_lossy(&value)));
            }
        }
    }

    fn json_extensions(&mut self, payload: &[u8]) {
        let all: BTreeMap<String, &RawValue> =
            serde_json::from_slice(payload).expect("invariant: the payload of an event was read before");
        for (name, value) in all {
            self.extension(&name, one_line(value.get().as_bytes()));
        }
    }

    fn cbor_extensions(&mut self, payload: &[u8]) {
        // One by one: what only one of them says, ciborium may not know.
        cbor::entries(payload, &mut |name, value| {
            if let Some(value) = ciborium::from_reader(value).ok().and_then(|value| to_json(&value)) {
                self.extension(name, value);
            }
        });
    }

    fn finish(mut self) -> String {
        match std::mem::replace(&mut self.datum, Datum::None) {
            Datum::None => {}
            Datum::Json(text) => {
                self.text("datacontenttype", Format::Json.media_type());
                self.attributes.push(("data".to_owned(), text));
            }
            Datum::Base64(text, format) => {
                self.text("datacontenttype", format.media_type());
                self.text("data_base64", &text);
            }
        }
        let entries: Vec<String> =
            self.attributes.iter().map(|(name, value)| format!("{}:{value}", json_text(name))).collect();
        format!("{{{}}}", entries.join(","))
    }
}

/// Whether CBOR is as a reader of JSON would write it again: a rule is given the bytes, and they are to be the same in a replay.
fn is_preferred(value: &ciborium::Value, bytes: &[u8]) -> bool {
    let mut written = Vec::with_capacity(bytes.len());
    ciborium::into_writer(value, &mut written).is_ok() && written == bytes
}

/// `data` of a line.
enum Datum {
    None,
    Json(String),
    Base64(String, Format),
}

impl Datum {
    fn of(envelope: &Envelope<'_>) -> Self {
        let format = || declared(envelope).expect("invariant: the payload of an event was read before");
        let (bytes, format) = match &envelope.data {
            None => return Self::None,
            Some(Data::Base64 { text, .. }) => return Self::Base64(text.to_string(), format()),
            Some(Data::Slice { bytes, coding: Coding::As(format), .. }) => (*bytes, *format),
            Some(Data::Slice { bytes, coding: Coding::Declared, .. }) => (*bytes, format()),
        };
        match format {
            Format::Json => Self::Json(one_line(bytes)),
            Format::Cbor => ciborium::from_reader(bytes)
                .ok()
                .filter(|value| is_preferred(value, bytes))
                .and_then(|value| to_json(&value))
                .map_or_else(|| Self::Base64(STANDARD.encode(bytes), Format::Cbor), Self::Json),
        }
    }
}

/// JSON that says all that the CBOR says; none where it cannot.
fn to_json(value: &ciborium::Value) -> Option<String> {
    use ciborium::Value;
    let list = |texts: Option<Vec<String>>| texts.map(|texts| texts.join(","));
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Text(text) => json_text(text),
        Value::Integer(integer) => {
            let integer = i128::from(*integer);
            (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer).then(|| integer.to_string())?
        }
        Value::Float(float) if float.is_finite() => serde_json::to_string(float).ok()?,
        Value::Array(items) => format!("[{}]", list(items.iter().map(to_json).collect())?),
        Value::Map(entries) => {
            let entry =
                |(key, value): &(Value, Value)| Some(format!("{}:{}", json_text(key.as_text()?), to_json(value)?));
            format!("{{{}}}", list(entries.iter().map(entry).collect())?)
        }
        _ => return None,
    })
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("invariant: a text can be written as JSON")
}

/// Valid JSON without the white space between its tokens, so that it fits on a line.
fn one_line(json: &[u8]) -> String {
    let mut out = Vec::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for &byte in json {
        if inside || !byte.is_ascii_whitespace() {
            out.push(byte);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    String::from_utf8(out).expect("invariant: JSON that was read is UTF-8")
}
