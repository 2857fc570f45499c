//! Histories of one payment as text, and what the rule says to them as text.
//!
//! A line of a history is `<at> [late <own time>] <what>`, times in ms from the start; a line of what comes out is
//! `<at> + <kind>[#generation] <deadline>` or `<at> - <kind> <resolution> <after_ms>`.

use std::fmt::Write as _;

use tillwatch_correlate_payment::CorrelatePayment;
use tillwatch_sdk::{
    Batch, FieldId, Finding, Instant, Rule as _, Trigger, Value, Verdicts,
    native::{Component as _, Native, visit},
};
use tillwatch_wit::{
    contract::{Action, Change, Wake},
    table::{FIELDS, Kind},
};

/// The instant that histories call 0.
pub(crate) const START: Instant = 1_800_000_000_000;

/// One payment at one till, with what the core would keep of it.
pub(crate) struct Till {
    rule: Native<CorrelatePayment>,
    key: &'static str,
    rail: Option<&'static str>,
    pub(crate) state: Vec<u8>,
    wake: Option<Instant>,
    said: String,
    pub(crate) actions: Vec<(Instant, Action)>,
    events: u32,
}

/// A history of a card payment.
pub(crate) fn card(history: &str) -> String {
    told(Till::card(""), history)
}

/// A history of a card payment with settings.
pub(crate) fn card_with(settings: &str, history: &str) -> String {
    told(Till::card(settings), history)
}

/// A history of a WeChat payment.
pub(crate) fn qr(history: &str) -> String {
    told(Till::qr(""), history)
}

fn told(mut till: Till, history: &str) -> String {
    for line in history.lines().map(str::trim).filter(|line| !line.is_empty()) {
        till.line(line);
    }
    till.said
}

impl Till {
    pub(crate) fn card(settings: &str) -> Self {
        Self::new("A1:M1:T1:000001:000002", Some("card"), settings)
    }

    pub(crate) fn qr(settings: &str) -> Self {
        Self::new("A1:M1:ORDER1", Some("wechat"), settings)
    }

    pub(crate) fn new(key: &'static str, rail: Option<&'static str>, settings: &str) -> Self {
        Self {
            rule: Native::with_settings(settings).expect(settings),
            key,
            rail,
            state: Vec::new(),
            wake: None,
            said: String::new(),
            actions: Vec::new(),
            events: 0,
        }
    }

    /// One line of a history.
    pub(crate) fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let mut instant = || words.next().and_then(|word| word.parse::<Instant>().ok()).expect(line) + START;
        let at = instant();
        let late = line.contains(" late ").then(|| {
            let own = line.split_whitespace().nth(2).and_then(|word| word.parse::<Instant>().ok());
            own.expect(line) + START
        });
        let what: Vec<&str> = line.split_whitespace().skip(if late.is_some() { 3 } else { 1 }).collect();
        self.until(at);
        if what != ["wait"] {
            let (event, fields) = event(&what);
            self.event(at, late, event, &fields);
        }
    }

    /// Time passes: fires what is due strictly before `at`.
    pub(crate) fn until(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake < at) {
            self.wake = None;
            let mut batch = Batch::default();
            batch.visits.push(visit(wake, Trigger::Timer));
            batch.push_piece(&self.state);
            batch.push_piece(self.key.as_bytes());
            for _ in CorrelatePayment::FIELDS {
                batch.push_piece(b"");
            }
            self.visit(wake, &batch);
        }
    }

    pub(crate) fn event(&mut self, at: Instant, late: Option<Instant>, event: &str, fields: &[(FieldId, String)]) {
        self.events += 1;
        let index = CorrelatePayment::EVENTS.iter().position(|known| *known == event).expect(event);
        let mut given = visit(at, Trigger::Event(u32::try_from(index).expect("few events")));
        if let Some(time) = late {
            (given.time, given.late) = (time, true);
        }
        let mut batch = Batch::default();
        batch.visits.push(given);
        batch.push_piece(&self.state);
        batch.push_piece(self.key.as_bytes());
        for field in CorrelatePayment::FIELDS {
            let known = match *field {
                FieldId::ID => Some(format!("01JD0000000000000000000{:03}", self.events)),
                FieldId::PARTITIONKEY => Some("T1".to_owned()),
                FieldId::SITE => Some("S0012".to_owned()),
                FieldId::RAIL => self.rail.map(str::to_owned),
                _ => None,
            };
            let said = fields.iter().find(|(id, _)| id == field).map(|(_, value)| value.clone()).or(known);
            match (said, FIELDS[field.0 as usize].kind) {
                (None, _) => batch.push_piece(b""),
                (Some(text), Kind::Text) => batch.push_piece(text.as_bytes()),
                (Some(number), _) => batch.push_piece(&number.parse::<i64>().expect("a number").to_le_bytes()),
            }
        }
        self.visit(at, &batch);
    }

    fn visit(&mut self, at: Instant, batch: &Batch) {
        let mut verdicts = Verdicts::default();
        self.rule.process(batch, &mut verdicts);
        let verdict = &verdicts.verdicts[0];
        match &verdict.state {
            Change::Keep => {}
            Change::Put(_) => self.state.clone_from(&verdicts.states),
            Change::Clear => self.state.clear(),
            Change::Fail(reason) => panic!("{reason}"),
        }
        match verdict.wake {
            Wake::Keep => {}
            // A wake-up for a time already due comes before the key's next visit, at this visit's position.
            Wake::At(instant) => self.wake = Some(instant.max(at)),
            Wake::Never => self.wake = None,
        }
        for (_, action) in verdicts.actions {
            self.said(at, &action);
            self.actions.push((at, action));
        }
    }

    fn said(&mut self, at: Instant, action: &Action) {
        let at = at - START;
        let line = match action {
            Action::Raise(Finding { kind, generation, deadline, .. }) => {
                let generation = if *generation == 1 { String::new() } else { format!("#{generation}") };
                format!("{at} + {kind}{generation} {}", deadline.expect("a deadline") - START)
            }
            Action::Clear(cleared) => format!("{at} - {} {} {}", cleared.kind, cleared.resolution, cleared.after_ms),
            other => panic!("not an action of this rule: {other:?}"),
        };
        writeln!(self.said, "{line}").expect("a String takes it");
    }

    /// The last finding raised of a kind.
    pub(crate) fn finding(&self, kind: &str) -> &Finding {
        let raised = self.actions.iter().rev().filter_map(|(_, action)| match action {
            Action::Raise(finding) if finding.kind == kind => Some(finding),
            _ => None,
        });
        raised.into_iter().next().expect(kind)
    }
}

/// A detail of a finding.
pub(crate) fn detail<'a>(finding: &'a Finding, name: &str) -> Option<&'a Value> {
    finding.details.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The event of a line's words.
fn event(what: &[&str]) -> (&'static str, Vec<(FieldId, String)>) {
    let text = |field, index: usize| (field, what[index].to_owned());
    match what[0] {
        "authorize" => (
            "pos.payment.authorize",
            vec![(FieldId::AMOUNT, "12800".to_owned()), (FieldId::CURRENCY, "CNY".to_owned())],
        ),
        "host" | "terminal" => ("pos.payment.response", vec![text(FieldId::LEG, 0), text(FieldId::OUTCOME, 1)]),
        "notify" => ("pos.payment.notify", vec![text(FieldId::OUTCOME, 1)]),
        "shown" => ("pos.payment.display", vec![text(FieldId::SHOWN, 1)]),
        "print" => ("pos.print.result", vec![text(FieldId::STATE, 1)]),
        "announce" => ("pos.announce.result", vec![text(FieldId::STATE, 1)]),
        "confirm" => ("pos.payment.confirm", vec![]),
        "ledger" => ("pos.ledger.entry", vec![text(FieldId::STATE, 1)]),
        "status" => {
            let as_of = what.get(2).map(|word| word.parse::<Instant>().expect("an instant") + START);
            let as_of = as_of.map(|as_of| (FieldId::AS_OF, as_of.to_string()));
            ("pos.payment.status", std::iter::once(text(FieldId::RESULT, 1)).chain(as_of).collect())
        }
        "reversal" => {
            let outcome = what.get(2).map(|word| (FieldId::OUTCOME, (*word).to_owned()));
            ("pos.payment.reversal", std::iter::once(text(FieldId::PHASE, 1)).chain(outcome).collect())
        }
        "unresolved" => ("tillwatch.unresolved", vec![text(FieldId::WHY, 1)]),
        other => panic!("no such event: {other}"),
    }
}

/// Compares what was said with what was expected, line by line.
#[track_caller]
pub(crate) fn says(said: &str, expected: &str) {
    let said: Vec<_> = said.lines().collect();
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(said, expected);
}
