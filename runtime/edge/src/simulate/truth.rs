//! What really happened to a payment, and which findings follow from it.
//!
//! A plain reading of `docs/spec/payment.md` with its default windows over the facts as they came into the log. Where a fact fell so near to
//! a deadline that the order of arrival decides, or news came late, a finding may or may not be: it is then in `may`.

use serde::Serialize;
use tillwatch_core::Instant;

use super::{cause::Cause, payment::Rail};

const SLOW_MS: i64 = 15_000;
const DELIVERY_MS: i64 = 5_000;
const DISPLAY_MS: i64 = 5_000;
const PRINT_MS: i64 = 10_000;
const REVERSAL_MS: i64 = 30_000;
const REVERSAL_ANSWER_MS: i64 = 30_000;
const SYNC_MS: i64 = 60_000;

/// So near to a deadline it is not certain what is seen first.
const NEAR_MS: i64 = 1_500;

/// Something about a payment that an event told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Authorize,
    /// An answer at the host: a response, a notice, a final status.
    Approved,
    Declined,
    /// The answer at the terminal; whether it is an approval.
    Delivered(bool),
    /// Shown; whether as approved.
    Shown(bool),
    PrintTried,
    PrintFailed,
    Printed,
    ReversalSent,
    ReversalAnswered,
    /// A final status without a payment.
    NotPaid,
    MoneyBack,
    Ledger,
}

/// All facts about a payment.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(Vec<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    fact: Fact,
    at: Instant,
    ingest: Instant,
}

/// What really happened to one payment; a line of the side file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The transaction key.
    pub txn: String,
    /// The terminal.
    pub terminal: String,
    /// The site.
    pub site: String,
    /// The rail.
    pub rail: &'static str,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: &'static str,
    /// What befell it, as in [`super::Faults`]; none: nothing.
    pub fault: Option<&'static str>,
    /// Why, as in `docs/spec/domain.md`, section 3, where there is a reason.
    pub cause: Option<Cause>,
    /// The number of the injected fault that changed its course.
    pub blame: Option<usize>,
    /// When the sale began, RFC 3339.
    pub started_at: String,
    /// Whether the host approved it.
    pub approved: bool,
    /// Where the money is: `none` was taken, `taken`, or `back`.
    pub money: &'static str,
    /// Whether the terminal showed the outcome.
    pub shown: bool,
    /// Whether a receipt was printed.
    pub printed: bool,
    /// Whether till and money agree in the end: paid and shown, or neither.
    pub settled: bool,
    /// Kinds of finding that ought to have been raised, some of them cleared since.
    pub expect: Vec<&'static str>,
    /// Kinds that ought to have been raised besides where the site expects `ledger`, as it does not by default.
    pub with_ledger: Vec<&'static str>,
    /// Those of `expect` that the payment's own events have cleared since, mended or proved wrong.
    pub cleared: Vec<&'static str>,
    /// Kinds that may have been raised.
    pub may: Vec<&'static str>,
}

/// What the facts lead to.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) expect: Vec<&'static str>,
    pub(super) with_ledger: Vec<&'static str>,
    pub(super) cleared: Vec<&'static str>,
    pub(super) may: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    No,
    Maybe,
    Yes,
}

impl Timeline {
    pub(super) fn add(&mut self, fact: Fact, at: Instant, ingest: Instant) {
        self.0.push(Seen { fact, at, ingest });
    }

    fn first(&self, which: impl Fn(Fact) -> bool) -> Option<Seen> {
        self.0.iter().filter(|seen| which(seen.fact)).min_by_key(|seen| seen.at).copied()
    }

    /// Whether a window opened at `open` was missed, by what the log had seen, and whether what was missed came after all.
    fn missed(&self, open: Instant, window: i64, until: Instant, closes: impl Fn(Fact) -> bool) -> (Verdict, bool) {
        let deadline = open + window;
        let by = |margin: i64, seen: &Seen| seen.at <= deadline + margin.min(0) && seen.ingest <= deadline + margin;
        let closing = || self.0.iter().filter(|seen| closes(seen.fact));
        let verdict = if closing().any(|seen| by(-NEAR_MS, seen)) {
            Verdict::No
        } else if until < deadline + NEAR_MS || closing().any(|seen| by(NEAR_MS, seen)) {
            Verdict::Maybe
        } else {
            Verdict::Yes
        };
        (verdict, closing().next().is_some())
    }

    /// Kinds that must and kinds that may have been raised until then. Of a terminal with a slow clock all news comes late, as it says itself.
    pub(super) fn expect(&self, rail: Rail, slow_clock: bool, until: Instant) -> Expected {
        let Some(start) = self.first(|fact| fact == Fact::Authorize) else { return Expected::default() };
        let mut found = Found::default();
        let over = |fact| matches!(fact, Fact::NotPaid | Fact::MoneyBack);
        let print = |fact| matches!(fact, Fact::PrintTried | Fact::PrintFailed | Fact::Printed);
        let delivered = |fact| matches!(fact, Fact::Delivered(_) | Fact::Shown(_)) || print(fact);
        let answered = |fact| matches!(fact, Fact::Approved | Fact::Declined) || delivered(fact) || over(fact);
        let reversal = |fact| matches!(fact, Fact::ReversalSent | Fact::ReversalAnswered);
        let card = rail == Rail::Card;

        if card {
            found.add("slow-answer", self.missed(start.at, SLOW_MS, until, answered));
            let closes = |fact| delivered(fact) || reversal(fact) || over(fact) || fact == Fact::Declined;
            found.add("reversal-missing", self.missed(start.at, rail.gives_up_ms() + REVERSAL_MS, until, closes));
        }
        found.add("no-answer", self.missed(start.at, rail.response_ms(), until, answered));
        for sent in self.0.iter().filter(|seen| seen.fact == Fact::ReversalSent) {
            let closes = |fact| fact == Fact::ReversalAnswered || over(fact);
            found.add("reversal-unanswered", self.missed(sent.at, REVERSAL_ANSWER_MS, until, closes));
        }
        let approval = self.first(|fact| matches!(fact, Fact::Approved | Fact::Delivered(true)));
        let late = approval.map_or(Verdict::No, |approval| self.late(start, approval, rail));
        // A payment whose authorize came late is measured from its coming.
        let late_news = self.0.iter().any(|seen| seen.ingest > seen.at + 2 * NEAR_MS);
        let late = if slow_clock || late_news { late.min(Verdict::Maybe) } else { late };
        let through = self.first(|fact| matches!(fact, Fact::Shown(true) | Fact::Printed)).is_some();
        found.add("late-approval", (late, through || self.first(over).is_some()));
        if let Some(approval) = approval.filter(|_| late != Verdict::Yes) {
            let closes = |fact| delivered(fact) || over(fact);
            let (missed, closed) = self.missed(approval.at, DELIVERY_MS, until, closes);
            let missed = if late == Verdict::Maybe { missed.min(Verdict::Maybe) } else { missed };
            found.add("approved-undelivered", (missed, closed));
        }
        if late == Verdict::No || slow_clock || late_news {
            self.in_the_terminal(approval.is_some(), until, &mut found);
        }
        let unsynced = |closes: &dyn Fn(Fact) -> bool| {
            approval.map_or(Verdict::No, |approval| self.missed(approval.at, SYNC_MS, until, closes).0)
        };
        if unsynced(&|fact| fact == Fact::Ledger) != Verdict::No {
            found.add("unsynced", (Verdict::Maybe, false));
        }
        // A late approval opens no window, and what is over closes it.
        let unsynced = unsynced(&|fact| fact == Fact::Ledger || over(fact)) == Verdict::Yes && late == Verdict::No;
        // Chains that run out, and answers that contradict each other, end with a person.
        if ["no-answer", "approved-undelivered", "late-approval", "reversal-missing", "reversal-unanswered"]
            .iter()
            .any(|kind| found.any(kind))
            || self.first(|fact| fact == Fact::ReversalSent).is_some()
        {
            found.add("unresolved", (Verdict::Maybe, false));
        }
        let with_ledger = if unsynced && !late_news && !slow_clock { vec!["unsynced"] } else { Vec::new() };
        Expected { with_ledger, ..found.lists(late_news, slow_clock) }
    }

    fn late(&self, start: Seen, approval: Seen, rail: Rail) -> Verdict {
        let gave_up = start.at + rail.response_ms();
        let reversal = self.first(|fact| fact == Fact::ReversalSent).map_or(Instant::MAX, |sent| sent.at);
        let limit = gave_up.min(reversal);
        if approval.at > limit + NEAR_MS {
            Verdict::Yes
        } else if approval.at > limit - NEAR_MS {
            Verdict::Maybe
        } else {
            Verdict::No
        }
    }

    /// Display and receipt.
    fn in_the_terminal(&self, approved: bool, until: Instant, found: &mut Found) {
        let print = |fact| matches!(fact, Fact::PrintTried | Fact::PrintFailed | Fact::Printed);
        let over = |fact| matches!(fact, Fact::NotPaid | Fact::MoneyBack);
        if let Some(delivered) = self.first(|fact| matches!(fact, Fact::Delivered(_))) {
            let closes = |fact| matches!(fact, Fact::Shown(_)) || print(fact) || over(fact);
            found.add("not-shown", self.missed(delivered.at, DISPLAY_MS, until, closes));
        }
        if !approved {
            return;
        }
        let shown = self.first(|fact| matches!(fact, Fact::Shown(true)) || print(fact));
        let printed = self.first(|fact| fact == Fact::Printed);
        if let Some(failed) = self.first(|fact| fact == Fact::PrintFailed) {
            let before = printed.is_none_or(|printed| failed.at < printed.at);
            found.add("not-printed", (if before { Verdict::Yes } else { Verdict::No }, printed.is_some()));
        } else if let Some(shown) = shown {
            found
                .add("not-printed", self.missed(shown.at, PRINT_MS, until, |fact| fact == Fact::Printed || over(fact)));
        }
    }
}

#[derive(Default)]
struct Found(Vec<(&'static str, Verdict, bool)>);

impl Found {
    fn add(&mut self, kind: &'static str, (verdict, closed): (Verdict, bool)) {
        match self.0.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, known, _)) => *known = (*known).max(verdict),
            None => self.0.push((kind, verdict, closed)),
        }
    }

    fn any(&self, kind: &str) -> bool {
        self.0.iter().any(|(known, verdict, _)| *known == kind && *verdict != Verdict::No)
    }

    /// Musts and mays. With a slow clock windows are shorter than they seem, and nothing is certain. Where news came late, windows are opened
    /// by it and not by the facts: a miss is certain only for what waits for the gateway's news.
    fn lists(self, late: bool, slow_clock: bool) -> Expected {
        let mut lists = Expected::default();
        for (kind, verdict, closed) in self.0 {
            match verdict {
                Verdict::Yes if !slow_clock && (!late || kind == "approved-undelivered") => {
                    lists.expect.push(kind);
                    lists.cleared.extend(closed.then_some(kind));
                }
                Verdict::No if !late && !slow_clock => {}
                _ => lists.may.push(kind),
            }
        }
        lists
    }
}
