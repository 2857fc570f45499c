//! What is remembered of a payment, small: it is written with every change, in the layout of `packed`.
//!
//! Instants are kept as distances from `base`. What the transaction key says already is not kept again.

use tillwatch_sdk::{Instant, payment};

use crate::{Kind, tail::Tail};

/// How many kinds of finding there are.
pub(crate) const KINDS: usize = Kind::ALL.len();

/// How far a payment has come; reaching a level reaches those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    #[default]
    Begun,
    Answer,
    Delivery,
    Display,
    Receipt,
}

impl Level {
    pub(crate) const ALL: [Self; 5] = [Self::Begun, Self::Answer, Self::Delivery, Self::Display, Self::Receipt];
}

/// Yes-or-no facts of a payment, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(pub(crate) u8);

impl Facts {
    /// A decline was answered, by either leg.
    pub(crate) const DECLINED: Self = Self(1);
    /// A decline that no approval has contradicted yet.
    pub(crate) const DECLINE_STANDS: Self = Self(1 << 1);
    /// The terminal showed a decline.
    pub(crate) const SHOWN_DECLINED: Self = Self(1 << 2);
    /// Goods may have been handed over.
    pub(crate) const GOODS: Self = Self(1 << 3);
    /// The order system said paid.
    pub(crate) const LEDGER_PAID: Self = Self(1 << 4);
    /// A reversal was seen, request or response.
    pub(crate) const REVERSAL_SEEN: Self = Self(1 << 5);
    /// The first approval was a late one: the stages have ended.
    pub(crate) const LATE_APPROVED: Self = Self(1 << 6);
    /// A final `not-paid` ended the stages; an approval in time begins them again.
    pub(crate) const NOT_PAID: Self = Self(1 << 7);

    pub(crate) fn has(self, fact: Self) -> bool {
        self.0 & fact.0 != 0
    }

    pub(crate) fn set(&mut self, fact: Self) {
        self.0 |= fact.0;
    }

    pub(crate) fn unset(&mut self, fact: Self) {
        self.0 &= !fact.0;
    }
}

/// The rail; the name of one that is not of the vocabulary stands among the payment's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rail {
    Card,
    Wechat,
    Alipay,
    UnionpayQr,
    Other,
    Named,
}

impl Rail {
    pub(crate) const ALL: [Self; 6] =
        [Self::Card, Self::Wechat, Self::Alipay, Self::UnionpayQr, Self::Other, Self::Named];

    pub(crate) fn read(name: &str) -> Self {
        match name {
            payment::CARD => Self::Card,
            payment::WECHAT => Self::Wechat,
            payment::ALIPAY => Self::Alipay,
            payment::UNIONPAY_QR => Self::UnionpayQr,
            payment::OTHER => Self::Other,
            _ => Self::Named,
        }
    }

    /// Its name; none of a [`Rail::Named`].
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Card => Some(payment::CARD),
            Self::Wechat => Some(payment::WECHAT),
            Self::Alipay => Some(payment::ALIPAY),
            Self::UnionpayQr => Some(payment::UNIONPAY_QR),
            Self::Other => Some(payment::OTHER),
            Self::Named => None,
        }
    }
}

/// A text of a payment. Of who takes part the first event that says so counts; what stands in the transaction key is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Acquirer,
    Merchant,
    Terminal,
    Site,
    Currency,
    /// The name of a [`Rail::Named`].
    Rail,
}

/// A number that a payment may have or not have: minor units of its currency, or an instant from `base`. In the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Amount,
    /// Time of the first authorize seen.
    Authorized,
    /// From where the terminal's patience is counted, where that authorize came late.
    Patience,
    /// Time of the first approval handed out.
    Approved,
    /// The latest moment for which an approval or `paid` speaks.
    PaidAsOf,
    /// Earliest reversal request.
    ReversalRequested,
    /// Latest reversal response.
    ReversalAnswered,
    /// Latest money back.
    MoneyBack,
    /// Position at which it was finished.
    Finished,
}

/// How many there are.
pub(crate) const NUMBERS: u32 = Number::Finished as u32 + 1;

/// The numbers that a payment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Which there are, as bits.
    pub(crate) has: u32,
    /// Nothing is said by one that is not there.
    pub(crate) of: [i64; NUMBERS as usize],
}

impl Numbers {
    #[inline]
    pub(crate) fn has(&self, number: Number) -> bool {
        self.has & 1 << number as u32 != 0
    }

    #[inline]
    pub(crate) fn get(&self, number: Number) -> Option<i64> {
        self.has(number).then_some(self.of[number as usize])
    }

    #[inline]
    pub(crate) fn set(&mut self, number: Number, value: i64) {
        self.has |= 1 << number as u32;
        self.of[number as usize] = value;
    }

    /// Sets one where it is not there, or this is earlier.
    pub(crate) fn earliest(&mut self, number: Number, value: i64) {
        self.set(number, self.get(number).map_or(value, |before| before.min(value)));
    }

    /// Sets one where it is not there, or this is later.
    pub(crate) fn latest(&mut self, number: Number, value: i64) {
        self.set(number, self.get(number).map_or(value, |before| before.max(value)));
    }

    /// Sets one that is not there yet; gives what it is then.
    #[inline]
    pub(crate) fn get_or_insert(&mut self, number: Number, value: i64) -> i64 {
        if !self.has(number) {
            self.set(number, value);
        }
        self.of[number as usize]
    }

    #[inline]
    pub(crate) fn unset(&mut self, number: Number) {
        self.has &= !(1 << number as u32);
    }
}

/// A wait for something that must happen; when it does not, a finding of its kind is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// From `base`.
    pub(crate) deadline: i64,
    /// How long after the deadline it fires; more than 0 only where a late event opened it.
    pub(crate) grace: i64,
    pub(crate) late: bool,
    /// The place of the event that opened it among the payment's openers.
    pub(crate) opener: Option<u8>,
}

impl Window {
    /// When it fires, from `base`.
    pub(crate) fn fires(&self) -> i64 {
        self.deadline + self.grace
    }
}

/// The windows of a payment, at most one of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Which kinds there are, as bits.
    pub(crate) kinds: u16,
    of: [Window; KINDS],
}

impl Waits {
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }

    pub(crate) fn put(&mut self, kind: Kind, window: Window) {
        self.kinds |= kind.bit();
        self.of[kind as usize] = window;
    }

    /// Takes away the windows of these kinds.
    pub(crate) fn remove(&mut self, kinds: u16) {
        self.kinds &= !kinds;
    }

    /// The openers that they speak of, as bits, and when the first of them fires, from `base`.
    pub(crate) fn survey(&self) -> (u64, Option<i64>) {
        let (mut openers, mut first) = (0, i64::MAX);
        for kind in places(u64::from(self.kinds)) {
            let window = &self.of[kind as usize];
            openers |= window.opener.map_or(0, |place| 1 << place);
            first = first.min(window.fires());
        }
        (openers, (self.kinds != 0).then_some(first))
    }

    /// By kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, &Window)> {
        kinds(self.kinds).map(|kind| (kind, &self.of[kind as usize]))
    }
}

/// The kinds of a set of bits, in order.
pub(crate) fn kinds(set: u16) -> impl Iterator<Item = Kind> {
    places(u64::from(set)).map_while(|kind| Kind::ALL.get(kind as usize).copied())
}

/// The places of the bits that are set, the lowest first.
#[inline]
pub(crate) fn places(mut set: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(place)
    })
}

/// What ends an `unresolved`, beside money back and a final `not-paid` without an approval; the later ones are harder to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Settles {
    /// The end of the findings about money that its chain was for, or delivery.
    Findings,
    /// An approval.
    Approval,
    /// A `paid` that speaks of a later moment than this, from `base`.
    PaidAfter(i64),
    /// Nothing else.
    Nothing,
}

/// An open finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) kind: Kind,
    /// From `base`.
    pub(crate) deadline: i64,
    pub(crate) opener: Option<u8>,
    pub(crate) settles: Option<Settles>,
}

/// One payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payment {
    /// The position at which it was first seen.
    pub(crate) base: Instant,
    pub(crate) level: Level,
    pub(crate) facts: Facts,
    pub(crate) rail: Option<Rail>,
    pub(crate) numbers: Numbers,
    pub(crate) windows: Waits,
    /// At most one of each kind.
    pub(crate) open: Vec<Open>,
    /// How often each kind was raised, by [`Kind::ALL`].
    pub(crate) generations: [u32; KINDS],
    /// Position of the last event.
    pub(crate) last: i64,
    /// Where the parts of the transaction key lie, where that is known already.
    pub(crate) parts: Option<Parts>,
    /// Texts, and the events that opened windows: evidence of the findings that follow.
    pub(crate) tail: Tail,
}

impl Payment {
    pub(crate) fn begin(at: Instant, key: &[u8]) -> Self {
        Self { base: at, parts: Some(Parts::of(key)), ..Self::default() }
    }

    pub(crate) fn is_open(&self, kind: Kind) -> bool {
        self.open.iter().any(|open| open.kind == kind)
    }

    pub(crate) fn waits_for(&self, kind: Kind) -> bool {
        self.windows.has(kind)
    }

    /// The stages open no window any more.
    pub(crate) fn ended(&self) -> bool {
        self.numbers.has(Number::MoneyBack) || self.facts.has(Facts::LATE_APPROVED) || self.facts.has(Facts::NOT_PAID)
    }

    pub(crate) fn rail<'a>(&'a self, key: &'a str) -> &'a str {
        let said = self.rail.map(|rail| rail.name().or_else(|| self.tail.text(Text::Rail)).unwrap_or_default());
        payment::rail(said, key)
    }

    pub(crate) fn parts(&self, key: &[u8]) -> Parts {
        self.parts.unwrap_or_else(|| Parts::of(key))
    }

    /// Whether [`Payment::rail`] is the card's.
    pub(crate) fn by_card(&self, key: &[u8]) -> bool {
        self.rail.map_or_else(|| self.parts(key).five, |rail| rail == Rail::Card)
    }

    pub(crate) fn acquirer<'a>(&'a self, key: &'a str) -> &'a str {
        payment::acquirer(self.tail.text(Text::Acquirer), key)
    }

    pub(crate) fn merchant<'a>(&'a self, key: &'a str) -> &'a str {
        self.tail.text(Text::Merchant).unwrap_or_else(|| part(self.parts(key.as_bytes()).merchant(key.as_bytes())))
    }

    pub(crate) fn terminal<'a>(&'a self, key: &'a str) -> &'a str {
        self.tail.text(Text::Terminal).unwrap_or_else(|| part(self.parts(key.as_bytes()).terminal(key.as_bytes())))
    }

    pub(crate) fn site(&self) -> &str {
        self.tail.text(Text::Site).unwrap_or_default()
    }

    /// The next generation of a kind.
    pub(crate) fn next_generation(&mut self, kind: Kind) -> u32 {
        let generation = &mut self.generations[kind as usize];
        *generation = generation.saturating_add(1);
        *generation
    }

    /// Forgets all openers but these that windows speak of, and those of open findings.
    pub(crate) fn forget_openers(&mut self, of_windows: u64) {
        let of_findings = self.open.iter().filter_map(|open| open.opener);
        let used = of_findings.fold(of_windows, |used, place| used | 1 << place);
        let openers = self.tail.openers_count();
        if used.count_ones() == u32::from(openers) {
            return;
        }
        self.tail.retain_openers(used);
        let moved = |opener: &mut Option<u8>| {
            if let Some(place) = opener {
                let before = (used & ((1 << *place) - 1)).count_ones();
                *place = u8::try_from(before).expect("invariant: 64 bits at most");
            }
        };
        for kind in kinds(self.windows.kinds) {
            moved(&mut self.windows.of[kind as usize].opener);
        }
        for open in &mut self.open {
            moved(&mut open.opener);
        }
    }
}

/// Where a transaction key's parts lie: what it says by itself is not kept again, and is compared with at every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Where the first three end; the end of the key where there are fewer.
    pub(crate) ends: [u32; 3],
    /// It is a card's key, of five parts.
    pub(crate) five: bool,
}

impl Parts {
    /// Once a payment, so it stands outside of what every event passes through: numbers fewer to keep there in registers.
    #[inline(never)]
    pub(crate) fn of(key: &[u8]) -> Self {
        let end = u32::try_from(key.len()).expect("invariant: a key is part of a record");
        let mut ends = [end; 3];
        let mut count = 0;
        let (words, rest) = key.as_chunks();
        let last = match key.last_chunk() {
            // It overlaps the word before; what is of that one is shifted out.
            Some(last) if !rest.is_empty() => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            _ => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        let mut found = |word: u64, at: u32| {
            for colon in places(colons(word)) {
                if let Some(end) = ends.get_mut(count) {
                    *end = at + colon / 8;
                }
                count += 1;
            }
        };
        let mut at = 0;
        for word in words {
            found(u64::from_le_bytes(*word), at);
            at += 8;
        }
        found(last, at);
        Self { ends, five: count == 4 }
    }

    fn between<'a>(&self, key: &'a [u8], part: usize) -> &'a [u8] {
        // Past the end where there are fewer parts.
        let start = self.ends[part - 1] as usize + 1;
        key.get(start..self.ends[part] as usize).unwrap_or_default()
    }

    pub(crate) fn acquirer<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key.get(..self.ends[0] as usize).unwrap_or_default()
    }

    pub(crate) fn merchant<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        self.between(key, 1)
    }

    /// Only in a card's key; empty in others.
    pub(crate) fn terminal<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        if self.five { self.between(key, 2) } else { &[] }
    }
}

/// The highest bit of each byte of a word that is a colon.
#[inline]
fn colons(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    // A byte is 0 where it is a colon.
    let other = word ^ u64::from_ne_bytes([b':'; 8]);
    !(((other & LOW) + LOW) | other | LOW)
}

/// A part of a key as text again.
fn part(part: &[u8]) -> &str {
    std::str::from_utf8(part).expect("invariant: a key is cut at an ASCII character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_its_parts_say() {
        for (key, acquirer, merchant, terminal) in [
            ("A01:M1:T1:000017:003021", "A01", "M1", "T1"),
            ("A01:M1:O1", "A01", "M1", ""),
            ("A01:M1", "A01", "M1", ""),
            ("A01", "A01", "", ""),
            ("", "", "", ""),
            ("::::", "", "", ""),
            ("A01:M1:T1:1:2:3", "A01", "M1", ""),
        ] {
            let parts = Parts::of(key.as_bytes());
            let said = [parts.acquirer(key.as_bytes()), parts.merchant(key.as_bytes()), parts.terminal(key.as_bytes())];
            assert_eq!(said.map(part), [acquirer, merchant, terminal], "{key}");
        }
    }

    #[test]
    fn the_ends_of_parts_are_found_wherever_they_lie() {
        for length in 0..30_usize {
            for (first, second) in (0..length).flat_map(|first| (first..length).map(move |second| (first, second))) {
                // Its neighbours in the alphabet and a byte of a longer character beside it.
                let mut key: Vec<u8> = [b'9', b';', 0xba, 0].iter().copied().cycle().take(length).collect();
                (key[first], key[second]) = (b':', b':');
                let mut ends = key.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
                let expected = [(); 3].map(|()| ends.next().unwrap_or(length));
                assert_eq!(Parts::of(&key).ends.map(|end| end as usize), expected, "{first} and {second} of {length}");
            }
        }
    }
}
