//! What is remembered of a payment, small: it is written with every change.
//!
//! Instants are kept as distances from `base`, which the codec writes in two or three bytes. What the transaction key says already is
//! not kept again.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{Instant, payment};

use crate::Kind;

/// How far a payment has come; reaching a level reaches those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Level {
    #[default]
    Begun,
    Answer,
    Delivery,
    Display,
    Receipt,
}

/// Yes-or-no facts of a payment, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts(u16);

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

/// The rail, in one byte where it is one of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rail {
    Card,
    Wechat,
    Alipay,
    UnionpayQr,
    Other,
    Named(String),
}

impl Rail {
    pub(crate) fn read(name: &str) -> Self {
        match name {
            payment::CARD => Self::Card,
            payment::WECHAT => Self::Wechat,
            payment::ALIPAY => Self::Alipay,
            payment::UNIONPAY_QR => Self::UnionpayQr,
            payment::OTHER => Self::Other,
            name => Self::Named(name.to_owned()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Card => payment::CARD,
            Self::Wechat => payment::WECHAT,
            Self::Alipay => payment::ALIPAY,
            Self::UnionpayQr => payment::UNIONPAY_QR,
            Self::Other => payment::OTHER,
            Self::Named(name) => name,
        }
    }
}

/// Who takes part. The first event that says so counts; what stands in the transaction key is not repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) rail: Option<Rail>,
    pub(crate) acquirer: Option<String>,
    pub(crate) merchant: Option<String>,
    pub(crate) terminal: Option<String>,
    pub(crate) site: Option<String>,
}

/// The event that opened a window: evidence of the finding that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opener {
    /// Index in the rule's `EVENTS`.
    pub(crate) event: u8,
    pub(crate) id: String,
    /// Its own time, from `base`.
    pub(crate) time: i64,
}

/// A wait for something that must happen; when it does not, the finding `kind` is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) kind: Kind,
    /// From `base`.
    pub(crate) deadline: i64,
    /// How long after the deadline it fires; more than 0 only where a late event opened it.
    pub(crate) grace: i64,
    pub(crate) late: bool,
    pub(crate) opener: Option<u8>,
}

/// What ends an `unresolved`, beside money back and a final `not-paid` without an approval; the later ones are harder to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) kind: Kind,
    /// From `base`.
    pub(crate) deadline: i64,
    pub(crate) opener: Option<u8>,
    pub(crate) settles: Option<Settles>,
}

/// One payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The position at which it was first seen.
    pub(crate) base: Instant,
    pub(crate) level: Level,
    pub(crate) facts: Facts,
    pub(crate) who: Who,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<String>,
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
    pub(crate) windows: Vec<Window>,
    pub(crate) open: Vec<Open>,
    /// How often each kind was raised, by [`Kind::ALL`], without trailing zeros.
    pub(crate) generations: Vec<u32>,
    pub(crate) openers: Vec<Opener>,
    /// Position of the last event.
    pub(crate) last: i64,
    /// Position at which it was finished.
    pub(crate) finished: Option<i64>,
}

impl Payment {
    pub(crate) fn begin(at: Instant) -> Self {
        Self { base: at, ..Self::default() }
    }

    pub(crate) fn is_open(&self, kind: Kind) -> bool {
        self.open.iter().any(|open| open.kind == kind)
    }

    pub(crate) fn waits_for(&self, kind: Kind) -> bool {
        self.windows.iter().any(|window| window.kind == kind)
    }

    /// The stages open no window any more.
    pub(crate) fn ended(&self) -> bool {
        self.money_back.is_some() || self.facts.has(Facts::LATE_APPROVED) || self.facts.has(Facts::NOT_PAID)
    }

    pub(crate) fn rail<'a>(&'a self, key: &'a str) -> &'a str {
        payment::rail(self.who.rail.as_ref().map(Rail::name), key)
    }

    pub(crate) fn acquirer<'a>(&'a self, key: &'a str) -> &'a str {
        payment::acquirer(self.who.acquirer.as_deref(), key)
    }

    pub(crate) fn merchant<'a>(&'a self, key: &'a str) -> &'a str {
        self.who.merchant.as_deref().unwrap_or_else(|| Parts::of(key).merchant)
    }

    pub(crate) fn terminal<'a>(&'a self, key: &'a str) -> &'a str {
        self.who.terminal.as_deref().unwrap_or_else(|| Parts::of(key).terminal)
    }

    /// The next generation of a kind.
    pub(crate) fn next_generation(&mut self, kind: Kind) -> u32 {
        let index = kind as usize;
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        self.generations[index] = self.generations[index].saturating_add(1);
        self.generations[index]
    }

    /// Forgets openers that no window and no finding speaks of any more.
    pub(crate) fn forget_openers(&mut self) {
        let users = self.windows.iter().map(|window| window.opener).chain(self.open.iter().map(|open| open.opener));
        let used = users.flatten().fold(0_u64, |used, place| used | 1 << place);
        for place in (0..self.openers.len()).rev().filter(|place| used & 1 << place == 0) {
            self.openers.remove(place);
            let windows = self.windows.iter_mut().map(|window| &mut window.opener);
            let open = self.open.iter_mut().map(|open| &mut open.opener);
            for later in windows.chain(open).flatten().filter(|opener| usize::from(**opener) > place) {
                *later -= 1;
            }
        }
    }
}

/// What a transaction key says by itself, read in one pass: it is asked for at every event.
pub(crate) struct Parts<'a> {
    pub(crate) acquirer: &'a str,
    pub(crate) merchant: &'a str,
    /// Only in a card's key of five parts; empty in others.
    pub(crate) terminal: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(key: &'a str) -> Self {
        let mut parts = [""; 5];
        let (mut count, mut start) = (0, 0);
        for end in key.bytes().enumerate().filter(|(_, byte)| *byte == b':').map(|(at, _)| at).chain([key.len()]) {
            if let Some(part) = parts.get_mut(count) {
                *part = &key[start..end];
            }
            (count, start) = (count + 1, end + 1);
        }
        Self { acquirer: parts[0], merchant: parts[1], terminal: if count == 5 { parts[2] } else { "" } }
    }
}
