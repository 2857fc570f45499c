//! The layout of a payment's state: a head of fixed places, then what there is of the rest, then the tail. Every event reads one and writes
//! one, so nothing in it is looked for and nothing is allocated but the tail (`docs/adr/0016-packed-payment.md`).
//!
//! Numbers are little-endian. Where the parts of a short transaction key lie is kept, three bytes, rather than looked for at every event. Distances from `base` take four bytes each where all of a state fit, else eight.

use tillwatch_sdk::State;

use crate::{
    Kind,
    state::{Facts, KINDS, Level, NUMBERS, Open, Parts, Payment, Rail, Settles, Window, kinds, places},
    tail::OPENERS_MAX,
};

/// Bytes that every state has: base, bits, kinds of windows, texts, openers.
const HEAD_BYTES: usize = 16;

// The places of the head's bits.
const LEVEL_BITS: u32 = 3;
const RAIL_AT: u32 = LEVEL_BITS;
const FACTS_AT: u32 = RAIL_AT + 3;
const NUMBERS_AT: u32 = FACTS_AT + 8;
const OPEN_AT: u32 = NUMBERS_AT + NUMBERS;
const GENERATIONS_AT: u32 = OPEN_AT + 1;
const WIDE_AT: u32 = GENERATIONS_AT + 1;
const PARTS_AT: u32 = WIDE_AT + 1;
const FIVE_AT: u32 = PARTS_AT + 1;

// A window's byte: its opener's place and one, or 0; and these.
const PLACE_MASK: u8 = 63;
const LATE: u8 = 1 << 6;
const GRACE: u8 = 1 << 7;

impl State for Payment {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut place = None;
        Self::read_into(&mut place, bytes)?;
        Ok(place.expect("invariant: it was read"))
    }

    fn read_into(place: &mut Option<Self>, bytes: &[u8]) -> Result<(), String> {
        fill(place.get_or_insert_default(), bytes)
            .ok_or_else(|| format!("the state is no payment's ({} bytes)", bytes.len()))
    }

    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        if !append(self, bytes, false) {
            append(self, bytes, true);
        }
        Ok(())
    }
}

/// Appends a payment; false, and nothing appended, where a number does not fit and it has to be `wide`.
fn append(payment: &Payment, bytes: &mut Vec<u8>, wide: bool) -> bool {
    let (texts, openers, tail) = payment.tail.parts();
    let generations = payment.generations.iter().any(|generation| *generation != 0);
    // Of a longer key they are found anew at every event.
    let short = payment.parts.filter(|parts| parts.ends.iter().all(|end| *end <= u32::from(u8::MAX)));
    let parts = short.map(|parts| parts.ends.map(|end| end.to_le_bytes()[0]));
    let bits = payment.level as u32
        | payment.rail.map_or(0, |rail| rail as u32 + 1) << RAIL_AT
        | u32::from(payment.facts.0) << FACTS_AT
        | payment.numbers.has << NUMBERS_AT
        | u32::from(!payment.open.is_empty()) << OPEN_AT
        | u32::from(generations) << GENERATIONS_AT
        | u32::from(wide) << WIDE_AT
        | u32::from(parts.is_some()) << PARTS_AT
        | u32::from(payment.parts.is_some_and(|parts| parts.five)) << FIVE_AT;
    let start = bytes.len();
    let mut out = Out { bytes, wide, fits: true };
    out.put(payment.base.to_le_bytes());
    let kinds = u64::from(payment.windows.kinds);
    out.put((u64::from(bits) | kinds << 32 | u64::from(texts) << 48 | u64::from(openers) << 56).to_le_bytes());
    if let Some(ends) = parts {
        out.put(ends);
    }
    out.number(payment.last);
    for number in places(u64::from(payment.numbers.has)) {
        out.number(payment.numbers.of[number as usize]);
    }
    for (_, window) in payment.windows.iter() {
        let grace = window.grace != 0;
        out.put([place(window.opener) | if window.late { LATE } else { 0 } | if grace { GRACE } else { 0 }]);
        out.number(window.deadline);
        if grace {
            out.number(window.grace);
        }
    }
    if !payment.open.is_empty() {
        out.put([u8::try_from(payment.open.len()).expect("invariant: one of each kind")]);
        for open in &payment.open {
            let (settles, moment) = match open.settles {
                None => (0, None),
                Some(Settles::Findings) => (1, None),
                Some(Settles::Approval) => (2, None),
                Some(Settles::PaidAfter(moment)) => (3, Some(moment)),
                Some(Settles::Nothing) => (4, None),
            };
            out.put([open.kind as u8, place(open.opener), settles]);
            out.number(open.deadline);
            moment.into_iter().for_each(|moment| out.number(moment));
        }
    }
    if generations {
        payment.generations.iter().for_each(|generation| out.put(generation.to_le_bytes()));
    }
    let Out { fits, .. } = out;
    if fits {
        bytes.extend_from_slice(tail);
    } else {
        bytes.truncate(start);
    }
    fits
}

/// An opener's place as it is written: one more, and 0 for none.
fn place(opener: Option<u8>) -> u8 {
    opener.map_or(0, |place| place + 1)
}

struct Out<'a> {
    bytes: &'a mut Vec<u8>,
    wide: bool,
    fits: bool,
}

impl Out<'_> {
    #[inline]
    fn put<const N: usize>(&mut self, piece: [u8; N]) {
        self.bytes.extend_from_slice(&piece);
    }

    #[inline]
    fn number(&mut self, number: i64) {
        if self.wide {
            self.put(number.to_le_bytes());
        } else {
            match i32::try_from(number) {
                Ok(number) => self.put(number.to_le_bytes()),
                Err(_) => self.fits = false,
            }
        }
    }
}

/// What is still to be read.
struct Rest<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl Rest<'_> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }

    #[inline]
    fn number(&mut self) -> Option<i64> {
        if self.wide {
            let (number, rest) = self.bytes.split_first_chunk()?;
            self.bytes = rest;
            return Some(i64::from_le_bytes(*number));
        }
        let (number, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(i64::from(i32::from_le_bytes(*number)))
    }
}

/// Fills in what the bytes say, every field of it: nothing stays of what was there. None where no payment was written so.
fn fill(payment: &mut Payment, bytes: &[u8]) -> Option<()> {
    let (head, bytes) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let [.., texts, openers] = *head;
    let bits = u32::from_le_bytes(*head[8..].first_chunk()?);
    let waits = u16::from_le_bytes(*head[12..].first_chunk()?);
    let bit = |at: u32| bits >> at & 1 != 0;
    if bits >> (FIVE_AT + 1) != 0 || waits >> KINDS != 0 || openers > OPENERS_MAX {
        return None;
    }
    let mut rest = Rest { bytes, wide: bit(WIDE_AT) };
    payment.base = i64::from_le_bytes(*head.first_chunk()?);
    payment.parts = None;
    if bit(PARTS_AT) {
        let (ends, tail) = rest.bytes.split_first_chunk::<3>()?;
        payment.parts = Some(Parts { ends: ends.map(u32::from), five: bit(FIVE_AT) });
        rest.bytes = tail;
    }
    payment.level = *Level::ALL.get((bits & ((1 << LEVEL_BITS) - 1)) as usize)?;
    payment.rail = match (bits >> RAIL_AT & 7) as usize {
        0 => None,
        rail => Some(*Rail::ALL.get(rail - 1)?),
    };
    payment.facts = Facts((bits >> FACTS_AT & 0xff) as u8);
    payment.last = rest.number()?;
    payment.numbers.has = bits >> NUMBERS_AT & ((1 << NUMBERS) - 1);
    for number in places(u64::from(payment.numbers.has)) {
        payment.numbers.of[number as usize] = rest.number()?;
    }
    // A place that no opener has is no state of this rule's.
    let opener = |byte: u8| match byte & PLACE_MASK {
        0 => Some(None),
        place if place <= openers => Some(Some(place - 1)),
        _ => None,
    };
    payment.windows.remove(u16::MAX);
    for kind in kinds(waits) {
        let byte = rest.byte()?;
        let deadline = rest.number()?;
        let grace = if byte & GRACE != 0 { rest.number()? } else { 0 };
        let window = Window { deadline, grace, late: byte & LATE != 0, opener: opener(byte)? };
        payment.windows.put(kind, window);
    }
    payment.open.clear();
    if bit(OPEN_AT) {
        let open = rest.byte()?;
        if usize::from(open) > KINDS {
            return None;
        }
        for _ in 0..open {
            let kind = *Kind::ALL.get(usize::from(rest.byte()?))?;
            let opener = opener(rest.byte()?)?;
            let settles = rest.byte()?;
            let deadline = rest.number()?;
            let settles = match settles {
                0 => None,
                1 => Some(Settles::Findings),
                2 => Some(Settles::Approval),
                3 => Some(Settles::PaidAfter(rest.number()?)),
                4 => Some(Settles::Nothing),
                _ => return None,
            };
            payment.open.push(Open { kind, deadline, opener, settles });
        }
    }
    payment.generations = [0; KINDS];
    if bit(GENERATIONS_AT) {
        for generation in &mut payment.generations {
            let (number, tail) = rest.bytes.split_first_chunk()?;
            *generation = u32::from_le_bytes(*number);
            rest.bytes = tail;
        }
    }
    payment.tail.read(texts, openers, rest.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        state::{Numbers, Text},
        tail::Opener,
    };

    /// A payment that has everything, its instants so far from its base.
    fn full(far: i64, key: &[u8]) -> Payment {
        let mut payment = Payment::begin(1_800_000_000_000, key);
        payment.level = Level::Display;
        payment.facts = Facts(0b1010_0101);
        payment.rail = Some(Rail::Named);
        payment.numbers = Numbers { has: (1 << NUMBERS) - 1, of: [-far; NUMBERS as usize] };
        payment.last = far;
        payment.tail.put(Text::Rail, b"barter");
        payment.tail.put(Text::Site, "x".repeat(300).as_bytes());
        payment.tail.put(Text::Acquirer, b"A2");
        payment.tail.put(Text::Currency, b"");
        for (place, kind) in (0_u8..).zip(Kind::ALL) {
            let opener = payment.tail.push_opener(Opener { event: place, id: b"an-id", time: far });
            payment.windows.put(
                kind,
                Window { deadline: far, grace: if place % 3 == 0 { 0 } else { far }, late: place % 2 == 0, opener },
            );
            let settles = [
                None,
                Some(Settles::Findings),
                Some(Settles::Approval),
                Some(Settles::PaidAfter(far)),
                Some(Settles::Nothing),
            ];
            payment.open.push(Open { kind, deadline: -far, opener: None, settles: settles[usize::from(place) % 5] });
            payment.generations[kind as usize] = u32::MAX - u32::from(place);
        }
        payment
    }

    fn packed(payment: &Payment) -> Vec<u8> {
        let mut bytes = b"before".to_vec();
        payment.append(&mut bytes).expect("is written");
        bytes.split_off(6)
    }

    #[test]
    fn a_payment_reads_back_whatever_it_has_and_however_far_its_instants_are() {
        let long = "k".repeat(300);
        for far in [0, 1, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX] {
            for key in ["A01:M1:T1:1:7", "A01", long.as_str()] {
                let payment = full(far, key.as_bytes());
                let mut read = Payment::read(&packed(&payment)).expect("reads");
                // Of a long key they are found anew.
                read.parts = Some(read.parts(key.as_bytes()));
                assert_eq!(read, payment, "{far} {key}");
            }
        }
        let small = Payment::begin(7, b"A01:M1:T1:1:7");
        assert_eq!(packed(&small).len(), HEAD_BYTES + 3 + 4);
        assert_eq!(Payment::read(&packed(&small)), Ok(small));
    }

    #[test]
    fn nothing_stays_of_what_lay_where_a_payment_is_read_to() {
        let small = packed(&Payment::begin(7, b"A01:M1:T1:1:7"));
        let long = packed(&Payment::begin(8, "k".repeat(300).as_bytes()));
        let (near, far) = (packed(&full(1, b"A01:M1")), packed(&full(i64::MAX, b"A01:M1:T1:1:7")));
        let mut place = None;
        // Each after each other, and after one that was cut.
        for before in [&small, &long, &near, &far] {
            for bytes in [&small, &long, &near, &far] {
                for cut in [before.len(), before.len() - 1] {
                    assert_eq!(Payment::read_into(&mut place, &before[..cut]).is_ok(), cut == before.len());
                    Payment::read_into(&mut place, bytes).expect("reads");
                    assert_eq!(&packed(place.as_ref().expect("it was read")), bytes);
                }
            }
        }
    }

    #[test]
    fn what_no_payment_was_written_as_is_an_error() {
        let bytes = packed(&full(1, b"A01:M1:T1:1:7"));
        for length in 0..bytes.len() {
            assert!(Payment::read(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(Payment::read(&[&bytes[..], b"x"].concat()).is_err(), "a byte more");
        for place in 0..bytes.len() {
            for byte in [0, 0x55, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = byte;
                // It may read or not; it must not panic.
                let _ = Payment::read(&bytes);
            }
        }
    }

    #[test]
    fn openers_that_are_forgotten_leave_the_others_in_their_order() {
        let mut payment = full(5, b"A01:M1:T1:1:7");
        payment.windows.remove(0b10_0101_0110);
        let (openers, _) = payment.windows.survey();
        payment.forget_openers(openers);
        let events: Vec<u8> = payment.tail.openers().map(|opener| opener.event).collect();
        assert_eq!(events, [0, 3, 5, 7, 8]);
        let places: Vec<Option<u8>> = payment.windows.iter().map(|(_, window)| window.opener).collect();
        assert_eq!(places, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(payment.tail.text(Text::Site).map(str::len), Some(300));
    }
}
