//! A commit that is larger than one record may be, of a real partition, on a real Apache Kafka.

use tillwatch_core::{
    cloudevents::Decoder,
    limits::Limits,
    log::{Changes, Commit, Committed, Log as _, RawRecord, Tick},
    partition::{Body, Partition, Record, Settings},
    rules::{Answer, Batch, Descriptor, RuleIndex, Rules, Stalled},
};

use crate::support::{fill, joined, topics};

/// As one record their hashes would be more than the mebibyte that a broker takes.
const EVENTS: i64 = 70_000;

/// The events' own instant, 2027-01-15T08:00:00Z.
const AT: i64 = 1_800_000_000_000;

/// How long time goes on after them: all of them are due.
const AFTER_MS: i64 = 60_000;

/// No rule: what is remembered of events is the partition's own.
struct NoRules;

impl Rules for NoRules {
    fn descriptors(&self) -> &[Descriptor] {
        &[]
    }

    fn process(&mut self, _: RuleIndex, _: &Batch, _: &mut Answer) -> Result<(), Stalled> {
        unreachable!("there is no rule to visit")
    }

    fn migrate(&mut self, _: RuleIndex, _: u32, _: &[u8]) -> Result<Vec<u8>, String> {
        unreachable!("there is no state to take over")
    }
}

fn partition() -> Partition {
    Partition::new(0, Settings::default().into(), NoRules.descriptors()).expect("no rules fit together")
}

/// The events, taken in from an offset and an instant on, and time that makes them due.
fn events(from: i64, ingest: i64) -> Vec<Record> {
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let event = |number: i64| {
        let value = format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"/t/T1","type":"pos.payment.confirm","time":"2027-01-15T08:00:00Z","partitionkey":"T1","subject":"A1:M1:O{number}","datacontenttype":"application/json","data":{{}}}}"#
        );
        let (key, value) = (Some(&b"T1"[..]), Some(value.as_bytes()));
        decoder.decode(0, RawRecord { offset: from + number, ingest, key, value, headers: &[] })
    };
    let mut records: Vec<_> = (0..EVENTS).map(event).collect();
    records.push(Record { offset: from + EVENTS, ingest: ingest + AFTER_MS, body: Body::Tick(Tick { blind: None }) });
    records
}

/// Events and duplicates that the partition has seen after them.
fn step(partition: &mut Partition, from: i64, ingest: i64) -> (u64, u64) {
    partition.step(&mut events(from, ingest), &mut NoRules, &mut Vec::new()).expect("no stall");
    (partition.counters().events, partition.counters().duplicates)
}

#[test]
fn what_one_commit_remembers_of_many_events_is_taken_and_comes_back() {
    let config = topics("large", "w0", 1);
    fill(&config, 0, 1);
    let (mut log, _) = joined(&config);
    let mut first = partition();
    let all = EVENTS.unsigned_abs();
    assert_eq!(step(&mut first, 0, AT), (all, 0));
    let mut changes = Changes::default();
    first.changes(&mut changes);
    let bytes: usize = changes.iter().map(|(_, value)| value.map_or(0, <[u8]>::len)).sum();
    assert!(bytes > 1 << 20, "{bytes} bytes would be taken as one record");
    let commit = Commit { partition: 0, position: first.position(), messages: Vec::new(), changes, passed: None };
    assert_eq!(log.commit(&[commit]), Ok(Committed::Done));
    log.close().expect("closed");

    let (_, restored) = joined(&config).1.remove(0);
    let mut second = partition();
    for (key, value) in &restored.changes {
        second.load(key, value.as_deref()).expect("what was written loads");
    }
    second.resume(restored.position, &mut NoRules).expect("no rule refuses");
    assert_eq!(step(&mut second, EVENTS + 1, AT + AFTER_MS), (0, all), "each is known");
}
