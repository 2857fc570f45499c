//! A visit as a rule sees it: when, why, and the declared fields by name and type, made from the table that the host uses too.

use serde::de::DeserializeOwned;
use tillwatch_wit::{
    contract::{Evidence, Instant, Trigger},
    for_each_field,
    table::FieldId,
};

/// Pieces before the declared fields: state and key.
pub(crate) const FIXED_PIECES: usize = 2;

/// Which piece a field is, by [`FieldId`]; [`ABSENT`] where the rule does not declare it.
pub(crate) type Positions = [u8; 256];

const ABSENT: u8 = u8::MAX;

/// The positions of a rule's fields.
pub(crate) const fn positions(fields: &[FieldId]) -> Positions {
    assert!(fields.len() < 253, "a rule declares at most 252 fields");
    let mut table = [ABSENT; 256];
    let mut piece = 2_u8;
    let mut index = 0;
    while index < fields.len() {
        assert!(table[fields[index].0 as usize] == ABSENT, "a rule declares a field once");
        table[fields[index].0 as usize] = piece;
        piece += 1;
        index += 1;
    }
    table
}

/// The place of an event type in a rule's `EVENTS`, for a constant that [`Visit::event_index`] is matched with.
///
/// # Panics
/// Where it is none of them; in a constant the rule does not compile then.
#[must_use]
pub const fn place(events: &[&str], name: &str) -> u32 {
    let mut index = 0;
    while index < events.len() {
        if equal(events[index].as_bytes(), name.as_bytes()) {
            #[allow(clippy::cast_possible_truncation, reason = "events are few")]
            return index as u32;
        }
        index += 1;
    }
    panic!("the rule does not declare this event in EVENTS")
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// One visit of a rule to one key.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    pub(crate) visit: tillwatch_wit::contract::Visit,
    pub(crate) events: &'static [&'static str],
    pub(crate) positions: &'static Positions,
    /// Start of the first piece.
    pub(crate) start: usize,
    /// Ends of this visit's pieces.
    pub(crate) ends: &'a [u32],
    pub(crate) bytes: &'a [u8],
}

impl<'a> Visit<'a> {
    #[inline]
    pub(crate) fn piece(&self, index: usize) -> &'a [u8] {
        let start = if index == 0 { self.start } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    /// A declared field's piece as it came, for a comparison that needs no text; empty where absent.
    ///
    /// # Panics
    /// Where the rule does not declare the field.
    #[inline]
    #[must_use]
    pub fn piece_of(&self, field: FieldId) -> &'a [u8] {
        let position = self.positions[field.0 as usize];
        if position == ABSENT {
            undeclared(field);
        }
        self.piece(usize::from(position))
    }

    /// [`Visit::key`] as it came.
    #[must_use]
    pub fn key_piece(&self) -> &'a [u8] {
        self.piece(1)
    }

    /// The position in the order of everything, ms: an event's effective time, for a late event the watermark at which it came, a wake-up's own instant.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.visit.at
    }

    /// The event's own time by its sender's clock, ms; for a wake-up the same as [`Visit::at`].
    #[must_use]
    pub fn time(&self) -> Instant {
        self.visit.time
    }

    /// The event came later than the lateness allows.
    #[must_use]
    pub fn late(&self) -> bool {
        self.visit.late
    }

    /// When it happened as `docs/spec/payment.md` counts: [`Visit::at`], or [`Visit::time`] of a late event.
    #[must_use]
    pub fn when(&self) -> Instant {
        if self.visit.late { self.visit.time } else { self.visit.at }
    }

    /// What the state is kept by: the transaction key, the terminal id, …
    #[must_use]
    pub fn key(&self) -> &'a str {
        text(self.piece(1)).unwrap_or_default()
    }

    /// The event's type, one of the rule's `EVENTS`; empty for a wake-up.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self.visit.trigger {
            Trigger::Timer => "",
            Trigger::Event(index) => self.events[index as usize],
        }
    }

    /// The event's place in the rule's `EVENTS`, see [`place`]; none for a wake-up.
    #[must_use]
    pub fn event_index(&self) -> Option<u32> {
        match self.visit.trigger {
            Trigger::Timer => None,
            Trigger::Event(index) => Some(index),
        }
    }

    /// The event as evidence of a later finding; none for a wake-up. The rule declares `id`.
    #[must_use]
    pub fn evidence(&self) -> Option<Evidence> {
        let id = self.id()?;
        Some(Evidence { event: self.event().to_owned(), id: id.to_owned(), time: self.time() })
    }

    /// The `data` of a custom event, read into a type of the rule's own; none where there is none. The rule declares `data`.
    ///
    /// # Errors
    /// What does not fit the type.
    pub fn read_data<T: DeserializeOwned>(&self) -> Option<Result<T, String>> {
        self.data().map(|cbor| ciborium::from_reader(cbor).map_err(|error| error.to_string()))
    }
}

#[cold]
fn undeclared(field: FieldId) -> ! {
    panic!("the rule reads field `{}` and does not declare it in FIELDS", field.field().name)
}

fn text(piece: &[u8]) -> Option<&str> {
    if piece.is_empty() { None } else { Some(std::str::from_utf8(piece).expect("invariant: the host hands on UTF-8")) }
}

fn eight(piece: &[u8]) -> Option<[u8; 8]> {
    if piece.is_empty() { None } else { Some(piece.try_into().expect("invariant: a number has 8 bytes")) }
}

macro_rules! accessor {
    ($constant:ident, $accessor:ident, Text, $doc:literal) => {
        #[doc = $doc]
        #[must_use]
        pub fn $accessor(&self) -> Option<&'a str> {
            text(self.piece_of(FieldId::$constant))
        }
    };
    ($constant:ident, $accessor:ident, Integer, $doc:literal) => {
        #[doc = $doc]
        #[must_use]
        pub fn $accessor(&self) -> Option<i64> {
            eight(self.piece_of(FieldId::$constant)).map(i64::from_le_bytes)
        }
    };
    ($constant:ident, $accessor:ident, Instant, $doc:literal) => {
        #[doc = $doc]
        #[doc = "\nMilliseconds since 1970."]
        #[must_use]
        pub fn $accessor(&self) -> Option<Instant> {
            eight(self.piece_of(FieldId::$constant)).map(i64::from_le_bytes)
        }
    };
    ($constant:ident, $accessor:ident, Number, $doc:literal) => {
        #[doc = $doc]
        #[must_use]
        pub fn $accessor(&self) -> Option<f64> {
            eight(self.piece_of(FieldId::$constant)).map(f64::from_le_bytes)
        }
    };
    ($constant:ident, $accessor:ident, Flag, $doc:literal) => {
        #[doc = $doc]
        #[must_use]
        pub fn $accessor(&self) -> Option<bool> {
            self.piece_of(FieldId::$constant).first().map(|byte| *byte != 0)
        }
    };
    ($constant:ident, $accessor:ident, Any, $doc:literal) => {
        #[doc = $doc]
        #[doc = "\nSee [`Visit::read_data`]."]
        #[must_use]
        pub fn $accessor(&self) -> Option<&'a [u8]> {
            let piece = self.piece_of(FieldId::$constant);
            if piece.is_empty() { None } else { Some(piece) }
        }
    };
}

macro_rules! accessors {
    ($(($constant:ident, $accessor:ident, $name:literal, $kind:ident, $doc:literal)),+ $(,)?) => {
        /// One for every field of the table; none where the event does not carry it.
        impl<'a> Visit<'a> {
            $(accessor!($constant, $accessor, $kind, $doc);)+
        }
    };
}
for_each_field!(accessors);
