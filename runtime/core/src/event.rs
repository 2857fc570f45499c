//! One decoded event: type, times and fields, in one piece of memory.
//!
//! It starts with the payload as it came (masked, see `cloudevents`), so that a dead letter still has it; text fields are ranges of it
//! wherever that is possible, what had to be converted stands behind it, and behind that where each field is.

use std::cmp::Ordering;

use tillwatch_wit::{
    contract::Instant,
    table::{ENVELOPE, FieldId, TypeId},
};

use crate::line::fetch_bytes;

/// A field and its place in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    field: FieldId,
    start: u32,
    end: u32,
}

/// A span as it lies in the buffer: start and end, little-endian, and the field.
type Packed = [u8; 9];

impl Span {
    #[inline]
    fn packed(self) -> Packed {
        let ([a, b, c, d], [e, f, g, h]) = (self.start.to_le_bytes(), self.end.to_le_bytes());
        [a, b, c, d, e, f, g, h, self.field.0]
    }

    #[inline]
    fn of(packed: Packed) -> Self {
        let [a, b, c, d, e, f, g, h, field] = packed;
        let (start, end) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Self { field: FieldId(field), start, end }
    }
}

fn at(position: usize) -> u32 {
    u32::try_from(position).expect("invariant: an event is under 4 GiB")
}

/// One event, decoded and masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    event_type: TypeId,
    /// Which span each field of the envelope is, since every event is asked for these; [`NOT_KNOWN`]: look for it.
    envelope: [u8; ENVELOPE],
    /// Where the payload ends.
    payload: u32,
    /// Where the spans begin.
    spans: u32,
    time: Option<Instant>,
    bytes: Box<[u8]>,
}

/// An event that is put together.
#[derive(Debug)]
pub struct EventBuilder {
    event_type: TypeId,
    envelope: [u8; ENVELOPE],
    /// Where the payload ends.
    payload: u32,
    time: Option<Instant>,
    bytes: Vec<u8>,
    spans: Vec<Packed>,
}

/// Of the room that a large event took no more is kept for the next one.
const ROOM_BYTES: usize = 64 << 10;

/// Stands as the span of a field that is absent, or further behind than a byte counts.
const NOT_KNOWN: u8 = u8::MAX;

impl EventBuilder {
    /// Starts an event over the payload's bytes; fields follow by [`EventBuilder::range`] and [`EventBuilder::push`].
    #[must_use]
    pub fn new(payload: &[u8]) -> Self {
        let mut builder = Self {
            event_type: TypeId::CUSTOM,
            envelope: [NOT_KNOWN; ENVELOPE],
            payload: 0,
            time: None,
            bytes: Vec::new(),
            spans: Vec::new(),
        };
        builder.begin(payload);
        builder
    }

    /// Starts anew in the same room.
    pub(crate) fn begin(&mut self, payload: &[u8]) {
        self.event_type = TypeId::CUSTOM;
        self.envelope = [NOT_KNOWN; ENVELOPE];
        self.payload = at(payload.len());
        self.time = None;
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_BYTES);
        self.bytes.extend_from_slice(payload);
        self.spans.clear();
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
    #[inline(always)]
    pub fn range(&mut self, field: FieldId, start: usize, end: usize) {
        assert!(start <= end && end <= self.payload as usize, "invariant: a range lies in the payload");
        self.add(field, start, end);
    }

    /// A field with a piece of its own.
    ///
    /// # Panics
    /// When the event passes 4 GiB, which `limits::Limits::record_bytes_max` excludes.
    #[inline]
    pub fn push(&mut self, field: FieldId, piece: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        self.add(field, start, self.bytes.len());
    }

    #[inline(always)]
    fn add(&mut self, field: FieldId, start: usize, end: usize) {
        // The first of a name counts.
        if let Some(known @ &mut NOT_KNOWN) = self.envelope.get_mut(field.0 as usize) {
            *known = u8::try_from(self.spans.len()).unwrap_or(NOT_KNOWN);
        }
        self.spans.push(Span { field, start: at(start), end: at(end) }.packed());
    }

    /// The event. The builder stays as it is.
    ///
    /// # Panics
    /// As [`EventBuilder::push`].
    #[must_use]
    pub fn build(&self) -> Event {
        let spans = self.spans.as_flattened();
        let mut bytes = Vec::with_capacity(self.bytes.len() + spans.len());
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(spans);
        Event {
            event_type: self.event_type,
            envelope: self.envelope,
            payload: self.payload,
            spans: at(self.bytes.len()),
            time: self.time,
            bytes: bytes.into_boxed_slice(),
        }
    }
}

impl Event {
    /// Its type.
    #[must_use]
    #[inline]
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

    fn packed(&self) -> &[Packed] {
        self.bytes[self.spans as usize..].as_chunks().0
    }

    fn spans(&self) -> impl DoubleEndedIterator<Item = Span> {
        self.packed().iter().copied().map(Span::of)
    }

    /// A field's piece; empty where absent.
    #[must_use]
    #[inline]
    pub fn piece(&self, field: FieldId) -> &[u8] {
        self.at(self.range(field))
    }

    /// Where a field's piece lies, as in [`Event::find`].
    #[inline]
    pub(crate) fn range(&self, field: FieldId) -> (u32, u32) {
        let span = match self.envelope.get(field.0 as usize) {
            Some(&known) if known != NOT_KNOWN => self.packed().get(known as usize).copied().map(Span::of),
            _ => self.spans().find(|span| span.field == field),
        };
        span.map_or((0, 0), |span| (span.start, span.end))
    }

    /// Finds many fields in one pass: puts the range of each whose place is not past `ranges` there, and leaves the others.
    pub(crate) fn find(&self, places: &[u8; 256], ranges: &mut [(u32, u32)]) {
        // The first of a name counts, as in `piece`.
        for span in self.spans().rev() {
            if let Some(range) = ranges.get_mut(places[span.field.0 as usize] as usize) {
                *range = (span.start, span.end);
            }
        }
    }

    /// What ranges of [`Event::find`] are ranges of.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes
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

    /// Fetches what it holds beside itself.
    pub(crate) fn fetch(&self) {
        fetch_bytes(&self.bytes);
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    /// Its fields, in the order they came.
    pub fn fields(&self) -> impl Iterator<Item = (FieldId, &[u8])> {
        self.spans().map(|span| (span.field, self.at((span.start, span.end))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_wherever_its_piece_lies_and_the_first_of_a_name_counts() {
        let mut builder = EventBuilder::new(b"payload");
        builder.range(FieldId::SITE, 3, 7);
        builder.push(FieldId::ID, b"e1");
        builder.push(FieldId::ID, b"e2");
        builder.push(FieldId(u8::MAX), b"");
        let event = builder.build();
        assert_eq!((event.payload(), event.piece(FieldId::SITE), event.id()), (&b"payload"[..], &b"load"[..], "e1"));
        assert_eq!((event.piece(FieldId::RAIL), event.time(), event.event_type()), (&[][..], None, TypeId::CUSTOM));
        let fields: Vec<_> = event.fields().collect();
        assert_eq!(fields[0], (FieldId::SITE, &b"load"[..]));
        assert_eq!(fields[3], (FieldId(u8::MAX), &[][..]));
        builder.begin(b"");
        assert_eq!(builder.build(), EventBuilder::new(b"").build(), "nothing is left of the one before");
    }

    #[test]
    fn room_of_a_large_event_is_given_back() {
        let mut builder = EventBuilder::new(&[]);
        builder.begin(&[0; 4 * ROOM_BYTES]);
        builder.begin(b"small");
        assert!(builder.bytes.capacity() <= ROOM_BYTES, "{}", builder.bytes.capacity());
    }

    #[test]
    fn a_span_holds_whatever_an_event_may_be_long() {
        for (start, end) in [(0, 0), (0, u32::MAX), (u32::MAX, u32::MAX), (1, 2), (0x0102_0304, 0x0506_0708)] {
            let span = Span { field: FieldId::CHAIN, start, end };
            assert_eq!(Span::of(span.packed()), span);
        }
    }

    #[test]
    #[should_panic(expected = "under 4 GiB")]
    fn a_longer_one_is_refused() {
        at(1 << u32::BITS);
    }
}
