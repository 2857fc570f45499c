//! One sale, from the customer to the receipt.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    cause::Cause,
    faults::Fault,
    fleet::{Fleet, Sender, Step},
    hosts::TIME_OUT_MS,
    payment::{Booked, Payment, Plan, Rail},
    people::Prepared,
    terminal::{Record, Terminal},
    truth::Fact,
};

/// How long a hung terminal is tolerated before somebody restarts it, ms.
const HANG_MS: i64 = 45_000;

/// How long somebody waits for an answer who then begins again, ms.
const AGAIN_MS: i64 = 9_000;

/// When the acquirer's reconciliation sees a payment that the order system has not, ms.
const UNBALANCED_MS: i64 = 75_000;

/// How long the order system takes where the news was lost and comes by reconciliation, ms.
const RECONCILIATION_MS: i64 = 300_000;

impl Fleet {
    /// A customer is there. A terminal sends the reversal of an unanswered card sale before the next one, up to three times.
    pub(super) fn begin(&mut self, index: usize, mut plan: Box<Plan>, now: Instant) {
        let terminal = &self.terminals[index];
        let stayed = if plan.prepared { plan.visit == terminal.visit } else { terminal.serves(now) };
        if !stayed {
            // It went down while somebody was being served: they have left.
            return;
        }
        if !plan.prepared {
            match self.prepare(index, &mut plan, now) {
                Prepared::Ready(0) => {}
                Prepared::Ready(wait) => return self.plan(now + wait, Step::Begin(index, plan)),
                Prepared::Gone(wait) => return self.plan(now + wait, Step::Free(index, 0)),
            }
        }
        let card = plan.rail == Rail::Card;
        if let Some(record) = self.terminals[index].reversal.filter(|_| card) {
            let wait = self.send_reversal(record.payment, now);
            self.plan(now + wait, Step::Begin(index, plan));
            return;
        }
        if plan.fault == Some(Fault::dark) && self.terminals[index].dark_until <= now {
            self.terminals[index].dark_until = now + plan.repair_ms;
        }
        if card && plan.fault == Some(Fault::walk_away) {
            let cancel = vec![("action", json!("cancel")), ("dwell_ms", json!(8_000))];
            self.send(Sender::Terminal, index, None, "pos.operator.action", cancel, now);
            self.plan(now + 5_000, Step::Free(index, 0));
            return;
        }
        self.sale(index, *plan, now);
    }

    pub(super) fn sale(&mut self, index: usize, mut plan: Plan, now: Instant) {
        if self.terminals[index].cut_until > now && !plan.unreached {
            plan.unreached(None);
            plan.blame = self.cut_by(index, now);
        }
        let key = transaction_key(&mut self.terminals[index], plan.rail);
        let (rail, amount) = (plan.rail, plan.amount);
        let mut data = vec![("amount", json!(amount)), ("currency", json!("CNY"))];
        let mut parts = key.split(':').skip(2);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(batch), Some(stan)) => data.extend([("stan", json!(stan)), ("batch", json!(batch))]),
            (order, ..) => data.push(("order", json!(order))),
        }
        let (host_ms, fault, charged) = (plan.host_ms, plan.fault, plan.charged);
        let (reached, net, app, again) = (!plan.unreached, plan.net_error, plan.app_error, plan.again);
        let id = self.new_payment(Payment::new(key, index, plan, now));
        let terminal = &mut self.terminals[index];
        terminal.current = Some(id);
        if rail == Rail::Card {
            terminal.reversal = Some(Record { payment: id, tries: 0 });
        } else {
            self.tell(Sender::Terminal, id, ("pos.scan.result", vec![("state", json!("read"))]), None, now);
        }
        self.tell(Sender::Terminal, id, ("pos.payment.authorize", data), Some(Fact::Authorize), now);
        self.plan(now + rail.gives_up_ms(), Step::GiveUp(id));
        let silent = fault == Some(Fault::no_answer);
        if reached && (silent || host_ms >= TIME_OUT_MS) {
            let host = self.terminals[index].host_number;
            self.plan(now + TIME_OUT_MS, Step::HostMissed(host));
        }
        if silent {
            let payment = self.payments.get_mut(&id).expect("invariant: made just before");
            payment.booked = if charged { Booked::Paid } else { Booked::Nothing };
        } else {
            self.plan(now + host_ms, Step::HostAnswers(id));
        }
        if let Some(error) = net {
            self.plan(now + 400, Step::NetFailed(index, error));
        }
        if let Some(error) = app.filter(|_| !reached) {
            self.plan(now + 400, Step::AppFailed(index, error));
        }
        if again {
            self.plan(now + AGAIN_MS, Step::Again(id));
        }
    }

    /// The injected fault that cuts a terminal off.
    fn cut_by(&self, index: usize, now: Instant) -> Option<usize> {
        let active = self.calendar.active(&self.terminals[index], now);
        active.into_iter().find(|active| active.cause == Cause::N3).map(|active| active.number)
    }

    /// The operator gives a sale up that is not answered, and begins the same one anew.
    pub(super) fn again(&mut self, id: u64, now: Instant) {
        let unanswered = |payment: &&mut Payment| !payment.received && !payment.gave_up && !payment.cut_off;
        let Some(payment) = self.payments.get_mut(&id).filter(unanswered) else { return };
        payment.gave_up = true;
        let index = payment.terminal;
        let second = payment.plan.second(&mut self.terminals[index].luck);
        for (kind, name, value) in
            [("pos.payment.display", "shown", "unknown"), ("pos.operator.action", "action", "retry")]
        {
            self.tell(Sender::Terminal, id, (kind, vec![(name, json!(value))]), None, now);
        }
        self.sale(index, second, now + 500);
    }

    pub(super) fn host_answers(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id) else { return };
        if payment.booked != Booked::InProgress {
            return;
        }
        let (host, after) = (self.terminals[payment.terminal].host_number, now - payment.started);
        if let Some(code) = payment.plan.unknown {
            payment.booked = if payment.plan.charged { Booked::Paid } else { Booked::Nothing };
            let unknown = vec![("leg", json!("host")), ("outcome", json!("unknown")), ("code", json!(code))];
            self.hosts[host].answered(after, code);
            self.tell(Sender::Gateway, id, ("pos.payment.response", unknown), None, now);
            return;
        }
        self.hosts[host].answered(after, if payment.has(Fault::decline) { payment.plan.code } else { "00" });
        let walked = payment.has(Fault::walk_away);
        let confirms = payment.plan.confirm_on_phone_ms.filter(|_| payment.plan.fault != Some(Fault::late_approval));
        if walked || confirms.is_some() {
            let pending = vec![("leg", json!("host")), ("outcome", json!("pending")), ("code", json!("09"))];
            self.tell(Sender::Gateway, id, ("pos.payment.response", pending), None, now);
            if let Some(after) = confirms.filter(|_| !walked) {
                self.plan(now + after, Step::CustomerConfirms(id));
            }
            return;
        }
        payment.declined = payment.has(Fault::decline);
        let code = if payment.declined { payment.plan.code } else { "00" };
        let mut answer = vec![("leg", json!("host")), ("outcome", json!(payment.outcome())), ("code", json!(code))];
        if !payment.declined {
            answer.extend([
                ("rrn", json!(format!("{:012}", id))),
                ("auth_code", json!(format!("{:06}", id % 1_000_000))),
            ]);
        }
        self.decided(id, ("pos.payment.response", answer), now);
    }

    pub(super) fn customer_confirms(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| payment.booked == Booked::InProgress) else {
            return;
        };
        payment.declined = payment.has(Fault::decline);
        let notice = vec![("outcome", json!(payment.outcome()))];
        self.decided(id, ("pos.payment.notify", notice), now);
    }

    /// The host has decided and tells the gateway.
    fn decided(&mut self, id: u64, event: (&'static str, super::outbox::Data), now: Instant) {
        let Some(payment) = self.payments.get_mut(&id) else { return };
        let (declined, terminal) = (payment.declined, payment.terminal);
        payment.booked = if declined { Booked::NotPaid } else { Booked::Paid };
        let (plan, lost) = (payment.plan.clone(), payment.has(Fault::response_lost));
        let ledger = if payment.has(Fault::ledger_missing) { RECONCILIATION_MS } else { plan.ledger_ms };
        self.tell(Sender::Gateway, id, event, Some(if declined { Fact::Declined } else { Fact::Approved }), now);
        if !declined {
            self.plan(now + ledger, Step::LedgerHears(id));
        }
        if !declined && plan.unbalanced {
            self.plan(now + UNBALANCED_MS, Step::Unbalanced(terminal));
        }
        if !lost {
            self.plan(now + plan.leg_ms, Step::Deliver(id));
        }
    }

    pub(super) fn ledger_hears(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| payment.booked == Booked::Paid) else { return };
        payment.ledger_paid = true;
        let entry = vec![("state", json!("paid")), ("amount", json!(payment.plan.amount))];
        self.tell(Sender::OrderSystem, id, ("pos.ledger.entry", entry), Some(Fact::Ledger), now);
    }

    /// The answer reaches the terminal. One that has given up never shows it.
    pub(super) fn deliver(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get(&id) else { return };
        if payment.gave_up || payment.received || payment.cut_off {
            return;
        }
        let index = payment.terminal;
        if self.terminals[index].cut_until > now {
            let blame = self.cut_by(index, now);
            let payment = self.payments.get_mut(&id).expect("invariant: it was looked at just before");
            payment.plan.blame = payment.plan.blame.or(blame);
            return;
        }
        let payment = self.payments.get_mut(&id).expect("invariant: it was looked at just before");
        payment.received = true;
        let (outcome, approved) = (payment.outcome(), !payment.declined);
        let (terminal, wait, hangs) = (payment.terminal, payment.plan.display_ms, payment.has(Fault::display_hang));
        let answer = vec![("leg", json!("terminal")), ("outcome", json!(outcome))];
        self.tell(Sender::Terminal, id, ("pos.payment.response", answer), Some(Fact::Delivered(approved)), now);
        // The answer is stored: the reversal record goes, before anything is printed.
        let terminal = &mut self.terminals[terminal];
        terminal.reversal = terminal.reversal.filter(|record| record.payment != id);
        if hangs {
            terminal.app_down_until = terminal.app_down_until.max(now + HANG_MS);
            self.plan(now + HANG_MS, Step::HungUp(id));
        } else {
            self.plan(now + wait, Step::Show(id));
        }
    }

    pub(super) fn show(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| !payment.shown && !payment.cut_off) else {
            return;
        };
        payment.shown = true;
        let (outcome, declined) = (payment.outcome(), payment.declined);
        let (terminal, goods) = (payment.terminal, payment.plan.hand_over_ms + payment.plan.idle_ms);
        let (idle, cancelled) = (payment.plan.idle_ms, payment.plan.cancelled_after);
        let shown = vec![("shown", json!(outcome))];
        self.tell(Sender::Terminal, id, ("pos.payment.display", shown), Some(Fact::Shown(!declined)), now);
        if declined {
            self.plan(now + 3_000, Step::Free(terminal, id));
        } else {
            self.plan(now + 150, Step::Print(id, false));
            if idle > 0 {
                let waits = vec![("action", json!("idle")), ("dwell_ms", json!(idle))];
                self.tell(Sender::Terminal, id, ("pos.operator.action", waits), None, now + idle);
            }
            if cancelled {
                let cancel = vec![("action", json!("cancel")), ("dwell_ms", json!(1_500))];
                self.tell(Sender::Terminal, id, ("pos.operator.action", cancel), None, now + 1_500);
            } else {
                self.plan(now + goods, Step::HandOver(id));
            }
            self.plan(now + goods + 6_000, Step::Free(terminal, id));
        }
    }

    pub(super) fn hand_over(&mut self, id: u64, now: Instant) {
        if self.payments.get(&id).is_none_or(|payment| payment.cut_off) {
            return;
        }
        self.tell(Sender::Terminal, id, ("pos.payment.confirm", vec![("by", json!("cashier"))]), None, now);
    }

    /// The terminal's time is over without an answer.
    pub(super) fn give_up(&mut self, id: u64, now: Instant) {
        let waits = |payment: &&mut Payment| !payment.received && !payment.gave_up && !payment.cut_off;
        let Some(payment) = self.payments.get_mut(&id).filter(waits) else { return };
        payment.gave_up = true;
        if payment.booked == Booked::Nothing || payment.has(Fault::walk_away) {
            payment.booked = Booked::NotPaid;
        }
        let terminal = payment.terminal;
        let after = 5_000 + payment.plan.hand_over_ms;
        self.tell(Sender::Terminal, id, ("pos.payment.display", vec![("shown", json!("unknown"))]), None, now);
        self.plan(now + after, Step::Free(terminal, id));
    }

    /// Nobody waits any longer for a hung terminal: it is restarted, and the payment is never shown.
    pub(super) fn hung_up(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get(&id).filter(|payment| !payment.shown && !payment.cut_off) else { return };
        let (terminal, hang, error) = (payment.terminal, payment.plan.hang, payment.plan.app_error);
        self.app_state(terminal, hang, error, now);
        self.app_state(terminal, "start", None, now + 4_000);
        self.plan(now + 6_000, Step::Free(terminal, id));
    }

    /// The terminal is done with a sale (0: with a customer who made none).
    pub(super) fn free(&mut self, index: usize, id: u64, now: Instant) {
        let faults = self.options.faults.clone();
        let stopped = self.stopped();
        let terminal = &mut self.terminals[index];
        let over = if id == 0 { terminal.current.is_none() } else { terminal.current == Some(id) };
        if !over {
            return;
        }
        terminal.last = terminal.current.take().or(terminal.last);
        terminal.busy = false;
        if terminal.dark_until <= now && terminal.customers.chance(faults.offline) {
            self.switch_off(index, now);
        } else if terminal.line > 0 && !stopped {
            terminal.line -= 1;
            terminal.busy = true;
            let wait = terminal.customers.between(2_000, 8_000);
            let plan = Plan::draw(&faults, &mut terminal.customers);
            self.plan(now + wait, Step::Begin(index, Box::new(plan)));
        }
    }
}

/// The key of a new transaction: STAN and batch for cards, an order number for the others.
fn transaction_key(terminal: &mut Terminal, rail: Rail) -> String {
    let stan = terminal.next_stan();
    let Terminal { id, merchant, acquirer, orders, .. } = terminal;
    if rail == Rail::Card {
        return format!("{acquirer}:{merchant}:{id}:000017:{stan:06}");
    }
    *orders += 1;
    format!("{acquirer}:{merchant}:{id}-{orders}")
}
