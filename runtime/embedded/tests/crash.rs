//! kill -9 at random moments, again and again on the same directory, and what a disk may do to the last write besides: what was acknowledged
//! is there, what was not is there whole or not at all.
//!
//! The writer is this same test binary, started again with a directory in its environment; it says on standard output what was
//! acknowledged to it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::{Hands, accept_loss, commit, journal, length, open, options, record, values};
use tillwatch_core::log::{Committed, Log};
use tillwatch_embedded::{Store, To};

const DIRECTORY: &str = "TILLWATCH_CRASH_DIRECTORY";

/// How often a writer is killed.
const KILLS: usize = 200;

/// How often on the same log.
const KILLS_OF_A_LOG: usize = 20;

/// Where the moments of the kills and the places of the damage come from.
const SEED: u64 = 5;

/// Two workers commit and a third thread appends, each `count` times from where the log ends.
fn write(directory: &Path, count: i64, said: &(dyn Fn(String) + Sync)) {
    let store = open(directory);
    let partition = store.partition_of(b"T1");
    let appended = store.end_offset("pos.events", partition).unwrap();
    std::thread::scope(|scope| {
        for partition in 0..2 {
            let mut worker = store.worker(usize::try_from(partition).unwrap(), &[partition]).unwrap();
            scope.spawn(move || {
                let done = worker.position(partition).unwrap().map_or(0, |position| position.high);
                for n in done + 1..=done + count {
                    assert_eq!(worker.commit(&[commit(partition, n)]), Ok(Committed::Done));
                    said(format!("committed {partition} {n}"));
                }
            });
        }
        for n in appended..appended + count {
            let at = store.append(To::Key, &[record(&n.to_string())], 1_000 + n).unwrap();
            assert_eq!(at, [(partition, n)]);
            said(format!("appended {partition} {n}"));
        }
    });
}

/// That every commit up to a partition's position is there with all its parts, once, and nothing beyond; the positions.
fn check(store: &Store) -> Reached {
    let mut reached = BTreeMap::new();
    let mut outputs = [("pos.findings", Vec::new()), ("pos.commands", Vec::new())];
    for (topic, seen) in &mut outputs {
        store
            .read(topic, 0, 0, usize::MAX, &mut |record| {
                let (_, id) = record.headers.iter().find(|(name, _)| *name == "ce_id").unwrap();
                seen.push(String::from_utf8(id.to_vec()).unwrap());
            })
            .unwrap();
    }
    let mut expected = Vec::new();
    for partition in 0..2 {
        let mut worker = store.worker(0, &[partition]).unwrap();
        let mut state = Vec::new();
        let position = worker.restore(
            partition,
            &mut |key, value| state.push((key.to_vec(), value.unwrap().to_vec())),
            &mut |_| {},
        );
        let high = position.unwrap().map_or(0, |position| position.high);
        let rows = [(format!("k{high}").into_bytes(), vec![1]), (b"last".to_vec(), high.to_string().into_bytes())];
        assert_eq!(state, if high == 0 { Vec::new() } else { rows.to_vec() });
        expected.extend((1..=high).map(|n| format!("{partition}-{n}")));
        reached.insert(format!("committed {partition}"), high);
    }
    expected.sort_unstable();
    for (topic, mut seen) in outputs {
        seen.sort_unstable();
        assert_eq!(seen, expected, "{topic}");
    }
    let partition = store.partition_of(b"T1");
    let appended = values(store, "pos.events", partition);
    assert_eq!(appended, (0..appended.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    reached.insert(format!("appended {partition}"), i64::try_from(appended.len()).unwrap() - 1);
    reached
}

/// One test at a time: a child that another thread is about to start holds, until it has, whatever files are open here, a log's lock too.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_writer_that_is_let_be_writes_everything() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let out = |line: String| writeln!(std::io::stdout().lock(), "{line}").unwrap();
        write(Path::new(&directory), i64::MAX / 2, &out);
    }
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 40, &|_| {});
    let reached = check(&open(directory.path()));
    assert_eq!(reached.into_values().collect::<Vec<_>>(), [39, 40, 40]);
}

/// What a disk may do to a write that was never acknowledged, or was: the copy of a log is damaged at the end of its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// The beginning of one more write.
    Torn,
    /// The end is gone.
    Cut,
    /// Bytes near the end are others.
    Garbled,
}

/// A damaged copy opens with all that was acknowledged, or says what is missing of it.
fn check_damaged(directory: &Path, damage: Damage, chance: &mut impl FnMut(usize) -> usize, acknowledged: &Reached) {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").args(["--recursive", "--sparse=always"]).arg(directory).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let directory = copy.path().join(directory.file_name().unwrap());
    let journal = journal(&directory);
    let end = length(&journal);
    let mut bytes = fs::read(&journal).unwrap();
    bytes.truncate(end);
    let back = 2 + chance(400.min(end - 2));
    match damage {
        // Without its last byte: a whole write again would be taken, and does no harm.
        Damage::Torn => bytes.extend_from_within(end - back..end - 1),
        Damage::Cut => bytes.truncate(end - back),
        Damage::Garbled => bytes[end - back..end - back / 2].iter_mut().for_each(|byte| *byte ^= 0x55),
    }
    fs::write(&journal, bytes).unwrap();
    match Store::open(&directory, options(2, &Hands::default())) {
        Ok(store) => {
            assert_kept(&check(&store), acknowledged, damage);
            assert!(damage != Damage::Torn || store.torn() > 0, "what was dropped is told");
        }
        Err(error) => {
            assert_eq!((error.code, damage == Damage::Torn), ("log-behind", false), "{damage:?}: {error}");
            let store = accept_loss(&directory).unwrap();
            check(&store);
            assert!(!store.lost().is_empty() && error.what.contains(&store.lost()[0].to_string()), "{error}");
        }
    }
}

/// How far each writer has come.
type Reached = BTreeMap<String, i64>;

fn assert_kept(reached: &Reached, acknowledged: &Reached, when: impl std::fmt::Debug) {
    for (what, n) in acknowledged {
        assert!(reached[what] >= *n, "{when:?}: {what} {n} was acknowledged, {} is there", reached[what]);
        assert!(reached[what] <= n + 1, "{when:?}: {what} went past {n} by more than the one in flight");
    }
}

/// Starts a writer and kills it after it has said so many lines: what was acknowledged to it.
fn killed(directory: &Path, lines_heard: usize) -> Reached {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_writer_that_is_let_be_writes_everything", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged = BTreeMap::new();
    let mut hear = |line: String| {
        if let Some((what, n)) = line.rsplit_once(' ').filter(|(what, _)| what.starts_with(['a', 'c'])) {
            acknowledged.insert(what.to_owned(), n.parse::<i64>().unwrap());
        }
    };
    lines.by_ref().take(lines_heard).for_each(&mut hear);
    child.kill().unwrap();
    child.wait().unwrap();
    lines.for_each(hear);
    acknowledged
}

#[test]
fn a_killed_writer_has_kept_what_it_acknowledged() {
    let _turn = turn();
    let mut seed = SEED;
    println!("seed {seed}");
    let mut chance = |count: usize| {
        // A linear congruence is chance enough for the places of blows, and the same on every machine.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % count
    };
    for _ in 0..KILLS / KILLS_OF_A_LOG {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..KILLS_OF_A_LOG {
            let acknowledged = killed(directory.path(), 5 + chance(40));
            assert!(!acknowledged.is_empty(), "the writer came to say something");
            let damage = [Damage::Torn, Damage::Cut, Damage::Garbled][chance(3)];
            check_damaged(directory.path(), damage, &mut chance, &acknowledged);
            assert_kept(&check(&open(directory.path())), &acknowledged, round);
        }
    }
}
