//! The fields of one `data`, put into their event as they are found, each in the type that the table gives it.

use tillwatch_wit::{
    contract::Instant,
    table::{COMMON, EVENTS, FIELDS, FieldId, Kind, TypeId},
};

use super::{
    failure::{BAD_FIELD, BAD_TIME, Failure},
    names::Names,
    time::Times,
};
use crate::event::EventBuilder;

/// Names, types, and which fields an event type is strict about. Made once.
#[derive(Debug)]
pub(super) struct Tables {
    names: Names,
    types: Names,
    strict: Vec<Set>,
    strict_custom: Set,
}

impl Tables {
    pub(super) fn new() -> Self {
        let common = Set::default().with(COMMON);
        Self {
            names: Names::new(FIELDS.iter().map(|field| field.name).collect()),
            types: Names::new(EVENTS.iter().map(|event| event.name).collect()),
            strict: EVENTS.iter().map(|event| common.with(event.fields)).collect(),
            strict_custom: common,
        }
    }

    /// The field of that name in `data`; none for those of the envelope.
    pub(super) fn field(&self, name: &[u8]) -> Option<FieldId> {
        self.names.get(name).map(FieldId).filter(|field| *field > FieldId::DATA)
    }

    pub(super) fn event_type(&self, name: &[u8]) -> TypeId {
        self.types.get(name).map_or(TypeId::CUSTOM, TypeId)
    }

    /// The fields whose type must be right in an event of this type: its own and the common ones. Any other field of the table is taken where it has the
    /// right type, and is an unknown one where not.
    pub(super) fn strict(&self, event_type: TypeId) -> Set {
        self.strict.get(usize::from(event_type.0)).copied().unwrap_or(self.strict_custom)
    }
}

/// Fields, one bit for each that there may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Set([u64; 4]);

impl Set {
    fn has(&self, field: FieldId) -> bool {
        self.0[usize::from(field.0 / 64)] & (1 << (field.0 % 64)) != 0
    }

    /// True where it was not there.
    #[inline(always)]
    fn put(&mut self, field: FieldId) -> bool {
        let (word, bit) = (&mut self.0[usize::from(field.0 / 64)], 1 << (field.0 % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn with(mut self, fields: &[FieldId]) -> Self {
        for field in fields {
            self.put(*field);
        }
        self
    }
}

/// Puts fields into an event.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) event: EventBuilder,
    seen: Set,
    strict: Set,
    /// Offset of `data` in the payload; none where it is no part of it.
    base: Option<usize>,
    pub(super) times: Times,
}

impl Fields {
    pub(super) fn new() -> Self {
        Self {
            event: EventBuilder::new(&[]),
            seen: Set::default(),
            strict: Set::default(),
            base: None,
            times: Times::default(),
        }
    }

    /// Begins with an event over that payload.
    pub(super) fn begin(&mut self, payload: &[u8], strict: Set, base: Option<usize>) {
        self.event.begin(payload);
        self.seen = Set::default();
        self.strict = strict;
        self.base = base;
    }

    /// Notes that the field is there, `null` or not.
    #[inline]
    pub(super) fn see(&mut self, field: FieldId) -> Result<(), Failure> {
        if self.seen.put(field) { Ok(()) } else { Err(twice(field)) }
    }

    /// A text, in UTF-8, that stands at `start` of `data` (none: in no single range of it).
    #[inline]
    pub(super) fn text(&mut self, field: FieldId, text: &[u8], start: Option<usize>) -> Result<(), Failure> {
        if field.field().kind != Kind::Text {
            return self.no_text(field, text);
        }
        match (self.base, start) {
            _ if text.is_empty() => {}
            (Some(base), Some(start)) => self.event.range(field, base + start, base + start + text.len()),
            _ => self.event.push(field, text),
        }
        Ok(())
    }

    /// A field that is a text, with one that stands in the payload. False, and nothing is done, where the field has been there.
    #[inline(always)]
    pub(super) fn new_text(&mut self, field: FieldId, start: usize, end: usize) -> bool {
        let new = self.seen.put(field);
        if new && start < end {
            self.event.range(field, start, end);
        }
        new
    }

    /// Offset of `data` in the payload; none where it is no part of it.
    pub(super) fn base(&self) -> Option<usize> {
        self.base
    }

    /// A text where the field is none.
    fn no_text(&mut self, field: FieldId, text: &[u8]) -> Result<(), Failure> {
        if field.field().kind != Kind::Instant {
            return self.mistyped(field, "a text");
        }
        match self.times.parse(text) {
            Some(instant) => self.event.push(field, &instant.to_le_bytes()),
            None if self.strict.has(field) => {
                return Err(Failure::new(BAD_TIME, format!("field `{}` is no RFC 3339 time", field.field().name)));
            }
            None => {}
        }
        Ok(())
    }

    pub(super) fn integer(&mut self, field: FieldId, value: i128) -> Result<(), Failure> {
        match (field.field().kind, i64::try_from(value)) {
            (Kind::Integer, Ok(value)) => self.event.push(field, &value.to_le_bytes()),
            (Kind::Integer, Err(_)) => return self.mistyped(field, "one beyond 64 bits"),
            #[allow(clippy::cast_precision_loss, reason = "a measurement; 53 bits of it are enough")]
            (Kind::Number, _) => self.event.push(field, &(value as f64).to_le_bytes()),
            _ => return self.mistyped(field, "a number"),
        }
        Ok(())
    }

    pub(super) fn number(&mut self, field: FieldId, value: f64) -> Result<(), Failure> {
        match field.field().kind {
            Kind::Number if value.is_finite() => {
                self.event.push(field, &value.to_le_bytes());
                Ok(())
            }
            Kind::Number => self.mistyped(field, "NaN or infinite"),
            _ => self.mistyped(field, "a floating-point number"),
        }
    }

    pub(super) fn flag(&mut self, field: FieldId, value: bool) -> Result<(), Failure> {
        if field.field().kind != Kind::Flag {
            return self.mistyped(field, "a flag");
        }
        self.event.push(field, &[u8::from(value)]);
        Ok(())
    }

    /// Refuses a field of a wrong type, or forgets it where the event type does not have it.
    pub(super) fn mistyped(&mut self, field: FieldId, found: &str) -> Result<(), Failure> {
        if !self.strict.has(field) {
            return Ok(());
        }
        let expected = match field.field().kind {
            Kind::Text => "a text",
            Kind::Integer => "an integer",
            Kind::Number => "a finite number",
            Kind::Flag => "true or false",
            Kind::Instant => "an RFC 3339 text",
            Kind::Any => "anything",
        };
        Err(Failure::field(field.field().name, expected, found))
    }
}

#[cold]
fn twice(field: FieldId) -> Failure {
    Failure::new(BAD_FIELD, format!("field `{}` is there twice", field.field().name))
}

/// Whether bytes are UTF-8. Texts are short, and nearly all ASCII, which is seen sooner than the whole check begins to pay.
#[inline]
pub(super) fn is_text(bytes: &[u8]) -> bool {
    ascii(bytes) || std::str::from_utf8(bytes).is_ok()
}

/// Whether all of it is ASCII. What the standard library asks is quick for what is long, and looks at the last 31 bytes one by one.
#[inline]
pub(super) fn ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let Some(last) = bytes.last_chunk() else { return bytes.iter().all(u8::is_ascii) };
    let (words, _) = bytes.as_chunks();
    // Without a way out of the loop: nearly all are.
    let found = words.iter().fold(u64::from_ne_bytes(*last), |found, word| found | u64::from_ne_bytes(*word));
    found & HIGH == 0
}

/// The earliest `time` that is believed, 2000-01-01.
const EARLIEST: Instant = 946_684_800_000;
/// How far after its ingest an event's `time` is believed: ten years with three leap days.
const AHEAD_MS_MAX: i64 = 3_653 * 86_400_000;

/// An event's `time`, where it can be meant.
pub(super) fn event_time(text: &[u8], ingest: Instant, times: &mut Times) -> Result<Instant, Failure> {
    let time = times.parse(text).ok_or_else(|| Failure::new(BAD_TIME, "attribute `time` is no RFC 3339 time"))?;
    if time < EARLIEST {
        return Err(Failure::new(BAD_TIME, "attribute `time` is before the year 2000"));
    }
    if time > ingest.saturating_add(AHEAD_MS_MAX) {
        return Err(Failure::new(BAD_TIME, "attribute `time` is more than ten years after the record's ingest"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_is_utf_8_wherever_it_is_not_ascii() {
        for length in 0..40 {
            let plain = vec![b'a'; length];
            assert!(ascii(&plain) && is_text(&plain));
            for place in 0..length {
                let mut bytes = plain.clone();
                bytes[place] = 0x80;
                assert!(!ascii(&bytes) && !is_text(&bytes), "{place} of {length}");
                if let Some(letter) = bytes.get_mut(place..place + 2) {
                    letter.copy_from_slice("\u{e9}".as_bytes());
                    assert!(!ascii(&bytes) && is_text(&bytes), "{place} of {length}");
                }
            }
        }
    }
}
