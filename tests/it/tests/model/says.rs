//! What single events say, in the words of `docs/spec/payment.md`.

use crate::history::{Seen, What};

pub(crate) fn approval(what: What) -> bool {
    matches!(
        what,
        What::Response { outcome: "approved" | "partial", .. }
            | What::Notify { outcome: "approved" | "partial" }
            | What::Status { result: "paid", .. }
    )
}

pub(crate) fn answered_decline(what: What) -> bool {
    matches!(what, What::Response { outcome: "declined", .. } | What::Notify { outcome: "declined" })
}

pub(crate) fn money_back(what: What) -> bool {
    matches!(
        what,
        What::Reversal { request: false, outcome: "approved" } | What::Status { result: "refunded" | "revoked", .. }
    )
}

pub(crate) fn receipt(what: What) -> bool {
    matches!(what, What::Print { state: "printed" } | What::Announce { state: "done" })
}

pub(crate) fn goods(what: What) -> bool {
    receipt(what) || matches!(what, What::Display { shown: "approved" } | What::Confirm)
}

pub(crate) fn reversal(what: What) -> bool {
    matches!(what, What::Reversal { .. })
}

pub(crate) fn request(what: What) -> bool {
    matches!(what, What::Reversal { request: true, .. })
}

/// How many stages are reached by this event alone, a `not-paid` left aside.
pub(crate) fn reaches(what: What) -> usize {
    match what {
        What::Print { state: "printed" } | What::Announce { state: "done" } => 4,
        What::Display { shown: "approved" | "declined" } | What::Print { .. } => 3,
        What::Response { terminal, outcome: "approved" | "partial" | "declined" } => 1 + usize::from(terminal),
        What::Notify { outcome: "approved" | "partial" | "declined" }
        | What::Status { result: "paid" | "refunded" | "revoked", .. } => 1,
        _ => 0,
    }
}

/// An approval's stamp: of `paid` the moment it speaks of.
pub(crate) fn stamp(event: &Seen) -> i64 {
    if matches!(event.what, What::Status { .. }) { event.as_of } else { event.time }
}
