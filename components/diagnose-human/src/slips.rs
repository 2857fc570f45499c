//! Slips (P4): a cancel after the approval, a second attempt while the first is not known, amounts corrected and wrong keys pressed; and which
//! payments are stuck by them, or because the customer never confirmed.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    FieldId, Instant, Out, Severity, Updated, Visit,
    cause::Verdict,
    payment::Outcome,
    same,
    standing::{self, About},
};

use crate::{recent::Recent, settings::Settings};

/// The kind of its finding.
pub const KIND: &str = "operator-slips";

/// Bytes of a transaction key; a longer one is not followed.
const TXN_BYTES_MAX: usize = 128;

/// How long a sale without an answer is the one that a second attempt repeats, ms (`t_duplicate` of domain.md).
const DUPLICATE_MS: i64 = 120_000;

/// Sales that were begun again and are remembered; their findings come within two minutes.
const REPEATED_MAX: usize = 4;

/// Kinds of finding that may come of a sale that was given up, or that the customer left.
const KINDS: [&str; 4] = ["no-answer", "approved-undelivered", "late-approval", "reversal-missing"];

/// The sale at the till, as far as slips go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sale {
    txn: String,
    amount: Option<i64>,
    begun: Instant,
    /// It is answered: whether it was approved.
    approved: Option<bool>,
    /// The host waits for the customer.
    asked: bool,
}

/// What is remembered of slips.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slips {
    sale: Option<Sale>,
    /// The latest sales that were begun again.
    repeated: Vec<String>,
    #[serde(with = "tillwatch_sdk::rare")]
    recent: Recent,
}

/// The finding.
#[must_use]
pub fn kind(scope: About<'_>) -> standing::Kind<'_> {
    standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity: Severity::Warning }
}

impl Slips {
    /// A sale begins; whether it is a second attempt at one that is not answered.
    pub fn authorize(&mut self, settings: &Settings, scope: About<'_>, visit: &Visit<'_>, out: &mut Out<'_>) -> bool {
        let Some(txn) = visit.subject().filter(|txn| txn.len() <= TXN_BYTES_MAX) else { return false };
        let again = self.sale.as_ref().is_some_and(|sale| {
            let open = sale.approved.is_none() && visit.when() - sale.begun <= DUPLICATE_MS;
            open && sale.txn != txn && sale.amount.is_some() && sale.amount == visit.amount()
        });
        let repeat = self.sale.as_ref().is_some_and(|sale| sale.txn == txn);
        if again {
            if self.repeated.len() == REPEATED_MAX {
                self.repeated.remove(0);
            }
            self.repeated.extend(self.sale.take().map(|sale| sale.txn));
        }
        if !repeat {
            let (txn, amount, begun) = (txn.to_owned(), visit.amount(), visit.when());
            self.sale = Some(Sale { txn, amount, begun, approved: None, asked: false });
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
        let outcome = Outcome::of(visit);
        let txn = visit.piece_of(FieldId::SUBJECT);
        if let Some(sale) = self.sale.as_mut().filter(|sale| same(sale.txn.as_bytes(), txn)) {
            match outcome {
                Outcome::Approved => sale.approved = Some(true),
                Outcome::Declined => sale.approved = Some(false),
                Outcome::Open => sale.asked |= visit.outcome() == Some("pending"),
            }
        }
    }

    /// A payment is stuck: why, where the till knows. One that was begun again was given up by a hand; one of which the host last said that it
    /// waits for the customer waits for nothing else.
    pub fn stuck(&self, visit: &Visit<'_>, out: &mut Out<'_>) {
        let (Some(finding), Some(kind), Some(txn)) = (visit.finding(), visit.kind(), visit.txn()) else { return };
        if !KINDS.contains(&kind) {
            return;
        }
        let asked = |sale: &&Sale| sale.txn == txn && sale.asked && sale.approved.is_none();
        let (cause, percent, said) = if self.repeated.iter().any(|known| known == txn) {
            ("P4", 85, ("the operator gave it up and charged again before its answer", "未等应答即放弃并再次收款"))
        } else if kind == "no-answer" && self.sale.as_ref().filter(asked).is_some() {
            ("customer", 85, ("the customer was asked to confirm and did not", "已请顾客确认,顾客未确认"))
        } else {
            return;
        };
        let verdict = Verdict { cause, percent, runner_up: "N4", said: (said.0.to_owned(), said.1.to_owned()) };
        let about = (format!("Payment {txn}"), format!("支付 {txn}"));
        let details = verdict.details((&about.0, &about.1));
        out.update(Updated { finding: finding.to_owned(), severity: None, evidence: Vec::new(), details });
    }

    /// The operator cancels; whether the sale was approved already.
    pub fn cancel(&mut self, settings: &Settings, scope: About<'_>, visit: &Visit<'_>, out: &mut Out<'_>) -> bool {
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
    pub fn slip(&mut self, settings: &Settings, scope: About<'_>, visit: &Visit<'_>, out: &mut Out<'_>) {
        let count = self.recent.add(settings.slips_window_ms, visit);
        if count >= settings.slips_min as usize {
            let minutes = settings.slips_window_ms / 60_000;
            let said = (format!("{count} slips in {minutes} min"), format!("{minutes} 分钟内误操作 {count} 次"));
            self.recent.say(kind(scope), &Verdict { cause: "P4", percent: 55, runner_up: "P1", said }, out);
        }
    }

    /// Whether one was made within this time.
    #[must_use]
    pub fn just(&self, now: Instant, within_ms: i64) -> bool {
        self.recent.latest().is_some_and(|latest| now - latest <= within_ms)
    }

    /// When something counts no longer.
    #[must_use]
    pub fn wake(&self, settings: &Settings) -> Option<Instant> {
        self.recent.wake(settings.slips_window_ms)
    }

    /// Time passes.
    pub fn forget(&mut self, settings: &Settings, scope: About<'_>, now: Instant, out: &mut Out<'_>) {
        self.recent.forget(settings.slips_window_ms, kind(scope), now, out);
    }

    /// Another operator comes.
    pub fn end(&mut self, scope: About<'_>, out: &mut Out<'_>) {
        self.recent.end(kind(scope), out);
    }
}
