//! One terminal: who it is, and what it holds right now.

use tillwatch_core::Instant;

use super::{dice::Dice, options::Options};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// A reversal record: written before a sale is sent, cleared when its answer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) payment: u64,
    /// How often the reversal was sent.
    pub(super) tries: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Terminal {
    pub(super) id: String,
    pub(super) site: String,
    pub(super) merchant: String,
    pub(super) acquirer: String,
    pub(super) operator: String,
    /// How far its clock is off, ms.
    pub(super) skew_ms: i64,
    pub(super) stan: u32,
    pub(super) orders: u32,
    pub(super) events: u64,
    /// A customer is served.
    pub(super) busy: bool,
    /// Customers in line.
    pub(super) line: u32,
    pub(super) current: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) reversal: Option<Record>,
    /// What is wrong with the printer, and which repair is on its way.
    pub(super) printer: Option<&'static str>,
    pub(super) repair: u64,
    /// It cannot send events until then.
    pub(super) dark_until: Instant,
    /// It is switched off until then.
    pub(super) off_until: Instant,
    /// Who comes, and what befalls them.
    pub(super) customers: Dice,
    /// How its events travel.
    pub(super) network: Dice,
    /// How it acts on commands, and how reversals go.
    pub(super) answers: Dice,
}

impl Terminal {
    pub(super) fn new(index: u32, options: &Options) -> Self {
        let site = index % options.sites;
        let dice = |purpose| Dice::new(options.seed, u64::from(index) * 4 + purpose);
        let mut nature = dice(3);
        let skew_ms = match (nature.chance(options.faults.wrong_clock), nature.chance(0.5)) {
            (false, _) => 0,
            (true, fast) => {
                if fast {
                    HOUR_MS
                } else {
                    -HOUR_MS
                }
            }
        };
        Self {
            id: format!("T{index:07}"),
            site: format!("S{site:04}"),
            merchant: format!("M{site:07}"),
            acquirer: format!("A{:02}", site % 3 + 1),
            operator: format!("op-{:04}", index * 2 + u32::from(nature.chance(0.5))),
            skew_ms,
            stan: u32::try_from(nature.between(1, 900_000)).expect("invariant: a STAN has six digits"),
            orders: 0,
            events: 0,
            busy: false,
            line: 0,
            current: None,
            last: None,
            reversal: None,
            printer: None,
            repair: 0,
            dark_until: Instant::MIN,
            off_until: Instant::MIN,
            customers: dice(0),
            network: dice(1),
            answers: dice(2),
        }
    }

    /// The next STAN; it wraps.
    pub(super) fn next_stan(&mut self) -> u32 {
        self.stan = self.stan % 999_999 + 1;
        self.stan
    }

    /// From when on commands reach it again; none: they do.
    pub(super) fn unreachable_until(&self, now: Instant) -> Option<Instant> {
        Some(self.dark_until.max(self.off_until)).filter(|until| *until > now)
    }
}
