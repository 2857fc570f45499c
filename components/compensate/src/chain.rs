//! One chain of commands of one kind about one payment: its steps and when each is due. Owns the schedule, not what stands in a chain's way.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::Instant;

use crate::words::Needs;

/// When the queries of a finding are due after it was raised, ms.
pub const ASK_MS: [i64; 5] = [0, 5_000, 15_000, 45_000, 105_000];
/// How long the last query of a finding, or a single one, is open, ms.
pub const ASK_LAST_MS: i64 = 30_000;
/// Between the queries of an unanswered payment on a QR rail, and before the first, ms.
pub const POLL_MS: i64 = 5_000;
/// How many flushes.
pub const FLUSHES: u32 = 3;
/// How long a flush is open, and the distance to the next, ms.
pub const FLUSH_MS: i64 = 60_000;
/// How long a `redeliver-result` for `not-shown` is open, ms.
pub const REDELIVER_MS: i64 = 30_000;
/// How long before the terminal gives up a `redeliver-result` is of no use any more, ms.
pub const REDELIVER_SPARE_MS: i64 = 5_000;
/// With less time than this a `redeliver-result` is not begun, ms.
pub const REDELIVER_LEAST_MS: i64 = 2_000;
/// How long a reprint is open, ms.
pub const REPRINT_MS: i64 = 60_000;
/// How long a guide is open, ms.
pub const GUIDE_MS: i64 = 600_000;
/// A query moves by up to one part in so many of the gap to the next.
const SPREAD_PARTS: i64 = 5;

/// Due at once.
pub const AT_ONCE: Instant = Instant::MIN;

/// What the chain does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// Queries while a QR payment is unanswered.
    Poll {
        /// Its authorize.
        from: Instant,
        /// The answer's deadline.
        until: Instant,
        /// The first step in the grid of [`POLL_MS`] that was not past when the authorize came.
        first: u32,
    },
    /// Five queries for a finding.
    Ask {
        /// When it was raised.
        from: Instant,
    },
    /// One query.
    AskOnce,
    /// One `redeliver-result`.
    Redeliver {
        /// Of no use from then on; none: [`REDELIVER_MS`] after it is sent.
        until: Option<Instant>,
    },
    /// One reprint.
    Reprint,
    /// A guide about the printer, and a reprint when the printer is `ok`.
    GuidePrinter {
        /// What ails it.
        fault: String,
    },
    /// A guide that the order is paid.
    GuidePaid,
    /// Three flushes.
    Flush,
}

impl Plan {
    /// The queries of an unanswered QR payment that are not past at `at`; none where there are none. One of that very moment is not: an
    /// authorize that came late takes part in the grid of its own time.
    #[must_use]
    pub fn poll(from: Instant, until: Instant, at: Instant) -> Option<Self> {
        let first = ((at - from + POLL_MS - 1) / POLL_MS).max(1);
        if from + first * POLL_MS >= until {
            return None;
        }
        Some(Self::Poll { from, until, first: u32::try_from(first).ok()? })
    }

    /// How many steps it has.
    #[must_use]
    pub fn steps(&self) -> u32 {
        match self {
            Self::Poll { from, until, first } => {
                let last = (until - from - 1) / POLL_MS;
                u32::try_from(last + 1 - i64::from(*first)).expect("invariant: a poll has a step before its deadline")
            }
            Self::Ask { .. } => 5,
            Self::AskOnce | Self::Redeliver { .. } | Self::Reprint | Self::GuidePrinter { .. } | Self::GuidePaid => 1,
            Self::Flush => FLUSHES,
        }
    }

    /// When step `step` (from 0) is due; for chains that take their next step when the one before has ended: at once.
    #[must_use]
    pub fn due(&self, step: u32, spread: u64) -> Instant {
        match self {
            Self::Poll { from, until, first } => {
                let due = from + i64::from(first + step) * POLL_MS;
                due + moved((due + POLL_MS).min(*until) - due, spread)
            }
            Self::Ask { from } => {
                let step = step as usize;
                let gap = ASK_MS.get(step + 1).map_or(0, |next| next - ASK_MS[step]);
                from + ASK_MS[step] + moved(gap, spread)
            }
            _ => AT_ONCE,
        }
    }

    /// Until when step `step`, taken at `at`, is open.
    #[must_use]
    pub fn until(&self, step: u32, at: Instant, spread: u64) -> Instant {
        let last = step + 1 == self.steps();
        match self {
            Self::Poll { until, .. } if last => *until,
            Self::Ask { .. } if last => at + ASK_LAST_MS,
            Self::Poll { .. } | Self::Ask { .. } => self.due(step + 1, spread),
            Self::AskOnce => at + ASK_LAST_MS,
            Self::Redeliver { until } => until.unwrap_or(at + REDELIVER_MS),
            Self::Reprint => at + REPRINT_MS,
            Self::GuidePrinter { .. } | Self::GuidePaid => at + GUIDE_MS,
            Self::Flush => at + FLUSH_MS,
        }
    }
}

/// A step's share of its gap, by the payment's hash.
fn moved(gap: i64, spread: u64) -> i64 {
    let share = i64::from(u16::try_from(spread & 0xffff).expect("invariant: 16 bits"));
    gap * share / (SPREAD_PARTS * 0xffff)
}

/// Where a chain stands between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// No command is open; the next step, or the end, comes when it is due.
    Rest,
    /// A step is due and may not be sent yet; it lapses at this instant.
    Pending(Instant),
    /// The command of this id is open until the chain's `due`.
    Open(String),
}

/// A running chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Number of this kind in the payment, from 1.
    pub number: u32,
    /// The open findings that call for it.
    pub callers: Needs,
    /// What it does.
    pub plan: Plan,
    /// Steps taken.
    pub taken: u32,
    /// When the next step, or the end, is due.
    pub due: Instant,
    /// Where it stands.
    pub phase: Phase,
}

impl Chain {
    /// A chain before its first step.
    #[must_use]
    pub fn new(number: u32, callers: Needs, plan: Plan, spread: u64) -> Self {
        let due = plan.due(0, spread);
        Self { number, callers, plan, taken: 0, due, phase: Phase::Rest }
    }

    /// Whether no open finding calls for it; queries before the answer need none.
    #[must_use]
    pub fn is_unwanted(&self) -> bool {
        self.callers.is_empty() && !matches!(self.plan, Plan::Poll { .. })
    }

    /// Whether `id` is its open command.
    #[must_use]
    pub fn is_open(&self, id: &str) -> bool {
        matches!(&self.phase, Phase::Open(open) if open == id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_finding_asks_five_times() {
        let plan = Plan::Ask { from: 1_000 };
        let due: Vec<_> = (0..5).map(|step| plan.due(step, 0)).collect();
        assert_eq!(due, [1_000, 6_000, 16_000, 46_000, 106_000]);
        assert_eq!(plan.until(0, 1_000, 0), 6_000);
        assert_eq!(plan.until(4, 106_000, 0), 136_000);
        assert_eq!((plan.due(0, 0xffff), plan.due(3, 0xffff), plan.due(4, 0xffff)), (2_000, 58_000, 106_000));
    }

    #[test]
    fn polling_ends_before_the_deadline() {
        let plan = Plan::poll(0, 45_000, 0).expect("there is time");
        assert_eq!(plan.steps(), 8);
        assert_eq!((plan.due(0, 0), plan.due(7, 0)), (5_000, 40_000));
        assert_eq!((plan.until(0, 5_000, 0), plan.until(7, 40_000, 0)), (10_000, 45_000));
        let plan = Plan::poll(0, 46_000, 0).expect("there is time");
        assert_eq!((plan.steps(), plan.due(8, 0xffff)), (9, 45_200));
    }

    #[test]
    fn what_is_past_when_the_authorize_comes_is_not_polled() {
        let plan = Plan::poll(0, 45_000, 12_000).expect("there is time");
        assert_eq!((plan.steps(), plan.due(0, 0)), (6, 15_000));
        assert_eq!(Plan::poll(0, 45_000, 40_000).map(|plan| plan.due(0, 0)), Some(40_000));
        assert_eq!(Plan::poll(0, 45_000, 40_001), None);
        assert_eq!(Plan::poll(0, 5_000, 0), None);
    }

    proptest! {
        #[test]
        fn steps_move_by_at_most_a_fifth_and_never_past_the_next(spread: u64, length in 5_001_i64..200_000, at in 0_i64..100_000) {
            let plans = [Plan::poll(0, length, at), Some(Plan::Ask { from: at })];
            for plan in plans.into_iter().flatten() {
                for step in 0..plan.steps() {
                    let (plain, due) = (plan.due(step, 0), plan.due(step, spread));
                    let until = plan.until(step, due, spread);
                    let plain_until = plan.until(step, plain, 0);
                    prop_assert!(due >= plain && (due - plain) * 5 <= plain_until - plain);
                    prop_assert!(due < until);
                    if step + 1 < plan.steps() {
                        prop_assert_eq!(until, plan.due(step + 1, spread));
                    }
                }
                if let Plan::Poll { until, .. } = plan {
                    prop_assert!(plan.due(plan.steps() - 1, spread) < until);
                    prop_assert!(plan.due(0, spread) >= at);
                }
            }
        }
    }
}
