//! Beside the stages: reversals, the order system, money back, `not-paid`, contradictions, and time running out.

use tillwatch_sdk::{Instant, payment::Status};

use crate::{
    Kind,
    state::{Facts, Level, Number, Settles},
    step::{OPEN_KEPT_MS, Step, T_LATE_MS},
};

impl Step<'_> {
    /// Cards only: the reversal that must follow when the terminal gives up.
    pub(crate) fn open_reversal_missing(&mut self) {
        let facts = self.payment.facts;
        let stopped = facts.has(Facts::REVERSAL_SEEN) || facts.has(Facts::DECLINED);
        let waiting = self.payment.waits_for(Kind::ReversalMissing) || self.payment.is_open(Kind::ReversalMissing);
        if self.card
            && self.payment.level < Level::Delivery
            && !stopped
            && !waiting
            && !facts.has(Facts::NOT_PAID)
            && let Some(authorized) = self.payment.numbers.get(Number::Authorized)
        {
            let length = self.windows.terminal_ms + self.windows.reversal_ms;
            self.open(Kind::ReversalMissing, self.payment.base + authorized, length);
        }
    }

    /// The terminal asks for a reversal.
    pub(crate) fn reversal_request(&mut self) {
        let time = self.kept(self.time);
        self.payment.facts.set(Facts::REVERSAL_SEEN);
        self.payment.numbers.earliest(Number::ReversalRequested, time);
        self.done(Kind::ReversalMissing);
        let kind = Kind::ReversalUnanswered;
        let answered = self.payment.numbers.get(Number::ReversalAnswered).is_some_and(|answered| answered >= time);
        let waiting = self.payment.waits_for(kind) || self.payment.is_open(kind);
        if !answered && !waiting && !self.payment.numbers.has(Number::MoneyBack) {
            self.open(kind, self.time, self.windows.reversal_answer_ms);
        }
    }

    /// A reversal is answered. Only `approved` is money back; only `declined` is a refusal.
    pub(crate) fn reversal_response(&mut self, outcome: Option<&str>) {
        self.payment.facts.set(Facts::REVERSAL_SEEN);
        self.payment.numbers.latest(Number::ReversalAnswered, self.kept(self.time));
        if outcome == Some("approved") {
            self.money_back();
            return;
        }
        self.done(Kind::ReversalMissing);
        self.done(Kind::ReversalUnanswered);
        let approved = self.payment.numbers.has(Number::Approved) && !self.payment.numbers.has(Number::MoneyBack);
        if outcome == Some("declined") && approved {
            self.contradiction("reversal refused after an approval", Settles::Nothing);
        }
    }

    /// An answer to a status query.
    pub(crate) fn status(&mut self, status: Status, as_of: Instant) {
        match status {
            Status::Paid => self.approval(false, as_of, true),
            Status::MoneyBack => {
                self.money_back();
                self.reach(Level::Answer);
            }
            Status::NotPaid => self.not_paid(as_of),
            Status::Open => {}
        }
    }

    fn money_back(&mut self) {
        self.payment.numbers.latest(Number::MoneyBack, self.kept(self.time));
        self.end_everything("reversed");
    }

    fn not_paid(&mut self, as_of: Instant) {
        if self.payment.numbers.has(Number::MoneyBack) {
            return;
        }
        if self.payment.numbers.has(Number::Approved) {
            let as_of = self.kept(as_of);
            if self.payment.numbers.get(Number::PaidAsOf).is_some_and(|paid| as_of > paid) {
                self.contradiction("approved, then not paid", Settles::PaidAfter(as_of));
            }
            return;
        }
        if self.gives_up_at().is_some_and(|gives_up| self.time >= gives_up) {
            self.end_everything("not-paid");
            self.payment.facts.set(Facts::NOT_PAID);
            self.reach(Level::Answer);
        }
    }

    /// When the terminal gives up; where no authorize was seen, its reversal request says that it has.
    fn gives_up_at(&self) -> Option<Instant> {
        match self.patience_from() {
            Some(from) => Some(from + self.windows.gives_up_ms(self.card)),
            None => self.payment.numbers.get(Number::ReversalRequested).map(|kept| self.payment.base + kept),
        }
    }

    /// Goods may have been handed over.
    pub(crate) fn goods(&mut self) {
        self.payment.facts.set(Facts::GOODS);
        self.clear(Kind::LateApproval);
        if self.payment.numbers.has(Number::MoneyBack) {
            self.unresolved("goods", None, Some("goods after money back"), Settles::Nothing);
        } else if self.payment.facts.has(Facts::NOT_PAID) && !self.payment.numbers.has(Number::Approved) {
            self.unresolved("goods", None, Some("goods after a final not-paid"), Settles::Approval);
        }
    }

    /// The order system's view.
    pub(crate) fn ledger(&mut self, state: Option<&str>) {
        match state {
            Some("paid") => {
                self.payment.facts.set(Facts::LEDGER_PAID);
                self.done(Kind::Unsynced);
            }
            Some("reversed") => self.clear_as(Kind::LateApproval, "reversed"),
            _ => {}
        }
    }

    /// Authoritative answers contradict each other.
    pub(crate) fn contradiction(&mut self, detail: &str, settles: Settles) {
        self.unresolved("contradiction", None, Some(detail), settles);
    }

    /// An approval may answer the question that was open.
    pub(crate) fn settle_by_approval(&mut self, as_of: i64, paid: bool) {
        let settles = self.payment.open.iter().find(|open| open.kind == Kind::Unresolved).and_then(|open| open.settles);
        let settled = match settles {
            Some(Settles::Approval) => true,
            Some(Settles::PaidAfter(moment)) => paid && as_of > moment,
            _ => false,
        };
        if settled {
            self.clear(Kind::Unresolved);
        }
    }

    /// At the end of an event: what a chain of commands left unresolved is over with the last finding about money.
    pub(crate) fn settle(&mut self) {
        let by_findings = self
            .payment
            .open
            .iter()
            .any(|open| open.kind == Kind::Unresolved && open.settles == Some(Settles::Findings));
        if by_findings && self.settled && !self.payment.open.iter().any(|open| open.kind.about_money()) {
            self.clear(Kind::Unresolved);
        }
    }

    /// A wake-up: raises what was missed. False when the payment is to be forgotten.
    pub(crate) fn wake(&mut self) -> bool {
        let at = self.kept(self.at);
        if let Some(finished) = self.payment.numbers.get(Number::Finished) {
            return at < finished + T_LATE_MS;
        }
        let windows = self.payment.windows;
        for (kind, window) in windows.iter().filter(|(_, window)| window.fires() <= at) {
            self.close(kind);
            let superseded = kind == Kind::SlowAnswer && self.payment.is_open(Kind::NoAnswer);
            if !superseded {
                self.fire(kind, *window);
            }
            if kind == Kind::NoAnswer {
                self.close(Kind::SlowAnswer);
                self.clear_as(Kind::SlowAnswer, "superseded");
            }
        }
        if !self.payment.open.is_empty() && at >= self.payment.last + OPEN_KEPT_MS {
            self.end_everything("expired");
            return false;
        }
        true
    }

    /// When to be woken next; marks a payment that waits for nothing as finished.
    pub(crate) fn next_wake(&mut self) -> Instant {
        let payment = &mut *self.payment;
        let (openers, first) = payment.windows.survey();
        payment.forget_openers(openers);
        let memory = (!payment.open.is_empty()).then_some(payment.last + OPEN_KEPT_MS);
        let kept = match (first, memory) {
            (None, None) => payment.numbers.get_or_insert(Number::Finished, self.at - payment.base) + T_LATE_MS,
            (first, memory) => {
                payment.numbers.unset(Number::Finished);
                first.unwrap_or(i64::MAX).min(memory.unwrap_or(i64::MAX))
            }
        };
        payment.base + kept
    }
}
