//! Faults that hold a terminal for a while: what begins with them, recurs, and ends.
//!
//! Owns sites that are cut off and upload later, printers that break, restarts, locked terminals and announced maintenance. A spell reaches
//! the terminals of its scope one after the other, within seconds.

use tillwatch_core::Instant;

use super::{
    cause::Cause,
    device::SILENT,
    fleet::{Fleet, Step},
    inject::Active,
    signs::{CUT_OFF, Damage, has_backup},
    terminal::Broken,
};

/// Terminals meet a fault within so long, ms.
const APART_MS: i64 = 10_000;

/// An agent notices what its device has within so long, ms.
const NOTICED_MS: i64 = 20_000;

/// How long a restart takes, ms.
const RESTART_MS: i64 = 50_000;

/// Printer faults, and none that the printer says of itself.
const PRINTER: [&str; 5] = ["no-paper", "jam", "cover-open", "offline", SILENT];

impl Fleet {
    pub(super) fn first_spells(&mut self) {
        let froms: Vec<Instant> = self.calendar.iter().map(|(_, trouble)| trouble.from).collect();
        for (number, from) in froms.into_iter().enumerate() {
            self.plan(from, Step::Begins(number));
        }
    }

    /// An injected fault begins.
    pub(super) fn begins(&mut self, number: usize, now: Instant) {
        let trouble = self.calendar.get(number);
        let (until, maintenance) = (trouble.until, trouble.cause == Cause::Maintenance && !trouble.near_miss());
        for index in 0..self.terminals.len() {
            if self.terminals[index].troubles.contains(&number) {
                let after = self.terminals[index].luck.between(0, APART_MS).min(until - 1 - now);
                self.plan(now + after, Step::Spell(index, number));
                self.plan(until + after, Step::SpellOver(index, number));
            }
        }
        for host in 0..self.hosts.len() {
            let mut there = self.terminals.iter().filter(|terminal| terminal.host_number == host);
            let whole = there.clone().next().is_some() && there.all(|terminal| terminal.troubles.contains(&number));
            if maintenance && whole && self.calendar.get(number).scope.is_of_a_host() {
                self.hosts[host].down_until = until;
            }
        }
    }

    fn active_at(&self, index: usize, number: usize, now: Instant) -> Option<Active> {
        self.calendar.active(&self.terminals[index], now).into_iter().find(|active| active.number == number)
    }

    /// It reaches one terminal.
    pub(super) fn spell(&mut self, index: usize, number: usize, now: Instant) {
        let Some(active) = self.active_at(index, number, now) else { return };
        let of_a_host = self.calendar.get(number).scope.is_of_a_host();
        let terminal = &mut self.terminals[index];
        let near = active.near_miss();
        match active.cause {
            Cause::N3 if active.strength >= CUT_OFF && !has_backup(terminal) => {
                terminal.cut_until = active.until.max(terminal.cut_until);
                terminal.dark_until = active.until.max(terminal.dark_until);
            }
            Cause::H1 if !near => {
                let fault = *terminal.luck.of(&PRINTER);
                terminal.printer = Some(Broken { fault, blame: Some(number) });
                terminal.repair += 1;
                self.noticed(index, now);
            }
            Cause::H3 if near => {
                terminal.reboots += 1;
                self.noticed(index, now);
            }
            Cause::H3 => match Damage::of(active, terminal) {
                Damage::Tamper | Damage::PinPad => {
                    terminal.locked_until = active.until;
                    self.cut_off(index, number);
                    self.noticed(index, now);
                }
                Damage::Restarts => self.restart(index, number, now),
                Damage::Heat => self.noticed(index, now),
            },
            Cause::H1 | Cause::H2 | Cause::H4 => self.noticed(index, now),
            Cause::S3 if !near => self.app_state(index, "updated", None, now),
            Cause::Maintenance if !near && !of_a_host => {
                self.stops_for_maintenance(index, now);
                self.power_off(index, number, active.until);
            }
            _ => {}
        }
    }

    /// It lets one terminal go.
    pub(super) fn spell_over(&mut self, index: usize, number: usize, now: Instant) {
        let trouble = self.calendar.get(number);
        let (cause, near) = (trouble.cause, trouble.near_miss());
        let of_a_host = trouble.scope.is_of_a_host();
        let terminal = &mut self.terminals[index];
        match cause {
            Cause::H1 if terminal.printer.is_some_and(|broken| broken.blame == Some(number)) => {
                terminal.printer = None;
                self.noticed(index, now);
            }
            Cause::H2 | Cause::H4 => self.noticed(index, now),
            Cause::H3 => {
                terminal.reboots = 0;
                self.noticed(index, now);
            }
            Cause::Maintenance if !near && !of_a_host => {
                self.app_state(index, "updated", None, now);
                self.app_state(index, "start", None, now + 1_000);
            }
            _ => {}
        }
    }

    /// The terminal restarts by itself, and will again.
    pub(super) fn restart(&mut self, index: usize, number: usize, now: Instant) {
        if self.active_at(index, number, now).is_none() || self.terminals[index].off_until > now {
            return;
        }
        self.power_off(index, number, now + RESTART_MS);
        let terminal = &mut self.terminals[index];
        terminal.reboots += 1;
        let again = now + terminal.luck.between(120_000, 240_000);
        self.plan(now + RESTART_MS, Step::SwitchedOn(index));
        self.plan(now + RESTART_MS + 2_000, Step::Status(index));
        self.plan(again, Step::Restart(index, number));
    }

    fn noticed(&mut self, index: usize, now: Instant) {
        let after = self.terminals[index].luck.between(0, NOTICED_MS);
        self.plan(now + after, Step::Status(index));
    }

    fn power_off(&mut self, index: usize, number: usize, until: Instant) {
        self.terminals[index].off_until = until;
        self.cut_off(index, number);
    }

    /// What the terminal was at is never finished there; those in line go elsewhere.
    fn cut_off(&mut self, index: usize, number: usize) {
        let terminal = &mut self.terminals[index];
        (terminal.line, terminal.busy) = (0, false);
        terminal.visit += 1;
        let Some(id) = terminal.current.take() else { return };
        terminal.last = Some(id);
        if let Some(payment) = self.payments.get_mut(&id) {
            payment.cut_off = true;
            payment.plan.blame = Some(number);
        }
    }
}
