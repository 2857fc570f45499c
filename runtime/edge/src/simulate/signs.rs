//! What a terminal's agent says: heartbeats, samples of the network, the state of the device; and how active causes show in them.
//!
//! Each cause has the signs that its rule in `docs/spec/domain.md`, section 3, reads, in the fields of `docs/spec/events.md`; a near miss has
//! weaker ones. Telemetry may be lost or late, as everywhere.

use serde_json::{Value, json};
use tillwatch_core::{Instant, output::rfc3339};

use super::{
    befall,
    cause::Cause,
    device::{PAPER_LOW, SILENT},
    dice::Dice,
    faults::Faults,
    fleet::{Fleet, Sender, Step},
    inject::Active,
    outbox::Data,
    terminal::Terminal,
};

/// Turns between two reports about the device; the others are alternately about the app and the network.
const DEVICE_EVERY: u64 = 20;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Strength from which on a router fault cuts a site off; a weaker one loses packets.
pub(super) const CUT_OFF: u8 = 70;

/// Of so many terminals of a site one has a way out by the cell network.
const BACKUP_EVERY: u32 = 8;

/// What damage does to a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Tamper,
    PinPad,
    Restarts,
    Heat,
}

impl Damage {
    /// Severe damage stops it at once, lesser damage is to be scored.
    pub(super) fn of(active: Active, terminal: &Terminal) -> Self {
        let odd = (active.number + usize::try_from(terminal.rank).expect("invariant: it fits")) % 2 == 1;
        match (active.strength >= CUT_OFF, odd) {
            (true, false) => Self::Tamper,
            (true, true) => Self::PinPad,
            (false, false) => Self::Restarts,
            (false, true) => Self::Heat,
        }
    }
}

/// Whether a terminal has a way out when the site's router has none.
pub(super) fn has_backup(terminal: &Terminal) -> bool {
    terminal.rank % BACKUP_EVERY == BACKUP_EVERY - 1
}

/// The scanner's state under a scanner fault: gone, or blind.
pub(super) fn scanner(active: Active, terminal: &Terminal) -> &'static str {
    let absent = (active.number + usize::try_from(terminal.rank).expect("invariant: it fits")) % 4 == 3;
    if absent { "absent" } else { "fail" }
}

impl Fleet {
    /// The agent's turn.
    pub(super) fn heartbeat(&mut self, index: usize, now: Instant) {
        if self.stopped() {
            return;
        }
        self.plan(now + self.options.heartbeat_ms, Step::Heartbeat(index));
        let terminal = &mut self.terminals[index];
        if terminal.off_until > now {
            return;
        }
        terminal.beat += 1;
        match terminal.beat % DEVICE_EVERY {
            0 => self.device_status(index, now),
            beat if beat % 2 == 0 => self.net_sample(index, None, now),
            _ if terminal.app_down_until > now => {}
            _ => self.app_state(index, "heartbeat", None, now),
        }
    }

    /// How the network is; with an error, what has just failed.
    pub(super) fn net_sample(&mut self, index: usize, error: Option<(&'static str, &'static str)>, now: Instant) {
        let terminal = &mut self.terminals[index];
        let active = self.calendar.active(terminal, now);
        let mut net = Net::well(&self.options.faults, terminal);
        if terminal.cut_until > now {
            net.cut_off();
        }
        for active in active {
            let permille = self.calendar.get(active.number).permille();
            net.suffer(active, permille, has_backup(terminal), &mut terminal.luck);
        }
        net.error = error.or(net.error);
        self.evidence(index, "pos.net.sample", net.data(), now);
    }

    /// How the device is.
    pub(super) fn device_status(&mut self, index: usize, now: Instant) {
        let terminal = &mut self.terminals[index];
        let dice = &mut terminal.network;
        let (mut battery, mut temperature) = (dice.between(60, 100), dice.between(28, 44));
        let mut memory = dice.between(180, 400);
        let mut printer = terminal.printer.map(|broken| broken.fault).filter(|fault| *fault != SILENT).unwrap_or("ok");
        if printer == "ok" && terminal.roll.is_some_and(|left| left < PAPER_LOW) {
            printer = "paper-low";
        }
        let (mut reader, mut ped, mut tamper) = ("ok", "ok", false);
        for active in self.calendar.active(terminal, now) {
            match active.cause {
                Cause::H1 if active.near_miss() => printer = "paper-low",
                Cause::H2 if !active.near_miss() => {
                    reader = if scanner(active, terminal) == "absent" { "absent" } else { "fault" };
                }
                Cause::H3 if active.near_miss() => temperature = 48,
                Cause::H3 => match Damage::of(active, terminal) {
                    Damage::Tamper => (ped, tamper) = ("fault", true),
                    Damage::PinPad => ped = "fault",
                    Damage::Restarts => battery = 20,
                    Damage::Heat => (temperature, battery) = (78, 4),
                },
                Cause::H4 if active.near_miss() => memory = 130,
                Cause::H4 => memory = 12,
                _ => {}
            }
        }
        let status = vec![
            ("printer", json!(printer)),
            ("scanner", json!(reader)),
            ("ped", json!(ped)),
            ("battery_pct", json!(battery)),
            ("temp_c", json!(temperature)),
            ("reboots_1h", json!(terminal.reboots)),
            ("mem_free_mb", json!(memory)),
            ("tamper", json!(tamper)),
        ];
        self.evidence(index, "pos.device.status", status, now);
    }

    /// How the app is.
    pub(super) fn app_state(&mut self, index: usize, state: &str, error: Option<&str>, now: Instant) {
        self.app_says(index, state, error.map(|error| ("error", json!(error))), now);
    }

    /// Goes down on purpose, and says so.
    pub(super) fn stops_for_maintenance(&mut self, index: usize, now: Instant) {
        self.app_says(index, "stop", Some(("maintenance", json!(true))), now);
    }

    fn app_says(&mut self, index: usize, state: &str, more: Option<(&'static str, Value)>, now: Instant) {
        let terminal = &self.terminals[index];
        let mut fields = vec![("state", json!(state)), ("version", json!(terminal.app_version))];
        for active in self.calendar.active(terminal, now).into_iter().filter(|active| active.cause == Cause::S4) {
            let (least, lag, left) =
                if active.near_miss() { (terminal.app_version.as_str(), 1, 20) } else { ("3.6.0", 4, -2) };
            fields.extend([
                ("min_version", json!(least)),
                ("param_lag", json!(lag)),
                ("cert_expires", json!(rfc3339(now - now.rem_euclid(DAY_MS) + left * DAY_MS))),
            ]);
        }
        fields.extend(more);
        self.evidence(index, "pos.app.state", fields, now);
    }

    /// Sends telemetry, which may be lost or late.
    pub(super) fn evidence(&mut self, index: usize, kind: &'static str, data: Data, now: Instant) {
        if let Some(delay) = self.evidence_delay(index) {
            self.send_after(delay, Sender::Terminal, index, None, kind, data, now);
        }
    }
}

/// A sample of the network.
struct Net {
    link: &'static str,
    rtt_ms: i64,
    loss_pct: i64,
    tx_kbps: i64,
    cap_kbps: i64,
    gateway_ok: bool,
    probe_ok: bool,
    error: Option<(&'static str, &'static str)>,
    peer: String,
}

impl Net {
    fn well(faults: &Faults, terminal: &mut Terminal) -> Self {
        let dice = &mut terminal.network;
        let blip = faults.blip > 0.0 && dice.chance(faults.blip);
        let timed_out = blip && dice.permille(500);
        Self {
            link: ["wifi", "ethernet", "wifi", "cell"][usize::try_from(terminal.rank % 4).expect("invariant: below 4")],
            rtt_ms: if blip && !timed_out { dice.between(900, 2_000) } else { dice.between(15, 90) },
            loss_pct: 0,
            tx_kbps: dice.between(20, 300),
            cap_kbps: 2_000,
            gateway_ok: true,
            probe_ok: true,
            error: timed_out.then_some(("tcp_error", "connection timed out")),
            peer: format!("{}.{}.example:443", terminal.host, terminal.acquirer).to_lowercase(),
        }
    }

    fn cut_off(&mut self) {
        (self.link, self.loss_pct, self.tx_kbps) = ("none", 100, 0);
        (self.gateway_ok, self.probe_ok) = (false, false);
        self.error = Some(("dns_error", "no name server answers"));
    }

    fn suffer(&mut self, active: Active, permille: u64, backup: bool, dice: &mut Dice) {
        let square = i64::from(active.strength) * i64::from(active.strength);
        let near = active.near_miss();
        match active.cause {
            Cause::N1 => {
                let least = if near { square / 8 } else { square / 4 };
                self.rtt_ms += dice.between(least, least * 4 / 3);
                self.loss_pct += i64::from(dice.permille(300));
                self.tx_kbps = self.cap_kbps * (60 + i64::from(active.strength) * 2 / 5) / 100;
            }
            Cause::N2 if !near && dice.permille(permille / 2) => self.error = Some(befall::reset(active)),
            Cause::N3 if near => self.loss_pct = dice.between(2, 4),
            Cause::N3 if active.strength < CUT_OFF => {
                self.loss_pct = i64::from(active.strength) / 4 + dice.between(0, 8);
                self.rtt_ms *= 3;
                self.gateway_ok = !dice.permille(400);
                if dice.permille(300) {
                    self.error = Some(("dns_error", "no name server answers"));
                }
            }
            Cause::N3 if backup => {
                (self.link, self.gateway_ok) = ("cell", false);
                self.rtt_ms += 120;
            }
            Cause::S3 if !near && dice.permille(permille / 4) => {
                self.error = Some(("tls_error", "unsupported protocol version"));
            }
            Cause::S4 if !near && dice.permille(permille / 4) => {
                self.error = Some(("tls_error", "certificate expired"));
            }
            _ => {}
        }
    }

    fn data(self) -> Data {
        let mut data: Vec<(&'static str, Value)> = vec![("link", json!(self.link))];
        // Where nothing comes back there is no round trip to measure.
        data.extend((self.loss_pct < 100).then(|| ("rtt_ms", json!(self.rtt_ms))));
        data.extend([
            ("loss_pct", json!(self.loss_pct)),
            ("tx_kbps", json!(self.tx_kbps)),
            ("cap_kbps", json!(self.cap_kbps)),
            ("gateway_ok", json!(self.gateway_ok)),
            ("probe_ok", json!(self.probe_ok)),
            ("peer", json!(self.peer)),
        ]);
        data.extend(self.error.map(|(field, text)| (field, json!(text))));
        data
    }
}
