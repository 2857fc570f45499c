//! One sale, from the customer to the receipt.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    faults::Fault,
    fleet::{Fleet, Sender, Step},
    payment::{Booked, Payment, Plan, Rail},
    terminal::{Record, Terminal},
    truth::Fact,
};

/// How long a hung terminal is tolerated before somebody restarts it, ms.
const HANG_MS: i64 = 45_000;

/// How long the order system takes where the news was lost and comes by reconciliation, ms.
const RECONCILIATION_MS: i64 = 300_000;

impl Fleet {
    /// A customer is there. A terminal sends the reversal of an unanswered card sale before the next one, up to three times.
    pub(super) fn begin(&mut self, index: usize, plan: Box<Plan>, now: Instant) {
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

    fn sale(&mut self, index: usize, plan: Plan, now: Instant) {
        let key = transaction_key(&mut self.terminals[index], plan.rail);
        let (rail, amount) = (plan.rail, plan.amount);
        let mut data = vec![("amount", json!(amount)), ("currency", json!("CNY"))];
        let mut parts = key.split(':').skip(2);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(batch), Some(stan)) => data.extend([("stan", json!(stan)), ("batch", json!(batch))]),
            (order, ..) => data.push(("order", json!(order))),
        }
        let (host_ms, fault, charged) = (plan.host_ms, plan.fault, plan.charged);
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
        if fault == Some(Fault::no_answer) {
            let payment = self.payments.get_mut(&id).expect("invariant: made just before");
            payment.booked = if charged { Booked::Paid } else { Booked::Nothing };
        } else {
            self.plan(now + host_ms, Step::HostAnswers(id));
        }
    }

    pub(super) fn host_answers(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id) else { return };
        if payment.booked != Booked::InProgress {
            return;
        }
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
        let code = if payment.declined { "51" } else { "00" };
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
        let declined = payment.declined;
        payment.booked = if declined { Booked::NotPaid } else { Booked::Paid };
        let (plan, lost) = (payment.plan.clone(), payment.has(Fault::response_lost));
        let ledger = if payment.has(Fault::ledger_missing) { RECONCILIATION_MS } else { plan.ledger_ms };
        self.tell(Sender::Gateway, id, event, Some(if declined { Fact::Declined } else { Fact::Approved }), now);
        if !declined {
            self.plan(now + ledger, Step::LedgerHears(id));
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
        let Some(payment) = self.payments.get_mut(&id) else { return };
        if payment.gave_up || payment.received {
            return;
        }
        payment.received = true;
        let (outcome, approved) = (payment.outcome(), !payment.declined);
        let (terminal, wait, hangs) = (payment.terminal, payment.plan.display_ms, payment.has(Fault::display_hang));
        let answer = vec![("leg", json!("terminal")), ("outcome", json!(outcome))];
        self.tell(Sender::Terminal, id, ("pos.payment.response", answer), Some(Fact::Delivered(approved)), now);
        // The answer is stored: the reversal record goes, before anything is printed.
        let terminal = &mut self.terminals[terminal];
        terminal.reversal = terminal.reversal.filter(|record| record.payment != id);
        if hangs {
            self.plan(now + HANG_MS, Step::HungUp(id));
        } else {
            self.plan(now + wait, Step::Show(id));
        }
    }

    pub(super) fn show(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| !payment.shown) else { return };
        payment.shown = true;
        let (outcome, declined) = (payment.outcome(), payment.declined);
        let (terminal, goods) = (payment.terminal, payment.plan.hand_over_ms);
        let shown = vec![("shown", json!(outcome))];
        self.tell(Sender::Terminal, id, ("pos.payment.display", shown), Some(Fact::Shown(!declined)), now);
        if declined {
            self.plan(now + 3_000, Step::Free(terminal, id));
        } else {
            self.plan(now + 150, Step::Print(id, false));
            self.plan(now + goods, Step::HandOver(id));
            self.plan(now + goods + 6_000, Step::Free(terminal, id));
        }
    }

    pub(super) fn hand_over(&mut self, id: u64, now: Instant) {
        self.tell(Sender::Terminal, id, ("pos.payment.confirm", vec![("by", json!("cashier"))]), None, now);
    }

    /// The terminal's time is over without an answer.
    pub(super) fn give_up(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| !payment.received) else { return };
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
        let Some(payment) = self.payments.get(&id).filter(|payment| !payment.shown) else { return };
        let terminal = payment.terminal;
        for (after, state) in [(0, "anr"), (4_000, "start")] {
            let state = vec![("state", json!(state)), ("version", json!("3.4.1"))];
            self.send(Sender::Terminal, terminal, None, "pos.app.state", state, now + after);
        }
        self.plan(now + 6_000, Step::Free(terminal, id));
    }

    /// The terminal is done with a sale (0: with a customer who made none).
    pub(super) fn free(&mut self, index: usize, id: u64, now: Instant) {
        let faults = self.options.faults.clone();
        let stopped = self.stopped();
        let terminal = &mut self.terminals[index];
        if id != 0 && terminal.current != Some(id) {
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
