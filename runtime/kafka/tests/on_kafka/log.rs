//! The promise of `Log`, on a real Apache Kafka.

use std::time::Duration;

use crate::support::{
    self, at, changes, commit, committed, fill, finding, join, joined, other, poll, restore, topics, until,
};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tillwatch_core::log::{Blind, Commit, Committed, Log as _, LogError, Polled, Position, Tick, Ticked};
use tillwatch_kafka::{Config, KafkaLog, produce::Producer};

/// The broker answers within this time.
const WAIT: Duration = Duration::from_secs(30);

/// How often a test polls, 100 ms each, before it says that something never came to be.
const POLLS_MAX: usize = 300;

#[test]
fn a_commit_is_visible_together_and_comes_back_in_a_restore() {
    let config = topics("together", "w0", 1);
    fill(&config, 0, 3);
    let (mut log, restored) = joined(&config);
    assert_eq!(restored, [(0, support::Restored::default())]);
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.len() == 3);
    assert_eq!(seen.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(seen[2].headers, [("n".to_owned(), b"2".to_vec())]);
    assert!(seen[0].ingest > 1_600_000_000_000, "the broker's time in ms, not {}", seen[0].ingest);
    assert_eq!(committed(&config, &config.outputs.findings), Vec::<String>::new());

    let position = Position {
        low: 1,
        ingest_low: seen[0].ingest,
        high: 3,
        ingest_high: seen[2].ingest,
        floor: i64::MIN,
        floor_from: 3,
    };
    let first = Commit {
        partition: 0,
        position,
        messages: vec![finding("a", "one"), finding("b", "two")],
        changes: changes([("k1", Some("v1")), ("k2", Some("v2"))]),
        passed: None,
    };
    assert_eq!(log.commit(std::slice::from_ref(&first)), Ok(Committed::Done));
    assert_eq!(committed(&config, &config.outputs.findings), ["one", "two"]);
    assert_eq!(log.position(0), Ok(Some(position)));
    let second = Commit { position: at(3), messages: Vec::new(), changes: changes([("k1", None)]), ..first };
    assert_eq!(log.commit(&[second]), Ok(Committed::Done));
    assert_eq!(log.end(0), Some(3));
    log.close().expect("closed");

    let (mut successor, mut restored) = joined(&config);
    let (_, restored) = restored.remove(0);
    assert_eq!(restored.position, Some(at(3)));
    let pair = |key: &str, value: Option<&str>| (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()));
    assert_eq!(restored.changes, [pair("k1", Some("v1")), pair("k2", Some("v2")), pair("k1", None)]);
    fill(&config, 3, 1);
    let mut seen = Vec::new();
    until(&mut successor, &mut seen, |_, seen| !seen.is_empty());
    assert_eq!(seen[0].offset, 3);
}

#[test]
fn a_changelog_that_is_not_of_the_commit_of_the_offset_stops_the_partition() {
    let config = topics("torn", "w0", 1);
    fill(&config, 0, 3);
    let (mut log, _) = joined(&config);
    assert_eq!(log.commit(&[commit(0, 1, "one")]), Ok(Committed::Done));
    log.close().expect("closed");

    let refused = |config: &Config, part: &str| {
        let mut log = KafkaLog::connect(config).expect("connected");
        until(&mut log, &mut Vec::new(), |polled, _| matches!(polled, Polled::Assigned(_)));
        let error = log.restore(0, &mut |_, _| {}, &mut |_| {}).expect_err("the two are not of one commit");
        assert_eq!((error.code, error.retry), ("changelog-torn", false), "{error}");
        assert!(error.what.contains(part), "{error}");
        drop(log.close());
    };
    // Somebody made the topic anew.
    let emptied = topics("torn-emptied", "w0", 1);
    refused(&Config { changelog: emptied.changelog, ..config.clone() }, "it says `nothing`");
    // A later commit whose records were kept, but not its offset.
    let mut producer = Producer::open(&config).expect("producer");
    producer.send(&config.changelog, "\0committed", &[], b"tillwatch/1 2", None).expect("sent");
    producer.flush(WAIT).expect("written");
    refused(&config, "it says `tillwatch/1 2`");
}

#[test]
fn a_transaction_that_is_refused_leaves_nothing_and_the_next_one_works() {
    let config = topics("refused", "w0", 1);
    fill(&config, 0, 1);
    let (mut log, _) = joined(&config);
    let mut large = commit(0, 1, "small");
    // No compression helps it.
    let mut state = 1_u64;
    let text = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", state)
    });
    large.messages.push(finding("large", &text.take(1 << 18).collect::<String>()));
    let error = log.commit(&[large]).expect_err("larger than the topic takes");
    assert_eq!((error.code, error.retry), ("record-too-large", false), "{error}");
    assert_eq!(committed(&config, &config.outputs.findings), Vec::<String>::new());
    assert_eq!(log.position(0), Ok(None));
    assert_eq!(restore(&mut log, 0), support::Restored::default());
    assert_eq!(log.commit(&[commit(0, 1, "next")]), Ok(Committed::Done));
    assert_eq!(committed(&config, &config.outputs.findings), ["next"]);
}

#[test]
fn a_zombie_is_fenced_by_its_successor() {
    let config = topics("zombie", "w0", 1);
    fill(&config, 0, 2);
    let (mut zombie, _) = joined(&config);
    assert_eq!(zombie.commit(&[commit(0, 1, "first")]), Ok(Committed::Done));

    let mut successor = KafkaLog::connect(&config).expect("connected");
    let outcome = zombie.commit(&[commit(0, 2, "zombie")]);
    assert!(matches!(outcome, Ok(Committed::Aborted { .. })), "{outcome:?}");
    let (_, restored) = join(&mut successor).remove(0);
    assert_eq!(restored.position, Some(at(1)));

    // Being fenced from the group may have other reasons, so each joins anew once; the one that is fenced again says what is wrong.
    let fenced = (0..600).find_map(|_| turn(&mut successor).and_then(|()| turn(&mut zombie)).err());
    let fenced = fenced.expect("one learns that there is another");
    assert_eq!((fenced.code, fenced.retry), ("fenced", false), "{fenced}");
    zombie.close().expect("closed");
    let done = (0..600).find(|_| {
        turn(&mut successor).expect("it goes on");
        successor.commit(&[commit(0, 2, "successor")]) == Ok(Committed::Done)
    });
    assert!(done.is_some(), "the successor commits");
    assert_eq!(committed(&config, &config.outputs.findings), ["first", "successor"]);
}

/// Polls once and answers what it says.
fn turn(log: &mut KafkaLog) -> Result<(), LogError> {
    match log.poll(Duration::from_millis(20), 10, &mut |_, _| {})? {
        Polled::Records => {}
        Polled::Assigned(partitions) => {
            for partition in partitions {
                let from = log.restore(partition, &mut |_, _| {}, &mut |_| {})?.map(|position| position.low);
                log.start(partition, from)?;
            }
        }
        Polled::Revoking(partitions) | Polled::Lost(partitions) => log.release(&partitions)?,
    }
    Ok(())
}

#[test]
fn a_dead_workers_open_transaction_is_ended_by_whoever_takes_its_partition() {
    let mut config = topics("held-back", "old", 1);
    // Far longer than this test may take: nobody waits for the broker's time-out.
    config.timeouts.transaction_ms = 600_000;
    fill(&config, 0, 2);
    let (mut old, _) = joined(&config);
    assert_eq!(old.commit(&[commit(0, 1, "kept")]), Ok(Committed::Done));
    old.close().expect("closed");
    let dead = open_transaction(&config);

    let mut new = KafkaLog::connect(&other(&config, "new")).expect("connected");
    let restored = restore(&mut new, 0);
    assert_eq!(restored.position, Some(at(1)));
    assert_eq!(restored.changes, [(b"key-kept".to_vec(), Some(b"kept".to_vec()))]);
    let error = dead.commit_transaction(Duration::from_secs(10)).expect_err("ended by the successor");
    assert!(error.to_string().contains("fence"), "{error}");
    assert_eq!(committed(&config, &config.outputs.findings), ["kept"]);
}

/// What a worker that died in the middle of a commit leaves behind.
fn open_transaction(config: &Config) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", config.brokers.join(","))
        .set("transactional.id", config.transactional_id())
        .set("transaction.timeout.ms", "600000")
        .create()
        .expect("producer");
    let wait = Duration::from_secs(10);
    producer.init_transactions(wait).expect("initialised");
    producer.begin_transaction().expect("begun");
    for topic in [&config.changelog, &config.outputs.findings] {
        producer.send(BaseRecord::to(topic).partition(0).key("lost").payload("lost")).expect("sent");
    }
    producer.flush(wait).expect("written, not committed");
    producer
}

#[test]
fn partitions_move_to_a_second_worker_with_what_was_committed_in_the_revocation() {
    const RECORDS: usize = 400;
    let config = topics("two", "w0", 4);
    fill(&config, 0, RECORDS);
    let (mut first, restored) = joined(&config);
    assert_eq!(restored.len(), 4);
    let mut seen = Vec::new();
    until(&mut first, &mut seen, |_, seen| seen.len() == RECORDS);
    let mut second = KafkaLog::connect(&other(&config, "w1")).expect("connected");

    let mut early = Vec::new();
    let mut revoked = Vec::new();
    let mut moved = Vec::new();
    while moved.len() < 2 {
        if let Polled::Revoking(partitions) = poll(&mut first, &mut seen) {
            let commits: Vec<Commit> = partitions
                .iter()
                .map(|&partition| commit(partition, next(&seen, partition), &format!("revoked-{partition}")))
                .collect();
            assert_eq!(first.commit(&commits), Ok(Committed::Done));
            first.release(&partitions).expect("released");
            revoked.extend(partitions);
        }
        if let Polled::Assigned(partitions) = poll(&mut second, &mut early) {
            for partition in partitions {
                let restored = restore(&mut second, partition);
                assert_eq!(restored.position, Some(at(next(&seen, partition))));
                assert_eq!(restored.changes.len(), 1);
                second.start(partition, restored.position.map(|position| position.low)).expect("started");
                moved.push(partition);
            }
        }
    }
    moved.sort_unstable();
    revoked.sort_unstable();
    assert_eq!(moved, revoked);
    assert_eq!(early, []);

    let late = first.commit(&[commit(moved[0], 1, "late")]).expect("a verdict");
    assert!(matches!(late, Committed::Aborted { .. }), "{late:?}");

    fill(&config, RECORDS, RECORDS);
    let mut theirs = Vec::new();
    while seen.len() + theirs.len() < 2 * RECORDS {
        poll(&mut first, &mut seen);
        poll(&mut second, &mut theirs);
    }
    assert!(theirs.iter().all(|record| moved.contains(&record.partition)));
    for partition in 0..4 {
        let all = seen.iter().chain(&theirs).filter(|record| record.partition == partition);
        assert!(
            all.enumerate().all(|(index, record)| usize::try_from(record.offset) == Ok(index)),
            "each once, in order"
        );
    }
    let findings = committed(&config, &config.outputs.findings);
    assert_eq!(findings, moved.iter().map(|partition| format!("revoked-{partition}")).collect::<Vec<_>>());
    second.close().expect("closed");
    first.close().expect("closed");
}

fn next(seen: &[support::Seen], partition: i32) -> i64 {
    seen.iter().filter(|record| record.partition == partition).map(|record| record.offset + 1).max().unwrap_or(0)
}

#[test]
fn a_tick_comes_back_with_the_brokers_time() {
    let config = topics("tick", "w0", 1);
    let (mut log, _) = joined(&config);
    let mut seen = Vec::new();
    log.tick(0, Tick { blind: None }).expect("appended");
    until(&mut log, &mut seen, |_, seen| seen.len() == 1);
    log.tick(0, Tick { blind: Some(Blind::Lag) }).expect("appended");
    until(&mut log, &mut seen, |_, seen| seen.len() == 2);
    let header = |record: &support::Seen, name: &str| {
        record.headers.iter().find(|(key, _)| key == name).map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(header(&seen[0], "ce_type").as_deref(), Some("tillwatch.tick"));
    assert_eq!(header(&seen[0], "ce_blind"), None);
    assert_eq!(header(&seen[1], "ce_blind").as_deref(), Some("lag"));
    assert!(seen[0].ingest > 1_600_000_000_000 && seen[1].ingest >= seen[0].ingest);
    assert_eq!(seen[0].value, b"");
}

/// Appends one record in a transaction; the producer can end it.
fn begin_transaction(config: &Config, id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", config.brokers.join(","))
        .set("transactional.id", format!("{}-{id}", config.group))
        .create()
        .expect("a producer can be made");
    producer.init_transactions(WAIT).expect("the broker answers");
    producer.begin_transaction().expect("it begins");
    let record = BaseRecord::<str, [u8]>::to(&config.input).partition(0).payload(&b"in a transaction"[..]);
    producer.send(record).unwrap_or_else(|(error, _)| panic!("{error}"));
    producer.flush(WAIT).expect("it is written");
    producer
}

#[test]
fn a_local_tick_counts_once_everything_is_read_and_appends_nothing() {
    let config = Config { local_ticks: true, ..topics("local", "w0", 1) };
    let tick = Tick { blind: None };
    let (mut log, _) = joined(&config);
    assert_eq!(log.tick(0, tick), Ok(Ticked::Local), "an empty partition is read to its end");
    fill(&config, 0, 3);
    assert_eq!(log.tick(0, tick), Ok(Ticked::Behind), "asked after the clock was read, there is more");
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.len() == 3);
    assert_eq!(log.tick(0, tick), Ok(Ticked::Local));
    let blind = Tick { blind: Some(Blind::Broker) };
    assert_eq!(log.tick(0, blind), Ok(Ticked::Local));
    for (id, commits) in [("committed", true), ("aborted", false)] {
        let producer = begin_transaction(&config, id);
        assert_eq!(log.tick(0, tick), Ok(Ticked::Behind), "there is a record that nobody may read yet");
        let ended = if commits { producer.commit_transaction(WAIT) } else { producer.abort_transaction(WAIT) };
        ended.expect("it ends");
        let what = "the marker behind a transaction is nothing to read";
        eventually(&mut log, &mut seen, what, |log| log.tick(0, tick) == Ok(Ticked::Local));
    }
    assert_eq!(seen.len(), 4);
    log.close().expect("closed");
    assert_eq!(committed(&config, &config.input).len(), 4, "nothing was appended");
}

#[test]
fn the_marker_behind_a_transaction_does_not_keep_a_partition_from_its_end() {
    let config = topics("marker", "w0", 1);
    let (mut log, _) = joined(&config);
    begin_transaction(&config, "sender").commit_transaction(WAIT).expect("it ends");
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.len() == 1);
    eventually(&mut log, &mut seen, "it is at its end", |log| log.end(0) == Some(1));
    assert_eq!(seen.len(), 1);
}

/// Polls until it is so.
fn eventually(log: &mut KafkaLog, seen: &mut Vec<support::Seen>, what: &str, so: impl Fn(&mut KafkaLog) -> bool) {
    for _ in 0..POLLS_MAX {
        if so(log) {
            return;
        }
        poll(log, seen);
    }
    panic!("{what}: not after {POLLS_MAX} polls");
}

#[test]
fn a_second_worker_waits_for_none_of_its_own() {
    let config = topics("idle", "w0", 1);
    let (mut only, _) = joined(&config);
    let mut idle = KafkaLog::connect(&other(&config, "w1")).expect("connected");
    fill(&config, 0, 10);
    let mut seen = Vec::new();
    while seen.len() < 10 {
        assert_eq!(poll(&mut only, &mut seen), Polled::Records);
        assert_eq!(poll(&mut idle, &mut Vec::new()), Polled::Records);
    }
    let verdict = idle.commit(&[commit(0, 1, "not mine")]).expect("a verdict");
    assert!(matches!(verdict, Committed::Aborted { .. }), "{verdict:?}");
    assert_eq!(only.commit(&[commit(0, 10, "mine")]), Ok(Committed::Done));
}

#[test]
fn a_position_that_the_log_no_longer_has_stops_the_worker() {
    let config = topics("gone", "w0", 1);
    fill(&config, 0, 3);
    let mut log = KafkaLog::connect(&config).expect("connected");
    until(&mut log, &mut Vec::new(), |polled, _| matches!(polled, Polled::Assigned(_)));
    log.start(0, Some(1_000)).expect("started");
    let error = (0..100)
        .find_map(|_| log.poll(Duration::from_millis(100), 1, &mut |_, _| panic!("handed out")).err())
        .expect("there is no such offset");
    assert_eq!((error.code, error.retry), ("offset-out-of-range", false), "{error}");
}

#[test]
fn a_header_whose_name_is_no_text_harms_nobody() {
    let config = topics("header", "w0", 1);
    // A sender in another language may write any bytes; this binding takes text only.
    #[allow(unsafe_code, reason = "the name is handed on as bytes and never read as text")]
    let name = unsafe { String::from_utf8_unchecked(vec![b'c', 0xff, 0xfe]) };
    let mut producer = Producer::open(&config).expect("producer");
    producer.send(&config.input, "T1", &[("ce_id", "1"), (&name, "x")], b"odd", None).expect("sent");
    producer.send(&config.input, "T1", &[("ce_id", "2")], b"good", None).expect("sent");
    producer.flush(Duration::from_secs(10)).expect("flushed");
    let (mut log, _) = joined(&config);
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.len() == 2);
    assert_eq!((seen[0].value.as_slice(), seen[0].headers.len()), (&b"odd"[..], 0));
    assert_eq!((seen[1].value.as_slice(), seen[1].headers.len()), (&b"good"[..], 1));
}
