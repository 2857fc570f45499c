//! The people at the till: shifts, what hands do before a sale, scans that are tried again, and settlement.
//!
//! Owns everything that happens before an authorize leaves, by whom, and how long it takes. What befalls the payment after that is
//! `befall.rs`.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    cause::Cause,
    fleet::{Fleet, Sender, Step},
    inject::Active,
    payment::{Plan, Rail},
    signs,
    terminal::next_shift,
};

/// How often a terminal settles, ms.
const SETTLE_MS: i64 = 30 * 60_000;

/// Unanswered prompts of a near miss: fewer than the three of an hour that its rule counts.
const NEAR_MAX: u64 = 2;

/// What comes of getting ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    /// The sale can begin after so long, ms.
    Ready(i64),
    /// The customer has left after so long, ms.
    Gone(i64),
}

impl Fleet {
    /// Everything before the sale.
    pub(super) fn prepare(&mut self, index: usize, plan: &mut Plan, now: Instant) -> Prepared {
        (plan.prepared, plan.visit) = (true, self.terminals[index].visit);
        self.befall(index, plan, now);
        let mut wait = 0;
        for active in self.calendar.active(&self.terminals[index], now) {
            match self.hands(index, active, plan, now + wait) {
                Prepared::Ready(more) => wait += more,
                Prepared::Gone(more) => return Prepared::Gone(wait + more),
            }
        }
        let faults = &self.options.faults;
        let (fumble, misread) = (faults.fumble, faults.misread);
        let dice = &mut self.terminals[index].luck;
        if fumble > 0.0 && dice.chance(fumble) {
            let (action, dwell) =
                (*dice.of(&["help", "retry", "wrong-key", "amount-edit"]), dice.between(1_500, 6_000));
            wait += self.acts(index, action, dwell, now + wait);
        }
        if plan.amount_edit {
            let dwell = self.terminals[index].luck.between(3_000, 9_000);
            wait += self.acts(index, "amount-edit", dwell, now + wait);
        }
        if plan.wrong_key {
            wait += self.acts(index, "wrong-key", 2_000, now + wait);
            wait += self.acts(index, "retry", 3_000, now + wait);
        }
        if plan.rail != Rail::Card && misread > 0.0 && self.terminals[index].luck.chance(misread) {
            wait += self.scan_fails(index, "fail", now + wait);
        }
        Prepared::Ready(wait)
    }

    /// What an active cause has the operator do, or the scanner.
    fn hands(&mut self, index: usize, active: Active, plan: &mut Plan, now: Instant) -> Prepared {
        let permille = self.calendar.get(active.number).permille();
        let near = active.near_miss();
        let terminal = &mut self.terminals[index];
        let dice = &mut terminal.luck;
        match active.cause {
            Cause::P1 if self.calendar.strikes(active, permille, u64::MAX, dice) => {
                plan.blame = plan.blame.or(Some(active.number));
                let (count, leaves) = if near { (1, false) } else { (dice.between(1, 3), dice.permille(150)) };
                let mut wait = 0;
                for _ in 0..count {
                    let dice = &mut self.terminals[index].luck;
                    let action = *dice.of(&["help", "cancel", "wrong-key", "retry"]);
                    let dwell = if near { dice.between(2_000, 6_000) } else { dice.between(12_000, 60_000) };
                    wait += self.acts(index, action, dwell, now + wait);
                }
                if leaves { Prepared::Gone(wait) } else { Prepared::Ready(wait) }
            }
            Cause::P2 if self.calendar.strikes(active, permille * 3 / 4, NEAR_MAX, dice) => {
                plan.blame = plan.blame.or(Some(active.number));
                let dwell = dice.between(31_000, 90_000);
                Prepared::Ready(self.acts(index, "idle", dwell, now))
            }
            Cause::H2 if plan.rail != Rail::Card => {
                let state = signs::scanner(active, terminal);
                let dice = &mut terminal.luck;
                if near {
                    let once = self.calendar.strikes(active, permille, NEAR_MAX, dice);
                    return Prepared::Ready(if once { self.scan_fails(index, "fail", now) } else { 0 });
                }
                plan.blame = plan.blame.or(Some(active.number));
                let (tries, leaves) = (dice.between(3, 5), dice.permille(500));
                let wait = (0..tries).fold(0, |wait, _| wait + self.scan_fails(index, state, now + wait));
                // Those who stay have a card.
                (plan.rail, plan.confirm_on_phone_ms) = (Rail::Card, None);
                if leaves { Prepared::Gone(wait) } else { Prepared::Ready(wait) }
            }
            _ => Prepared::Ready(0),
        }
    }

    /// The operator does something and takes so long over it; how long.
    fn acts(&mut self, index: usize, action: &str, dwell_ms: i64, now: Instant) -> i64 {
        let data = vec![("action", json!(action)), ("dwell_ms", json!(dwell_ms))];
        self.send(Sender::Terminal, index, None, "pos.operator.action", data, now + dwell_ms);
        dwell_ms
    }

    /// A scan that reads nothing; how long it takes.
    fn scan_fails(&mut self, index: usize, state: &str, now: Instant) -> i64 {
        let took = self.terminals[index].luck.between(2_000, 4_000);
        self.send(Sender::Terminal, index, None, "pos.scan.result", vec![("state", json!(state))], now + took);
        took
    }

    pub(super) fn first_turns(&mut self, index: usize) {
        let start = self.options.start;
        let after = self.terminals[index].luck.between(0, 30_000);
        self.plan(start + after, Step::Shift(index));
        if self.options.heartbeat_ms > 0 {
            let after = self.terminals[index].luck.between(0, SETTLE_MS);
            self.plan(start + after, Step::Settle(index));
        }
    }

    /// Somebody comes on duty.
    pub(super) fn shift(&mut self, index: usize, now: Instant) {
        if self.stopped() {
            return;
        }
        let terminal = &mut self.terminals[index];
        terminal.change_shift(now);
        let late = terminal.luck.between(0, 300_000);
        self.send(Sender::Terminal, index, None, "pos.operator.action", vec![("action", json!("login"))], now);
        self.plan(next_shift(now) + late, Step::Shift(index));
    }

    /// The terminal settles.
    pub(super) fn settle(&mut self, index: usize, now: Instant) {
        if self.stopped() {
            return;
        }
        self.plan(now + SETTLE_MS, Step::Settle(index));
        let terminal = &mut self.terminals[index];
        if terminal.off_until > now {
            return;
        }
        let ledger = self.calendar.active(terminal, now).into_iter().find(|active| active.cause == Cause::S2);
        let wrong = ledger.is_some_and(|active| {
            let permille = self.calendar.get(active.number).permille();
            !active.near_miss() && terminal.luck.permille(permille)
        });
        self.settled(index, Sender::Terminal, wrong, now);
    }

    /// The result of a settlement.
    pub(super) fn settled(&mut self, index: usize, sender: Sender, wrong: bool, now: Instant) {
        let result = if wrong {
            vec![("state", json!("unbalanced")), ("code", json!("95"))]
        } else {
            vec![("state", json!("balanced")), ("code", json!("00"))]
        };
        self.send(sender, index, None, "pos.batch.result", result, now);
    }
}
