//! The rule: what it hears of a terminal's line, host and payments, and under which names it tells that. `docs/evidence.md` lists them.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    FieldId, Instant, Out, Rule, Scope, Visit,
    evidence::{Collector, Ended, Kind, Notice, Stuck},
    place,
};

use crate::{baseline::Baseline, settings::Settings};

/// Bytes of an error's text that make its signature.
const SIGNATURE_BYTES_MAX: usize = 40;

/// Regions whose announcements of maintenance are kept of one host; those of more are not passed on.
const REGIONS_MAX: usize = 16;

/// Collects evidence of line, host and payments.
#[derive(Debug)]
pub struct DiagnoseNetwork {
    settings: Settings,
}

/// What is remembered of a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Till {
    /// What is to be told.
    collector: Collector,
    /// Its round trips.
    rtt: Baseline,
    /// When its agent was last heard; none: never, or it went down and said so.
    heard: Option<Instant>,
    /// It was found silent.
    silent: bool,
    /// It is down on purpose, until then, by region: gateways of several regions may speak of a host under one name.
    maintenance: Vec<(String, Instant)>,
}

// Places in `EVENTS`.
const AUTHORIZE: u32 = place(DiagnoseNetwork::EVENTS, "pos.payment.authorize");
const RESPONSE: u32 = place(DiagnoseNetwork::EVENTS, "pos.payment.response");
const SAMPLE: u32 = place(DiagnoseNetwork::EVENTS, "pos.net.sample");
const APP: u32 = place(DiagnoseNetwork::EVENTS, "pos.app.state");
const HOST: u32 = place(DiagnoseNetwork::EVENTS, "pos.host.sample");
const RAISED: u32 = place(DiagnoseNetwork::EVENTS, "pos.finding.raised");
const CLEARED: u32 = place(DiagnoseNetwork::EVENTS, "pos.finding.cleared");

impl Rule for DiagnoseNetwork {
    const ID: &'static str = "diagnose-network";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Terminal;
    const STATE_VERSION: u32 = 4;
    const EVENTS: &'static [&'static str] = &[
        "pos.payment.authorize",
        "pos.payment.response",
        "pos.net.sample",
        "pos.app.state",
        "pos.host.sample",
        "pos.finding.raised",
        "pos.finding.updated",
        "pos.finding.cleared",
    ];
    const FIELDS: &'static [FieldId] = &[
        FieldId::ID,
        FieldId::REGION,
        FieldId::SITE,
        FieldId::ACQUIRER,
        FieldId::HOST,
        FieldId::OPERATOR,
        FieldId::APP_VERSION,
        FieldId::REPEAT,
        FieldId::LEG,
        FieldId::CODE,
        FieldId::LINK,
        FieldId::RTT_MS,
        FieldId::LOSS_PCT,
        FieldId::GATEWAY_OK,
        FieldId::PROBE_OK,
        FieldId::DNS_ERROR,
        FieldId::TCP_ERROR,
        FieldId::TLS_ERROR,
        FieldId::PEER,
        FieldId::STATE,
        FieldId::ERROR,
        FieldId::MAINTENANCE,
        FieldId::TOTAL,
        FieldId::FAILED,
        FieldId::TIMED_OUT,
        FieldId::P95_MS,
        FieldId::REACHABLE,
        FieldId::FINDING,
        FieldId::KIND,
        FieldId::TXN,
        FieldId::BROKE_AT,
        FieldId::AMOUNT,
        FieldId::CURRENCY,
        FieldId::CAUSE,
        FieldId::CONFIDENCE,
        FieldId::RESOLUTION,
        FieldId::AFTER_MS,
    ];
    const CAPABILITIES: &'static [&'static str] = &[
        "derive:pos.evidence.census",
        "derive:pos.evidence.stuck",
        "derive:pos.evidence.ended",
        "derive:pos.evidence.sign",
        "derive:pos.evidence.notice",
    ];

    type Settings = Settings;
    type State = Till;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    /// Nearly every answer.
    fn ignores(&self, visit: &Visit<'_>, state: &[u8]) -> bool {
        visit.event_index() == Some(RESPONSE)
            && !self.overloaded(visit)
            && Collector::knows(state, visit.key_piece(), visit)
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Till>, out: &mut Out<'_>) {
        let till = state.get_or_insert_default();
        // A gateway's sample is about a host, and keyed by it.
        let terminal = if visit.event_index() == Some(HOST) { &[][..] } else { visit.key_piece() };
        till.collector.learn(terminal, visit, out);
        match visit.event_index() {
            Some(AUTHORIZE) => {
                if visit.repeat() != Some(true) {
                    till.collector.begun(&self.settings.evidence, visit);
                }
            }
            Some(RESPONSE) => self.answered(till, visit),
            Some(SAMPLE) => {
                self.heard(till, visit);
                self.net(till, visit);
            }
            Some(APP) => self.app(till, visit, out),
            Some(HOST) => self.host(till, visit, out),
            Some(CLEARED) => self.cleared(till, visit, out),
            _ => self.stuck(till, visit, out),
        }
        self.wake(till, out);
        state.take_if(|till| *till == Till::default());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Till>, out: &mut Out<'_>) {
        let Some(till) = state else { return };
        if self.silent_at(till).is_some_and(|at| at <= visit.at()) {
            till.silent = true;
            self.sign(till, visit, N3, "silent", 70);
        }
        till.collector.tell_due(visit.at(), out);
        self.wake(till, out);
    }
}

const N1: &str = "N1";
const N2: &str = "N2";
const N3: &str = "N3";
const N4: &str = "N4";

impl DiagnoseNetwork {
    fn wake(&self, till: &Till, out: &mut Out<'_>) {
        out.wake_first([till.collector.due(), self.silent_at(till)]);
    }

    fn sign(&self, till: &mut Till, visit: &Visit<'_>, cause: &str, what: &str, percent: u8) {
        till.collector.sign(&self.settings.evidence, visit, Kind { cause, what, percent }, None);
    }

    /// When the terminal will have been silent for long.
    fn silent_at(&self, till: &Till) -> Option<Instant> {
        till.heard.filter(|_| !till.silent).map(|heard| heard.saturating_add(self.settings.silent_ms))
    }

    /// The agent speaks.
    fn heard(&self, till: &mut Till, visit: &Visit<'_>) {
        till.heard = Some(visit.at());
        if std::mem::take(&mut till.silent) {
            let back = Kind { cause: N3, what: "silent", percent: 70 };
            till.collector.well(&self.settings.evidence, visit, back, None);
        }
    }

    /// Whether an answer speaks for an overloaded host.
    fn overloaded(&self, visit: &Visit<'_>) -> bool {
        visit.leg() == Some("host")
            && visit.code().is_some_and(|code| self.settings.host_codes.iter().any(|known| known == code))
    }

    fn answered(&self, till: &mut Till, visit: &Visit<'_>) {
        if self.overloaded(visit) {
            self.sign(till, visit, N4, "code", 60);
        }
    }

    fn net(&self, till: &mut Till, visit: &Visit<'_>) {
        let (settings, pace) = (&self.settings, &self.settings.evidence);
        if let Some(rtt) = visit.rtt_ms().map(whole) {
            let normal = till.rtt.p95_ms(settings.rtt_samples_min);
            let long = rtt > settings.rtt_ms || normal.is_some_and(|p95| rtt > settings.rtt_factor * p95);
            till.rtt.learn(rtt, long);
            let kind = Kind { cause: N1, what: "rtt", percent: 60 };
            till.collector.count(pace, visit, kind, (u32::from(long), 1), Some(rtt));
        }
        let loss = visit.loss_pct().unwrap_or(0.0);
        let offline = visit.link() == Some("none") || loss >= 100.0;
        let error = visit.tcp_error().is_some() || visit.tls_error().is_some();
        for (what, percent, seen) in [
            ("offline", 70, offline),
            ("loss", 60, !offline && loss > settings.loss_heavy_pct),
            ("gateway", 70, visit.gateway_ok() == Some(false)),
            ("probe", 40, visit.probe_ok() == Some(false)),
            ("dns", 60, visit.dns_error().is_some()),
        ] {
            if seen {
                self.sign(till, visit, N3, what, percent);
            }
        }
        // A line that is merely full loses little and breaks no connection.
        if loss >= settings.loss_pct || error {
            let kind = Kind { cause: N1, what: "broken", percent: 60 };
            till.collector.well(pace, visit, kind, None);
        }
        for (protocol, error) in [("tcp", visit.tcp_error()), ("tls", visit.tls_error())] {
            let Some(error) = error else { continue };
            let ended = settings.reset_words.iter().any(|word| error.contains(word.as_str()));
            if let Some(peer) = visit.peer().filter(|_| ended && visit.probe_ok() != Some(false)) {
                let signature = format!("{peer} {protocol}: {}", beginning(error, SIGNATURE_BYTES_MAX));
                self.sign(till, visit, N2, &signature, 60);
            }
        }
    }

    fn app(&self, till: &mut Till, visit: &Visit<'_>, out: &mut Out<'_>) {
        self.heard(till, visit);
        if visit.state() == Some("stop") {
            // What went down and said so is not silent.
            till.heard = None;
        }
        if visit.maintenance() == Some(true) {
            self.notice(till, format!("terminal:{}", visit.key()), visit.at(), out);
        } else if visit.state() != Some("stop") {
            over(till, format!("terminal:{}", visit.key()), visit.at(), out);
        }
        let error = visit.error().unwrap_or_default();
        if self.settings.busy_errors.iter().any(|known| error.starts_with(known.as_str())) {
            self.sign(till, visit, N4, "http", 60);
        }
    }

    /// A gateway speaks of one host.
    fn host(&self, till: &mut Till, visit: &Visit<'_>, out: &mut Out<'_>) {
        let pace = &self.settings.evidence;
        let number = |count: Option<i64>| u32::try_from(count.unwrap_or(0).max(0)).unwrap_or(u32::MAX);
        let failed = number(visit.failed()).saturating_add(number(visit.timed_out()));
        let kind = Kind { cause: N4, what: "sample", percent: 70 };
        till.collector.count(pace, visit, kind, (failed, number(visit.total())), visit.p95_ms().map(whole));
        if visit.reachable() == Some(false) {
            self.sign(till, visit, N4, "unreachable", 70);
        }
        let about = format!("host:{}", visit.key());
        if visit.maintenance() == Some(true) {
            self.notice(till, about, visit.at(), out);
        } else {
            over(till, about, visit.at(), out);
        }
    }

    /// Maintenance has an end that nobody has told: it is taken to last for `maintenance_ms`, and is announced again while it goes on.
    fn notice(&self, till: &mut Till, about: String, now: Instant, out: &mut Out<'_>) {
        let region = till.collector.region();
        till.maintenance.retain(|(_, until)| now < *until);
        if till.maintenance.len() >= REGIONS_MAX || till.maintenance.iter().any(|(known, _)| known == region) {
            return;
        }
        let until = now.saturating_add(self.settings.maintenance_ms);
        till.maintenance.push((region.to_owned(), until));
        out.derive(Notice { cohorts: till.collector.cohorts(), about, from: now, until }.derived());
    }

    /// A finding about a payment is open, or its cause is known. A warning is nothing that is stuck, and no sign of the host either: whatever
    /// holds a payment up makes it slow first.
    fn stuck(&self, till: &Till, visit: &Visit<'_>, out: &mut Out<'_>) {
        let (Some(finding), Some(kind), Some(txn)) = (visit.finding(), visit.kind(), visit.txn()) else { return };
        let raised = visit.event_index() == Some(RAISED);
        if !self.settings.stuck_kinds.iter().any(|known| known == kind) || !raised && visit.cause().is_none() {
            return;
        }
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let stuck = Stuck {
            cohorts: till.collector.cohorts(),
            finding: finding.to_owned(),
            kind: kind.to_owned(),
            txn: txn.to_owned(),
            broke_at: text(visit.broke_at()),
            amount: visit.amount().unwrap_or(0),
            currency: text(visit.currency()),
            cause: text(visit.cause()),
            confidence: visit.confidence().unwrap_or(0.0),
        };
        out.derive(stuck.derived());
    }

    fn cleared(&self, till: &Till, visit: &Visit<'_>, out: &mut Out<'_>) {
        let (Some(finding), Some(kind), Some(_)) = (visit.finding(), visit.kind(), visit.txn()) else { return };
        if self.settings.stuck_kinds.iter().any(|known| known == kind) {
            let ended = Ended {
                cohorts: till.collector.cohorts(),
                finding: finding.to_owned(),
                kind: kind.to_owned(),
                resolution: visit.resolution().unwrap_or_default().to_owned(),
                after_ms: visit.after_ms().unwrap_or(0),
            };
            out.derive(ended.derived());
        }
    }
}

/// Maintenance that was announced is over.
fn over(till: &mut Till, about: String, now: Instant, out: &mut Out<'_>) {
    let known = till.maintenance.len();
    till.maintenance.retain(|(region, _)| region.as_str() != till.collector.region());
    if till.maintenance.len() < known {
        out.derive(Notice { cohorts: till.collector.cohorts(), about, from: now, until: now }.derived());
    }
}

/// A measurement in whole numbers; what is absurd is cut.
fn whole(number: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and fractions do not matter")]
    let whole = number as i64;
    whole.clamp(0, 86_400_000)
}

/// The beginning of a text, cut where a letter ends.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
