//! The rule: what it hears of a terminal, and whose matter that is. Owns the names of the signs; `docs/evidence.md` lists them.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    FieldId, Out, Rule, Scope, Visit,
    evidence::{Collector, Kind},
    place,
};

use crate::{
    app::{App, Sign},
    device::{Device, Signs},
    printer::Printer,
    scanner::Scanner,
    settings::Settings,
};

/// The rule's id.
pub const ID: &str = "diagnose-hardware";

/// Explains what breaks at a terminal.
#[derive(Debug)]
pub struct DiagnoseHardware {
    settings: Settings,
}

/// What is remembered of a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    collector: Collector,
    printer: Printer,
    #[serde(with = "tillwatch_sdk::rare")]
    scanner: Scanner,
    #[serde(with = "tillwatch_sdk::rare")]
    device: Device,
    app: App,
}

// Places in `EVENTS`.
const PRINT: u32 = place(DiagnoseHardware::EVENTS, "pos.print.result");
const SCAN: u32 = place(DiagnoseHardware::EVENTS, "pos.scan.result");
const DEVICE: u32 = place(DiagnoseHardware::EVENTS, "pos.device.status");
const APP: u32 = place(DiagnoseHardware::EVENTS, "pos.app.state");
const SAMPLE: u32 = place(DiagnoseHardware::EVENTS, "pos.net.sample");
const RAISED: u32 = place(DiagnoseHardware::EVENTS, "pos.finding.raised");

impl Rule for DiagnoseHardware {
    const ID: &'static str = ID;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Terminal;
    const STATE_VERSION: u32 = 4;
    const EVENTS: &'static [&'static str] = &[
        "pos.print.result",
        "pos.scan.result",
        "pos.device.status",
        "pos.app.state",
        "pos.net.sample",
        "pos.finding.raised",
        "pos.finding.cleared",
    ];
    const FIELDS: &'static [FieldId] = &[
        FieldId::ID,
        FieldId::SUBJECT,
        FieldId::REGION,
        FieldId::SITE,
        FieldId::ACQUIRER,
        FieldId::HOST,
        FieldId::OPERATOR,
        FieldId::APP_VERSION,
        FieldId::STATE,
        FieldId::FAULT,
        FieldId::PRINTER,
        FieldId::SCANNER,
        FieldId::PED,
        FieldId::BATTERY_PCT,
        FieldId::TEMP_C,
        FieldId::REBOOTS_1H,
        FieldId::TAMPER,
        FieldId::MEM_FREE_MB,
        FieldId::LINK,
        FieldId::LOSS_PCT,
        FieldId::ERROR,
        FieldId::FINDING,
        FieldId::KIND,
        FieldId::TXN,
    ];
    const CAPABILITIES: &'static [&'static str] = &[
        "update:not-printed",
        "update:not-shown",
        "finding:scanner-fault",
        "update:scanner-fault",
        "finding:device-damage",
        "update:device-damage",
        "finding:app-fault",
        "update:app-fault",
        "derive:pos.evidence.sign",
    ];

    type Settings = Settings;
    type State = State;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        let till = state.get_or_insert_default();
        till.collector.learn(visit.key_piece(), visit, out);
        match visit.event_index() {
            Some(PRINT) => {
                till.printer.print_result(visit, out);
                if visit.state() == Some("failed") {
                    self.sign(till, visit, ("H1", "printer", 70), None);
                }
            }
            Some(SCAN) => {
                till.scanner.read(&self.settings, visit, out);
                match visit.state() {
                    Some("fail") => self.sign(till, visit, ("H2", "fail", 40), None),
                    Some("absent") => self.sign(till, visit, ("H2", "absent", 90), None),
                    _ => {}
                }
            }
            Some(DEVICE) => self.status(till, visit, out),
            Some(APP) => {
                let sign = till.app.state(&self.settings, visit, out);
                self.app(till, visit, sign);
            }
            Some(SAMPLE) => {
                let up = visit.link() != Some("none") && visit.loss_pct().unwrap_or(0.0) < 100.0;
                if up {
                    let sign = till.app.link_up(&self.settings, visit, out);
                    self.app(till, visit, sign);
                }
            }
            event => self.finding(till, event == Some(RAISED), visit, out),
        }
        self.wake(till, out);
        state.take_if(|till| *till == State::default());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        let Some(till) = state else { return };
        till.app.forget(&self.settings, visit, out);
        till.collector.tell_due(visit.at(), out);
        self.wake(till, out);
    }
}

/// A sign: cause, name, percent.
type Sure = (&'static str, &'static str, u8);

impl DiagnoseHardware {
    fn wake(&self, till: &State, out: &mut Out<'_>) {
        out.wake_first([till.collector.due(), till.app.wake(&self.settings)]);
    }

    fn sign(&self, till: &mut State, visit: &Visit<'_>, (cause, what, percent): Sure, value: Option<i64>) {
        till.collector.sign(&self.settings.evidence, visit, Kind { cause, what, percent }, value);
    }

    fn app(&self, till: &mut State, visit: &Visit<'_>, sign: Option<Sign>) {
        match sign {
            Some(Sign::Crash) => self.sign(till, visit, ("H4", "crash", 50), None),
            Some(Sign::Silent) => self.sign(till, visit, ("H4", "silent", 50), None),
            Some(Sign::Memory) => self.sign(till, visit, ("H4", "memory", 20), None),
            Some(Sign::NotShown) | None => {}
        }
    }

    fn status(&self, till: &mut State, visit: &Visit<'_>, out: &mut Out<'_>) {
        if let Some(word) = visit.printer() {
            till.printer.status(word, visit, out);
            // Paper that runs low prints still.
            if word != "ok" && word != "paper-low" {
                self.sign(till, visit, ("H1", "printer", 70), None);
            }
        }
        if let Some(word) = visit.scanner() {
            till.scanner.status(&self.settings, word, visit, out);
            if word != "ok" {
                self.sign(till, visit, ("H2", "scanner", 60), None);
            }
        }
        let signs = Signs::of(&self.settings, visit);
        till.device.status(&signs, visit, out);
        for (what, percent, seen, value) in [
            ("tamper", 99, visit.tamper() == Some(true), None),
            ("ped", 95, signs.ped, None),
            ("reboots", 60, signs.reboots.is_some(), signs.reboots),
            ("hot", 30, signs.hot.is_some(), signs.hot),
            ("flat", 30, signs.flat.is_some(), signs.flat),
        ] {
            if seen {
                self.sign(till, visit, ("H3", what, percent), value);
            }
        }
        let sign = till.app.memory(&self.settings, visit, out);
        self.app(till, visit, sign);
    }

    fn finding(&self, till: &mut State, raised: bool, visit: &Visit<'_>, out: &mut Out<'_>) {
        match (visit.kind(), raised) {
            (Some("not-printed"), true) => till.printer.raised(&self.settings, visit, out),
            (Some("not-printed"), false) => till.printer.cleared(visit.finding().unwrap_or_default()),
            (Some("not-shown"), true) => till.app.raised(&self.settings, visit, out),
            (Some("not-shown"), false) => till.app.cleared(visit.finding().unwrap_or_default()),
            _ => {}
        }
    }
}
