//! After which finding or event which chain, and what ends what it wanted: the table of payment.md, "Commands", and what answers do.

use tillwatch_sdk::hash;

use super::{
    chain::{Chain, Kind, Purpose, Step, Until, ask, flushes, once, poll},
    facts::printer,
    history::key,
    reading::{Need, Open, Reader},
};
use crate::history::What;

impl Reader<'_> {
    pub(super) fn chain<'b>(&self, need: &'b mut Need, kind: Kind) -> Option<&'b mut Chain> {
        need.chains.iter_mut().find(|chain| chain.kind == kind)
    }

    /// What a finding that is raised calls for.
    pub(super) fn call(&mut self, number: usize, need: &mut Need, finding: &Open) {
        let (is_card, gives_up) = self.with(number, |facts| (facts.is_card(), facts.gives_up()));
        match finding.kind.as_str() {
            "no-answer" | "reversal-unanswered" => self.join(number, need, Kind::Query, &finding.kind, Purpose::Ask),
            "approved-undelivered" => {
                let barred = need.contradiction || self.with(number, |facts| facts.reversal());
                if let Some(gives_up) = gives_up {
                    let until = Until::At(gives_up - 5_000);
                    self.join_with(number, need, Kind::Redeliver, &finding.kind, Purpose::Undelivered, &|now, _| {
                        once(now, until)
                    });
                } else if !is_card && !barred {
                    self.join(number, need, Kind::Query, &finding.kind, Purpose::Undelivered);
                }
            }
            "not-shown" => self.join(number, need, Kind::Redeliver, &finding.kind, Purpose::Plain),
            "not-printed" => {
                let needs_hands =
                    printer(&self.history).is_some_and(|word| !["ok", "busy", "low-voltage"].contains(&word));
                let kind = if needs_hands { Kind::Guide } else { Kind::Reprint };
                self.join(number, need, kind, &finding.kind, Purpose::Plain);
            }
            "late-approval" if !is_card => {
                self.join(number, need, Kind::Query, &finding.kind, Purpose::LateApproval);
            }
            "reversal-missing" | "late-approval" => {
                let paid_now = self.history.iter().any(|event| {
                    event.at == self.now && matches!(event.of(number), Some(What::Status { result: "paid", .. }))
                });
                let flushed = need.chains.iter().any(|chain| chain.kind == Kind::Flush);
                let forbidden = self.newer_card_sale(number).is_some()
                    || self.with(number, |facts| facts.reversal() || facts.goods());
                if finding.late_window && !paid_now && !flushed && !forbidden {
                    self.join(number, need, Kind::Query, &finding.kind, Purpose::BeforeFlush);
                } else {
                    self.join(number, need, Kind::Flush, &finding.kind, Purpose::Plain);
                }
            }
            _ => {}
        }
    }

    pub(super) fn join(&mut self, number: usize, need: &mut Need, kind: Kind, finding: &str, purpose: Purpose) {
        self.join_with(number, need, kind, finding, purpose, &|now, share| match (kind, purpose) {
            (Kind::Query, Purpose::Ask) => ask(now, share),
            (Kind::Query | Kind::Redeliver, _) => once(now, Until::For(30_000)),
            (Kind::Reprint, _) => once(now, Until::For(60_000)),
            (Kind::Guide, _) => once(now, Until::For(600_000)),
            (Kind::Flush, _) => flushes(now),
        });
    }

    pub(super) fn join_with(
        &mut self,
        number: usize,
        need: &mut Need,
        kind: Kind,
        finding: &str,
        purpose: Purpose,
        steps: &dyn Fn(i64, u64) -> Vec<Step>,
    ) {
        let caller = (finding.to_owned(), purpose);
        if let Some(chain) = self.chain(need, kind) {
            chain.callers.push(caller);
            return;
        }
        let share = hash(&key(number, self.payments[number]));
        need.chains.push(self.new_chain(kind, vec![caller], steps(self.now, share)));
    }

    pub(super) fn new_chain(&self, kind: Kind, callers: Vec<(String, Purpose)>, steps: Vec<Step>) -> Chain {
        Chain {
            kind,
            is_poll: false,
            is_paid_guide: false,
            callers,
            number: None,
            steps,
            taken: 0,
            held_until: None,
            open: None,
            ends: i64::MAX,
            at_once: false,
            started: self.now,
        }
    }

    /// The status that the event of the moment is.
    pub(super) fn status_now(&self, number: usize) -> Option<&'static str> {
        match self.by.as_ref()?.of(number)? {
            What::Status { result, .. } => Some(result),
            _ => None,
        }
    }

    pub(super) fn after_poll(&mut self, number: usize, need: &mut Need, callers: Vec<(String, Purpose)>) {
        for (finding, purpose) in callers {
            self.join(number, need, Kind::Query, &finding, purpose);
        }
    }

    /// A final status answers those who wanted one query.
    pub(super) fn answer(&mut self, number: usize, need: &mut Need, was_asking: bool) {
        let Some(status) = self.status_now(number) else { return };
        let event = self.by.clone().expect("a status is an event");
        let is_final = match status {
            "paid" | "refunded" | "revoked" => true,
            _ => self.with(number, |facts| facts.is_final_not_paid(&event)),
        };
        if !is_final || !was_asking {
            return;
        }
        let Some(place) = need.chains.iter().position(|chain| chain.kind == Kind::Query) else { return };
        let mut chain = need.chains.remove(place);
        for (finding, purpose) in std::mem::take(&mut chain.callers) {
            match purpose {
                Purpose::LateApproval => {
                    self.unresolved(number, "late-approval", Some(Kind::Query));
                    if status == "paid" {
                        self.paid_guide(number, need, &finding);
                    }
                }
                Purpose::Undelivered => self.unresolved(number, "undelivered", Some(Kind::Query)),
                Purpose::BeforeFlush if status == "paid" => {
                    self.join(number, need, Kind::Flush, &finding, Purpose::Plain);
                }
                Purpose::BeforeFlush => {}
                Purpose::Ask | Purpose::Plain => chain.callers.push((finding, purpose)),
            }
        }
        if chain.callers.is_empty() {
            self.cancel(number, &chain, "cleared");
        } else {
            need.chains.push(chain);
        }
    }

    pub(super) fn paid_guide(&mut self, number: usize, need: &mut Need, finding: &str) {
        self.join(number, need, Kind::Guide, finding, Purpose::LateApproval);
        if let Some(chain) = self.chain(need, Kind::Guide).filter(|chain| chain.taken == 0) {
            chain.is_paid_guide = true;
        }
    }

    pub(super) fn printer_is_ok(&mut self, number: usize, need: &mut Need) {
        let Some(place) = need.chains.iter().position(|chain| chain.kind == Kind::Guide && !chain.is_paid_guide) else {
            return;
        };
        if printer(&self.history) != Some("ok") {
            return;
        }
        let chain = need.chains.remove(place);
        self.cancel(number, &chain, "cleared");
        for (finding, purpose) in chain.callers {
            self.join(number, need, Kind::Reprint, &finding, purpose);
        }
    }

    /// Queries before the answer, from the first authorize on.
    pub(super) fn begin_poll(&mut self, number: usize, need: &mut Need) {
        let Some(event) = self.by.clone() else { return };
        let is_first = self.with(number, |facts| facts.authorize().is_some_and(|first| first.id == event.id));
        let wants = self.with(number, |facts| !facts.is_card() && !facts.answered() && !facts.money_back());
        if !is_first || !wants || need.chains.iter().any(|chain| chain.kind == Kind::Query) {
            return;
        }
        let deadline = event.time + self.facts(number).0.response;
        let steps = poll(event.time, self.now, deadline, hash(&key(number, self.payments[number])));
        if !steps.is_empty() {
            let mut chain = self.new_chain(Kind::Query, Vec::new(), steps);
            chain.is_poll = true;
            need.chains.push(chain);
        }
    }

    /// A newer sale has not sent the reversal: the queries begin.
    pub(super) fn hand_over(&mut self, number: usize, need: &mut Need, fresh: bool) {
        if need.handed_over.is_empty() {
            need.asked_from = None;
            return;
        }
        let (reversal, goods) = self.with(number, |facts| (facts.reversal(), facts.goods()));
        if reversal || goods {
            need.handed_over.clear();
            return;
        }
        let newer = || self.newer_card_sale(number).expect("it was handed over to one");
        let due = need.asked_from.unwrap_or_else(|| newer() + self.facts(number).0.reversal);
        need.asked_from = Some(due);
        if self.is_past(due) || fresh && due <= self.now {
            need.asked_from = None;
            for finding in std::mem::take(&mut need.handed_over) {
                self.join(number, need, Kind::Query, &finding, Purpose::Ask);
            }
        }
    }

    /// Goods are out and the till will reverse at its next sale.
    pub(super) fn goods_and_reversal(&mut self, number: usize, need: &mut Need) {
        let due = self.with(number, |facts| {
            let settled = facts.delivered() || facts.not_taken() || facts.reversal() || facts.money_back();
            facts.gives_up().filter(|_| facts.is_card() && facts.goods() && !settled)
        });
        if !need.goods_said && due.is_some_and(|due| self.is_past(due)) {
            need.goods_said = true;
            self.unresolved(number, "goods", None);
        }
    }
}
