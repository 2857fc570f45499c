//! Slips (P4): a cancel after the approval, a second attempt while the first is not known, amounts corrected and wrong keys pressed.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{Instant, Out, Severity, Visit, cause::Verdict, payment::Outcome, standing};

use crate::{recent::Recent, settings::Settings};

/// The kind of its finding.
pub const KIND: &str = "operator-slips";

/// Bytes of a transaction key; a longer one is not followed.
const TXN_BYTES_MAX: usize = 128;

/// How long a sale without an answer is the one that a second attempt repeats, ms (`t_duplicate` of domain.md).
const DUPLICATE_MS: i64 = 120_000;

/// The sale at the till, as far as slips go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sale {
    txn: String,
    amount: Option<i64>,
    begun: Instant,
    /// It is answered: whether it was approved.
    approved: Option<bool>,
}

/// What is remembered of slips.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slips {
    sale: Option<Sale>,
    recent: Recent,
}

/// The finding.
#[must_use]
pub fn kind(scope: &str) -> standing::Kind<'_> {
    standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity: Severity::Warning }
}

impl Slips {
    /// A sale begins; whether it is a second attempt at one that is not answered.
    pub fn authorize(&mut self, settings: &Settings, scope: &str, visit: &Visit<'_>, out: &mut Out<'_>) -> bool {
        let Some(txn) = visit.subject().filter(|txn| txn.len() <= TXN_BYTES_MAX) else { return false };
        let again = self.sale.as_ref().is_some_and(|sale| {
            let open = sale.approved.is_none() && visit.when() - sale.begun <= DUPLICATE_MS;
            open && sale.txn != txn && sale.amount.is_some() && sale.amount == visit.amount()
        });
        let repeat = self.sale.as_ref().is_some_and(|sale| sale.txn == txn);
        if !repeat {
            self.sale = Some(Sale { txn: txn.to_owned(), amount: visit.amount(), begun: visit.when(), approved: None });
        }
        if again {
            self.recent.add(settings.slips_window_ms, visit);
            let said = (
                "the same amount was charged again while the first attempt was not answered".to_owned(),
                "上一笔未应答时以相同金额再次发起收款".to_owned(),
            );
            self.recent.say(kind(scope), &Verdict { cause: "P4", percent: 80, runner_up: "N4", said }, out);
        }
        again
    }

    /// An answer to a sale.
    pub fn answered(&mut self, visit: &Visit<'_>) {
        let outcome = Outcome::read(visit.outcome());
        if let Some(sale) = self.sale.as_mut().filter(|sale| Some(sale.txn.as_str()) == visit.subject()) {
            match outcome {
                Outcome::Approved => sale.approved = Some(true),
                Outcome::Declined => sale.approved = Some(false),
                Outcome::Open => {}
            }
        }
    }

    /// The operator cancels; whether the sale was approved already.
    pub fn cancel(&mut self, settings: &Settings, scope: &str, visit: &Visit<'_>, out: &mut Out<'_>) -> bool {
        let sale = self.sale.as_ref().filter(|sale| Some(sale.txn.as_str()) == visit.subject());
        let after = sale.is_some_and(|sale| sale.approved == Some(true));
        if after {
            self.recent.add(settings.slips_window_ms, visit);
            let said = ("a sale was cancelled after its approval".to_owned(), "交易批准后被取消".to_owned());
            self.recent.say(kind(scope), &Verdict { cause: "P4", percent: 85, runner_up: "customer", said }, out);
        }
        after
    }

    /// A wrong key or a corrected amount: nothing by itself.
    pub fn slip(&mut self, settings: &Settings, scope: &str, visit: &Visit<'_>, out: &mut Out<'_>) {
        let count = self.recent.add(settings.slips_window_ms, visit);
        if count >= settings.slips_min as usize {
            let minutes = settings.slips_window_ms / 60_000;
            let said = (format!("{count} slips in {minutes} min"), format!("{minutes} 分钟内误操作 {count} 次"));
            self.recent.say(kind(scope), &Verdict { cause: "P4", percent: 55, runner_up: "P1", said }, out);
        }
    }

    /// When something counts no longer.
    #[must_use]
    pub fn wake(&self, settings: &Settings) -> Option<Instant> {
        self.recent.wake(settings.slips_window_ms)
    }

    /// Time passes.
    pub fn forget(&mut self, settings: &Settings, scope: &str, now: Instant, out: &mut Out<'_>) {
        self.recent.forget(settings.slips_window_ms, kind(scope), now, out);
    }

    /// Another operator comes.
    pub fn end(&mut self, scope: &str, out: &mut Out<'_>) {
        self.recent.end(kind(scope), out);
    }
}
