//! Any bytes as a snapshot or as changelog records: refused with a reason, or a partition that works on and restores to itself.
//!
//! The first byte says which. A changelog begins with a position (six numbers); each record is the length of its key (one byte), that of
//! its value (two, all ones for a tombstone), key and value.

use std::sync::{Arc, LazyLock};

use tillwatch_core::{
    Instant,
    cloudevents::Decoder,
    log::{Changes, Position, RawRecord, Tick},
    output::Output,
    partition::{Body, Partition, Record, Settings, SilentSource},
    rules::{
        Action, Answer, Batch, Change, Cleared, Command, Descriptor, Finding, Rules, Scope, Severity, Stalled, Trigger,
        Verdict, Wake,
    },
};

const NUMBER: usize = 8;
const TOMBSTONE: u16 = u16::MAX;
/// When the records that follow were taken in.
const INGEST: Instant = 1_795_339_801_310;

/// Loads the bytes and goes on from there.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut rules = Follow::new();
    let mut partition = fresh(&rules);
    let from = if kind & 1 == 0 {
        partition.restore(rest, &mut rules).inspect_err(|reason| assert!(!reason.is_empty())).ok()
    } else {
        changelog(&mut partition, rest, &mut rules)
    };
    let Some(from) = from else { return };
    stays(&partition, &mut rules);
    let mut out: Vec<Output> = Vec::new();
    for mut batch in records(from) {
        partition.step(&mut batch, &mut rules, &mut out).expect("nothing stalls");
        partition.changes(&mut Changes::default());
        assert!(!partition.dirty(), "all that changed was given");
        stays(&partition, &mut rules);
    }
}

pub(crate) fn fresh(rules: &Follow) -> Partition {
    static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| {
        let silent_sources = vec![SilentSource { prefix: "/r/".to_owned(), silent_ms: 60_000 }];
        Arc::new(Settings { silent_sources, topic: "pos.events".to_owned(), ..Settings::default() })
    });
    Partition::new(0, Arc::clone(&SETTINGS), rules.descriptors()).expect("the rules fit")
}

/// Loads changelog records; gives where reading goes on, none where something is refused.
fn changelog(partition: &mut Partition, bytes: &[u8], rules: &mut Follow) -> Option<i64> {
    let (numbers, mut rest) = bytes.split_at_checked(6 * NUMBER)?;
    let mut numbers = numbers.as_chunks::<NUMBER>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
    let mut number = || numbers.next().unwrap_or_default();
    let position = Position {
        low: number(),
        ingest_low: number(),
        high: number(),
        ingest_high: number(),
        floor: number(),
        floor_from: number(),
    };
    // A log hands out no other position: `stored` holds what reads them.
    if !position.is_sound() {
        return None;
    }
    while let Some((&[key, low, high], tail)) = rest.split_first_chunk::<3>() {
        let (key, tail) = tail.split_at_checked(usize::from(key))?;
        let length = u16::from_le_bytes([low, high]);
        let (value, tail) = match length {
            TOMBSTONE => (None, tail),
            length => tail.split_at_checked(usize::from(length)).map(|(value, tail)| (Some(value), tail))?,
        };
        if let Err(error) = partition.load(key, value) {
            assert!(error.to_string().contains("changelog record"), "{error}");
            return None;
        }
        rest = tail;
    }
    partition.resume(Some(position), rules).ok().flatten()
}

/// A snapshot restores to what it was taken of.
fn stays(partition: &Partition, rules: &mut Follow) {
    let snapshot = partition.snapshot();
    let mut again = fresh(rules);
    let from = again.restore(&snapshot, rules).expect("a snapshot can be restored");
    assert_eq!(from, partition.position().low);
    assert_eq!(again.snapshot(), snapshot, "restored to something else");
}

/// An event, time, a second event and more time: what waits is handed out, what is due fires.
fn records(from: i64) -> [Vec<Record>; 3] {
    let event = |offset: i64, id: &str, ingest: Instant| {
        let headers: [(&str, &[u8]); 5] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id.as_bytes()),
            ("ce_source", b"/r/t/T1"),
            ("ce_type", b"pos.payment.authorize"),
            ("ce_subject", b"A01:M1:T1:1:7"),
        ];
        let raw = RawRecord { offset, ingest, key: Some(b"T1"), value: Some(b"{\"amount\":5}"), headers: &headers };
        Decoder::new("pos.events", &Settings::default().limits).decode(0, raw)
    };
    let tick = |offset: i64, ingest: Instant| Record { offset, ingest, body: Body::Tick(Tick { blind: None }) };
    let day = 86_400_000;
    [
        vec![event(from, "e1", INGEST), tick(from + 1, INGEST + 1_000)],
        vec![event(from + 2, "e2", INGEST + 2_000), tick(from + 3, INGEST + 60_000)],
        vec![tick(from + 4, INGEST + day), tick(from + 5, INGEST + 30 * day)],
    ]
}

/// Rules with the ids of the built-in ones that raise, command and clear, and take any state.
pub(crate) struct Follow(Vec<Descriptor>);

impl Follow {
    pub(crate) fn new() -> Self {
        let rule = |id: &str, key: Scope, event: &str, capability: &str| Descriptor {
            id: id.to_owned(),
            version: "1.0.0".to_owned(),
            key,
            state_version: 1,
            events: vec![event.to_owned()],
            fields: Vec::new(),
            capabilities: vec![capability.to_owned()],
        };
        Self(vec![
            rule("correlate-payment", Scope::Payment, "pos.payment.authorize", "finding:no-answer"),
            rule("compensate", Scope::Terminal, "pos.finding.raised", "command:reprint"),
        ])
    }
}

impl Rules for Follow {
    fn descriptors(&self) -> &[Descriptor] {
        &self.0
    }

    fn process(&mut self, rule: usize, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        for (number, visit) in (0_u32..).zip(&batch.visits) {
            let timer = visit.trigger == Trigger::Timer;
            let action = match (rule, timer) {
                (0, false) => Action::Raise(raised()),
                (0, true) => Action::Clear(Cleared {
                    kind: "no-answer".to_owned(),
                    scope: None,
                    resolution: "mended".to_owned(),
                    after_ms: 1,
                }),
                _ => Action::Command(command(visit.at)),
            };
            answer.verdicts.actions.push((number, action));
            let verdict = if timer {
                Verdict { state: Change::Clear, wake: Wake::Never }
            } else {
                answer.verdicts.states.push(b'+');
                Verdict { state: Change::Put(1), wake: Wake::At(visit.at + 1_000) }
            };
            answer.verdicts.verdicts.push(verdict);
        }
        Ok(())
    }

    fn migrate(&mut self, _rule: usize, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        if version > 9 { Err("too new".to_owned()) } else { Ok(state.to_vec()) }
    }
}

fn raised() -> Finding {
    Finding {
        kind: "no-answer".to_owned(),
        severity: Severity::Critical,
        generation: 1,
        scope: None,
        deadline: None,
        amount: None,
        currency: None,
        broke_at: None,
        evidence: Vec::new(),
        details: Vec::new(),
    }
}

fn command(at: Instant) -> Command {
    Command {
        kind: "reprint".to_owned(),
        target: "terminal:T1".to_owned(),
        txn: None,
        rail: None,
        finding: None,
        cause: None,
        evidence: Vec::new(),
        not_before: at,
        expires_at: at + 90_000,
        preconditions: Vec::new(),
        chain: 1,
        attempt: 1,
        max_attempts: 1,
        details: Vec::new(),
    }
}
