//! One record's bytes to one [`Record`]: an event, a tick or a dead letter, never nothing and never two.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tillwatch_wit::{
    contract::Instant,
    table::{FieldId, TICK, TypeId},
};

use super::{
    cbor,
    encode::{Format, Mode},
    envelope::{Attribute, Coding, Data, Envelope, Layout, format_of, media_type, unsupported},
    failure::{
        BAD_ATTRIBUTE, BAD_FIELD, CODES, EMPTY, Failure, KEY_MISMATCH, NOT_CLOUDEVENTS, RESERVED_TYPE, TOMBSTONE,
        TOO_LARGE,
    },
    fields::{Fields, Tables, event_time, is_text},
    json, mask, stage,
    usual::Usual,
};
use crate::{
    limits::Limits,
    log::{Blind, PartitionId, RawRecord, Tick},
    output::DeadLetter,
    partition::{Body, Record},
    stage::Stage,
};

/// What a decoder has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events read, of known and unknown types.
    pub events: u64,
    /// Those of types that the table does not have.
    pub custom: u64,
    /// Ticks.
    pub ticks: u64,
    /// Records in which a card number was masked.
    pub masked: u64,
    /// Dead letters by code; `other` for codes that an export brought along and this version does not know.
    pub unreadable: BTreeMap<&'static str, u64>,
}

/// Reads the records of one input topic. Keeps nothing from record to record but room, counts, and what makes the
/// next one quicker to read: no record is read otherwise for it.
#[derive(Debug)]
pub struct Decoder {
    pub(super) topic: String,
    pub(super) limits: Limits,
    stage: Stage,
    tables: Tables,
    usual: Usual,
    fields: Fields,
    counts: Counts,
    pub(super) patch: Option<Patch>,
    /// Whether something was masked in the record at hand.
    pub(super) masked: bool,
    pub(super) last_ingest: Instant,
}

/// A card number was found inside of `data_base64`: what to write in its place.
#[derive(Debug)]
pub(super) struct Patch {
    /// Where the text stands in the payload; none where escapes hide it.
    start: Option<usize>,
    /// The masked data, in base64 again.
    pub(super) text: String,
    /// What the data is.
    pub(super) format: Format,
}

impl Decoder {
    /// A decoder for the records of `topic`, of the first stage.
    #[must_use]
    pub fn new(topic: &str, limits: &Limits) -> Self {
        Self::of(Stage::First, topic, limits)
    }

    /// A decoder for the records of a stage's input topic.
    #[must_use]
    pub fn of(stage: Stage, topic: &str, limits: &Limits) -> Self {
        Self {
            topic: topic.to_owned(),
            limits: limits.clone(),
            stage,
            tables: Tables::new(),
            usual: Usual::new(),
            fields: Fields::new(),
            counts: Counts::default(),
            patch: None,
            masked: false,
            last_ingest: 0,
        }
    }

    /// What it has seen.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Reads one record of a log.
    pub fn decode(&mut self, partition: PartitionId, raw: RawRecord<'_>) -> Record {
        self.begin();
        let size = raw.key.map_or(0, <[u8]>::len)
            + raw.value.map_or(0, <[u8]>::len)
            + raw.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let body = if size > self.limits.record_bytes_max {
            let max = self.limits.record_bytes_max;
            let failure = Failure::new(TOO_LARGE, format!("the record has {size} bytes; `record_bytes_max` is {max}"));
            self.unreadable(partition, Some(raw.offset), &raw, failure)
        } else if needs_mask(&raw) {
            let owned = Owned::masked(&raw);
            self.masked = owned.changed;
            let headers: Vec<(&str, &[u8])> =
                owned.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
            let masked =
                RawRecord { key: owned.key.as_deref(), value: owned.value.as_deref(), headers: &headers, ..raw };
            self.body(partition, masked)
        } else {
            self.body(partition, raw)
        };
        self.count_masked();
        Record { offset: raw.offset, ingest: raw.ingest, body }
    }

    /// Forgets the record before.
    pub(super) fn begin(&mut self) {
        self.patch = None;
        self.masked = false;
    }

    fn body(&mut self, partition: PartitionId, raw: RawRecord<'_>) -> Body {
        match self.read(&raw) {
            Ok(body) => body,
            Err(failure) => self.unreadable(partition, Some(raw.offset), &raw, failure),
        }
    }

    fn read(&mut self, raw: &RawRecord<'_>) -> Result<Body, Failure> {
        let missing = match raw.value {
            None => Some(Failure::new(TOMBSTONE, "the record has no value")),
            Some([]) => Some(Failure::new(EMPTY, "the record's value is empty")),
            Some(_) => None,
        };
        let payload = raw.value.unwrap_or_default();
        let mut envelope = Envelope::default();
        let (said, taken) = envelope.take_headers(raw.headers, &self.limits);
        let layout = match (Layout::said(said, raw.value), missing.clone()) {
            (Ok(layout), _) => layout,
            (Err(_), Some(missing)) => return Err(missing),
            (Err(failure), None) => return Err(failure),
        };
        match (layout.mode, layout.format, missing.clone()) {
            (Mode::Binary, format, _) => {
                taken?;
                if missing.is_none() {
                    envelope.set_data(Data::Slice { bytes: payload, start: 0, coding: Coding::As(format) })?;
                }
            }
            (Mode::Structured, _, Some(missing)) => return Err(missing),
            (Mode::Structured, Format::Json, None) => envelope = json::envelope(payload, &self.limits)?,
            (Mode::Structured, Format::Cbor, None) => envelope = cbor::envelope(payload, &self.limits)?,
        }
        self.assemble(&envelope, raw.key, raw.ingest, payload, missing)
    }

    /// Makes the body of an envelope. `missing` says what is wrong with having no payload, where there is none.
    pub(super) fn assemble(
        &mut self,
        envelope: &Envelope<'_>,
        key: Option<&[u8]>,
        ingest: Instant,
        payload: &[u8],
        missing: Option<Failure>,
    ) -> Result<Body, Failure> {
        match envelope.get(Attribute::Specversion) {
            Some(b"1.0") => {}
            Some(_) => return Err(Failure::new(NOT_CLOUDEVENTS, "attribute `specversion` is not 1.0")),
            None => return Err(Failure::new(NOT_CLOUDEVENTS, "attribute `specversion` is missing")),
        }
        let name = envelope.require(Attribute::Type)?;
        if name == TICK.as_bytes() {
            let tick = tick(envelope)?;
            self.counts.ticks += 1;
            return Ok(Body::Tick(tick));
        }
        if self.stage == Stage::Second
            && let Some(body) = stage::body(name, envelope, ingest, &mut self.fields.times)
        {
            return body;
        }
        if let Some(missing) = missing {
            return Err(missing);
        }
        let event_type = self.tables.event_type(name);
        if stage::refused(self.stage, name) {
            let reason = match self.stage {
                Stage::First => "the type is one that only Tillwatch writes; it is not read from an input topic",
                Stage::Second => "the type is none that the first stage sends to the second",
            };
            return Err(Failure::new(RESERVED_TYPE, reason));
        }
        let id = envelope.require(Attribute::Id)?;
        let source = envelope.require(Attribute::Source)?;
        let key = agreed_key(envelope, key)?;
        let times = &mut self.fields.times;
        let time = envelope.get(Attribute::Time).map(|text| event_time(text, ingest, times)).transpose()?;
        let subject = envelope.get(Attribute::Subject);
        if subject.is_none() && event_type.event_type().is_some_and(|row| row.about_payment) {
            return Err(Failure::missing(Attribute::Subject.name()));
        }
        let custom = if event_type == TypeId::CUSTOM { name } else { b"" };
        let attributes = [
            (FieldId::ID, id),
            (FieldId::SOURCE, source),
            (FieldId::PARTITIONKEY, key),
            (FieldId::SUBJECT, subject.unwrap_or_default()),
            (FieldId::TYPE, custom),
        ];
        self.gather(envelope, event_type, payload, &attributes)?;
        let builder = &mut self.fields.event;
        builder.set_type(event_type);
        if let Some(time) = time {
            builder.set_time(time);
        }
        self.counts.events += 1;
        self.counts.custom += u64::from(event_type == TypeId::CUSTOM);
        Ok(Body::Event(builder.build()))
    }

    /// Puts together an event over its payload, with the fields of `data`; one of an unknown type with the whole of it as CBOR.
    fn gather(
        &mut self,
        envelope: &Envelope<'_>,
        event_type: TypeId,
        payload: &[u8],
        attributes: &[(FieldId, &[u8])],
    ) -> Result<(), Failure> {
        let decoded;
        let data = match &envelope.data {
            None => None,
            Some(Data::Slice { bytes, start, coding: Coding::As(format) }) => Some((*bytes, Some(*start), *format)),
            Some(Data::Slice { bytes, start, coding: Coding::Declared }) => {
                Some((*bytes, Some(*start), declared(envelope)?))
            }
            Some(Data::Base64 { text, start }) => {
                let format = declared(envelope)?;
                decoded = self.base64(text, *start, format)?;
                Some((&*decoded, None, format))
            }
        };
        let payload = patched(self.patch.as_ref(), payload);
        let base = data.and_then(|(_, start, _)| start);
        self.fields.begin(&payload, self.tables.strict(event_type), base);
        for (field, text) in attributes {
            if !text.is_empty() {
                self.fields.event.push(*field, text);
            }
        }
        let Some((bytes, start, format)) = data else { return Ok(()) };
        let custom = event_type == TypeId::CUSTOM;
        match format {
            Format::Json => json::data(bytes, custom, &self.tables, &mut self.fields, &self.limits)?,
            Format::Cbor => {
                let mut usual = self.usual.of(event_type);
                cbor::data(bytes, custom, &self.tables, &mut usual, &mut self.fields, &self.limits)?;
            }
        }
        if custom && !is_null(bytes, format) {
            match (format, start) {
                (Format::Cbor, Some(start)) => self.fields.event.range(FieldId::DATA, start, start + bytes.len()),
                (Format::Cbor, None) => self.fields.event.push(FieldId::DATA, bytes),
                (Format::Json, _) => self.fields.event.push(FieldId::DATA, &cbor_of_json(bytes)?),
            }
        }
        Ok(())
    }

    /// Decodes `data_base64`; a card number in it is masked there too.
    fn base64(&mut self, text: &str, start: Option<usize>, format: Format) -> Result<Vec<u8>, Failure> {
        let mut bytes = STANDARD.decode(text).map_err(|_| Failure::new(BAD_ATTRIBUTE, "`data_base64` is no base64"))?;
        if mask::suspect(&bytes) && mask_in(&mut bytes, format) {
            self.masked = true;
            self.patch = Some(Patch { start, text: STANDARD.encode(&bytes), format });
        }
        Ok(bytes)
    }

    /// The dead letter of a record, masked in every way in which it may be read: what could not be has not been looked into.
    pub(super) fn unreadable(
        &mut self,
        partition: PartitionId,
        offset: Option<i64>,
        raw: &RawRecord<'_>,
        failure: Failure,
    ) -> Body {
        let (code, reason) = failure.into_parts();
        let mut changed = false;
        let mut masked = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            changed |= mask::thoroughly(&mut bytes);
            bytes
        };
        let letter = DeadLetter {
            topic: self.topic.clone(),
            partition,
            offset,
            code: code.to_owned(),
            reason,
            rule: None,
            visit_key: None,
            key: raw.key.map(&mut masked),
            headers: raw
                .headers
                .iter()
                .map(|(name, value)| {
                    let name = String::from_utf8(masked(name.as_bytes())).expect("invariant: a mask is ASCII");
                    (name, masked(value))
                })
                .collect(),
            bytes: raw.value.map(|value| masked(&patched(self.patch.as_ref(), value))),
        };
        self.masked |= changed;
        self.dead(letter)
    }

    pub(super) fn dead(&mut self, letter: DeadLetter) -> Body {
        let code = CODES.iter().find(|code| **code == letter.code).copied().unwrap_or("other");
        *self.counts.unreadable.entry(code).or_default() += 1;
        Body::Unreadable(Box::new(letter))
    }

    pub(super) fn count_masked(&mut self) {
        self.counts.masked += u64::from(self.masked);
    }
}

/// The payload to keep: with what [`Decoder::base64`] masked, or nothing where that stands in no single place.
fn patched<'p>(patch: Option<&Patch>, payload: &'p [u8]) -> Cow<'p, [u8]> {
    match patch {
        None => Cow::Borrowed(payload),
        Some(Patch { start: Some(start), text, .. }) => {
            let mut patched = payload.to_vec();
            patched[*start..*start + text.len()].copy_from_slice(text.as_bytes());
            Cow::Owned(patched)
        }
        Some(Patch { start: None, .. }) => Cow::Borrowed(&[]),
    }
}

/// A record whose card numbers are masked.
struct Owned<'a> {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'a str, Cow<'a, [u8]>)>,
    changed: bool,
}

impl<'a> Owned<'a> {
    fn masked(raw: &RawRecord<'a>) -> Self {
        let mut changed = false;
        let mut plain = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            changed |= mask::plain(&mut bytes);
            bytes
        };
        let key = raw.key.map(&mut plain);
        let headers = raw.headers.iter().map(|(name, value)| (*name, Cow::Owned(plain(value)))).collect();
        let mut value = raw.value.map(<[u8]>::to_vec);
        if let Some(value) = &mut value {
            changed |= match Layout::of(raw) {
                Ok(layout) => mask_in(value, layout.format),
                Err(_) => mask::plain(value),
            };
        }
        Self { key, value, headers, changed }
    }
}

fn needs_mask(raw: &RawRecord<'_>) -> bool {
    raw.value.is_some_and(mask::suspect)
        || raw.key.is_some_and(mask::long_run)
        || raw.headers.iter().any(|(_, value)| mask::long_run(value))
}

fn mask_in(bytes: &mut [u8], format: Format) -> bool {
    match format {
        Format::Json => mask::json(bytes),
        Format::Cbor => mask::cbor(bytes),
    }
}

/// The format that `datacontenttype` names; JSON where it is silent, as CloudEvents has it.
pub(super) fn declared(envelope: &Envelope<'_>) -> Result<Format, Failure> {
    match envelope.get(Attribute::Datacontenttype) {
        None => Ok(Format::Json),
        Some(text) => format_of(&media_type(text))
            .ok_or_else(|| unsupported("application/json and application/cbor as `datacontenttype`")),
    }
}

/// The record's key and `partitionkey`: the same, or only one of them.
fn agreed_key<'e>(envelope: &'e Envelope<'_>, key: Option<&'e [u8]>) -> Result<&'e [u8], Failure> {
    match (key.filter(|key| !key.is_empty()), envelope.get(Attribute::Partitionkey)) {
        (Some(key), Some(attribute)) if key == attribute => Ok(attribute),
        (Some(key), _) if !is_text(key) => Err(Failure::new(BAD_ATTRIBUTE, "the record's key is no UTF-8")),
        (Some(_), Some(_)) => Err(Failure::new(KEY_MISMATCH, "the record's key and attribute `partitionkey` differ")),
        (Some(key), None) => Ok(key),
        (None, Some(attribute)) => Ok(attribute),
        (None, None) => Err(Failure::missing(Attribute::Partitionkey.name())),
    }
}

fn tick(envelope: &Envelope<'_>) -> Result<Tick, Failure> {
    let blind = match envelope.text(Attribute::Blind) {
        None => None,
        Some(name) => Some(Blind::from_name(name).ok_or_else(|| {
            Failure::new(BAD_ATTRIBUTE, "attribute `blind` of a tick must be `broker`, `lag` or `over`")
        })?),
    };
    Ok(Tick { blind })
}

/// JSON as CBOR, for rules that ask for the whole of `data`.
fn cbor_of_json(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let value: ciborium::Value =
        serde_json::from_slice(bytes).map_err(|_| Failure::new(BAD_FIELD, "`data` cannot be written as CBOR"))?;
    let mut out = Vec::with_capacity(bytes.len());
    ciborium::into_writer(&value, &mut out).expect("invariant: a value is written to memory");
    Ok(out)
}

/// Whether `data` is null: as an attribute, that is the same as none.
fn is_null(bytes: &[u8], format: Format) -> bool {
    match format {
        Format::Json => bytes.trim_ascii() == b"null",
        Format::Cbor => match bytes {
            // Tags before it change nothing.
            [0xc0..=0xd7, rest @ ..]
            | [0xd8, _, rest @ ..]
            | [0xd9, _, _, rest @ ..]
            | [0xda, _, _, _, _, rest @ ..]
            | [0xdb, _, _, _, _, _, _, _, _, rest @ ..] => is_null(rest, format),
            _ => matches!(bytes, [0xf6 | 0xf7]),
        },
    }
}
