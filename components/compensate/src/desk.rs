//! Chains at work: begins, moves, ends and takes back commands. Owns what stands in a command's way; what was seen stands in `payment`, when
//! steps are due in `chain`.

use tillwatch_sdk::{Cancelled, Command, Derived, Evidence, Instant, Out, Value};
use tillwatch_wit::ids;

use crate::{
    chain::{AT_ONCE, Phase, Plan, REDELIVER_LEAST_MS},
    payment::Payment,
    settings::Settings,
    till::{Sale, Till},
    words::{Kind, Need, Needs, Reason},
};

/// One visit to one terminal.
#[derive(Debug)]
pub(crate) struct Desk<'a, 'o> {
    pub(crate) settings: &'a Settings,
    pub(crate) till: &'a mut Till,
    pub(crate) out: &'a mut Out<'o>,
    pub(crate) terminal: &'a str,
    pub(crate) at: Instant,
    /// A wake-up: what is due at this very moment is due; for an event others of the same moment may come first.
    pub(crate) timer: bool,
}

/// What stands in a pending command's way.
enum Gate {
    Open,
    /// The terminal is not heard, or has not given up yet.
    Silent,
    /// It may not be sent any more.
    Shut,
}

impl Desk<'_, '_> {
    /// Moves everything that is due, forgets what may be forgotten, and asks for the next visit.
    pub(crate) fn settle(&mut self) {
        for index in 0..self.till.payments.len() {
            self.tell_of_goods(index);
            self.ask_after_sale(index);
            while Kind::ALL.into_iter().any(|kind| self.drive(index, kind)) {}
        }
        let forget = self.till.forget(self.at, self.settings.remember_ms);
        match self.next().into_iter().chain(forget).min() {
            Some(next) => self.out.wake_at(next.max(self.at)),
            None => self.out.sleep(),
        }
    }

    /// Says that a person must look: `correlate-payment` raises `unresolved`.
    pub(crate) fn unresolved(&mut self, index: usize, why: &str, kind: Option<Kind>) {
        let payment = &self.till.payments[index];
        let mut details =
            vec![("subject".to_owned(), Value::from(payment.names.txn())), ("why".to_owned(), Value::from(why))];
        if let Some(kind) = kind {
            details.push(("chain".to_owned(), Value::from(kind.name())));
        }
        self.out.derive(Derived { event: "tillwatch.unresolved".to_owned(), details });
    }

    /// Ends a chain; what of it is open is taken back.
    pub(crate) fn end(&mut self, index: usize, kind: Kind, reason: Reason) -> Needs {
        let payment = &mut self.till.payments[index];
        let Some(chain) = payment.close(kind) else { return Needs::default() };
        if matches!(chain.phase, Phase::Open(_)) {
            self.out.cancel(Cancelled {
                kind: kind.name().to_owned(),
                target: target(kind, payment, self.terminal),
                txn: Some(payment.names.txn().to_owned()),
                rail: Some(payment.names.rail().to_owned()),
                chain: chain.number,
                attempt: chain.taken,
                reason: reason.name().to_owned(),
            });
        }
        payment.touched = self.at;
        chain.callers
    }

    /// Some findings call for a chain no more; when none is left, it ends.
    pub(crate) fn release(&mut self, index: usize, kind: Kind, needs: Needs, reason: Reason) {
        let Some(chain) = self.till.payments[index].chain_mut(kind) else { return };
        if chain.callers.and(needs).is_empty() {
            return;
        }
        chain.callers = chain.callers.without(needs);
        if chain.is_unwanted() {
            self.end(index, kind, reason);
        }
    }

    /// Whether something due at `instant` is due in this visit.
    pub(crate) fn is_due(&self, instant: Instant) -> bool {
        instant < self.at || (self.timer && instant == self.at)
    }

    /// From the moment the terminal gives up, goods and a reversal due are for a person.
    fn tell_of_goods(&mut self, index: usize) {
        if self.till.payments[index].gives_up_at.is_some_and(|gives_up| self.is_due(gives_up)) {
            self.goods_are_out(index);
        }
    }

    /// A finding is the first that is heard of goods where the payment was not kept.
    pub(crate) fn told_of_goods(&mut self, index: usize) {
        if self.till.payments[index].gives_up_at.is_some_and(|gives_up| gives_up <= self.at) {
            self.goods_are_out(index);
        }
    }

    fn goods_are_out(&mut self, index: usize) {
        if self.till.payments[index].goods_and_reversal_due() {
            self.till.payments[index].facts.goods_told = true;
            self.unresolved(index, "goods", None);
        }
    }

    /// A newer card sale has its time to send the reversal, unless that is over already.
    pub(crate) fn leave_to_sale(&mut self, index: usize, needs: Needs, sale: Sale) {
        let at = self.at;
        let payment = &mut self.till.payments[index];
        let from = sale.at + payment.reversal_ms;
        if from > at {
            let left = payment.work.left_to_sale.map_or((needs, from), |(left, from)| (left.with(needs), from));
            payment.work.left_to_sale = Some(left);
        } else {
            payment.begin(Kind::Query, Plan::Ask { from: at }, needs);
        }
    }

    /// A newer card sale should have sent the reversal; if it has not, the acquirer is asked.
    fn ask_after_sale(&mut self, index: usize) {
        let at = self.at;
        let Some((needs, from)) = self.till.payments[index].work.left_to_sale else { return };
        if self.is_due(from) {
            let payment = &mut self.till.payments[index];
            payment.work.left_to_sale = None;
            let needs = needs.and(payment.open());
            if !needs.is_empty() {
                payment.begin(Kind::Query, Plan::Ask { from: at }, needs);
            }
        }
    }

    /// Moves one chain by one step; says whether it moved.
    fn drive(&mut self, index: usize, kind: Kind) -> bool {
        let at = self.at;
        let payment = &self.till.payments[index];
        let Some(chain) = payment.chain(kind) else { return false };
        // Its findings were cleared in this moment and no other has taken its place.
        if chain.is_unwanted() {
            return self.timer && {
                self.end(index, kind, Reason::Cleared);
                true
            };
        }
        if let Phase::Pending(until) = chain.phase {
            return self.try_send(index, kind, until);
        }
        if !self.is_due(chain.due) {
            return false;
        }
        let waits = kind == Kind::Flush && self.flush_waits_until(index).is_some();
        let spread = payment.spread();
        let chain = self.till.payments[index].chain_mut(kind).expect("invariant: it was there");
        chain.phase = Phase::Rest;
        if chain.taken == chain.plan.steps() {
            self.run_out(index, kind);
            true
        } else if waits {
            chain.due = AT_ONCE;
            false
        } else {
            let until = chain.plan.until(chain.taken, at, spread);
            chain.phase = Phase::Pending(until);
            true
        }
    }

    fn try_send(&mut self, index: usize, kind: Kind, until: Instant) -> bool {
        let gate = self.gate(index, kind, until);
        let at = self.at;
        let chain = self.till.payments[index].chain_mut(kind).expect("invariant: a pending command has a chain");
        match gate {
            Gate::Open => self.send(index, kind, until),
            Gate::Silent if at < until => return false,
            // It would have expired by now: as if it had.
            Gate::Silent => {
                chain.taken += 1;
                chain.phase = Phase::Rest;
                chain.due = AT_ONCE;
            }
            Gate::Shut => self.run_out(index, kind),
        }
        true
    }

    fn gate(&self, index: usize, kind: Kind, until: Instant) -> Gate {
        let payment = &self.till.payments[index];
        let aged = payment.answered_at.is_some_and(|answered| self.at > answered + self.settings.answer_age_ms);
        let barred = payment.reversal_at.is_some() || payment.facts.contradiction;
        let paid_guide = payment.chain(kind).is_some_and(|chain| chain.plan == Plan::GuidePaid);
        let shut = match kind {
            Kind::Query => false,
            Kind::Redeliver => aged || barred || self.till.has_gone_on(payment),
            Kind::Reprint => aged || barred,
            Kind::Guide => aged || (barred && !paid_guide),
            Kind::Flush => payment.facts.goods || payment.facts.money_back || payment.reversal_at.is_some(),
        };
        let silent = || self.till.heard.is_some_and(|heard| self.at - heard >= self.settings.silent_ms);
        let least = if kind == Kind::Redeliver { REDELIVER_LEAST_MS } else { 1 };
        // An authorize seen only after the step was due.
        let early = kind == Kind::Flush && payment.gives_up_at.is_some_and(|gives_up| !self.is_due(gives_up));
        if payment.facts.hands_off || shut {
            Gate::Shut
        } else if early || (kind != Kind::Query && silent()) {
            Gate::Silent
        } else if until - self.at < least {
            Gate::Shut
        } else {
            Gate::Open
        }
    }

    fn send(&mut self, index: usize, kind: Kind, until: Instant) {
        let payment = &mut self.till.payments[index];
        payment.touched = self.at;
        let target = target(kind, payment, self.terminal);
        let (txn, rail) = (payment.names.txn().to_owned(), payment.names.rail().to_owned());
        let authorize = payment.authorize_seen().map(|(id, time)| Evidence {
            event: "pos.payment.authorize".to_owned(),
            id: id.to_owned(),
            time,
        });
        let chain = payment.work.chains[kind as usize].as_mut().expect("invariant: a command is sent by its chain");
        chain.taken += 1;
        chain.due = until;
        chain.phase = Phase::Open(ids::command(&rail, &txn, kind.name(), chain.number, chain.taken));
        let callers = chain.callers;
        let finding = payment.work.findings.iter().find(|finding| callers.has(finding.need));
        let guide = |name: &str| ("guide".to_owned(), Value::from(name));
        let details = match &chain.plan {
            Plan::GuidePrinter { fault } => vec![guide("printer"), ("fault".to_owned(), Value::from(fault.as_str()))],
            Plan::GuidePaid => vec![guide("paid-at-acquirer")],
            _ => Vec::new(),
        };
        self.out.command(Command {
            kind: kind.name().to_owned(),
            target,
            txn: Some(txn),
            rail: Some(rail),
            finding: finding.map(|finding| finding.id.clone()),
            cause: finding.and_then(|finding| finding.cause.clone()),
            evidence: authorize.into_iter().collect(),
            not_before: self.at,
            expires_at: until,
            preconditions: kind.preconditions().iter().map(|name| (*name).to_owned()).collect(),
            chain: chain.number,
            attempt: chain.taken,
            max_attempts: chain.plan.steps(),
            details,
        });
    }

    /// A chain has no step left and its last command has ended without success.
    fn run_out(&mut self, index: usize, kind: Kind) {
        let at = self.at;
        let payment = &mut self.till.payments[index];
        let Some(chain) = payment.close(kind) else { return };
        payment.touched = at;
        let callers = chain.callers;
        match chain.plan {
            // Findings that joined it have queries of their own still to come.
            Plan::Poll { .. } if callers.is_empty() => {}
            Plan::Poll { .. } => payment.begin(Kind::Query, Plan::Ask { from: at }, callers),
            Plan::Ask { .. } | Plan::AskOnce => {
                payment.work.asked_first = Needs::default();
                let why = if callers.has(Need::LateApproval) && !payment.is_card() {
                    "late-approval"
                } else if callers.has(Need::Undelivered) {
                    "undelivered"
                } else {
                    "queries"
                };
                self.unresolved(index, why, Some(kind));
            }
            Plan::Redeliver { .. } => self.after_redelivery(index, callers),
            // One that may not be sent any more has not run out.
            Plan::Flush if !self.may_flush(&self.till.payments[index]) => {}
            Plan::Flush => self.unresolved(index, "flushes", Some(kind)),
            Plan::Reprint | Plan::GuidePrinter { .. } | Plan::GuidePaid => {}
        }
    }

    /// A card terminal reverses by itself; of another the acquirer is asked once more, and a person told.
    pub(crate) fn after_redelivery(&mut self, index: usize, callers: Needs) {
        let payment = &mut self.till.payments[index];
        let barred = payment.reversal_at.is_some() || payment.facts.contradiction;
        // The event of this visit may be what clears the finding behind it.
        let mended = payment.facts.delivered || payment.facts.money_back;
        if callers.has(Need::Undelivered) && !payment.is_card() && !barred && !mended {
            payment.begin(Kind::Query, Plan::AskOnce, Needs::of(Need::Undelivered));
        }
    }

    /// Until when a flush waits at least: while the terminal has not given the payment up, or another sale of the till is unanswered.
    fn flush_waits_until(&self, index: usize) -> Option<Instant> {
        let payments = self.till.payments.iter().enumerate();
        let untils = payments.filter_map(
            |(other, payment)| {
                if other == index { payment.gives_up_at } else { payment.in_flight_until() }
            },
        );
        untils.filter(|until| !self.is_due(*until)).min()
    }

    /// When the next visit is due, as far as chains go.
    fn next(&self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut take = |instant: Instant| next = Some(next.map_or(instant, |next| next.min(instant)));
        for (index, payment) in self.till.payments.iter().enumerate() {
            if payment.goods_and_reversal_due() {
                payment.gives_up_at.into_iter().for_each(&mut take);
            }
            payment.work.left_to_sale.iter().for_each(|(_, from)| take(*from));
            for chain in payment.work.chains.iter().flatten() {
                match chain.phase {
                    _ if chain.is_unwanted() => take(self.at),
                    Phase::Pending(until) => take(until),
                    _ if chain.due == AT_ONCE => self.flush_waits_until(index).into_iter().for_each(&mut take),
                    _ => take(chain.due),
                }
            }
        }
        next
    }
}

/// Where commands of this kind go.
fn target(kind: Kind, payment: &Payment, terminal: &str) -> String {
    match kind {
        Kind::Query => format!("acquirer:{}", payment.names.acquirer()),
        _ => format!("terminal:{terminal}"),
    }
}
