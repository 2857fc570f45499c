//! Printer, power and heartbeats.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    faults::Fault,
    fleet::{Fleet, Sender, Step},
    truth::Fact,
};

/// How long somebody who has been told what to do takes to mend a printer, ms.
const GUIDED_MS: (i64, i64) = (15_000, 40_000);

impl Fleet {
    /// Prints a receipt; whether the printer takes the job.
    pub(super) fn print(&mut self, id: u64, duplicate: bool, now: Instant) -> bool {
        let Some(payment) = self.payments.get(&id) else { return false };
        let (index, plan) = (payment.terminal, payment.plan.clone());
        let breaks = match plan.fault.filter(|_| !duplicate) {
            Some(Fault::printer_no_paper) => Some("no-paper"),
            Some(Fault::printer_jam) => Some("jam"),
            Some(Fault::printer_offline) => Some("offline"),
            _ => None,
        };
        if let Some(fault) = breaks.filter(|_| self.terminals[index].printer.is_none()) {
            self.terminals[index].printer = Some(fault);
            self.plan_repair(index, now + plan.repair_ms);
            self.tell_printer(index, now + 800);
        }
        if let Some(fault) = self.terminals[index].printer {
            let failed = vec![("state", json!("failed")), ("fault", json!(fault))];
            self.tell(Sender::Terminal, id, ("pos.print.result", failed), Some(Fact::PrintFailed), now);
            return false;
        }
        let accepted = vec![("state", json!("accepted"))];
        self.tell(Sender::Terminal, id, ("pos.print.result", accepted), Some(Fact::PrintTried), now);
        if duplicate || plan.fault != Some(Fault::printer_silent) {
            self.plan(now + plan.print_ms, Step::Printed(id, duplicate));
        }
        true
    }

    pub(super) fn printed(&mut self, id: u64, duplicate: bool, now: Instant) {
        let Some(payment) = self.payments.get_mut(&id) else { return };
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
        if terminal.repair == repair && terminal.printer.take().is_some() {
            self.tell_printer(index, now);
        }
    }

    fn tell_printer(&mut self, index: usize, now: Instant) {
        let state = self.terminals[index].printer.unwrap_or("ok");
        let status = vec![("printer", json!(state)), ("ped", json!("ok")), ("battery_pct", json!(90))];
        self.send(Sender::Terminal, index, None, "pos.device.status", status, now);
    }

    /// Switches a terminal off for some minutes; those in line go elsewhere.
    pub(super) fn switch_off(&mut self, index: usize, now: Instant) {
        let terminal = &mut self.terminals[index];
        terminal.off_until = now + terminal.customers.between(180_000, 900_000);
        terminal.line = 0;
        let until = terminal.off_until;
        let state = vec![("state", json!("stop")), ("version", json!("3.4.1"))];
        self.send(Sender::Terminal, index, None, "pos.app.state", state, now);
        self.plan(until, Step::SwitchedOn(index));
    }

    pub(super) fn switched_on(&mut self, index: usize, now: Instant) {
        let state = vec![("state", json!("start")), ("version", json!("3.4.1"))];
        self.send(Sender::Terminal, index, None, "pos.app.state", state, now);
    }

    /// A sign of life, and every fourth time how the network is.
    pub(super) fn heartbeat(&mut self, index: usize, now: Instant) {
        if self.stopped() {
            return;
        }
        self.plan(now + self.options.heartbeat_ms, Step::Heartbeat(index));
        let terminal = &mut self.terminals[index];
        if terminal.off_until > now {
            return;
        }
        if terminal.network.below(4) > 0 {
            let state = vec![("state", json!("heartbeat")), ("version", json!("3.4.1"))];
            self.send(Sender::Terminal, index, None, "pos.app.state", state, now);
            return;
        }
        let sample = vec![
            ("link", json!("wifi")),
            ("rtt_ms", json!(terminal.network.between(15, 90))),
            ("loss_pct", json!(0)),
            ("gateway_ok", json!(true)),
            ("probe_ok", json!(true)),
        ];
        self.send(Sender::Terminal, index, None, "pos.net.sample", sample, now);
    }
}
