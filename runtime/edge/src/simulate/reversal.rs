//! Reversals: the terminal's own, of a sale that it has no answer to.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    fleet::{Fleet, Sender, Step},
    payment::Booked,
    truth::Fact,
};

/// How often a terminal sends a reversal before it gives that up too.
const TRIES_MAX: u32 = 3;

/// How long it waits for the answer, ms.
const WAIT_MS: i64 = 10_000;

impl Fleet {
    /// Sends the reversal of a payment; how long the terminal waits for its answer.
    pub(super) fn send_reversal(&mut self, id: u64, now: Instant) -> i64 {
        let Some(payment) = self.payments.get_mut(&id) else {
            // Handed to reconciliation long ago.
            self.forget_reversal(id);
            return 0;
        };
        payment.reversal_sent = true;
        let (index, original) = (payment.terminal, payment.key.clone());
        let request =
            vec![("phase", json!("request")), ("reason", json!("no-response")), ("original", json!(original))];
        self.tell(Sender::Terminal, id, ("pos.payment.reversal", request), Some(Fact::ReversalSent), now);
        let lost = self.options.faults.reversal_lost;
        let terminal = &mut self.terminals[index];
        let record = terminal.reversal.as_mut().filter(|record| record.payment == id);
        let tries = record.map_or(TRIES_MAX, |record| {
            record.tries += 1;
            record.tries
        });
        let answer = terminal.answers.between(300, 1_200);
        if terminal.answers.chance(lost) || terminal.cut_until > now {
            if tries >= TRIES_MAX {
                terminal.reversal = None;
            }
            return WAIT_MS;
        }
        self.plan(now + answer, Step::ReversalAnswered(id));
        answer + 200
    }

    /// The acquirer has reversed the payment, or had nothing to reverse.
    pub(super) fn reversal_answered(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id) else { return };
        payment.booked = match payment.booked {
            Booked::Paid | Booked::Back => Booked::Back,
            Booked::Nothing | Booked::InProgress | Booked::NotPaid => Booked::NotPaid,
        };
        let (index, ledger) = (payment.terminal, payment.ledger_paid);
        let answer = vec![("phase", json!("response")), ("outcome", json!("approved"))];
        self.tell(Sender::Gateway, id, ("pos.payment.reversal", answer), Some(Fact::ReversalAnswered), now);
        if let Some(payment) = self.payments.get_mut(&id) {
            payment.timeline.add(Fact::MoneyBack, now, now + 200);
        }
        if ledger {
            let entry = vec![("state", json!("reversed"))];
            self.tell(Sender::OrderSystem, id, ("pos.ledger.entry", entry), None, now + 500);
        }
        let terminal = &mut self.terminals[index];
        terminal.reversal = terminal.reversal.filter(|record| record.payment != id);
    }

    fn forget_reversal(&mut self, id: u64) {
        for terminal in &mut self.terminals {
            terminal.reversal = terminal.reversal.filter(|record| record.payment != id);
        }
    }
}
