//! What the engine says about the same history, and what `correlate-payment` said on the way, which the reading takes as given.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::TestCaseError;
use tillwatch_core::{
    output::{Data, Output},
    partition::{Partition, Settings},
    rules::{Action, Answer, Batch, Descriptor, Rules, Stalled},
};
use tillwatch_it::cases::{Setup, native::NativeRules};
use tillwatch_wit::contract::{Details, Trigger, Value};

use super::{
    history::{Arrival, Payment, key, records},
    reading::{Change, Changes, Line, Said},
};

const CORRELATE: usize = 0;
const COMPENSATE: usize = 1;

/// The rules, with everything that they want noted down as they say it.
struct Heard<'a> {
    rules: NativeRules,
    payments: &'a [Payment],
    changes: BTreeMap<u8, Changes>,
    unresolved: Vec<Line>,
    failed: Vec<String>,
}

fn text<'a>(details: &'a Details, name: &str) -> Option<&'a str> {
    details.iter().find_map(|(known, value)| match value {
        Value::Text(text) if known == name => Some(text.as_str()),
        _ => None,
    })
}

fn number(payments: &[Payment], txn: &str) -> usize {
    (0..payments.len()).find(|number| key(*number, payments[*number]) == txn).expect("a payment of the history")
}

impl Heard<'_> {
    fn correlate(&mut self, batch: &Batch, answer: &Answer) {
        let pieces = 2 + self.rules.descriptors()[CORRELATE].fields.len();
        let is_derived = |trigger| match trigger {
            Trigger::Event(n) => self.rules.descriptors()[CORRELATE].events[n as usize].starts_with("tillwatch."),
            Trigger::Timer => false,
        };
        for (index, visit) in batch.visits.iter().enumerate() {
            let piece = |piece| std::str::from_utf8(batch.piece(index, pieces, piece)).expect("text");
            let payment = number(self.payments, piece(1));
            let own = answer.verdicts.actions.iter().filter(|(visit, _)| *visit as usize == index);
            let changes: Vec<Change> = own.filter_map(|(_, action)| change(payment, action)).collect();
            if changes.is_empty() || is_derived(visit.trigger) {
                continue;
            }
            let here = self.changes.entry(self.payments[payment].terminal).or_default();
            match visit.trigger {
                Trigger::Timer => here.by_timer.push((visit.at, changes)),
                Trigger::Event(_) => here.by_event.entry(piece(2).to_owned()).or_default().extend(changes),
            }
        }
    }

    fn compensate(&mut self, batch: &Batch, answer: &Answer) {
        for (visit, action) in &answer.verdicts.actions {
            if let Action::Derive(derived) = action {
                let why = text(&derived.details, "why").expect("it says why").to_owned();
                let said = Said::Unresolved { why, chain: text(&derived.details, "chain").map(str::to_owned) };
                let txn = text(&derived.details, "subject").expect("it names a payment");
                let payment = number(self.payments, txn);
                self.unresolved.push(Line { at: batch.visits[*visit as usize].at, payment, said });
            }
        }
        for verdict in &answer.verdicts.verdicts {
            if let tillwatch_wit::contract::Change::Fail(reason) = &verdict.state {
                self.failed.push(reason.clone());
            }
        }
    }
}

fn change(payment: usize, action: &Action) -> Option<Change> {
    match action {
        Action::Raise(finding) => Some(Change {
            payment,
            kind: finding.kind.clone(),
            raised: true,
            late_window: finding.details.contains(&("late_window".to_owned(), Value::Flag(true))),
            by_contradiction: text(&finding.details, "why") == Some("contradiction"),
        }),
        Action::Clear(cleared) => Some(Change {
            payment,
            kind: cleared.kind.clone(),
            raised: false,
            late_window: false,
            by_contradiction: false,
        }),
        _ => None,
    }
}

impl Rules for Heard<'_> {
    fn descriptors(&self) -> &[Descriptor] {
        self.rules.descriptors()
    }

    fn process(&mut self, rule: usize, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        self.rules.process(rule, batch, answer)?;
        match rule {
            CORRELATE => self.correlate(batch, answer),
            COMPENSATE => self.compensate(batch, answer),
            _ => {}
        }
        Ok(())
    }

    fn migrate(&mut self, rule: usize, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        self.rules.migrate(rule, version, state)
    }
}

/// Commands and cancellations in order, then what is unresolved; and what each terminal's findings did.
pub(crate) fn engine(
    payments: &[Payment],
    arrivals: &[Arrival],
    settings: &str,
    end: i64,
) -> Result<(Vec<Line>, BTreeMap<u8, Changes>), TestCaseError> {
    let ids = ["correlate-payment", "compensate"].map(str::to_owned);
    let settings = serde_json::from_str(settings).expect("settings are JSON");
    let setup = Setup {
        rules: Some(ids.to_vec()),
        settings: BTreeMap::from([(ids[CORRELATE].clone(), settings)]),
        ..Setup::default()
    };
    let rules = NativeRules::new(&setup);
    let settings = Arc::new(Settings::default());
    let mut partition = Partition::new(0, settings, rules.descriptors()).expect("two rules fit");
    let mut heard = Heard { rules, payments, changes: BTreeMap::new(), unresolved: Vec::new(), failed: Vec::new() };
    let mut out = Vec::new();
    partition.step(&mut records(payments, arrivals, end), &mut heard, &mut out).expect("nothing stalls");
    if let Some(reason) = heard.failed.first() {
        return Err(TestCaseError::fail(format!("a visit failed: {reason}")));
    }
    let mut lines: Vec<Line> =
        out.into_iter().filter_map(|output| line(payments, output).transpose()).collect::<Result<_, _>>()?;
    lines.append(&mut heard.unresolved);
    Ok((lines, heard.changes))
}

fn line(payments: &[Payment], output: Output) -> Result<Option<Line>, TestCaseError> {
    let at = output.time;
    let (txn, said) = match output.data {
        Data::Command(command) => {
            if command.not_before != at {
                return Err(TestCaseError::fail(format!("not to be carried out at once: {command:?}")));
            }
            let guide = text(&command.details, "guide").map(str::to_owned);
            let said = Said::Command {
                command: command.command.as_str().to_owned(),
                kind: command.kind,
                target: command.target,
                expires_at: command.expires_at,
                attempt: command.attempt,
                max_attempts: command.max_attempts,
                preconditions: command.preconditions,
                guide,
            };
            (command.txn, said)
        }
        Data::Cancelled(cancelled) => {
            let said = Said::Cancelled {
                command: cancelled.command.as_str().to_owned(),
                kind: cancelled.kind,
                reason: cancelled.reason,
                cleared_by: cancelled.cleared_by,
            };
            (cancelled.txn, said)
        }
        Data::DeadLetter(letter) => return Err(TestCaseError::fail(format!("a dead letter: {letter:?}"))),
        Data::Raised(_)
        | Data::Updated(_)
        | Data::Cleared(..)
        | Data::Evidence(_)
        | Data::Told(_)
        | Data::Incident(_) => return Ok(None),
    };
    let txn = txn.ok_or_else(|| TestCaseError::fail(format!("about no payment: {said:?}")))?;
    Ok(Some(Line { at, payment: number(payments, &txn), said }))
}
