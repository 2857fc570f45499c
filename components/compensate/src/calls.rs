//! What findings call for. Owns the table of `docs/spec/payment.md`, "Commands": after which finding which chain.

use tillwatch_sdk::{Visit, payment};

use crate::{
    chain::{Chain, Plan, REDELIVER_SPARE_MS},
    desk::Desk,
    payment::{Finding, Payment},
    printer::Condition,
    till::{ID_BYTES_MAX, NAME_BYTES_MAX},
    words::{Kind, Need, Needs, Reason},
};

/// The rule whose findings are about payments as `docs/spec/payment.md` says; commands rest on no other's.
const CORRELATE: &str = "correlate-payment";

impl Desk<'_, '_> {
    /// `pos.finding.raised`
    pub(crate) fn raised(&mut self, visit: &Visit<'_>) {
        let Some((kind, txn)) = about(visit) else { return };
        if kind == "unresolved" {
            if visit.why() == Some("contradiction") {
                let index = self.known(visit, txn);
                let payment = &mut self.till.payments[index];
                payment.facts.contradiction = true;
                // One of what contradicts is always an approval.
                payment.facts.approved = true;
                payment.answered_at = payment.answered_at.or(visit.approved_at());
                payment.touched = self.at;
                self.bar(index, Reason::Contradiction);
            }
            return;
        }
        let Some(need) = Need::read(kind) else { return };
        let index = self.known(visit, txn);
        self.make_room(index);
        self.learn(index, visit, need);
        self.told_of_goods(index);
        let payment = &mut self.till.payments[index];
        payment.touched = self.at;
        if payment.is_masked() {
            payment.facts.hands_off = true;
            self.unresolved(index, "masked", None);
            return;
        }
        // A payment that gave way is a person's; it must not take a place again.
        if !payment.facts.hands_off {
            payment.work.findings.retain(|open| open.need != need);
            let id = visit.finding().filter(|id| id.len() <= ID_BYTES_MAX).unwrap_or_default().to_owned();
            payment.work.findings.push(Finding { need, id, cause: cause(visit) });
            self.call(index, need, visit.late_window().unwrap_or_default());
            if need == Need::LateApproval {
                self.end_unwanted(index);
            }
        }
    }

    /// `pos.finding.cleared`
    pub(crate) fn cleared(&mut self, visit: &Visit<'_>) {
        let Some((kind, txn)) = about(visit) else { return };
        let (Some(need), Some(index)) = (Need::read(kind), self.till.find(txn)) else { return };
        let at = self.at;
        let payment = &mut self.till.payments[index];
        payment.touched = at;
        payment.work.findings.retain(|open| open.need != need);
        let needs = Needs::of(need);
        payment.work.asked_first = payment.work.asked_first.without(needs);
        payment.work.left_to_sale = payment.work.left_to_sale.filter(|(left, _)| !left.without(needs).is_empty());
        // `late-approval` is raised behind this in the same moment, and takes the chain over.
        let succeeded =
            payment.late_at == Some(at) && need != Need::LateApproval && !payment.open().has(Need::LateApproval);
        for kind in Kind::ALL {
            if succeeded && matches!(kind, Kind::Query | Kind::Flush) {
                if let Some(chain) = self.till.payments[index].chain_mut(kind) {
                    chain.callers = chain.callers.without(needs);
                }
            } else {
                self.release(index, kind, needs, Reason::Cleared);
            }
        }
    }

    /// Chains that were left to `late-approval` and that it does not call for.
    fn end_unwanted(&mut self, index: usize) {
        for kind in [Kind::Query, Kind::Flush] {
            if self.till.payments[index].chain(kind).is_some_and(Chain::is_unwanted) {
                self.end(index, kind, Reason::Cleared);
            }
        }
    }

    /// `pos.finding.updated`: commands to come name the cause.
    pub(crate) fn updated(&mut self, visit: &Visit<'_>) {
        let Some((_, txn)) = about(visit) else { return };
        let Some(index) = self.till.find(txn) else { return };
        let findings = &mut self.till.payments[index].work.findings;
        if let Some(finding) = findings.iter_mut().find(|finding| Some(finding.id.as_str()) == visit.finding()) {
            finding.cause = cause(visit);
        }
    }

    /// The payment's place; taken in where it is new.
    pub(crate) fn known(&mut self, visit: &Visit<'_>, txn: &str) -> usize {
        self.till.find(txn).unwrap_or_else(|| {
            let rail = payment::rail(visit.rail(), txn);
            let acquirer = payment::acquirer(visit.acquirer(), txn);
            let mut payment = Payment::new(txn, rail, acquirer, visit.at());
            payment.facts.delivered = self.till.past(txn).is_some_and(|gone| gone.delivered);
            self.till.take(payment)
        })
    }

    /// Before a payment comes to be in need: where too many are, the oldest gives way.
    pub(crate) fn make_room(&mut self, index: usize) {
        if !self.till.payments[index].is_in_need()
            && let Some(oldest) = self.till.gives_way()
        {
            self.give_way(oldest);
        }
    }

    /// The oldest payment in need gives way: its commands are taken back, and a person must look.
    fn give_way(&mut self, index: usize) {
        for kind in Kind::ALL {
            self.end(index, kind, Reason::Evicted);
        }
        let payment = &mut self.till.payments[index];
        payment.work.findings.clear();
        payment.work.left_to_sale = None;
        payment.work.asked_first = Needs::default();
        payment.facts.hands_off = true;
        payment.touched = self.at;
        self.unresolved(index, "evicted", None);
    }

    /// What the finding says of the payment; `correlate-payment` has seen all of it.
    fn learn(&mut self, index: usize, visit: &Visit<'_>, need: Need) {
        let settings = self.settings;
        let payment = &mut self.till.payments[index];
        let windows =
            settings.windows.windows(payment.names.rail(), payment.names.acquirer(), visit.site().unwrap_or_default());
        payment.reversal_ms = windows.reversal_ms;
        let unseen = payment.authorized_at.is_none();
        payment.authorized_at = visit.authorized_at().or(payment.authorized_at);
        let card = payment.is_card();
        if let Some(gives_up) = visit.gives_up_at() {
            payment.gives_up_at = Some(gives_up);
            payment.answer_by = Some(gives_up - windows.gives_up_ms(payment.is_card()) + windows.response_ms);
        }
        if let Some(approved) = visit.approved_at() {
            payment.facts.approved = true;
            payment.answered_at = Some(approved);
        }
        if need == Need::NotShown || need == Need::NotPrinted {
            payment.facts.delivered = true;
        }
        if payment.answered_at.is_none() {
            payment.answered_at = match need {
                Need::NotShown => visit.deadline().map(|deadline| deadline - windows.display_ms),
                // Only what the terminal did shows that there was an answer.
                Need::NotPrinted => Some(visit.at()),
                _ => None,
            };
        }
        payment.facts.goods |= visit.goods().unwrap_or_default();
        if visit.reversal_seen().unwrap_or_default() {
            payment.reversal_at.get_or_insert(visit.at());
        }
        if let Some(authorized) = visit.authorized_at().filter(|_| unseen) {
            let txn = payment.names.txn().to_owned();
            self.till.had_begun(&txn, card, authorized);
            self.leave_to_newer_sale();
        }
    }

    /// Begins or joins the chain that a finding calls for.
    fn call(&mut self, index: usize, need: Need, late_window: bool) {
        let at = self.at;
        let needs = Needs::of(need);
        let payment = &mut self.till.payments[index];
        let barred = payment.reversal_at.is_some() || payment.facts.contradiction;
        match need {
            Need::NoAnswer | Need::ReversalUnanswered => self.query(index, Plan::Ask { from: at }, needs),
            Need::Undelivered if barred => {}
            Need::Undelivered => match (payment.authorized_at, payment.gives_up_at) {
                (Some(_), Some(gives_up)) => {
                    let until = Some(gives_up - REDELIVER_SPARE_MS);
                    payment.begin(Kind::Redeliver, Plan::Redeliver { until }, needs);
                }
                _ => self.after_redelivery(index, needs),
            },
            Need::NotShown if barred => {}
            Need::NotShown => payment.begin(Kind::Redeliver, Plan::Redeliver { until: None }, needs),
            Need::NotPrinted if barred => {}
            Need::NotPrinted => self.print(index, needs),
            Need::ReversalMissing => self.flush_or_ask_first(index, needs, late_window),
            Need::LateApproval if payment.is_card() => self.flush_or_ask_first(index, needs, late_window),
            Need::LateApproval => self.late_approval(index, needs),
        }
    }

    fn query(&mut self, index: usize, plan: Plan, needs: Needs) {
        let at = self.at;
        let payment = &mut self.till.payments[index];
        // Queries while unanswered end with the deadline that the finding says was missed.
        if let Some(Plan::Poll { until, .. }) = payment.chain(Kind::Query).map(|chain| &chain.plan)
            && *until <= at
        {
            let joined = payment.close(Kind::Query).map_or(Needs::default(), |chain| chain.callers);
            payment.begin(Kind::Query, plan, needs.with(joined));
        } else {
            payment.begin(Kind::Query, plan, needs);
        }
    }

    fn late_approval(&mut self, index: usize, needs: Needs) {
        let payment = &self.till.payments[index];
        let answered = payment.chain(Kind::Query).is_some() && payment.paid_at == Some(self.at);
        self.query(index, Plan::AskOnce, needs);
        if answered {
            self.told_after_giving_up(index, true);
        }
    }

    fn print(&mut self, index: usize, needs: Needs) {
        let payment = &mut self.till.payments[index];
        match &self.till.printer.condition {
            Condition::NeedsHands(fault) => {
                payment.begin(Kind::Guide, Plan::GuidePrinter { fault: fault.clone() }, needs);
            }
            Condition::Unknown | Condition::Well | Condition::Passing => {
                payment.begin(Kind::Reprint, Plan::Reprint, needs);
            }
        }
    }

    /// What a late event has opened may be out of date: the acquirer is asked before the till, unless it has just said `paid`, the till
    /// is flushed already, or is not going to be.
    fn flush_or_ask_first(&mut self, index: usize, needs: Needs, late_window: bool) {
        let payment = &self.till.payments[index];
        let ask_first = late_window
            && payment.paid_at != Some(self.at)
            && payment.chain(Kind::Flush).is_none()
            && self.may_flush(payment)
            && self.till.newer_card_sale(payment).is_none();
        if ask_first {
            let payment = &mut self.till.payments[index];
            payment.work.asked_first = payment.work.asked_first.with(needs);
            self.query(index, Plan::AskOnce, needs);
        } else {
            self.flush(index, needs);
        }
    }

    /// Whether nothing that was seen of the payment itself forbids a flush.
    pub(crate) fn may_flush(&self, payment: &Payment) -> bool {
        payment.is_card() && payment.reversal_at.is_none() && !payment.facts.money_back && !payment.facts.goods
    }

    /// Asks the till to send its pending reversal, where nothing forbids it.
    pub(crate) fn flush(&mut self, index: usize, needs: Needs) {
        let payment = &self.till.payments[index];
        if needs.is_empty() || !self.may_flush(payment) {
            return;
        }
        let sale = self.till.newer_card_sale(payment);
        if let Some(sale) = sale {
            self.leave_to_sale(index, needs, sale);
        } else {
            let payment = &mut self.till.payments[index];
            payment.begin(Kind::Flush, Plan::Flush, needs);
        }
    }
}

fn cause(visit: &Visit<'_>) -> Option<String> {
    visit.cause().filter(|cause| cause.len() <= NAME_BYTES_MAX).map(str::to_owned)
}

/// Kind and transaction key of a finding that this rule may act on.
fn about<'a>(visit: &Visit<'a>) -> Option<(&'a str, &'a str)> {
    (visit.rule() == Some(CORRELATE)).then(|| Some((visit.kind()?, visit.txn()?)))?
}
