//! The core in this process, over rules of whatever make: cut, crashed, shuffled and spread.
//!
//! Owns the ways in which the same input may reach the core; each must give the same outputs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tillwatch_core::{
    Instant,
    cloudevents::{Decoder, encode_line},
    limits::Limits,
    log::{Changes, PartitionId, Position, Tick},
    output::{Id, Output},
    partition::{Body, Partition, Record, Settings, SilentSource},
    rules::Rules,
    stage::{Passed, Stage},
};

use super::{Case, Engine, Setup};

pub(super) const TOPIC: &str = "pos.events";
const DRAIN_MS: i64 = 3_600_000;

/// A way for the records to reach the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In batches of so many records; 0 for all at once.
    Batches(usize),
    /// With a crash after each so many records: only what the changelog and the position keep goes on.
    Crashing(usize),
    /// In another order of arrival that the lateness allows.
    Shuffled(u64),
    /// Terminals spread over so many partitions.
    Spread(u32),
}

/// Makes the rules of a case.
pub type Make<'a> = Box<dyn FnMut(&Setup) -> Box<dyn Rules> + 'a>;

/// The core in this process.
pub struct InProcess<'a> {
    /// What the rules are made of.
    pub of: &'static str,
    /// How the records come.
    pub way: Way,
    /// Makes the rules.
    pub make: Make<'a>,
}

impl Engine for InProcess<'_> {
    fn name(&self) -> String {
        format!("{} {:?}", self.of, self.way)
    }

    fn ordered(&self) -> bool {
        matches!(self.way, Way::Batches(_) | Way::Crashing(_))
    }

    fn run(&mut self, case: &Case) -> Vec<String> {
        let settings = settings(&case.setup);
        let mut rules = (self.make)(&case.setup);
        self.way.outputs(&settings, rules.as_mut(), records(case, &settings))
    }
}

impl Way {
    /// What comes of the records in this way, as `replay` writes it.
    #[must_use]
    pub fn outputs(self, settings: &Arc<Settings>, rules: &mut dyn Rules, mut records: Vec<Record>) -> Vec<String> {
        let out = match self {
            Self::Batches(size) => straight(0, settings, rules, &records, size),
            Self::Crashing(every) => crashing(settings, rules, &records, every),
            Self::Shuffled(seed) => {
                shuffle(&mut records, i64::from(settings.limits.lateness_ms), seed);
                straight(0, settings, rules, &records, 0)
            }
            Self::Spread(partitions) => (0..partitions)
                .flat_map(|partition| {
                    let mine: Vec<Record> =
                        records.iter().filter(|record| lies_in(record, partition, partitions)).cloned().collect();
                    let id = PartitionId::try_from(partition).expect("few partitions");
                    straight(id, settings, rules, &mine, 0)
                })
                .collect(),
        };
        out.iter().map(|output| encode_line(output, output.data.topic().name())).collect()
    }
}

pub(super) fn settings(setup: &Setup) -> Arc<Settings> {
    let silent = |(prefix, silent_ms): (&String, &u32)| SilentSource { prefix: prefix.clone(), silent_ms: *silent_ms };
    Arc::new(Settings {
        limits: Limits::default(),
        topic: TOPIC.to_owned(),
        stage: if setup.second { Stage::Second } else { Stage::First },
        silent_sources: setup.silent_sources.iter().map(silent).collect(),
        ..Settings::default()
    })
}

/// The case's records, with the ticks of the time that runs on behind them. In the second stage watermarks are that time, and stand between the
/// records too, as often as a partition of the first stage tells how far it has come.
pub(super) fn records(case: &Case, settings: &Settings) -> Vec<Record> {
    let mut decoder = Decoder::of(settings.stage, TOPIC, &settings.limits);
    let mut records: Vec<Record> = Vec::new();
    let every = i64::from(settings.limits.tick_every_ms);
    let mut now = i64::MIN;
    let mut told = None;
    let time = |at: Instant| match settings.stage {
        Stage::First => Body::Tick(Tick { blind: None }),
        Stage::Second => Body::Passed(Passed { input: 0, inputs: 1, at }),
    };
    for line in &case.input {
        let mut record = decoder.decode_line(records.len() as u64, line);
        if settings.stage == Stage::Second && record.ingest >= told.map_or(record.ingest, |told: Instant| told + every)
        {
            records.push(Record { offset: record.offset, ingest: record.ingest, body: time(record.ingest) });
            told = Some(record.ingest);
            record.offset += 1;
        }
        now = now.max(record.ingest);
        records.push(record);
    }
    let end = case.setup.until_ms.map_or(now + DRAIN_MS, |until| case.start() + until);
    assert!(end >= now, "{}: until_ms lies before its last record", case.name);
    while now < end {
        now = (now + every).min(end);
        let offset = i64::try_from(records.len()).expect("few records");
        records.push(Record { offset, ingest: now, body: time(now) });
    }
    records
}

fn partition(id: PartitionId, settings: &Arc<Settings>, rules: &dyn Rules) -> Partition {
    Partition::new(id, Arc::clone(settings), rules.descriptors()).expect("the rules fit")
}

fn straight(
    id: PartitionId,
    settings: &Arc<Settings>,
    rules: &mut dyn Rules,
    records: &[Record],
    size: usize,
) -> Vec<Output> {
    let mut partition = partition(id, settings, rules);
    let mut out = Vec::new();
    for chunk in records.chunks(if size == 0 { records.len().max(1) } else { size }) {
        partition.step(&mut chunk.to_vec(), rules, &mut out).expect("no stall");
    }
    out
}

fn crashing(settings: &Arc<Settings>, rules: &mut dyn Rules, records: &[Record], every: usize) -> Vec<Output> {
    let mut kept: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut waiting: VecDeque<Record> = VecDeque::new();
    let mut position: Option<Position> = None;
    let mut out = Vec::new();
    for chunk in records.chunks(every) {
        let mut partition = partition(0, settings, rules);
        for (key, value) in &kept {
            partition.load(key, Some(value)).expect("what was written loads");
        }
        let from = partition.resume(position, rules).expect("no migration is needed").unwrap_or(0);
        assert!(position.is_none_or(|position| from >= position.low), "what is read again was kept");
        waiting.extend(chunk.iter().cloned());
        let mut batch: Vec<Record> = waiting.iter().filter(|record| record.offset >= from).cloned().collect();
        partition.step(&mut batch, rules, &mut out).expect("no stall");
        let mut changes = Changes::default();
        partition.changes(&mut changes);
        for (key, value) in changes.pairs() {
            match value {
                Some(value) => kept.insert(key, value),
                None => kept.remove(&key),
            };
        }
        let reached = partition.position();
        while waiting.front().is_some_and(|record| record.offset < reached.low) {
            waiting.pop_front();
        }
        position = Some(reached);
    }
    out
}

pub(super) fn lies_in(record: &Record, partition: u32, partitions: u32) -> bool {
    match &record.body {
        Body::Tick(_) | Body::Passed(_) | Body::LeftOut(_) => true,
        Body::Unreadable(_) => partition == 0,
        Body::Event(event) => {
            let hash = Id::of(&[event.key().as_bytes()]);
            let hash = hash.as_str().bytes().take(7).fold(0, |sum, letter| sum * 16 + u32::from(letter - b'a'));
            hash % partitions == partition
        }
    }
}

/// What arrival decides of an event: its place in the order, and whether it is late. None for a record that must stay where it is.
fn arrivals(records: &[Record], lateness: i64) -> Vec<Option<(String, String, Instant, bool)>> {
    let mut ingest = Instant::MIN;
    let mut seen: Vec<_> = records
        .iter()
        .map(|record| {
            ingest = ingest.max(record.ingest);
            let Body::Event(event) = &record.body else { return None };
            let time = event.time().unwrap_or(record.ingest);
            let effective = time.clamp(ingest - lateness, ingest);
            Some((event.source().to_owned(), event.id().to_owned(), effective, time < ingest - lateness))
        })
        .collect();
    seen.sort();
    seen
}

/// Swaps neighbours where that leaves every event's effective time and lateness as they are.
fn shuffle(records: &mut [Record], lateness: i64, seed: u64) {
    let wanted = arrivals(records, lateness);
    let events = records.iter().rposition(|record| matches!(record.body, Body::Event(_))).unwrap_or(0);
    let mut state = seed | 1;
    for _ in 0..events * 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).expect("31 bits") % events;
        let movable = |record: &Record| matches!(record.body, Body::Event(_));
        if movable(&records[at]) && movable(&records[at + 1]) {
            records.swap(at, at + 1);
            if arrivals(records, lateness) != wanted {
                records.swap(at, at + 1);
            }
        }
    }
    for (offset, record) in (0..).zip(records) {
        record.offset = offset;
    }
}
