//! What an active cause does to a payment: the draw, before the sale begins.
//!
//! Each cause changes the plan of a payment by the means that `sale.rs` has; the payment remembers which fault changed it.

use tillwatch_core::Instant;

use super::{
    cause::Cause,
    faults::Fault,
    fleet::Fleet,
    inject::Active,
    payment::{Plan, Rail},
};

/// How often a near miss of a cause whose rule counts single events may strike in all: fewer than the least count of such a rule.
const NEAR_MAX: u64 = 2;

/// A limit that is none.
const ANY: u64 = u64::MAX;

/// Connections that end in the same way; a fault keeps to one.
const RESETS: [(&str, &str); 2] =
    [("tcp_error", "connection reset by peer"), ("tls_error", "handshake interrupted: unexpected alert")];

/// How connections end under this fault.
pub(super) fn reset(active: Active) -> (&'static str, &'static str) {
    RESETS[active.number % RESETS.len()]
}

impl Fleet {
    /// Lets what is active befall a sale. The first that strikes takes it.
    pub(super) fn befall(&mut self, index: usize, plan: &mut Plan, now: Instant) {
        for active in self.calendar.active(&self.terminals[index], now) {
            if plan.blame.is_none() && self.strike(index, active, plan) {
                plan.blame = Some(active.number);
            }
        }
    }

    /// One cause and one sale; whether it changed anything.
    fn strike(&mut self, index: usize, active: Active, plan: &mut Plan) -> bool {
        let trouble = self.calendar.get(active.number);
        let permille = trouble.permille();
        let (share, max) = odds(active, permille, trouble.scope.is_of_a_host());
        let dice = &mut self.terminals[index].luck;
        if !self.calendar.strikes(active, share, max, dice) {
            return false;
        }
        match active.cause {
            Cause::N1 => plan.slowed(2_000, dice.between(1_000, 4_000), dice.permille(permille / 4)),
            Cause::N2 => plan.unreached(Some(reset(active))),
            Cause::N3 if dice.permille(500) => plan.fault = Some(Fault::response_lost),
            Cause::N3 => plan.unreached(None),
            Cause::N4 => match dice.below(8) {
                0..=2 => plan.fault = Some(Fault::no_answer),
                3..=5 => plan.refused(dice.of(&["91", "96", "92"])),
                6 => plan.unknown = Some(*dice.of(&["98", "68"])),
                _ => plan.host_ms = dice.between(16_000, 40_000),
            },
            Cause::H4 if active.near_miss() => plan.display_ms += dice.between(1_000, 2_500),
            Cause::H4 => plan.hangs(if dice.permille(500) { "anr" } else { "crash" }, None),
            Cause::S1 if dice.permille(500) => plan.refused(dice.of(&["A0", "99"])),
            Cause::S1 => plan.hangs("heartbeat", Some("payment handler: field 38 is missing in an approval")),
            Cause::S2 if active.near_miss() => plan.ledger_ms = dice.between(20_000, 40_000),
            Cause::S2 if dice.permille(700) => {
                plan.fault = Some(Fault::ledger_missing);
                plan.unbalanced = dice.permille(500);
            }
            Cause::S2 => plan.refused(dice.of(&["25", "77", "79", "95"])),
            Cause::S3 => match dice.below(4) {
                0 => plan.unreached(Some(("tls_error", "unsupported protocol version"))),
                1 => plan.rejected("HTTP 400"),
                _ => plan.refused(dice.of(&["30", "12", "40"])),
            },
            Cause::S4 if dice.permille(300) => plan.unreached(Some(("tls_error", "certificate expired"))),
            Cause::S4 => plan.refused(dice.of(&["03", "58", "97"])),
            Cause::P3 => plan.idle_ms = dice.between(45_000, 150_000),
            Cause::P4 if active.near_miss() => plan.wrong_key = true,
            Cause::P4 => match dice.below(4) {
                0 | 1 if plan.rail != Rail::Card => plan.tried_again(dice.between(14_000, 22_000)),
                0 | 1 => plan.amount_edit = true,
                2 => plan.wrong_key = true,
                _ => plan.cancelled_after = true,
            },
            Cause::Maintenance if dice.permille(500) => plan.fault = Some(Fault::no_answer),
            Cause::Maintenance => plan.refused(&"91"),
            Cause::Customer if dice.permille(300) => plan.fault = Some(Fault::walk_away),
            Cause::Customer => plan.refused(dice.of(&["51", "55", "61"])),
            Cause::H1 | Cause::H2 | Cause::H3 | Cause::P1 | Cause::P2 | Cause::Mixed => {}
        }
        if active.cause == Cause::Maintenance {
            plan.charged = false;
        }
        true
    }
}

/// Of how many sales in a thousand a cause changes the plan, and how many a near miss may in all.
fn odds(active: Active, permille: u64, of_a_host: bool) -> (u64, u64) {
    let near = active.near_miss();
    match active.cause {
        Cause::N1 => (if near { 0 } else { 1_000 }, ANY),
        Cause::N2 | Cause::S3 => (permille, NEAR_MAX),
        Cause::N3 => (permille / 2, NEAR_MAX),
        Cause::S4 if near => (0, 0),
        Cause::N4 | Cause::S1 | Cause::Customer if near => (permille / 2, ANY),
        Cause::N4 | Cause::S1 | Cause::S4 | Cause::Customer => (permille, ANY),
        Cause::H4 => (if near { 1_000 } else { permille }, ANY),
        Cause::S2 => (if near { 1_000 } else { permille }, ANY),
        Cause::P3 => (permille * 3 / 4, NEAR_MAX),
        Cause::P4 => (permille, NEAR_MAX),
        Cause::Maintenance => (if of_a_host && !near { 1_000 } else { 0 }, ANY),
        // Printers, scanners, the device and the hands of the operator have their own places.
        Cause::H1 | Cause::H2 | Cause::H3 | Cause::P1 | Cause::P2 | Cause::Mixed => (0, 0),
    }
}
