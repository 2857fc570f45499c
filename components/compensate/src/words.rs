//! The words that this rule shares with the world: kinds of commands, the findings that call for them, reasons. Owns no behaviour.

use serde::{Deserialize, Serialize};

/// A kind of command that this rule sends; all are class A, but `flush-pending-reversal`, class B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Ask the acquirer what became of the payment.
    Query,
    /// Hand the answer to the terminal once more.
    Redeliver,
    /// Print once more, marked as duplicate.
    Reprint,
    /// Show the cashier what to do.
    Guide,
    /// Ask the terminal to send its own pending reversal.
    Flush,
}

impl Kind {
    /// Every kind, in the order in which chains of one moment move.
    pub const ALL: [Self; 5] = [Self::Query, Self::Redeliver, Self::Reprint, Self::Guide, Self::Flush];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query-status",
            Self::Redeliver => "redeliver-result",
            Self::Reprint => "reprint",
            Self::Guide => "display-guide",
            Self::Flush => "flush-pending-reversal",
        }
    }

    /// What the target checks and refuses by.
    #[must_use]
    pub fn preconditions(self) -> &'static [&'static str] {
        match self {
            Self::Query | Self::Guide => &[],
            Self::Redeliver => &["transaction-current", "not-timed-out", "not-reversed"],
            Self::Reprint => &["not-reversed"],
            Self::Flush => &["reversal-pending"],
        }
    }
}

/// A finding that calls for commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Need {
    /// `no-answer`
    NoAnswer,
    /// `reversal-unanswered`
    ReversalUnanswered,
    /// `approved-undelivered`
    Undelivered,
    /// `not-shown`
    NotShown,
    /// `not-printed`
    NotPrinted,
    /// `reversal-missing`
    ReversalMissing,
    /// `late-approval`
    LateApproval,
}

impl Need {
    /// Reads the kind of a finding; none where it calls for nothing.
    #[must_use]
    pub fn read(kind: &str) -> Option<Self> {
        Some(match kind {
            "no-answer" => Self::NoAnswer,
            "reversal-unanswered" => Self::ReversalUnanswered,
            "approved-undelivered" => Self::Undelivered,
            "not-shown" => Self::NotShown,
            "not-printed" => Self::NotPrinted,
            "reversal-missing" => Self::ReversalMissing,
            "late-approval" => Self::LateApproval,
            _ => return None,
        })
    }
}

/// A set of [`Need`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs(u8);

impl Needs {
    /// The set of one.
    #[must_use]
    pub fn of(need: Need) -> Self {
        Self(1 << need as u8)
    }

    /// Whether it holds `need`.
    #[must_use]
    pub fn has(self, need: Need) -> bool {
        self.0 & Self::of(need).0 != 0
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What of it is not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Why a command is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No finding that called for it is open, or the answer came.
    Cleared,
    /// A reversal of the payment was seen.
    ReversalSeen,
    /// Goods may have been handed over.
    Goods,
    /// Authoritative answers contradict each other.
    Contradiction,
    /// The till has begun a newer card sale, which sends the reversal itself.
    NewerSale,
    /// The till has more payments in need than are kept.
    Evicted,
}

impl Reason {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cleared => "cleared",
            Self::ReversalSeen => "reversal-seen",
            Self::Goods => "goods",
            Self::Contradiction => "contradiction",
            Self::NewerSale => "newer-sale",
            Self::Evicted => "evicted",
        }
    }
}
