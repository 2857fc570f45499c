//! The rule: what it hears of a terminal's software and ledger, and under which names it counts that. `docs/evidence.md` lists them.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    FieldId, Out, Rule, Scope, Updated, Visit,
    cause::Verdict,
    evidence::{Collector, Kind},
    place,
};

use crate::{behind::Behind, settings::Settings};

/// The rule's id.
pub const ID: &str = "diagnose-software";

/// How sure it is that an entry which the order system lacks is a matter of the databases, percent: the line to the order system is the other
/// explanation, and a whole site shows that.
const UNSYNCED_PERCENT: u8 = 75;

/// Collects evidence of software, and says what one terminal lacks.
#[derive(Debug)]
pub struct DiagnoseSoftware {
    settings: Settings,
}

/// What is remembered of a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    collector: Collector,
    behind: Behind,
}

// Places in `EVENTS`.
const RESPONSE: u32 = place(DiagnoseSoftware::EVENTS, "pos.payment.response");
const APP: u32 = place(DiagnoseSoftware::EVENTS, "pos.app.state");
const SAMPLE: u32 = place(DiagnoseSoftware::EVENTS, "pos.net.sample");
const BATCH: u32 = place(DiagnoseSoftware::EVENTS, "pos.batch.result");

impl Rule for DiagnoseSoftware {
    const ID: &'static str = ID;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Terminal;
    const STATE_VERSION: u32 = 4;
    const EVENTS: &'static [&'static str] =
        &["pos.payment.response", "pos.app.state", "pos.net.sample", "pos.batch.result", "pos.finding.raised"];
    const FIELDS: &'static [FieldId] = &[
        FieldId::ID,
        FieldId::REGION,
        FieldId::SITE,
        FieldId::ACQUIRER,
        FieldId::HOST,
        FieldId::OPERATOR,
        FieldId::APP_VERSION,
        FieldId::LEG,
        FieldId::CODE,
        FieldId::STATE,
        FieldId::ERROR,
        FieldId::VERSION,
        FieldId::MIN_VERSION,
        FieldId::PARAM_LAG,
        FieldId::CERT_EXPIRES,
        FieldId::TLS_ERROR,
        FieldId::FINDING,
        FieldId::KIND,
        FieldId::TXN,
    ];
    const CAPABILITIES: &'static [&'static str] =
        &["update:unsynced", "finding:outdated", "update:outdated", "derive:pos.evidence.sign"];

    type Settings = Settings;
    type State = State;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    /// Nearly every answer and every sample of the line.
    fn ignores(&self, visit: &Visit<'_>, state: &[u8]) -> bool {
        let nothing = match visit.event_index() {
            Some(RESPONSE) => self.codes(visit).next().is_none(),
            Some(SAMPLE) => visit.tls_error().is_none(),
            _ => false,
        };
        nothing && Collector::knows(state, visit.key_piece(), visit)
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        let till = state.get_or_insert_default();
        till.collector.learn(visit.key_piece(), visit, out);
        match visit.event_index() {
            Some(RESPONSE) => self.answered(till, visit, out),
            Some(APP) => self.app(till, visit, out),
            Some(SAMPLE) => self.connection(till, visit, out),
            Some(BATCH) => {
                if visit.state() == Some("unbalanced") {
                    self.sign(till, visit, ("S2", "batch", 60));
                }
                if visit.code().is_some_and(|code| holds(&self.settings.ledger_codes, code)) {
                    self.sign(till, visit, ("S2", "code", 60));
                }
            }
            _ => self.raised(till, visit, out),
        }
        out.wake_first([till.collector.due()]);
        state.take_if(|till| *till == State::default());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        let Some(till) = state else { return };
        till.collector.tell_due(visit.at(), out);
        out.wake_first([till.collector.due()]);
    }
}

/// Whether a list holds exactly this word.
fn holds(words: &[String], word: &str) -> bool {
    words.iter().any(|known| known == word)
}

/// Whether a text has one of these words in it.
fn speaks(words: &[String], text: &str) -> bool {
    words.iter().any(|word| text.contains(word.as_str()))
}

/// A sign: cause, name, percent.
type Sure = (&'static str, &'static str, u8);

impl DiagnoseSoftware {
    fn sign(&self, till: &mut State, visit: &Visit<'_>, (cause, what, percent): Sure) {
        till.collector.sign(&self.settings.evidence, visit, Kind { cause, what, percent }, None);
    }

    fn answered(&self, till: &mut State, visit: &Visit<'_>, out: &mut Out<'_>) {
        for cause in self.codes(visit) {
            self.sign(till, visit, (cause, "code", 60));
            if cause == "S4" {
                till.behind.failed(&self.settings, visit, out);
            }
        }
    }

    /// The causes that the host's code speaks for.
    fn codes(&self, visit: &Visit<'_>) -> impl Iterator<Item = &'static str> {
        let code = visit.code().filter(|_| visit.leg() == Some("host"));
        let known = [
            ("S1", &self.settings.mac_codes),
            ("S2", &self.settings.ledger_codes),
            ("S3", &self.settings.interface_codes),
            ("S4", &self.settings.config_codes),
        ];
        known.into_iter().filter(move |(_, codes)| code.is_some_and(|code| holds(codes, code))).map(|(cause, _)| cause)
    }

    fn app(&self, till: &mut State, visit: &Visit<'_>, out: &mut Out<'_>) {
        till.behind.state(&self.settings, visit, out);
        if till.behind.is_behind(visit.at()) {
            self.sign(till, visit, ("S4", "behind", 30));
        }
        if visit.state() == Some("updated") {
            self.sign(till, visit, ("S3", "updated", 20));
        }
        if let Some(error) = visit.error() {
            if speaks(&self.settings.handler_words, error) {
                self.sign(till, visit, ("S1", "handler", 80));
            }
            if self.settings.interface_errors.iter().any(|word| error.starts_with(word.as_str()))
                && !error.starts_with("HTTP 429")
            {
                self.sign(till, visit, ("S3", "refused", 60));
            }
        }
    }

    fn connection(&self, till: &mut State, visit: &Visit<'_>, out: &mut Out<'_>) {
        let Some(error) = visit.tls_error() else { return };
        if speaks(&self.settings.protocol_words, error) {
            self.sign(till, visit, ("S3", "refused", 60));
        }
        if speaks(&self.settings.certificate_words, error) {
            self.sign(till, visit, ("S4", "certificate", 60));
            till.behind.failed(&self.settings, visit, out);
        }
    }

    fn raised(&self, till: &mut State, visit: &Visit<'_>, out: &mut Out<'_>) {
        let (Some("unsynced"), Some(finding), Some(txn)) = (visit.kind(), visit.finding(), visit.txn()) else { return };
        self.sign(till, visit, ("S2", "unsynced", 75));
        let said = ("the host was paid and the order system has no entry", "主机已支付,订单系统无记录");
        let verdict = Verdict {
            cause: "S2",
            percent: UNSYNCED_PERCENT,
            runner_up: "N3",
            said: (said.0.to_owned(), said.1.to_owned()),
        };
        let about = (format!("Payment {txn}"), format!("支付 {txn}"));
        out.update(Updated {
            finding: finding.to_owned(),
            severity: None,
            evidence: Vec::new(),
            details: verdict.details((&about.0, &about.1)),
        });
    }
}
