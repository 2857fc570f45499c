//! The four stages: answer, delivery, display, receipt.

use tillwatch_sdk::{Instant, payment::Outcome};

use crate::{
    Kind,
    state::{Facts, Level, Number, Settles, kinds},
    step::Step,
};

/// The kinds that belong to stages, as bits.
const STAGES: u16 =
    Kind::NoAnswer.bit() | Kind::ApprovedUndelivered.bit() | Kind::NotShown.bit() | Kind::NotPrinted.bit();

/// What reaching a level ends, as bits: the stages up to it, the wait for an answer, and from delivery on that for a reversal.
const ENDED_BY: [u16; Level::ALL.len()] = {
    let answer = Kind::NoAnswer.bit() | Kind::SlowAnswer.bit();
    let delivery = answer | Kind::ApprovedUndelivered.bit() | Kind::ReversalMissing.bit();
    let display = delivery | Kind::NotShown.bit();
    [Kind::SlowAnswer.bit(), answer, delivery, display, display | Kind::NotPrinted.bit()]
};

impl Step<'_> {
    /// The first authorize seen opens the windows of what is not yet reached.
    pub(crate) fn authorize(&mut self) {
        if self.payment.numbers.has(Number::Authorized) {
            return;
        }
        self.payment.numbers.set(Number::Authorized, self.kept(self.time));
        if self.late {
            self.payment.numbers.set(Number::Patience, self.kept(self.at));
        }
        if self.payment.numbers.has(Number::MoneyBack) {
            return;
        }
        if self.payment.level < Level::Answer {
            self.open(Kind::NoAnswer, self.time, self.windows.response_ms);
            if self.card {
                self.open(Kind::SlowAnswer, self.time, self.windows.slow_ms);
            }
        }
        self.open_reversal_missing();
    }

    /// An answer of the host, as the gateway or a notice has it, or as the terminal received it.
    pub(crate) fn answer(&mut self, outcome: Outcome, by_terminal: bool) {
        match outcome {
            Outcome::Approved => self.approval(by_terminal, self.time, false),
            Outcome::Declined => self.decline(by_terminal),
            Outcome::Open => {}
        }
    }

    /// An approval that speaks of the moment `as_of`.
    pub(crate) fn approval(&mut self, by_terminal: bool, as_of: Instant, paid: bool) {
        self.reach(Level::Answer);
        let as_of = self.kept(as_of);
        if let Some(back) = self.payment.numbers.get(Number::MoneyBack) {
            if !by_terminal && as_of > back {
                self.contradiction("approved after money back", Settles::Nothing);
            }
        } else {
            self.settle_by_approval(as_of, paid);
            if self.payment.facts.has(Facts::DECLINE_STANDS) {
                self.payment.facts.unset(Facts::DECLINE_STANDS);
                self.contradiction("declined, then approved", Settles::PaidAfter(as_of));
            }
            if !self.payment.numbers.has(Number::Approved) {
                self.first_approval(by_terminal);
            }
        }
        self.payment.numbers.get_or_insert(Number::Approved, self.kept(self.time));
        self.payment.numbers.latest(Number::PaidAsOf, as_of);
        if by_terminal {
            self.delivered(false);
        }
    }

    fn first_approval(&mut self, by_terminal: bool) {
        if self.payment.facts.has(Facts::SHOWN_DECLINED) {
            self.contradiction("declined on the display, then approved", Settles::Nothing);
        }
        if let Some(gave_up) = self.gave_up_before_approval() {
            self.payment.facts.set(Facts::LATE_APPROVED);
            for kind in [Kind::NoAnswer, Kind::ApprovedUndelivered, Kind::NotShown, Kind::NotPrinted] {
                self.close(kind);
            }
            let late = self.late || self.payment.numbers.has(Number::Patience);
            self.raise(Kind::LateApproval, gave_up, late, Vec::new());
            return;
        }
        let again = self.payment.facts.has(Facts::NOT_PAID);
        self.payment.facts.unset(Facts::NOT_PAID);
        if self.payment.level < Level::Delivery && !by_terminal {
            self.open(Kind::ApprovedUndelivered, self.time, self.windows.delivery_ms);
            if again {
                self.open_reversal_missing();
            }
        }
        if self.windows.expects_ledger && !self.payment.facts.has(Facts::LEDGER_PAID) {
            self.open(Kind::Unsynced, self.time, self.windows.sync_ms);
        }
    }

    /// The moment at which the terminal gave up, where this approval is after it and no goods were handed over.
    fn gave_up_before_approval(&self) -> Option<Instant> {
        if self.payment.facts.has(Facts::GOODS) {
            return None;
        }
        let patience = self.patience_from().map(|from| from + self.windows.response_ms);
        let request = self.payment.numbers.get(Number::ReversalRequested).map(|kept| self.payment.base + kept);
        let gave_up = [patience, request].into_iter().flatten().min()?;
        (self.time > gave_up).then_some(gave_up)
    }

    fn decline(&mut self, by_terminal: bool) {
        self.reach(Level::Answer);
        self.payment.facts.set(Facts::DECLINED);
        self.payment.facts.set(Facts::DECLINE_STANDS);
        self.done(Kind::ReversalMissing);
        self.done(Kind::NotPrinted);
        if by_terminal {
            self.delivered(true);
        }
    }

    /// The terminal received the answer.
    fn delivered(&mut self, decline: bool) {
        let newly = self.reach(Level::Delivery);
        if decline {
            let waited_for = self.payment.waits_for(Kind::NotShown) || self.payment.is_open(Kind::NotShown);
            let wanted = self.windows.expects_display && self.payment.level < Level::Display;
            if wanted && !waited_for && !self.payment.numbers.has(Number::MoneyBack) {
                self.open(Kind::NotShown, self.time, self.windows.display_ms);
            }
        } else if newly {
            self.open_next();
        }
    }

    /// The terminal showed the outcome.
    pub(crate) fn display(&mut self, approved: bool) {
        let newly = self.reach(Level::Display);
        if approved {
            self.goods();
        } else {
            self.payment.facts.set(Facts::SHOWN_DECLINED);
            self.done(Kind::NotPrinted);
            if self.payment.numbers.has(Number::Approved) && !self.payment.numbers.has(Number::MoneyBack) {
                self.contradiction("approved, and declined on the display", Settles::Nothing);
            }
        }
        if newly {
            self.open_next();
        }
    }

    /// A receipt was printed, or the payment announced.
    pub(crate) fn receipt(&mut self) {
        self.reach(Level::Receipt);
        self.goods();
    }

    /// A print job was taken.
    pub(crate) fn print_accepted(&mut self) {
        if self.reach(Level::Display) {
            self.open_next();
        }
    }

    /// A print job failed: the receipt is missed at once.
    pub(crate) fn print_failed(&mut self) {
        self.reach(Level::Display);
        if self.payment.level < Level::Receipt && self.receipt_expected() && !self.payment.ended() {
            self.close(Kind::NotPrinted);
            self.raise(Kind::NotPrinted, self.time, self.late, Vec::new());
        }
    }

    fn receipt_expected(&self) -> bool {
        let facts = self.payment.facts;
        self.windows.expects_receipt && !facts.has(Facts::DECLINED) && !facts.has(Facts::SHOWN_DECLINED)
    }

    /// Reaches a level and those before it; whether it is new.
    pub(crate) fn reach(&mut self, level: Level) -> bool {
        if self.payment.level >= level {
            return false;
        }
        self.settled |= self.payment.level < Level::Delivery && level >= Level::Delivery;
        self.payment.level = level;
        let ended = ENDED_BY[level as usize];
        self.payment.windows.remove(ended);
        if !self.payment.open.is_empty() {
            kinds(ended).for_each(|kind| self.clear(kind));
        }
        true
    }

    /// Opens the window of the stage after the one just reached; of one that is not expected, the next.
    fn open_next(&mut self) {
        let waiting = self.payment.windows.kinds & STAGES != 0
            || self.payment.open.iter().any(|open| open.kind.bit() & STAGES != 0);
        if waiting || self.payment.ended() {
            return;
        }
        if self.payment.level < Level::Display && self.windows.expects_display {
            self.open(Kind::NotShown, self.time, self.windows.display_ms);
        } else if self.payment.level < Level::Receipt && self.receipt_expected() {
            self.open(Kind::NotPrinted, self.time, self.windows.print_ms);
        }
    }
}
