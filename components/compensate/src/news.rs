//! What events say about payments and the till. Owns the reading of raw events; findings are read in `calls`.

use tillwatch_sdk::{
    Instant, Visit,
    payment::{self, Outcome, Status},
};

use crate::{
    chain::{AT_ONCE, Phase, Plan},
    desk::Desk,
    past::Gone,
    payment::Payment,
    printer::Condition,
    till::ID_BYTES_MAX,
    words::{Kind, Need, Needs, Reason},
};

impl Desk<'_, '_> {
    /// `pos.payment.authorize`
    pub(crate) fn authorize(&mut self, visit: &Visit<'_>, txn: &str) {
        let rail = payment::rail(visit.rail(), txn);
        let acquirer = payment::acquirer(visit.acquirer(), txn);
        let (when, at) = (visit.when(), visit.at());
        let known = self.till.find(txn);
        let again = known.is_some_and(|index| self.till.payments[index].authorized_at.is_some());
        let past = self.till.past(txn);
        // The same payment sent again is no new sale.
        if again || past.is_some_and(|gone| gone.authorized) {
            return;
        }
        self.till.began(txn, rail == payment::CARD, when);
        if past.is_some() && known.is_none() {
            self.till.pass(txn, Gone { authorized: true, delivered: false }, at);
        } else {
            let windows = self.settings.windows.windows(rail, acquirer, visit.site().unwrap_or_default());
            let index = known.unwrap_or_else(|| self.till.take(Payment::new(txn, rail, acquirer, at)));
            let payment = &mut self.till.payments[index];
            payment.authorize(when, at, &windows);
            payment.set_authorize(visit.id().filter(|id| id.len() <= ID_BYTES_MAX).map(|id| (id, visit.time())));
            if !payment.is_card()
                && !payment.is_masked()
                && payment.is_unanswered()
                && past.is_none()
                && let Some(plan) = Plan::poll(when, when + windows.response_ms, at)
            {
                self.make_room(index);
                self.till.payments[index].begin(Kind::Query, plan, Needs::default());
            }
        }
        self.leave_to_newer_sale();
    }

    /// A newer card sale sends the reversals that are due; if it does not within the time that a terminal has for it, the acquirer is asked.
    pub(crate) fn leave_to_newer_sale(&mut self) {
        for index in 0..self.till.payments.len() {
            let payment = &self.till.payments[index];
            let Some(sale) = self.till.newer_card_sale(payment) else { continue };
            if payment.chain(Kind::Flush).is_some() {
                let callers = self.end(index, Kind::Flush, Reason::NewerSale);
                self.leave_to_sale(index, callers, sale);
            }
        }
    }

    /// `pos.payment.response`, `pos.payment.notify`
    pub(crate) fn outcome(&mut self, visit: &Visit<'_>, index: usize, terminal_leg: bool) {
        let payment = &mut self.till.payments[index];
        match Outcome::of(visit) {
            Outcome::Approved => payment.approve(visit.when(), visit.at()),
            Outcome::Declined => payment.decline(terminal_leg.then(|| visit.when())),
            Outcome::Open => return,
        }
        payment.facts.delivered |= terminal_leg;
        self.stop_polling(index);
    }

    /// `pos.payment.display`
    pub(crate) fn display(&mut self, visit: &Visit<'_>, index: usize) {
        let payment = &mut self.till.payments[index];
        match visit.shown() {
            Some("approved") => {}
            Some("declined") => payment.decline(None),
            _ => return,
        }
        payment.facts.delivered = true;
        self.stop_polling(index);
        if visit.shown() == Some("approved") {
            self.goods(index);
        }
    }

    /// Goods may have been handed over.
    pub(crate) fn goods(&mut self, index: usize) {
        let payment = &mut self.till.payments[index];
        payment.facts.goods = true;
        payment.work.left_to_sale = None;
        let asked_first = std::mem::take(&mut payment.work.asked_first);
        self.end(index, Kind::Flush, Reason::Goods);
        self.release(index, Kind::Query, asked_first, Reason::Goods);
    }

    /// `pos.print.result` and `pos.announce.result`: a receipt, or an attempt at one, proves that the terminal has the answer.
    pub(crate) fn receipt(&mut self, index: usize, done: bool) {
        let payment = &mut self.till.payments[index];
        payment.facts.delivered = true;
        self.stop_polling(index);
        if done {
            self.goods(index);
        }
    }

    /// `pos.payment.reversal`
    pub(crate) fn reversal(&mut self, visit: &Visit<'_>, index: usize) {
        let payment = &mut self.till.payments[index];
        let asked = if visit.phase() == Some("request") { visit.when() } else { Instant::MAX };
        payment.reversal_at = Some(payment.reversal_at.map_or(asked, |earlier| earlier.min(asked)));
        if visit.phase() == Some("response") && Outcome::of(visit) == Outcome::Approved {
            payment.facts.money_back = true;
            self.stop_polling(index);
        }
        let payment = &mut self.till.payments[index];
        payment.work.left_to_sale = None;
        let asked_first = std::mem::take(&mut payment.work.asked_first);
        self.bar(index, Reason::ReversalSeen);
        self.end(index, Kind::Flush, Reason::ReversalSeen);
        self.release(index, Kind::Query, asked_first, Reason::ReversalSeen);
    }

    /// Ends the redeliver and print chains for good.
    pub(crate) fn bar(&mut self, index: usize, reason: Reason) {
        self.end(index, Kind::Redeliver, reason);
        self.end(index, Kind::Reprint, reason);
        let guide = self.till.payments[index].chain(Kind::Guide);
        if guide.is_some_and(|chain| matches!(chain.plan, Plan::GuidePrinter { .. })) {
            self.end(index, Kind::Guide, reason);
        }
    }

    /// `pos.payment.status`
    pub(crate) fn status(&mut self, visit: &Visit<'_>, index: usize) {
        let payment = &mut self.till.payments[index];
        if let Some(Phase::Open(open)) = payment.chain(Kind::Query).map(|chain| &chain.phase)
            && visit.command().is_none_or(|command| command == open)
        {
            payment.ended(Kind::Query, None);
        }
        match Status::of(visit) {
            Status::Paid => {
                payment.approve(visit.when(), visit.at());
                payment.paid_at = Some(visit.at());
                payment.leave_poll_to_late_approval(visit.at());
                self.stop_polling(index);
                self.told_paid(index);
            }
            Status::NotPaid if payment.gives_up_at.or(payment.reversal_at).is_some_and(|from| visit.when() >= from) => {
                payment.facts.not_paid = true;
                self.stop_polling(index);
                let asked_first = std::mem::take(&mut self.till.payments[index].work.asked_first);
                self.release(index, Kind::Query, asked_first, Reason::Cleared);
                self.told_after_giving_up(index, false);
            }
            Status::MoneyBack => {
                payment.facts.money_back = true;
                self.stop_polling(index);
            }
            Status::NotPaid | Status::Open => {}
        }
    }

    /// The acquirer says that it is paid: what waited for that goes on.
    fn told_paid(&mut self, index: usize) {
        let payment = &mut self.till.payments[index];
        if payment.chain(Kind::Query).is_none() {
            return;
        }
        let asked_first = std::mem::take(&mut payment.work.asked_first).and(payment.open());
        self.release(index, Kind::Query, asked_first, Reason::Cleared);
        self.flush(index, asked_first);
        self.told_after_giving_up(index, true);
    }

    /// A final answer to the one query of a payment that the till has given up, or could not be told of: a person completes or refunds.
    pub(crate) fn told_after_giving_up(&mut self, index: usize, paid: bool) {
        let payment = &mut self.till.payments[index];
        let Some(callers) = payment.chain(Kind::Query).map(|chain| chain.callers) else { return };
        if payment.is_card() {
            return;
        }
        if callers.has(Need::LateApproval) {
            if paid {
                payment.begin(Kind::Guide, Plan::GuidePaid, Needs::of(Need::LateApproval));
            }
            self.unresolved(index, "late-approval", Some(Kind::Query));
            self.release(index, Kind::Query, Needs::of(Need::LateApproval), Reason::Cleared);
        }
        if callers.has(Need::Undelivered) {
            self.unresolved(index, "undelivered", Some(Kind::Query));
            self.release(index, Kind::Query, Needs::of(Need::Undelivered), Reason::Cleared);
        }
    }

    /// The answer ends the queries of an unanswered payment; findings that joined them go on asking.
    fn stop_polling(&mut self, index: usize) {
        let at = self.at;
        let payment = &self.till.payments[index];
        if payment.is_unanswered()
            || !matches!(payment.chain(Kind::Query), Some(chain) if matches!(chain.plan, Plan::Poll { .. }))
        {
            return;
        }
        let callers = self.end(index, Kind::Query, Reason::Cleared);
        if !callers.is_empty() {
            self.till.payments[index].begin(Kind::Query, Plan::Ask { from: at }, callers);
        }
    }

    /// `pos.command.result`
    pub(crate) fn command_result(&mut self, visit: &Visit<'_>) {
        let (Some(command), Some(state)) = (visit.command(), visit.state()) else { return };
        let open = |payment: &Payment| {
            Kind::ALL.into_iter().find(|kind| payment.chain(*kind).is_some_and(|chain| chain.is_open(command)))
        };
        let Some((index, kind)) =
            self.till.payments.iter().enumerate().find_map(|(index, payment)| open(payment).map(|kind| (index, kind)))
        else {
            return;
        };
        let payment = &mut self.till.payments[index];
        let waits_for_printer =
            matches!(payment.chain(kind), Some(chain) if matches!(chain.plan, Plan::GuidePrinter { .. }));
        match state {
            "done" => payment.ended(kind, None),
            "failed" | "expired" | "refused" if waits_for_printer => payment.ended(kind, None),
            "failed" | "expired" | "refused" => payment.ended(kind, Some(AT_ONCE)),
            _ => {}
        }
    }

    /// What `pos.device.status` or a fault of `pos.print.result` says of the printer. `about` is the payment whose own receipt says so.
    pub(crate) fn printer(&mut self, word: &str, visit: &Visit<'_>, about: Option<usize>) {
        self.till.printer.heard(word, visit.when());
        if self.till.printer.condition != Condition::Well {
            return;
        }
        for index in 0..self.till.payments.len() {
            let waits = self.till.payments[index]
                .chain(Kind::Guide)
                .is_some_and(|chain| matches!(chain.plan, Plan::GuidePrinter { .. }));
            if waits && about != Some(index) {
                let callers = self.end(index, Kind::Guide, Reason::Cleared);
                self.till.payments[index].begin(Kind::Reprint, Plan::Reprint, callers);
            }
        }
    }
}
