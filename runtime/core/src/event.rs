//! One decoded event: type, times and fields, in one buffer.
//!
//! The buffer starts with the payload as it came (masked, see `cloudevents`), so that a dead letter still has it; text fields are ranges of
//! it wherever that is possible, and what had to be converted stands behind it.

use std::cmp::Ordering;

use tillwatch_wit::{
    contract::Instant,
    table::{ENVELOPE, FieldId, TypeId},
};

/// A field's place in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    field: FieldId,
    start: u32,
    end: u32,
}

/// One event, decoded and masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    event_type: TypeId,
    time: Option<Instant>,
    spans: Vec<Span>,
    /// Which span each field of the envelope is, since every event is asked for these; [`NOT_KNOWN`]: look for it.
    envelope: [u8; ENVELOPE],
    bytes: Vec<u8>,
    payload: u32,
}

fn at(position: usize) -> u32 {
    u32::try_from(position).expect("invariant: an event is under 4 GiB")
}

/// Nearly every event has fewer fields.
const SPANS: usize = 24;

/// A line of memory, as processors fetch it.
pub(crate) const LINE_BYTES: usize = 64;

/// Stands as the span of a field that is absent, or further behind than a byte counts.
const NOT_KNOWN: u8 = u8::MAX;

impl Event {
    /// Starts an event over the payload's bytes; fields follow by [`Event::range`] and [`Event::push`].
    ///
    /// # Panics
    /// When the payload passes 4 GiB, which `limits::Limits::record_bytes_max` excludes.
    #[must_use]
    pub fn new(payload: Vec<u8>) -> Self {
        let length = at(payload.len());
        Self { spans: Vec::with_capacity(SPANS), bytes: payload, payload: length, ..Self::nothing() }
    }

    /// One without fields, type and payload, and without room for any.
    pub(crate) const fn nothing() -> Self {
        Self {
            event_type: TypeId::CUSTOM,
            time: None,
            spans: Vec::new(),
            envelope: [NOT_KNOWN; ENVELOPE],
            bytes: Vec::new(),
            payload: 0,
        }
    }

    /// Sets the type; for [`TypeId::CUSTOM`] push [`FieldId::TYPE`] as well.
    pub fn set_type(&mut self, event_type: TypeId) {
        self.event_type = event_type;
    }

    /// Sets the sender's time.
    pub fn set_time(&mut self, time: Instant) {
        self.time = Some(time);
    }

    /// A field whose piece is the range `start..end` of the payload.
    ///
    /// # Panics
    /// When the range is not in the payload: a broken invariant of the decoder.
    #[inline]
    pub fn range(&mut self, field: FieldId, start: usize, end: usize) {
        assert!(start <= end && end <= self.payload as usize, "invariant: a range lies in the payload");
        self.add(Span { field, start: at(start), end: at(end) });
    }

    #[inline]
    fn add(&mut self, span: Span) {
        // The first of a name counts.
        if let Some(known @ &mut NOT_KNOWN) = self.envelope.get_mut(span.field.0 as usize) {
            *known = u8::try_from(self.spans.len()).unwrap_or(NOT_KNOWN);
        }
        self.spans.push(span);
    }

    /// A field with a piece of its own.
    ///
    /// # Panics
    /// When the event passes 4 GiB, which the limits exclude.
    pub fn push(&mut self, field: FieldId, piece: &[u8]) {
        let start = at(self.bytes.len());
        self.bytes.extend_from_slice(piece);
        self.add(Span { field, start, end: at(self.bytes.len()) });
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> TypeId {
        self.event_type
    }

    /// The type's name.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.event_type.event_type().map_or_else(|| self.text(FieldId::TYPE), |row| row.name)
    }

    /// When it happened by its sender's clock; none where the sender did not say.
    #[must_use]
    pub fn time(&self) -> Option<Instant> {
        self.time
    }

    /// A field's piece; empty where absent.
    #[must_use]
    #[inline]
    pub fn piece(&self, field: FieldId) -> &[u8] {
        let span = match self.envelope.get(field.0 as usize) {
            Some(&known) if known != NOT_KNOWN => self.spans.get(known as usize),
            _ => self.spans.iter().find(|span| span.field == field),
        };
        span.map_or(&[], |span| &self.bytes[span.start as usize..span.end as usize])
    }

    /// Finds many fields in one pass: puts the range of each whose place is not past `ranges` there, and leaves the others.
    pub(crate) fn find(&self, places: &[u8; 256], ranges: &mut [(u32, u32)]) {
        // The first of a name counts, as in `piece`.
        for span in self.spans.iter().rev() {
            if let Some(range) = ranges.get_mut(places[span.field.0 as usize] as usize) {
                *range = (span.start, span.end);
            }
        }
    }

    /// What a range of [`Event::find`] holds.
    pub(crate) fn at(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }

    /// A text field; empty where absent.
    ///
    /// # Panics
    /// When the piece is no UTF-8: the decoder has checked that it is.
    #[must_use]
    pub fn text(&self, field: FieldId) -> &str {
        std::str::from_utf8(self.piece(field)).expect("invariant: the decoder checked UTF-8")
    }

    /// An integer or instant field.
    #[must_use]
    pub fn integer(&self, field: FieldId) -> Option<i64> {
        self.piece(field).try_into().ok().map(i64::from_le_bytes)
    }

    /// CloudEvents id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text(FieldId::ID)
    }

    /// CloudEvents source.
    #[must_use]
    pub fn source(&self) -> &str {
        self.text(FieldId::SOURCE)
    }

    /// The transaction key; empty where it is about no payment.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.text(FieldId::SUBJECT)
    }

    /// The terminal id (in the second stage the scope).
    #[must_use]
    pub fn key(&self) -> &str {
        self.text(FieldId::PARTITIONKEY)
    }

    /// The payload as it came, masked; empty for events that the runtime made itself.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..self.payload as usize]
    }

    /// An order of events that says nothing but is the same everywhere: equal only where type, time and fields are.
    #[must_use]
    pub fn content_cmp(&self, other: &Self) -> Ordering {
        (self.event_type, self.time)
            .cmp(&(other.event_type, other.time))
            .then_with(|| self.fields().cmp(other.fields()))
    }

    /// Reads a byte of every line of memory that it takes beside itself, and gives what must not be optimised away: what is read of many
    /// events in turn is fetched for all of them at once.
    pub(crate) fn touch(&self) -> usize {
        let bytes = self.bytes.iter().step_by(LINE_BYTES).fold(0, |sum, byte| sum ^ usize::from(*byte));
        self.spans.iter().step_by(LINE_BYTES / size_of::<Span>()).fold(bytes, |sum, span| sum ^ span.start as usize)
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>() + size_of::<Self>()
    }

    /// Its fields, in the order they came.
    pub fn fields(&self) -> impl Iterator<Item = (FieldId, &[u8])> {
        self.spans.iter().map(|span| (span.field, &self.bytes[span.start as usize..span.end as usize]))
    }
}
