//! Commands, as terminals and the gateway act on them: they check the preconditions, refuse, expire, and do nothing twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use tillwatch_core::{Instant, output::rfc3339};

use super::{
    fleet::{Fleet, Sender, Step},
    payment::Booked,
    truth::Fact,
};

/// Commands that are remembered so that they are done once; the oldest is forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// A command as it comes from `pos.commands`, or that one is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id, also what makes it idempotent.
    pub command: String,
    /// What is to be done; none: the command is taken back.
    pub kind: Option<String>,
    /// `terminal:…` or `acquirer:…`.
    pub target: String,
    /// The transaction key.
    pub txn: String,
    /// Not to be done before.
    pub not_before: Instant,
    /// Not to be done from then on.
    pub expires_at: Instant,
    /// What must hold at the target.
    pub preconditions: Vec<String>,
    /// Which guide to show.
    pub guide: String,
}

impl Order {
    /// Reads the data of a `pos.command` or a `pos.command.cancelled`; none for anything else.
    #[must_use]
    pub fn from_event(event_type: &str, data: &Value) -> Option<Self> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let instant = |name: &str| text(name).parse().map(jiff::Timestamp::as_millisecond);
        let cancelled = match event_type {
            "pos.command" => false,
            "pos.command.cancelled" => true,
            _ => return None,
        };
        let guide = data.get("guide").or_else(|| data.get("details")?.get("guide"));
        let rows = data.get("preconditions").and_then(Value::as_array);
        Some(Self {
            command: data.get("command")?.as_str()?.to_owned(),
            kind: (!cancelled).then(|| text("kind")),
            target: text("target"),
            txn: text("txn"),
            not_before: instant("not_before").unwrap_or(Instant::MIN),
            expires_at: instant("expires_at").unwrap_or(Instant::MAX),
            preconditions: rows.into_iter().flatten().filter_map(|row| row.as_str().map(str::to_owned)).collect(),
            guide: guide.and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    }
}

/// What is known of commands.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The last state of each.
    states: BTreeMap<String, (&'static str, &'static str)>,
    cancelled: BTreeSet<String>,
    oldest: VecDeque<String>,
}

impl Desk {
    fn note(&mut self, command: &str, state: &'static str, detail: &'static str) {
        if self.states.insert(command.to_owned(), (state, detail)).is_none() {
            self.oldest.push_back(command.to_owned());
        }
        if self.oldest.len() > REMEMBERED_MAX {
            let forgotten = self.oldest.pop_front().expect("invariant: longer than the limit");
            self.states.remove(&forgotten);
            self.cancelled.remove(&forgotten);
        }
    }
}

impl Fleet {
    pub(super) fn receive(&mut self, order: Order, now: Instant) {
        if order.kind.is_none() {
            self.desk.cancelled.insert(order.command);
            return;
        }
        let Some(index) = self.target(&order) else { return };
        let travel = self.terminals[index].answers.between(40, 200);
        self.plan(order.not_before.max(now + travel), Step::Ordered(Box::new(order)));
    }

    /// The terminal that the command is for or about.
    fn target(&self, order: &Order) -> Option<usize> {
        if let Some(id) = order.target.strip_prefix("terminal:") {
            let index = id.strip_prefix('T')?.parse::<usize>().ok()?;
            return self.terminals.get(index).filter(|terminal| terminal.id == id).map(|_| index);
        }
        let id = self.by_key.get(&order.txn)?;
        self.payments.get(id).map(|payment| payment.terminal)
    }

    pub(super) fn carry_out(&mut self, order: Order, now: Instant) {
        let Some(index) = self.target(&order) else { return };
        let query = order.kind.as_deref() == Some("query-status");
        if let Some(until) = self.terminals[index].unreachable_until(now).filter(|_| !query) {
            self.plan(until + 500, Step::Ordered(Box::new(order)));
            return;
        }
        if self.desk.cancelled.contains(&order.command) {
            return;
        }
        if let Some((state, detail)) = self.desk.states.get(&order.command).copied() {
            self.report(&order, state, detail, now);
        } else if now >= order.expires_at {
            self.finish(&order, "expired", "", now);
        } else if query {
            let wait = self.terminals[index].answers.between(100, 400);
            self.desk.note(&order.command, "accepted", "");
            self.plan(now + wait, Step::Queried(Box::new(order)));
        } else if let Some(refused) = self.refused(index, &order) {
            self.finish(&order, "refused", refused, now);
        } else {
            self.finish(&order, "accepted", "", now);
            self.act(index, order, now);
        }
    }

    /// Which precondition does not hold.
    fn refused(&self, index: usize, order: &Order) -> Option<&'static str> {
        let terminal = &self.terminals[index];
        let id = self.by_key.get(&order.txn).copied();
        let Some((id, payment)) = id.and_then(|id| Some((id, self.payments.get(&id)?))) else {
            return Some("unknown-transaction");
        };
        order.preconditions.iter().find_map(|precondition| match precondition.as_str() {
            "transaction-current" => {
                let current = [terminal.current, terminal.last].contains(&Some(id));
                (!current).then_some("transaction-current")
            }
            "not-timed-out" => (payment.gave_up || payment.cut_off).then_some("not-timed-out"),
            "not-reversed" => (payment.reversal_sent || payment.booked == Booked::Back).then_some("not-reversed"),
            "reversal-pending" => {
                let pending = terminal.reversal.is_some_and(|record| record.payment == id)
                    && (payment.gave_up || payment.cut_off);
                (!pending).then_some("reversal-pending")
            }
            _ => Some("unknown-precondition"),
        })
    }

    fn act(&mut self, index: usize, order: Order, now: Instant) {
        let Some(id) = self.by_key.get(&order.txn).copied() else { return };
        let kind = order.kind.as_deref().unwrap_or_default();
        let (wait, state, detail) = match kind {
            "redeliver-result" => self.redelivered(id, now),
            "reprint" => {
                let wait = self.payments.get(&id).map_or(0, |payment| payment.plan.print_ms);
                let taken = self.print(id, true, now + 100);
                if taken { (wait + 200, "done", "") } else { (300, "failed", "printer") }
            }
            "flush-pending-reversal" => {
                let wait = self.send_reversal(id, now + 100);
                let answered = wait < 5_000;
                (wait + 200, if answered { "done" } else { "failed" }, if answered { "" } else { "no-answer" })
            }
            "display-guide" if order.guide == "paid-at-acquirer" => (8_000, "done", ""),
            "display-guide" => (self.guided(index, now) + 1_000, "done", ""),
            _ => (0, "refused", "unknown-command"),
        };
        self.plan(now + wait, Step::Finished(Box::new(order), state, detail));
    }

    /// The terminal fetches the result again and shows it.
    fn redelivered(&mut self, id: u64, now: Instant) -> (i64, &'static str, &'static str) {
        let Some(payment) = self.payments.get(&id) else { return (0, "failed", "unknown-transaction") };
        if !payment.declined && payment.booked != Booked::Paid {
            return (300, "failed", "no-result");
        }
        let (received, shown) = (payment.received, payment.shown);
        if !received {
            self.plan(now + 150, Step::Deliver(id));
        }
        if !shown {
            self.plan(now + 400, Step::Show(id));
        }
        (600, "done", "")
    }

    pub(super) fn finish(&mut self, order: &Order, state: &'static str, detail: &'static str, now: Instant) {
        self.desk.note(&order.command, state, detail);
        self.report(order, state, detail, now);
    }

    fn report(&mut self, order: &Order, state: &'static str, detail: &'static str, now: Instant) {
        let Some(index) = self.target(order) else { return };
        let mut result = vec![("command", json!(order.command)), ("state", json!(state))];
        if !detail.is_empty() {
            result.push(("detail", json!(detail)));
        }
        let sender = if order.target.starts_with("acquirer:") { Sender::Gateway } else { Sender::Terminal };
        match self.by_key.get(&order.txn).copied() {
            Some(id) => self.tell(sender, id, ("pos.command.result", result), None, now),
            None => {
                self.send(sender, index, None, "pos.command.result", result, now);
            }
        }
    }

    /// The acquirer says what it knows.
    pub(super) fn queried(&mut self, order: &Order, now: Instant) {
        let Some(id) = self.by_key.get(&order.txn).copied() else { return };
        let Some(payment) = self.payments.get(&id) else { return };
        let (result, fact) = match payment.booked {
            Booked::Nothing => ("not-found", None),
            Booked::InProgress => ("in-progress", None),
            Booked::Paid => ("paid", Some(Fact::Approved)),
            Booked::NotPaid => ("not-paid", payment.gave_up.then_some(Fact::NotPaid)),
            Booked::Back => ("revoked", Some(Fact::MoneyBack)),
        };
        let status = vec![("result", json!(result)), ("as_of", json!(rfc3339(now))), ("command", json!(order.command))];
        self.tell(Sender::Gateway, id, ("pos.payment.status", status), fact, now);
        self.finish(order, "done", "", now + 5);
    }
}
