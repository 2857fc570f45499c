//! What rules about payments share: the windows and their layers of settings, and the words of answers (`docs/spec/payment.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tillwatch_wit::table::FieldId;

use crate::Visit;

/// What is expected of a payment at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expects {
    /// The terminal shows the outcome.
    Display,
    /// A receipt is printed or the payment announced.
    Receipt,
    /// The order system says paid.
    Ledger,
}

/// Every window of one payment, ms, and what its site expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// From authorize to an answer.
    pub response_ms: i64,
    /// From authorize until a card terminal gives up by itself.
    pub terminal_ms: i64,
    /// From the first approval until the terminal has it.
    pub delivery_ms: i64,
    /// From delivery until it is shown.
    pub display_ms: i64,
    /// From display until a receipt.
    pub print_ms: i64,
    /// From the terminal's giving up until its reversal.
    pub reversal_ms: i64,
    /// From a reversal request to its response.
    pub reversal_answer_ms: i64,
    /// From the first approval until the order system says paid.
    pub sync_ms: i64,
    /// From authorize until the customer has waited long.
    pub slow_ms: i64,
    /// The least that a window opened by a late event lasts after its arrival.
    pub late_grace_ms: i64,
    /// The display is expected.
    pub expects_display: bool,
    /// A receipt is expected.
    pub expects_receipt: bool,
    /// The order system's entry is expected.
    pub expects_ledger: bool,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            response_ms: 65_000,
            terminal_ms: 60_000,
            delivery_ms: 5_000,
            display_ms: 5_000,
            print_ms: 10_000,
            reversal_ms: 30_000,
            reversal_answer_ms: 30_000,
            sync_ms: 60_000,
            slow_ms: 15_000,
            late_grace_ms: 5_000,
            expects_display: true,
            expects_receipt: true,
            expects_ledger: false,
        }
    }
}

impl Windows {
    /// How long after authorize the terminal gives up: a card terminal by its own time-out, others with the response window.
    #[must_use]
    pub fn gives_up_ms(&self, card: bool) -> i64 {
        if card { self.terminal_ms } else { self.response_ms }
    }
}

/// One layer of settings: the keys that it sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of Windows")]
pub struct Layer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal_answer_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_grace_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expects: Option<Vec<Expects>>,
}

impl Layer {
    fn over(&self, windows: &mut Windows) {
        let Windows {
            response_ms,
            terminal_ms,
            delivery_ms,
            display_ms,
            print_ms,
            reversal_ms,
            reversal_answer_ms,
            sync_ms,
            slow_ms,
            late_grace_ms,
            ..
        } = windows;
        let pairs = [
            (response_ms, self.response_ms),
            (terminal_ms, self.terminal_ms),
            (delivery_ms, self.delivery_ms),
            (display_ms, self.display_ms),
            (print_ms, self.print_ms),
            (reversal_ms, self.reversal_ms),
            (reversal_answer_ms, self.reversal_answer_ms),
            (sync_ms, self.sync_ms),
            (slow_ms, self.slow_ms),
            (late_grace_ms, self.late_grace_ms),
        ];
        for (window, value) in pairs {
            if let Some(value) = value {
                *window = i64::from(value);
            }
        }
        if let Some(expects) = &self.expects {
            windows.expects_display = expects.contains(&Expects::Display);
            windows.expects_receipt = expects.contains(&Expects::Receipt);
            windows.expects_ledger = expects.contains(&Expects::Ledger);
        }
    }
}

/// Settings of windows: `defaults` < `rails` < `acquirers` < `sites`, each over what is built in for its own layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layers {
    /// For every payment.
    pub defaults: Layer,
    /// By rail; built in: `wechat` answers in 45 s, `alipay` in 60 s.
    pub rails: BTreeMap<String, Layer>,
    /// By acquirer.
    pub acquirers: BTreeMap<String, Layer>,
    /// By site.
    pub sites: BTreeMap<String, Layer>,
}

impl Layers {
    /// The windows of a payment, by what is known of it (empty: unknown).
    #[must_use]
    pub fn windows(&self, rail: &str, acquirer: &str, site: &str) -> Windows {
        let mut windows = Windows::default();
        self.defaults.over(&mut windows);
        match rail {
            WECHAT => windows.response_ms = 45_000,
            ALIPAY => windows.response_ms = 60_000,
            _ => {}
        }
        for (layers, name) in [(&self.rails, rail), (&self.acquirers, acquirer), (&self.sites, site)] {
            if let Some(layer) = layers.get(name) {
                layer.over(&mut windows);
            }
        }
        windows
    }
}

/// The card rail.
pub const CARD: &str = "card";
/// WeChat Pay codes.
pub const WECHAT: &str = "wechat";
/// Alipay codes.
pub const ALIPAY: &str = "alipay";
/// UnionPay codes.
pub const UNIONPAY_QR: &str = "unionpay-qr";
/// The rail of what is none of these.
pub const OTHER: &str = "other";

/// The rail of a payment: the event's word for it, and where it has none, what the form of the transaction key says. Cards have five
/// parts (`acquirer:merchant:terminal:batch:stan`), QR payments three.
#[must_use]
pub fn rail<'a>(said: Option<&'a str>, transaction_key: &str) -> &'a str {
    said.unwrap_or_else(|| if transaction_key.split(':').count() == 5 { CARD } else { OTHER })
}

/// The acquirer of a payment: the event's word for it, and where it has none, the transaction key's first part.
#[must_use]
pub fn acquirer<'a>(said: Option<&'a str>, transaction_key: &'a str) -> &'a str {
    said.unwrap_or_else(|| transaction_key.split(':').next().unwrap_or_default())
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `approved` or `partial`.
    Approved,
    /// `declined`.
    Declined,
    /// Anything else, also what is not known: never an approval.
    Open,
}

impl Outcome {
    /// What the field `outcome` says, which the rule declares.
    #[must_use]
    pub fn of(visit: &Visit<'_>) -> Self {
        match visit.piece_of(FieldId::OUTCOME) {
            b"approved" | b"partial" => Self::Approved,
            b"declined" => Self::Declined,
            _ => Self::Open,
        }
    }
}

/// What a status query's answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `paid`
    Paid,
    /// `not-paid`: final once the terminal has given up.
    NotPaid,
    /// `refunded` or `revoked`.
    MoneyBack,
    /// `in-progress`, `not-found`, `unknown` and what is not known.
    Open,
}

impl Status {
    /// What the field `result` says, which the rule declares.
    #[must_use]
    pub fn of(visit: &Visit<'_>) -> Self {
        match visit.piece_of(FieldId::RESULT) {
            b"paid" => Self::Paid,
            b"not-paid" => Self::NotPaid,
            b"refunded" | b"revoked" => Self::MoneyBack,
            _ => Self::Open,
        }
    }
}
