//! The fields found so far in one `data`, before they become an event.

use tillwatch_wit::{
    contract::Instant,
    table::{COMMON, EVENTS, FIELDS, FieldId, Kind, TypeId},
};

use super::{
    failure::{BAD_FIELD, BAD_TIME, Failure},
    names::Names,
    time::Times,
};
use crate::event::{Event, Found};

/// Names, types, and which fields an event type is strict about. Made once.
#[derive(Debug)]
pub(super) struct Tables {
    names: Names,
    types: Names,
    strict: Vec<u128>,
    strict_custom: u128,
}

impl Tables {
    pub(super) fn new() -> Self {
        let bits = |fields: &[FieldId]| fields.iter().fold(0, |bits, field| bits | bit(*field));
        let common = bits(COMMON);
        Self {
            names: Names::new(FIELDS.iter().map(|field| field.name).collect()),
            types: Names::new(EVENTS.iter().map(|event| event.name).collect()),
            strict: EVENTS.iter().map(|event| common | bits(event.fields)).collect(),
            strict_custom: common,
        }
    }

    /// The field of that name in `data`; none for those of the envelope.
    pub(super) fn field(&self, name: &[u8]) -> Option<FieldId> {
        self.names.get(name).map(FieldId).filter(|field| *field > FieldId::DATA)
    }

    pub(super) fn event_type(&self, name: &str) -> TypeId {
        self.types.get(name.as_bytes()).map_or(TypeId::CUSTOM, TypeId)
    }

    /// The fields whose type must be right in an event of this type: its own and the common ones. Any other field of the table is taken where it has the
    /// right type, and is an unknown one where not.
    pub(super) fn strict(&self, event_type: TypeId) -> u128 {
        self.strict.get(usize::from(event_type.0)).copied().unwrap_or(self.strict_custom)
    }
}

fn bit(field: FieldId) -> u128 {
    1 << field.0
}

/// Collects fields; reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Fields {
    found: Vec<Found>,
    extra: Vec<u8>,
    seen: u128,
    strict: u128,
    /// Offset of `data` in the payload; none where it is no part of it.
    base: Option<usize>,
    pub(super) times: Times,
}

impl Fields {
    pub(super) fn reset(&mut self, strict: u128, base: Option<usize>) {
        self.found.clear();
        self.extra.clear();
        self.seen = 0;
        self.strict = strict;
        self.base = base;
    }

    /// Bytes beside the payload.
    pub(super) fn extra_bytes(&self) -> usize {
        self.extra.len()
    }

    /// Notes that the field is there, `null` or not.
    pub(super) fn see(&mut self, field: FieldId) -> Result<(), Failure> {
        if self.seen & bit(field) != 0 {
            return Err(Failure::new(BAD_FIELD, format!("field `{}` is there twice", field.field().name)));
        }
        self.seen |= bit(field);
        Ok(())
    }

    /// A text, in UTF-8, that stands at `start` of `data` (none: in no single range of it).
    pub(super) fn text(&mut self, field: FieldId, text: &[u8], start: Option<usize>) -> Result<(), Failure> {
        match field.field().kind {
            Kind::Text if text.is_empty() => Ok(()),
            Kind::Text => {
                match (self.base, start) {
                    (Some(base), Some(start)) => {
                        self.found.push(Found::new(field, base + start, text.len(), false));
                    }
                    _ => self.push(field, text),
                }
                Ok(())
            }
            Kind::Instant => match self.times.parse(text) {
                Some(instant) => {
                    self.push(field, &instant.to_le_bytes());
                    Ok(())
                }
                None if self.is_strict(field) => {
                    Err(Failure::new(BAD_TIME, format!("field `{}` is no RFC 3339 time", field.field().name)))
                }
                None => Ok(()),
            },
            _ => self.mistyped(field, "a text"),
        }
    }

    pub(super) fn integer(&mut self, field: FieldId, value: i128) -> Result<(), Failure> {
        match (field.field().kind, i64::try_from(value)) {
            (Kind::Integer, Ok(value)) => self.push(field, &value.to_le_bytes()),
            (Kind::Integer, Err(_)) => return self.mistyped(field, "one beyond 64 bits"),
            #[allow(clippy::cast_precision_loss, reason = "a measurement; 53 bits of it are enough")]
            (Kind::Number, _) => self.push(field, &(value as f64).to_le_bytes()),
            _ => return self.mistyped(field, "a number"),
        }
        Ok(())
    }

    pub(super) fn number(&mut self, field: FieldId, value: f64) -> Result<(), Failure> {
        match field.field().kind {
            Kind::Number if value.is_finite() => {
                self.push(field, &value.to_le_bytes());
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
        self.push(field, &[u8::from(value)]);
        Ok(())
    }

    /// Refuses a field of a wrong type, or forgets it where the event type does not have it.
    pub(super) fn mistyped(&mut self, field: FieldId, found: &str) -> Result<(), Failure> {
        if !self.is_strict(field) {
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

    /// Hands the fields to an event whose payload they were found in.
    pub(super) fn give(&self, event: &mut Event) {
        event.take(&self.found, &self.extra);
    }

    fn push(&mut self, field: FieldId, piece: &[u8]) {
        self.found.push(Found::new(field, self.extra.len(), piece.len(), true));
        self.extra.extend_from_slice(piece);
    }

    fn is_strict(&self, field: FieldId) -> bool {
        self.strict & bit(field) != 0
    }
}

/// The earliest `time` that is believed, 2000-01-01.
const EARLIEST: Instant = 946_684_800_000;
/// How far after its ingest an event's `time` is believed: ten years with three leap days.
const AHEAD_MS_MAX: i64 = 3_653 * 86_400_000;

/// An event's `time`, where it can be meant.
pub(super) fn event_time(text: &str, ingest: Instant, times: &mut Times) -> Result<Instant, Failure> {
    let time =
        times.parse(text.as_bytes()).ok_or_else(|| Failure::new(BAD_TIME, "attribute `time` is no RFC 3339 time"))?;
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
    fn every_field_has_a_bit() {
        assert!(FIELDS.len() <= 128);
    }
}
