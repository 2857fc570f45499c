//! The engine with plain Rust rules: the same outputs however the records are cut, crashed, restored and spread over partitions.

mod evidence;
mod exact;
mod limits;
mod second;
mod time;
mod watching;

use std::{collections::BTreeMap, sync::Arc};

use tillwatch_wit::{
    contract::{
        Action, Batch, Change, Cleared, Command, Descriptor, Finding, Instant, Scope, Severity, Trigger, Verdict,
        Visit, Wake,
    },
    table::{FieldId, TypeId},
};

use super::{Body, Partition, Record, Settings};
use crate::{
    event::{Event, EventBuilder},
    limits::Limits,
    log::Changes,
    output::{Data, Output},
    rules::{Answer, Rules, Stalled},
};

/// What a scripted rule decides in one visit.
pub(super) struct Decision {
    pub(super) state: Option<Vec<u8>>,
    pub(super) wake: Wake,
    pub(super) actions: Vec<Action>,
}

/// What a scripted rule sees: visit, state, key, fields.
pub(super) type Script = fn(&Visit, &[u8], &str, &[&[u8]]) -> Result<Decision, String>;

pub(super) struct Scripted {
    descriptors: Vec<Descriptor>,
    scripts: Vec<Script>,
}

impl Rules for Scripted {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn process(&mut self, rule: usize, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        let fields = self.descriptors[rule].fields.len();
        let mut keys = std::collections::BTreeSet::new();
        for (index, visit) in batch.visits.iter().enumerate() {
            let pieces: Vec<&[u8]> = (0..fields + 2).map(|piece| batch.piece(index, fields + 2, piece)).collect();
            let key = std::str::from_utf8(pieces[1]).expect("a key is text");
            let terminal =
                if self.descriptors[rule].key == Scope::Payment { key.split(':').nth(2).unwrap_or(key) } else { key };
            assert!(keys.insert(terminal.to_owned()), "visits of one call have distinct terminals: {key}");
            let number = u32::try_from(index).expect("small");
            match self.scripts[rule](visit, pieces[0], key, &pieces[2..]) {
                Ok(decision) => {
                    let state = match decision.state {
                        None => Change::Keep,
                        Some(state) if state.is_empty() => Change::Clear,
                        Some(state) => {
                            answer.verdicts.states.extend_from_slice(&state);
                            Change::Put(u32::try_from(state.len()).expect("small"))
                        }
                    };
                    answer.verdicts.verdicts.push(Verdict { state, wake: decision.wake });
                    answer.verdicts.actions.extend(decision.actions.into_iter().map(|action| (number, action)));
                }
                Err(reason) => {
                    answer.verdicts.verdicts.push(Verdict { state: Change::Fail(reason), wake: Wake::Keep });
                }
            }
        }
        Ok(())
    }

    fn migrate(&mut self, _rule: usize, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        if version == 7 { Err("seven is refused".to_owned()) } else { Ok([b"migrated:", state].concat()) }
    }
}

pub(super) fn descriptor(id: &str, key: Scope, events: &[&str], fields: &[&str], capabilities: &[&str]) -> Descriptor {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Descriptor {
        id: id.to_owned(),
        version: "1.0.0".to_owned(),
        key,
        state_version: 1,
        events: texts(events),
        fields: texts(fields),
        capabilities: texts(capabilities),
    }
}

pub(super) fn finding(kind: &str, deadline: Instant) -> Finding {
    Finding {
        kind: kind.to_owned(),
        severity: Severity::Critical,
        generation: 1,
        scope: None,
        deadline: Some(deadline),
        amount: Some(100),
        currency: Some("CNY".to_owned()),
        broke_at: None,
        evidence: Vec::new(),
        details: Vec::new(),
    }
}

/// "A, then no B": authorize opens a window of a second, response closes it; a late response clears. `bomb` as outcome faults.
fn absence(visit: &Visit, state: &[u8], _key: &str, fields: &[&[u8]]) -> Result<Decision, String> {
    let open = state.first() == Some(&1);
    let mut decision = Decision { state: None, wake: Wake::Keep, actions: Vec::new() };
    match visit.trigger {
        Trigger::Event(0) if state.is_empty() => {
            decision.state = Some([&[0], &visit.at.to_le_bytes()[..]].concat());
            decision.wake = Wake::At(visit.at + 1_000);
        }
        Trigger::Event(0) => {}
        Trigger::Event(_) if fields[0] == b"bomb" => return Err("bomb".to_owned()),
        Trigger::Event(_) => {
            decision.state = Some(Vec::new());
            decision.wake = Wake::Never;
            if open {
                decision.actions.push(Action::Clear(Cleared {
                    kind: "no-answer".to_owned(),
                    scope: None,
                    resolution: "mended".to_owned(),
                    after_ms: 1,
                }));
            }
        }
        Trigger::Timer => {
            decision.state = Some([&[1], &visit.at.to_le_bytes()[..]].concat());
            decision.actions.push(Action::Raise(finding("no-answer", visit.at)));
        }
    }
    Ok(decision)
}

/// Answers findings of its terminal with a command each, of class A and B in turn.
fn answering(visit: &Visit, state: &[u8], key: &str, fields: &[&[u8]]) -> Result<Decision, String> {
    let count = state.first().copied().unwrap_or(0);
    let mut decision =
        Decision { state: Some(vec![count.wrapping_add(1).max(1)]), wake: Wake::Keep, actions: Vec::new() };
    if visit.trigger == Trigger::Event(0) {
        decision.actions.push(Action::Command(Command {
            kind: if count % 2 == 0 { "query-status" } else { "flush-pending-reversal" }.to_owned(),
            target: format!("terminal:{key}"),
            txn: Some(String::from_utf8(fields[1].to_vec()).expect("text")),
            rail: Some("card".to_owned()),
            finding: Some(String::from_utf8(fields[0].to_vec()).expect("text")),
            cause: None,
            evidence: Vec::new(),
            not_before: visit.at,
            expires_at: visit.at + 60_000,
            preconditions: Vec::new(),
            chain: 1,
            attempt: 1,
            max_attempts: 1,
            details: Vec::new(),
        }));
        decision.wake = Wake::At(visit.at + 700);
    }
    Ok(decision)
}

pub(super) fn pair() -> Scripted {
    Scripted {
        descriptors: vec![
            descriptor(
                "absence",
                Scope::Payment,
                &["pos.payment.authorize", "pos.payment.response"],
                &["outcome"],
                &["finding:no-answer"],
            ),
            descriptor(
                "answering",
                Scope::Terminal,
                &["pos.finding.raised", "pos.finding.cleared"],
                &["finding", "txn"],
                &["command:query-status", "command:flush-pending-reversal"],
            ),
        ],
        scripts: vec![absence, answering],
    }
}

/// An event of a terminal; `about` is the payment's number.
pub(super) fn event(kind: &str, id: &str, terminal: &str, about: u32, time: Instant, outcome: &str) -> Event {
    let mut event = EventBuilder::new(format!("{id} as it came").as_bytes());
    event.set_type(TypeId::by_name(kind));
    event.set_time(time);
    event.push(FieldId::ID, id.as_bytes());
    event.push(FieldId::SOURCE, format!("/r/x/s/S1/t/{terminal}").as_bytes());
    event.push(FieldId::SUBJECT, format!("A:M:{terminal}:1:{about}").as_bytes());
    event.push(FieldId::PARTITIONKEY, terminal.as_bytes());
    event.push(FieldId::OUTCOME, outcome.as_bytes());
    event.build()
}

pub(super) fn record(offset: i64, ingest: Instant, event: Event) -> Record {
    Record { offset, ingest, body: Body::Event(event) }
}

pub(super) fn tick(offset: i64, ingest: Instant) -> Record {
    Record { offset, ingest, body: Body::Tick(crate::log::Tick { blind: None }) }
}

pub(super) fn settings(limits: Limits) -> Arc<Settings> {
    Arc::new(Settings { limits, topic: "pos.events".to_owned(), ..Settings::default() })
}

pub(super) fn partition(settings: &Arc<Settings>, rules: &Scripted) -> Partition {
    Partition::new(0, Arc::clone(settings), rules.descriptors()).expect("the rules fit")
}

/// Runs records in batches of a size; 0 for all at once.
pub(super) fn run(settings: &Arc<Settings>, rules: &mut Scripted, records: &[Record], size: usize) -> Vec<Output> {
    let mut partition = partition(settings, rules);
    let mut out = Vec::new();
    for chunk in records.chunks(if size == 0 { records.len().max(1) } else { size }) {
        partition.step(&mut chunk.to_vec(), rules, &mut out).expect("no stall");
    }
    out
}

/// Runs records one by one and crashes after each: what the changelog and the position keep is all that goes on.
pub(super) fn run_crashing(settings: &Arc<Settings>, rules: &mut Scripted, records: &[Record]) -> Vec<Output> {
    let mut log: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    let mut position = None;
    let mut out = Vec::new();
    let end = records.last().map_or(0, |record| record.offset + 1);
    loop {
        let mut partition = partition(settings, rules);
        for (key, value) in &log {
            partition.load(key, value.as_deref()).expect("what was written loads");
        }
        let from = partition.resume(position, rules).expect("no migration").unwrap_or(0);
        let until = position.map_or(0, |position: crate::log::Position| position.high) + 1;
        let mut batch: Vec<Record> =
            records.iter().filter(|record| record.offset >= from && record.offset < until).cloned().collect();
        partition.step(&mut batch, rules, &mut out).expect("no stall");
        let mut changes = Changes::default();
        partition.changes(&mut changes);
        log.extend(changes.pairs());
        position = Some(partition.position());
        if until >= end {
            return out;
        }
    }
}

/// One line an output, for reading.
pub(super) fn brief(out: &[Output]) -> Vec<String> {
    out.iter().zip(kinds(out)).map(|(output, kind)| format!("{} {kind}", output.time - 1_700_000_000_000)).collect()
}

pub(super) fn kinds(out: &[Output]) -> Vec<String> {
    out.iter()
        .map(|output| match &output.data {
            Data::Raised(finding) => format!("raised {} {}", finding.kind, finding.scope),
            Data::Updated(finding) => format!("updated {} {}", finding.kind, finding.scope),
            Data::Cleared(finding, how) => format!("cleared {} {} {}", finding.kind, finding.scope, how.resolution),
            Data::Command(command) => format!("command {} {}", command.kind, command.target),
            Data::Cancelled(cancelled) => format!("cancelled {}", cancelled.kind),
            Data::Evidence(derived) => format!("evidence {}", derived.event),
            Data::Told(told) => format!("told {} {}", told.kind, told.scope),
            Data::Incident(said) => format!("{} {} {}", said.event_type(), said.cause, said.scope),
            Data::DeadLetter(letter) => format!("dead {} {}", letter.code, letter.reason),
        })
        .collect()
}
