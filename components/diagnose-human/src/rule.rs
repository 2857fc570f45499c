//! The rule: what it hears of the people at a till, and whose matter that is. Owns the names of the signs; `docs/evidence.md` lists them.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    FieldId, Instant, Out, Rule, Scope, Severity, Visit,
    cause::Verdict,
    evidence::{Collector, Kind, NAME_BYTES_MAX},
    place,
    standing::{self, About},
};

use crate::{help::Help, recent::Recent, settings::Settings, slips::Slips};

/// The rule's id.
pub const ID: &str = "diagnose-human";
/// The kind of P2's finding.
pub const PROMPTS: &str = "prompts-unanswered";
/// The kind of P3's finding.
pub const WAITS: &str = "customers-waiting";

/// Collects evidence of people, and says what one till can tell.
#[derive(Debug)]
pub struct DiagnoseHuman {
    settings: Settings,
}

/// What is remembered of a terminal and whoever works at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    collector: Collector,
    operator: String,
    help: Help,
    #[serde(with = "tillwatch_sdk::rare")]
    prompts: Recent,
    #[serde(with = "tillwatch_sdk::rare")]
    waits: Recent,
    slips: Slips,
    /// When something was last wrong with till, printer or line: waits are explained by it.
    trouble: Option<Instant>,
}

// Places in `EVENTS`.
const AUTHORIZE: u32 = place(DiagnoseHuman::EVENTS, "pos.payment.authorize");
const RESPONSE: u32 = place(DiagnoseHuman::EVENTS, "pos.payment.response");
const ACTION: u32 = place(DiagnoseHuman::EVENTS, "pos.operator.action");
const PRINT: u32 = place(DiagnoseHuman::EVENTS, "pos.print.result");
const APP: u32 = place(DiagnoseHuman::EVENTS, "pos.app.state");

impl Rule for DiagnoseHuman {
    const ID: &'static str = ID;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Terminal;
    const STATE_VERSION: u32 = 4;
    const EVENTS: &'static [&'static str] = &[
        "pos.payment.authorize",
        "pos.payment.response",
        "pos.operator.action",
        "pos.print.result",
        "pos.app.state",
        "pos.finding.raised",
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
        FieldId::AMOUNT,
        FieldId::REPEAT,
        FieldId::OUTCOME,
        FieldId::STATE,
        FieldId::ACTION,
        FieldId::DWELL_MS,
        FieldId::FINDING,
        FieldId::KIND,
        FieldId::TXN,
        FieldId::RULE,
    ];
    const CAPABILITIES: &'static [&'static str] = &[
        "finding:operator-help",
        "update:operator-help",
        "finding:prompts-unanswered",
        "update:prompts-unanswered",
        "finding:customers-waiting",
        "update:customers-waiting",
        "finding:operator-slips",
        "update:operator-slips",
        "update:no-answer",
        "update:approved-undelivered",
        "update:late-approval",
        "update:reversal-missing",
        "derive:pos.evidence.sign",
    ];

    type Settings = Settings;
    type State = State;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    /// Receipts that come out and tills that say how they are. The operator is one of the names that the collector knows.
    fn ignores(&self, visit: &Visit<'_>, state: &[u8]) -> bool {
        matches!(visit.event_index(), Some(PRINT | APP))
            && !troubles(visit)
            && Collector::knows(state, visit.key_piece(), visit)
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        let till = state.get_or_insert_default();
        if let Some(operator) = visit.operator().filter(|name| name.len() <= NAME_BYTES_MAX && *name != till.operator) {
            till.end(out);
            operator.clone_into(&mut till.operator);
        }
        till.collector.learn(visit.key_piece(), visit, out);
        match visit.event_index() {
            Some(AUTHORIZE) => self.authorize(till, visit, out),
            Some(RESPONSE) => till.slips.answered(visit),
            Some(ACTION) => {
                let operator = till.operator.clone();
                self.acts(till, About::operator(&operator), visit, out);
            }
            Some(PRINT | APP) => {
                if troubles(visit) {
                    till.trouble = Some(visit.at());
                }
            }
            _ => {
                if visit.rule() != Some(ID) {
                    till.trouble = Some(visit.at());
                    till.slips.stuck(visit, out);
                }
            }
        }
        self.wake(till, out);
        state.take_if(|till| *till == State::default());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        let Some(till) = state else { return };
        let (operator, now) = (till.operator.clone(), visit.at());
        let scope = About::operator(&operator);
        till.prompts.forget(self.settings.prompts_window_ms, prompts(scope), now, out);
        till.waits.forget(self.settings.shift_ms, waits(scope), now, out);
        till.slips.forget(&self.settings, scope, now, out);
        till.collector.tell_due(now, out);
        self.wake(till, out);
    }
}

fn prompts(scope: About<'_>) -> standing::Kind<'_> {
    standing::Kind { rule: ID, kind: PROMPTS, scope, severity: Severity::Info }
}

fn waits(scope: About<'_>) -> standing::Kind<'_> {
    standing::Kind { rule: ID, kind: WAITS, scope, severity: Severity::Info }
}

/// Whether a receipt or a till says that something is wrong.
fn troubles(visit: &Visit<'_>) -> bool {
    match visit.event_index() {
        Some(PRINT) => visit.state() == Some("failed"),
        _ => matches!(visit.state(), Some("crash" | "anr" | "stop" | "start")),
    }
}

impl State {
    /// Another operator comes: what was counted is not theirs.
    fn end(&mut self, out: &mut Out<'_>) {
        let scope = About::operator(&self.operator);
        self.help.end(scope, out);
        self.prompts.end(prompts(scope), out);
        self.waits.end(waits(scope), out);
        self.slips.end(scope, out);
    }
}

/// A sign: cause, name, percent.
type Sure<'a> = (&'a str, &'a str, u8);

impl DiagnoseHuman {
    fn wake(&self, till: &State, out: &mut Out<'_>) {
        let wakes = [
            till.collector.due(),
            till.prompts.wake(self.settings.prompts_window_ms),
            till.waits.wake(self.settings.shift_ms),
            till.slips.wake(&self.settings),
        ];
        out.wake_first(wakes);
    }

    fn sign(&self, till: &mut State, visit: &Visit<'_>, (cause, what, percent): Sure<'_>, value: Option<i64>) {
        till.collector.sign(&self.settings.evidence, visit, Kind { cause, what, percent }, value);
    }

    fn authorize(&self, till: &mut State, visit: &Visit<'_>, out: &mut Out<'_>) {
        if visit.repeat() == Some(true) {
            return;
        }
        if till.slips.authorize(&self.settings, About::operator(&till.operator), visit, out) {
            self.sign(till, visit, ("P4", "second-attempt", 70), None);
        }
        if !till.operator.is_empty()
            && let Some(block) = till.help.payment(&self.settings, About::operator(&till.operator), out)
        {
            // As strong as a finding, or a number for comparison alone.
            let percent = if block.found { 50 } else { 10 };
            let kind = Kind { cause: "P1", what: "block", percent };
            let sums = (block.actions, block.payments);
            till.collector.count(&self.settings.evidence, visit, kind, sums, None);
        }
    }

    fn acts(&self, till: &mut State, scope: About<'_>, visit: &Visit<'_>, out: &mut Out<'_>) {
        let settings = &self.settings;
        // Without a pseudonym there is nobody that it could be about.
        let Some(action) = visit.action().filter(|_| !till.operator.is_empty()) else { return };
        let dwell = visit.dwell_ms().unwrap_or(0);
        match action {
            "login" => return,
            "idle" => return self.idle(till, scope, dwell, visit, out),
            "cancel" => {
                if till.slips.cancel(settings, scope, visit, out) {
                    return self.sign(till, visit, ("P4", "cancel-after-approval", 80), None);
                }
                self.sign(till, visit, ("P1", "cancel", 30), Some(dwell));
                till.help.action();
            }
            "help" | "retry" | "wrong-key" | "amount-edit" | "manual-entry" => {
                // A slip is quick: who takes long over a key is looking for it.
                let slip = matches!(action, "wrong-key" | "amount-edit") && dwell <= settings.dwell_ms;
                self.sign(till, visit, (if slip { "P4" } else { "P1" }, action, 20), Some(dwell));
                // Whoever retries a payment, or what a slip has spoilt, needs no help for it.
                let own = visit.subject().is_some() || till.slips.just(visit.when(), settings.dwell_ms);
                match action {
                    "retry" if own => {}
                    "help" | "retry" => till.help.action(),
                    _ if slip => till.slips.slip(settings, scope, visit, out),
                    _ => {}
                }
            }
            _ => {}
        }
        if dwell > settings.dwell_ms {
            self.sign(till, visit, ("P1", "dwell", 30), Some(dwell));
            till.help.action();
        }
    }

    /// Nothing is done: with a payment's key a customer who has paid waits, without one a prompt does.
    fn idle(&self, till: &mut State, scope: About<'_>, dwell: i64, visit: &Visit<'_>, out: &mut Out<'_>) {
        let settings = &self.settings;
        if dwell <= settings.prompt_ms {
            return;
        }
        if visit.subject().is_none() {
            self.sign(till, visit, ("P2", "prompt", 40), Some(dwell));
            let count = till.prompts.add(settings.prompts_window_ms, visit);
            if count >= settings.prompts_min as usize {
                let (minutes, seconds) = (settings.prompts_window_ms / 60_000, settings.prompt_ms / 1_000);
                let said = (
                    format!("{count} prompts within {minutes} min stayed unanswered for more than {seconds} s"),
                    format!("{minutes} 分钟内有 {count} 个提示超过 {seconds} 秒未应答"),
                );
                till.prompts.say(prompts(scope), &Verdict { cause: "P2", percent: 70, runner_up: "P1", said }, out);
            }
        } else if till.trouble.is_none_or(|at| visit.at() - at > settings.trouble_ms) {
            self.sign(till, visit, ("P3", "wait", 30), Some(dwell));
            let count = till.waits.add(settings.shift_ms, visit);
            if count >= settings.waits_min as usize {
                let said = (
                    format!("{count} customers who had paid were kept waiting in one shift, with everything in order"),
                    format!("设备正常,一个班次内 {count} 位已付款顾客被迫等待"),
                );
                till.waits.say(waits(scope), &Verdict { cause: "P3", percent: 60, runner_up: "P2", said }, out);
            }
        }
    }
}
