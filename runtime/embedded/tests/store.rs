//! The promise of the log, on a healthy disk.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{Hands, commit, open, options, position, record, values};
use tillwatch_core::log::{Blind, Committed, Log, Polled, Tick};
use tillwatch_embedded::{EmbeddedLog, NewRecord, Retention, Store, To};

const NO_WAIT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

fn started(store: &Store, slot: usize, partitions: &[i32]) -> EmbeddedLog {
    let mut worker = store.worker(slot, partitions).unwrap();
    let polled = worker.poll(LONG, 10, &mut |_, _| panic!("nothing is started")).unwrap();
    assert_eq!(polled, Polled::Assigned(partitions.to_vec()));
    for partition in partitions {
        let position = worker.restore(*partition, &mut |_, _| {}, &mut |_| {}).unwrap();
        worker.start(*partition, position.map(|position| position.low)).unwrap();
    }
    worker
}

fn drain(worker: &mut EmbeddedLog, max: usize) -> Vec<(i32, i64, i64, String)> {
    let mut seen = Vec::new();
    let polled = worker
        .poll(NO_WAIT, max, &mut |partition, record| {
            let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
            seen.push((partition, record.offset, record.ingest, value));
        })
        .unwrap();
    assert_eq!(polled, Polled::Records);
    seen
}

#[test]
fn records_come_back_whole_dense_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let tombstone = NewRecord { key: None, headers: &[], value: None };
    let at = store.append(To::Partition(1), &[record("a"), tombstone, record("b")], 1_000).unwrap();
    assert_eq!(at, [(1, 0), (1, 1), (1, 2)]);
    let mut seen = Vec::new();
    let next = store.read("pos.events", 1, 0, 10, &mut |record| {
        let headers: Vec<(String, Vec<u8>)> =
            record.headers.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        seen.push((
            record.offset,
            record.ingest,
            record.key.map(<[u8]>::to_vec),
            headers,
            record.value.map(<[u8]>::to_vec),
        ));
    });
    assert_eq!(next, Ok(3));
    let whole = |offset, value: &str| {
        (offset, 1_000, Some(b"T1".to_vec()), vec![("h".to_owned(), b"v".to_vec())], Some(value.as_bytes().to_vec()))
    };
    assert_eq!(seen, [whole(0, "a"), (1, 1_000, None, vec![], None), whole(2, "b")]);
    assert_eq!(store.end_offset("pos.events", 0), Ok(0));
    assert_eq!(store.read("pos.events", 1, 7, 10, &mut |_| panic!("past the end")), Ok(7));
}

#[test]
fn the_ingest_time_of_a_partition_never_runs_backwards_even_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let times = |store: &Store| {
        let mut times = Vec::new();
        store.read("pos.events", 0, 0, 10, &mut |record| times.push(record.ingest)).unwrap();
        times
    };
    let store = open(directory.path());
    store.append(To::Partition(0), &[record("a")], 2_000).unwrap();
    store.append(To::Partition(0), &[record("b")], 1_000).unwrap();
    drop(store);
    let store = open(directory.path());
    store.append(To::Partition(0), &[record("c")], 1_500).unwrap();
    store.append(To::Partition(1), &[record("d")], 1_500).unwrap();
    assert_eq!(times(&store), [2_000, 2_000, 2_000]);
    store.append(To::Partition(0), &[record("e")], 2_001).unwrap();
    assert_eq!(times(&store).last(), Some(&2_001));
}

#[test]
fn recorded_times_count_where_their_partition_has_not_come_further() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let recorded = [(0, 1_000, record("a")), (1, 5_000, record("b")), (0, 3_000, record("c")), (0, 2_000, record("d"))];
    store.append_recorded(&recorded).unwrap();
    store.append(To::Partition(0), &[record("e")], 2_500).unwrap();
    let times = |partition| {
        let mut times = Vec::new();
        store.read("pos.events", partition, 0, 10, &mut |record| times.push(record.ingest)).unwrap();
        times
    };
    assert_eq!((times(0), times(1)), (vec![1_000, 3_000, 3_000, 3_000], vec![5_000]));
    assert_eq!(store.append_recorded(&[(7, 0, record("f"))]).unwrap_err().code, "log-topic");
    assert_eq!(values(&store, "pos.events", 0), ["a", "c", "d", "e"]);
}

#[test]
fn a_key_has_one_partition() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let at = store.append(To::Key, &[record("a"), record("b")], 0).unwrap();
    let partition = store.partition_of(b"T1");
    assert_eq!(at, [(partition, 0), (partition, 1)]);
    let keys: std::collections::BTreeSet<i32> =
        (0..50).map(|n| store.partition_of(format!("T{n}").as_bytes())).collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn outputs_changelog_and_position_are_there_together_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut worker = started(&store, 0, &[0, 1]);
    assert_eq!(worker.position(0), Ok(None));
    assert_eq!(worker.commit(&[commit(0, 1), commit(1, 1)]), Ok(Committed::Done));
    assert_eq!(worker.commit(&[commit(0, 2)]), Ok(Committed::Done));
    worker.close().unwrap();
    drop((worker, store));

    let store = open(directory.path());
    assert_eq!(values(&store, "pos.findings", 0), ["1", "1", "2"]);
    assert_eq!(values(&store, "pos.commands", 0), ["1", "1", "2"]);
    let mut worker = store.worker(0, &[0, 1]).unwrap();
    let mut restored = |partition| {
        let mut rows = Vec::new();
        let mut reports = Vec::new();
        let position = worker
            .restore(partition, &mut |key, value| rows.push((key.to_vec(), value.unwrap().to_vec())), &mut |report| {
                reports.push((report.read, report.total))
            })
            .unwrap();
        assert_eq!(reports.last(), Some(&(rows.len() as u64, rows.len() as u64)));
        (rows, position)
    };
    let rows = |n: i64| vec![(format!("k{n}").into_bytes(), vec![1]), (b"last".to_vec(), n.to_string().into_bytes())];
    assert_eq!(restored(0), (rows(2), Some(position(2))));
    assert_eq!(restored(1), (rows(1), Some(position(1))));
}

#[test]
fn a_worker_reads_its_share_fairly_from_where_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for text in ["a", "b", "c"] {
        store.append(To::Partition(0), &[record(text)], 10).unwrap();
        store.append(To::Partition(1), &[record(text)], 10).unwrap();
    }
    let mut worker = started(&store, 0, &[0, 1]);
    let seen: Vec<_> =
        (0..4).flat_map(|_| drain(&mut worker, 2)).map(|(partition, offset, ..)| (partition, offset)).collect();
    assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)]);
    assert_eq!(worker.end(1), Some(3));
    worker.start(0, Some(1)).unwrap();
    assert_eq!(drain(&mut worker, 10), [(0, 1, 10, "b".to_owned()), (0, 2, 10, "c".to_owned())]);
    worker.release(&[0]).unwrap();
    store.append(To::Partition(0), &[record("d")], 10).unwrap();
    assert_eq!(drain(&mut worker, 10), []);
}

#[test]
fn a_poll_wakes_when_something_comes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut worker = started(&store, 0, &[0]);
    let seen = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut seen = 0;
            while seen == 0 {
                worker.poll(LONG, 10, &mut |_, _| seen += 1).unwrap();
            }
            seen
        });
        store.append(To::Partition(0), &[record("a"), record("b")], 1).unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(seen, 2);
    assert_eq!(store.wait("pos.events", 0, 1, LONG), Ok(true));
    assert_eq!(store.wait("pos.events", 0, 2, NO_WAIT), Ok(false));
}

#[test]
fn a_partition_has_one_worker_until_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut one = store.worker(0, &[1]).unwrap();
    let error = store.worker(1, &[0, 1]).err().unwrap();
    assert_eq!((error.code, error.retry), ("log-misuse", false));
    assert!(error.what.contains("pos.events/1 is wanted by worker 1 and owned by worker 0"), "{error}");
    assert_eq!(one.commit(&[commit(0, 1)]).unwrap_err().code, "log-misuse");
    assert_eq!(one.start(1, Some(1)).unwrap_err().code, "log-misuse");
    one.close().unwrap();
    assert!(store.worker(1, &[0, 1]).is_ok());
    assert_eq!(store.worker(0, &[2]).err().unwrap().code, "log-topic");
}

#[test]
fn ticks_are_records_with_the_logs_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let hands = Hands::default();
    let store = Store::open(directory.path(), options(1, &hands)).unwrap();
    let mut worker = started(&store, 0, &[0]);
    hands.put(42_000);
    worker.tick(0, Tick { blind: Some(Blind::Lag) }).unwrap();
    hands.put(41_000);
    worker.tick(0, Tick { blind: None }).unwrap();
    let mut seen = Vec::new();
    store
        .read("pos.events", 0, 0, 10, &mut |record| {
            let blind = record.headers.iter().find(|(name, _)| *name == "ce_blind").map(|(_, value)| value.to_vec());
            assert!(record.headers.contains(&("ce_type", b"tillwatch.tick")));
            seen.push((record.ingest, blind, record.value.map(<[u8]>::len)));
        })
        .unwrap();
    assert_eq!(seen, [(42_000, Some(b"lag".to_vec()), Some(0)), (42_000, None, Some(0))]);
}

#[test]
fn several_workers_and_the_ingest_commit_at_once_and_nothing_is_lost_or_torn() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    std::thread::scope(|scope| {
        for partition in 0..2 {
            let mut worker = started(&store, usize::try_from(partition).unwrap(), &[partition]);
            scope.spawn(move || {
                for n in 1..=50 {
                    assert_eq!(worker.commit(&[commit(partition, n)]), Ok(Committed::Done));
                }
            });
        }
        scope.spawn(|| {
            for n in 0..50 {
                store.append(To::Key, &[record(&n.to_string())], n).unwrap();
            }
        });
    });
    let ingested = values(&store, "pos.events", store.partition_of(b"T1"));
    assert_eq!(ingested, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    let mut findings = values(&store, "pos.findings", 0);
    assert_eq!(findings, values(&store, "pos.commands", 0), "the outputs of a commit lie together");
    findings.sort_unstable();
    let mut twice: Vec<String> = (1..=50).flat_map(|n| [n.to_string(), n.to_string()]).collect();
    twice.sort_unstable();
    assert_eq!(findings, twice);
}

#[test]
fn a_second_store_on_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = Store::open(directory.path(), options(2, &Hands::default())).err().unwrap();
    assert_eq!((error.code, error.retry), ("log-locked", false));
    assert!(error.what.contains(directory.path().to_str().unwrap()), "{error}");
    drop(store);
    open(directory.path());
}

#[test]
fn another_number_of_partitions_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let error = Store::open(directory.path(), options(3, &Hands::default())).err().unwrap();
    assert_eq!(error.code, "log-partitions");
    open(directory.path());
}

#[test]
fn a_record_past_the_limit_is_refused_and_nothing_of_its_batch_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(1, &Hands::default());
    options.limits.record_bytes_max = 100;
    let store = Store::open(directory.path(), options).unwrap();
    let error = store.append(To::Key, &[record("a"), record(&"x".repeat(100))], 0).unwrap_err();
    assert_eq!((error.code, error.retry), ("record-too-large", false));
    assert!(error.what.contains("pos.events") && error.what.contains("record_bytes_max"), "{error}");
    assert_eq!(store.end_offset("pos.events", 0), Ok(0));
}

#[test]
fn a_poll_keeps_to_its_bytes_but_hands_out_one_record_of_any_size() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(1, &Hands::default());
    options.limits.poll_bytes_max = 10;
    let store = Store::open(directory.path(), options).unwrap();
    store.append(To::Key, &[record("a"), record("b")], 0).unwrap();
    assert_eq!(store.read("pos.events", 0, 0, 10, &mut |_| {}), Ok(1));
}

#[test]
fn retention_drops_what_is_old_but_nothing_that_a_restart_reads() {
    let directory = tempfile::tempdir().unwrap();
    let hands = Hands::default();
    let mut options = options(1, &hands);
    options.input.retention = Retention { age_ms_max: 1_000, bytes_max: u64::MAX };
    let store = Store::open(directory.path(), options.clone()).unwrap();
    for n in 0..10 {
        store.append(To::Key, &[record(&n.to_string())], n * 1_000).unwrap();
    }
    assert_eq!(store.trim(20_000), Ok(0), "nothing was ever committed");
    let mut worker = started(&store, 0, &[0]);
    worker.commit(&[commit(0, 4)]).unwrap();
    assert_eq!(store.trim(20_000), Ok(4));
    assert_eq!(store.start_offset("pos.events", 0), Ok(4));
    assert_eq!(values(&store, "pos.events", 0), ["4", "5", "6", "7", "8", "9"]);
    drop((worker, store));

    let store = Store::open(directory.path(), options).unwrap();
    assert_eq!(store.start_offset("pos.events", 0), Ok(4));
    let mut worker = started(&store, 0, &[0]);
    assert_eq!(drain(&mut worker, 1)[0].1, 4);
    worker.commit(&[commit(0, 10)]).unwrap();
    hands.put(10_000);
    worker.commit(&[commit(0, 10)]).unwrap();
    assert_eq!(store.start_offset("pos.events", 0), Ok(4), "it was looked at less than trim_every_ms ago");
    hands.put(60_000);
    worker.commit(&[commit(0, 10)]).unwrap();
    assert_eq!(store.start_offset("pos.events", 0), Ok(10));
    assert_eq!(values(&store, "pos.findings", 0), ["4", "10", "10", "10"]);
}
