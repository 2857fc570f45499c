//! Help (P1): how often an operator asks for help, cancels, goes back or dwells, in blocks of payments.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Out, Severity,
    cause::Verdict,
    standing::{self, About},
};

use crate::settings::Settings;

/// The kind of its finding.
pub const KIND: &str = "operator-help";

/// The counts of the block so far, and whether the last whole block was a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Help {
    payments: u32,
    actions: u32,
    standing: standing::Standing,
}

/// A block of payments, for the comparison with peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What training would spare.
    pub actions: u32,
    /// In so many payments.
    pub payments: u32,
    /// It is a finding.
    pub found: bool,
}

/// The finding.
#[must_use]
pub fn kind(scope: About<'_>) -> standing::Kind<'_> {
    standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity: Severity::Info }
}

impl Help {
    /// One more action of the kind that training would spare.
    pub fn action(&mut self) {
        self.actions = self.actions.saturating_add(1);
    }

    /// One more payment. Whole blocks are judged: a few bad minutes are none. Gives the block that it ends, if it does.
    pub fn payment(&mut self, settings: &Settings, scope: About<'_>, out: &mut Out<'_>) -> Option<Block> {
        self.payments += 1;
        if self.payments < settings.payments_min {
            return None;
        }
        let per_100 = u64::from(self.actions) * 100 / u64::from(self.payments);
        let line = u64::from(settings.actions_per_100);
        if per_100 > line {
            let (actions, payments) = (self.actions, self.payments);
            let said = (
                format!("{actions} times help, cancel, back or a long dwell in {payments} payments"),
                format!("{payments} 笔交易中求助、取消、返回或停顿共 {actions} 次"),
            );
            // Whether peers do better is not known here.
            let percent = if per_100 >= 2 * line { 60 } else { 50 };
            let verdict = Verdict { cause: "P1", percent, runner_up: "H4", said };
            self.standing.say(kind(scope), &verdict, Vec::new(), out);
        } else {
            self.standing.over(kind(scope), "mended", out);
        }
        let block = Block { actions: self.actions, payments: self.payments, found: self.standing.stands() };
        (self.payments, self.actions) = (0, 0);
        Some(block)
    }

    /// Another operator comes.
    pub fn end(&mut self, scope: About<'_>, out: &mut Out<'_>) {
        (self.payments, self.actions) = (0, 0);
        self.standing.over(kind(scope), "expired", out);
    }
}
