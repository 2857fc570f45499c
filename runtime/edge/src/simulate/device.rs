//! Printer, paper and power.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    faults::Fault,
    fleet::{Fleet, Sender, Step},
    terminal::Broken,
    truth::Fact,
};

/// Receipts left from which on a printer says that its paper is low.
pub(super) const PAPER_LOW: u32 = 20;

/// What a printer has that takes jobs and prints nothing: it says that it is well.
pub(super) const SILENT: &str = "silent";

/// How long it takes until somebody has found a new roll, ms.
const NEW_ROLL_MS: (i64, i64) = (60_000, 240_000);

/// How long somebody who has been told what to do takes to mend a printer, ms.
const GUIDED_MS: (i64, i64) = (15_000, 40_000);

impl Fleet {
    /// Prints a receipt; whether the printer takes the job.
    pub(super) fn print(&mut self, id: u64, duplicate: bool, now: Instant) -> bool {
        let Some(payment) = self.payments.get(&id).filter(|payment| duplicate || !payment.cut_off) else {
            return false;
        };
        let (index, plan) = (payment.terminal, payment.plan.clone());
        let breaks = match plan.fault.filter(|_| !duplicate) {
            Some(Fault::printer_no_paper) => Some("no-paper"),
            Some(Fault::printer_jam) => Some("jam"),
            Some(Fault::printer_offline) => Some("offline"),
            _ => None,
        };
        if let Some(fault) = breaks.filter(|_| self.terminals[index].printer.is_none()) {
            self.break_printer(index, fault, plan.repair_ms, now);
        } else if self.terminals[index].roll == Some(0) && self.terminals[index].printer.is_none() {
            let after = self.terminals[index].luck.between(NEW_ROLL_MS.0, NEW_ROLL_MS.1);
            self.break_printer(index, "no-paper", after, now);
        }
        let broken = self.terminals[index].printer;
        if let Some(broken) = broken
            && let Some(payment) = self.payments.get_mut(&id)
        {
            payment.plan.blame = payment.plan.blame.or(broken.blame);
            payment.receipt_failed = true;
        }
        if let Some(Broken { fault, .. }) = broken.filter(|broken| broken.fault != SILENT) {
            let failed = vec![("state", json!("failed")), ("fault", json!(fault))];
            self.tell(Sender::Terminal, id, ("pos.print.result", failed), Some(Fact::PrintFailed), now);
            return false;
        }
        let accepted = vec![("state", json!("accepted"))];
        self.tell(Sender::Terminal, id, ("pos.print.result", accepted), Some(Fact::PrintTried), now);
        if broken.is_none() && (duplicate || plan.fault != Some(Fault::printer_silent)) {
            let terminal = &mut self.terminals[index];
            terminal.roll = terminal.roll.map(|left| left.saturating_sub(1));
            self.plan(now + plan.print_ms, Step::Printed(id, duplicate));
        }
        true
    }

    fn break_printer(&mut self, index: usize, fault: &'static str, repair_ms: i64, now: Instant) {
        self.terminals[index].printer = Some(Broken { fault, blame: None });
        self.plan_repair(index, now + repair_ms);
        self.plan(now + 800, Step::Status(index));
    }

    pub(super) fn printed(&mut self, id: u64, duplicate: bool, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| duplicate || !payment.cut_off) else { return };
        payment.printed = true;
        if payment.has(Fault::receipt_lost) && !duplicate {
            return;
        }
        let mut printed = vec![("state", json!("printed"))];
        printed.extend(duplicate.then_some(("duplicate", json!(true))));
        self.tell(Sender::Terminal, id, ("pos.print.result", printed), Some(Fact::Printed), now);
    }

    fn plan_repair(&mut self, index: usize, at: Instant) {
        let terminal = &mut self.terminals[index];
        terminal.repair += 1;
        let repair = terminal.repair;
        self.plan(at, Step::PrinterRepaired(index, repair));
    }

    /// Somebody reads the guide and mends the printer soon.
    pub(super) fn guided(&mut self, index: usize, now: Instant) -> i64 {
        let after = self.terminals[index].answers.between(GUIDED_MS.0, GUIDED_MS.1);
        if self.terminals[index].printer.is_some() {
            self.plan_repair(index, now + after);
        }
        after
    }

    pub(super) fn printer_repaired(&mut self, index: usize, repair: u64, now: Instant) {
        let terminal = &mut self.terminals[index];
        let broken = if terminal.repair == repair { terminal.printer.take() } else { None };
        if let Some(broken) = broken {
            if broken.fault == "no-paper" {
                terminal.roll = terminal.roll.map(|_| self.options.roll);
            }
            self.device_status(index, now);
        }
    }

    /// Switches a terminal off for some minutes; those in line go elsewhere.
    pub(super) fn switch_off(&mut self, index: usize, now: Instant) {
        let terminal = &mut self.terminals[index];
        terminal.off_until = now + terminal.customers.between(180_000, 900_000);
        terminal.line = 0;
        let until = terminal.off_until;
        self.app_state(index, "stop", None, now);
        self.plan(until, Step::SwitchedOn(index));
    }

    pub(super) fn switched_on(&mut self, index: usize, now: Instant) {
        self.app_state(index, "start", None, now);
    }
}
