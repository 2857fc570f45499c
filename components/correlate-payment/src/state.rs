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
        let mut kinds = self.kinds;
        while kinds != 0 {
            let window = &self.of[kinds.trailing_zeros() as usize];
            openers |= window.opener.map_or(0, |place| 1 << place);
            first = first.min(window.fires());
            kinds &= kinds - 1;
        }
        (openers, (self.kinds != 0).then_some(first))
    }

    /// By kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, &Window)> {
        kinds(self.kinds).map(|kind| (kind, &self.of[kind as usize]))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Window> {
        let kinds = self.kinds;
        self.of.iter_mut().enumerate().filter(move |(kind, _)| kinds & 1 << kind != 0).map(|(_, window)| window)
    }
}

/// The kinds of a set of bits, in order.
pub(crate) fn kinds(mut bits: u16) -> impl Iterator<Item = Kind> {
    std::iter::from_fn(move || {
        let kind = Kind::ALL.get(bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(*kind)
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
    pub(crate) amount: Option<i64>,
    /// Time of the first authorize seen.
    pub(crate) authorized: Option<i64>,
    /// From where the terminal's patience is counted, where that authorize came late.
    pub(crate) patience: Option<i64>,
    /// Time of the first approval handed out.
    pub(crate) approved: Option<i64>,
    /// The latest moment for which an approval or `paid` speaks.
    pub(crate) paid_as_of: Option<i64>,
    /// Earliest reversal request.
    pub(crate) reversal_requested: Option<i64>,
    /// Latest reversal response.
    pub(crate) reversal_answered: Option<i64>,
    /// Latest money back.
    pub(crate) money_back: Option<i64>,
    pub(crate) windows: Waits,
    /// At most one of each kind.
    pub(crate) open: Vec<Open>,
    /// How often each kind was raised, by [`Kind::ALL`].
    pub(crate) generations: [u32; KINDS],
    /// Position of the last event.
    pub(crate) last: i64,
    /// Position at which it was finished.
    pub(crate) finished: Option<i64>,
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
        self.money_back.is_some() || self.facts.has(Facts::LATE_APPROVED) || self.facts.has(Facts::NOT_PAID)
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
        let windows = self.windows.iter_mut().map(|window| &mut window.opener);
        let open = self.open.iter_mut().map(|open| &mut open.opener);
        for place in windows.chain(open).flatten() {
            let before = (used & ((1 << *place) - 1)).count_ones();
            *place = u8::try_from(before).expect("invariant: 64 bits at most");
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
    pub(crate) fn of(key: &[u8]) -> Self {
        let end = u32::try_from(key.len()).expect("invariant: a key is part of a record");
        let mut ends = [end; 3];
        let mut count = 0;
        for (at, _) in (0..end).zip(key).filter(|(_, byte)| **byte == b':') {
            if let Some(end) = ends.get_mut(count) {
                *end = at;
            }
            count += 1;
        }
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
}
