//! What the tests on a real Apache Kafka share: where it is, topics of their own, a small driver.
//!
//! `TILLWATCH_KAFKA=host:port` says where. `cargo xtask test` starts one, or skips and counts the tests whose name contains `on_kafka`.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    metadata::MetadataPartition,
};
use tillwatch_core::log::{Changes, Commit, Log, Message, PartitionId, Polled, Position, Topic};
use tillwatch_kafka::{
    Config, KafkaLog,
    admin::{self, Wanted},
    produce::Producer,
    read,
};

/// How often a test polls, 100 ms each, before it says that nothing came.
const POLLS_MAX: usize = 600;

/// How long one question to the broker may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The address of the broker.
#[allow(clippy::disallowed_methods, reason = "tests are told by their environment where the broker is")]
fn broker() -> String {
    std::env::var("TILLWATCH_KAFKA").unwrap_or_else(|_| {
        panic!("this test needs an Apache Kafka: run it by `cargo xtask test`, or set TILLWATCH_KAFKA=host:port of one that runs")
    })
}

/// A configuration with names of its own; no topics yet.
pub fn names(test: &str, slot: &str) -> Config {
    let unique = format!("{test}-{:016x}", RandomState::new().build_hasher().finish());
    let mut config = Config::new(vec![broker()], unique.clone(), slot);
    config.input = format!("{unique}.events");
    config.changelog = format!("{unique}.changelog");
    let outputs = &mut config.outputs;
    for (name, topic) in [
        (&mut outputs.findings, "findings"),
        (&mut outputs.commands, "commands"),
        (&mut outputs.evidence, "evidence"),
        (&mut outputs.incidents, "incidents"),
        (&mut outputs.dead_letters, "dead-letters"),
        (&mut outputs.shadow, "shadow"),
    ] {
        *name = format!("{unique}.{topic}");
    }
    config
}

/// What one broker can give.
pub fn wanted(partitions: i32) -> Wanted {
    Wanted { partitions, replication: 1, min_insync: 1 }
}

/// A configuration with topics of its own.
pub fn topics(test: &str, slot: &str, partitions: i32) -> Config {
    let config = names(test, slot);
    let made = admin::create(&config, &wanted(partitions)).expect("topics");
    assert_eq!(made.len(), 8);
    config
}

/// The same deployment, another worker.
pub fn other(config: &Config, slot: &str) -> Config {
    Config { slot: slot.to_owned(), ..config.clone() }
}

/// Puts `count` records of many terminals into the input.
pub fn fill(config: &Config, from: usize, count: usize) {
    let mut producer = Producer::open(config).expect("producer");
    for number in from..from + count {
        let key = format!("T{:03}", number % 50);
        producer
            .send(&config.input, &key, &[("n", &number.to_string())], number.to_string().as_bytes(), None)
            .expect("sent");
    }
    producer.flush(Duration::from_secs(30)).expect("flushed");
}

/// One record that was polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: PartitionId,
    pub offset: i64,
    pub ingest: i64,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Polls once.
pub fn poll(log: &mut KafkaLog, seen: &mut Vec<Seen>) -> Polled {
    log.poll(Duration::from_millis(100), 1000, &mut |partition, record| {
        seen.push(Seen {
            partition,
            offset: record.offset,
            ingest: record.ingest,
            value: record.value.unwrap_or_default().to_vec(),
            headers: record.headers.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect(),
        });
    })
    .expect("polled")
}

/// Polls until `done`.
pub fn until(log: &mut KafkaLog, seen: &mut Vec<Seen>, mut done: impl FnMut(&Polled, &[Seen]) -> bool) -> Polled {
    for _ in 0..POLLS_MAX {
        let polled = poll(log, seen);
        if done(&polled, seen) {
            return polled;
        }
    }
    panic!("nothing came in {POLLS_MAX} polls; seen are {} records", seen.len());
}

/// What a partition was restored to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub position: Option<Position>,
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Restores one partition.
pub fn restore(log: &mut KafkaLog, partition: PartitionId) -> Restored {
    let mut changes = Vec::new();
    let mut reports = Vec::new();
    let position = log
        .restore(partition, &mut |key, value| changes.push((key.to_vec(), value.map(<[u8]>::to_vec))), &mut |report| {
            reports.push((report.read, report.total))
        })
        .expect("restored");
    let (read, total) = *reports.last().expect("progress is told");
    assert_eq!(read, total);
    Restored { position, changes }
}

/// Polls until partitions are assigned, restores and starts them.
pub fn join(log: &mut KafkaLog) -> Vec<(PartitionId, Restored)> {
    let mut seen = Vec::new();
    let polled = until(log, &mut seen, |polled, _| matches!(polled, Polled::Assigned(_)));
    let Polled::Assigned(partitions) = polled else { panic!("assigned") };
    partitions
        .into_iter()
        .map(|partition| {
            let restored = restore(log, partition);
            log.start(partition, restored.position.map(|position| position.low)).expect("started");
            (partition, restored)
        })
        .collect()
}

/// A worker that has joined, and what its partitions were restored to.
pub fn joined(config: &Config) -> (KafkaLog, Vec<(PartitionId, Restored)>) {
    let mut log = KafkaLog::connect(config).expect("connected");
    let restored = join(&mut log);
    (log, restored)
}

/// A position with nothing waiting.
pub fn at(offset: i64) -> Position {
    Position { low: offset, ingest_low: 1_000, high: offset, ingest_high: 1_000, floor: i64::MIN, floor_from: 0 }
}

/// A finding's record.
pub fn finding(key: &str, value: &str) -> Message {
    Message {
        topic: Topic::Findings,
        key: key.to_owned(),
        headers: vec![("ce_type", "pos.finding.raised".to_owned())],
        value: value.as_bytes().to_vec(),
    }
}

/// Changed keys.
pub fn changes<const N: usize>(pairs: [(&str, Option<&str>); N]) -> Changes {
    pairs.into_iter().collect()
}

/// A commit with one finding and one changed key.
pub fn commit(partition: PartitionId, offset: i64, text: &str) -> Commit {
    Commit {
        partition,
        position: at(offset),
        messages: vec![finding(text, text)],
        changes: changes([(&format!("key-{text}"), Some(text))]),
        passed: None,
    }
}

/// The committed values of a topic, sorted, once every transaction in it has ended: the broker acknowledges a commit before it
/// has marked the partitions.
pub fn committed(config: &Config, topic: &str) -> Vec<String> {
    settle(config, topic);
    let mut values = Vec::new();
    read::read_range(config, topic, None, None, &mut |_, record| {
        values.push(String::from_utf8(record.value.unwrap_or_default().to_vec()).expect("text"));
    })
    .expect("read");
    values.sort();
    values
}

/// Waits until the last stable offset of every partition is its end.
fn settle(config: &Config, topic: &str) {
    let reader = |isolation: &str| -> BaseConsumer {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", config.brokers.join(",")).set("isolation.level", isolation);
        client.create().expect("a reader")
    };
    let (stable, all) = (reader("read_committed"), reader("read_uncommitted"));
    let metadata = all.fetch_metadata(Some(topic), ANSWER_TIME_MAX).expect("metadata");
    let mut open: Vec<_> = metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect();
    let end = |reader: &BaseConsumer, id| reader.fetch_watermarks(topic, id, ANSWER_TIME_MAX).expect("watermarks").1;
    for _ in 0..POLLS_MAX {
        open.retain(|id| end(&stable, *id) < end(&all, *id));
        if open.is_empty() {
            return;
        }
        assert!(all.poll(Duration::from_millis(100)).is_none(), "nothing is assigned");
    }
    panic!("transactions in {topic} are still open after {POLLS_MAX} polls, in partitions {open:?}");
}
