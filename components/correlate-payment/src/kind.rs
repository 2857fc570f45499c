//! The kinds of finding about one payment.

use tillwatch_sdk::Severity;

/// A kind of finding, in the order of the specification's tables, which is the order of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Neither host nor terminal answered.
    NoAnswer,
    /// The host approved and the terminal has not received it.
    ApprovedUndelivered,
    /// The terminal has the answer and shows nothing.
    NotShown,
    /// No receipt and no announcement.
    NotPrinted,
    /// Still no answer, the customer waits.
    SlowAnswer,
    /// The order system does not say paid.
    Unsynced,
    /// The terminal gave up and no reversal was seen.
    ReversalMissing,
    /// A reversal was asked for and not answered.
    ReversalUnanswered,
    /// An approval after the terminal had given up.
    LateApproval,
    /// A person must look.
    Unresolved,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 10] = [
        Self::NoAnswer,
        Self::ApprovedUndelivered,
        Self::NotShown,
        Self::NotPrinted,
        Self::SlowAnswer,
        Self::Unsynced,
        Self::ReversalMissing,
        Self::ReversalUnanswered,
        Self::LateApproval,
        Self::Unresolved,
    ];

    /// As it stands in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::ApprovedUndelivered => "approved-undelivered",
            Self::NotShown => "not-shown",
            Self::NotPrinted => "not-printed",
            Self::SlowAnswer => "slow-answer",
            Self::Unsynced => "unsynced",
            Self::ReversalMissing => "reversal-missing",
            Self::ReversalUnanswered => "reversal-unanswered",
            Self::LateApproval => "late-approval",
            Self::Unresolved => "unresolved",
        }
    }

    /// Where the chain broke (`docs/spec/events.md`).
    #[must_use]
    pub fn broke_at(self) -> &'static str {
        match self {
            Self::NoAnswer | Self::SlowAnswer | Self::ReversalUnanswered => "to-host",
            Self::ApprovedUndelivered => "to-terminal",
            Self::NotShown | Self::ReversalMissing => "in-terminal",
            Self::NotPrinted => "printing",
            Self::Unsynced => "order-system",
            Self::LateApproval => "late",
            Self::Unresolved => "unknown",
        }
    }

    /// Critical where the customer's money may be gone or unknown, warning where somebody waits.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::SlowAnswer | Self::NotShown | Self::NotPrinted | Self::Unsynced => Severity::Warning,
            Self::NoAnswer
            | Self::ApprovedUndelivered
            | Self::ReversalMissing
            | Self::ReversalUnanswered
            | Self::LateApproval
            | Self::Unresolved => Severity::Critical,
        }
    }

    /// Its bit in a set of kinds.
    pub(crate) const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Its end may settle what a chain of commands left unresolved.
    pub(crate) fn about_money(self) -> bool {
        matches!(
            self,
            Self::NoAnswer
                | Self::ApprovedUndelivered
                | Self::ReversalMissing
                | Self::ReversalUnanswered
                | Self::LateApproval
        )
    }
}
