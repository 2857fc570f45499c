//! What a disk can do to the newest journal, and that it is found out.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{fs, path::Path};

use common::{Hands, accept_loss, commit, journal, length, open, options, record, values};
use proptest::prelude::*;
use tillwatch_core::log::Log;
use tillwatch_embedded::{Store, To};

/// A log with `before` records, then one batch of three, and where in the journal that batch begins and ends. With `acknowledged` unset
/// the mark is the one from before the batch, as after a crash in the middle of its sync.
fn log(directory: &Path, before: usize, acknowledged: bool) -> (usize, usize) {
    let store = open(directory);
    for n in 0..before {
        store.append(To::Partition(0), &[record(&n.to_string())], 7).unwrap();
    }
    drop(store);
    let begin = length(&journal(directory));
    let mark = fs::read(directory.join("acknowledged")).unwrap();
    let store = open(directory);
    let long = "x".repeat(3_000);
    store.append(To::Partition(0), &[record("last"), record(&long), record(&long)], 7).unwrap();
    drop(store);
    if !acknowledged {
        fs::write(directory.join("acknowledged"), mark).unwrap();
    }
    (begin, length(&journal(directory)))
}

fn damage(directory: &Path, at: usize, how: impl FnOnce(&mut Vec<u8>, usize)) {
    let journal = journal(directory);
    let mut bytes = fs::read(&journal).unwrap();
    how(&mut bytes, at);
    fs::write(&journal, bytes).unwrap();
}

const WAYS: [fn(&mut Vec<u8>, usize); 3] = [
    Vec::truncate,
    |bytes, at| bytes[at] ^= 0x55,
    |bytes, at| {
        let end = bytes.len().min(at + 512);
        bytes[at..end].fill(0);
    },
];

#[test]
fn a_torn_write_that_nobody_was_told_of_is_dropped() {
    for (way, how) in WAYS.into_iter().enumerate() {
        for part in 0..8 {
            let directory = tempfile::tempdir().unwrap();
            let (begin, end) = log(directory.path(), 3, false);
            damage(directory.path(), begin + (end - begin - 1) * part / 7, how);
            let store = open(directory.path());
            assert_eq!(store.lost(), []);
            assert_eq!(values(&store, "pos.events", 0), ["0", "1", "2"]);
            let cut_before_it = part == 0 && way == 0;
            assert_eq!(store.torn() == 0, cut_before_it, "it is told");
            store.append(To::Partition(0), &[record("3")], 7).unwrap();
            drop(store);
            let store = open(directory.path());
            assert_eq!(store.torn(), 0, "it is told once");
            assert_eq!(values(&store, "pos.events", 0), ["0", "1", "2", "3"]);
        }
    }
}

#[test]
fn a_log_behind_what_it_acknowledged_does_not_start_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (begin, _) = log(directory.path(), 3, true);
    damage(directory.path(), begin + 9, Vec::truncate);
    for _ in 0..2 {
        let error = Store::open(directory.path(), options(2, &Hands::default())).err().unwrap();
        assert_eq!((error.code, error.retry), ("log-behind", false));
        for said in ["up to commit 4 and has only 3", "pos.events/0: offsets 3 to 5 (3 records)", "accept-loss"] {
            assert!(error.what.contains(said), "{error}");
        }
    }
    let store = accept_loss(directory.path()).unwrap();
    let lost: Vec<String> = store.lost().iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["commits 4 to 4", "pos.events/0: offsets 3 to 5 (3 records)"]);
    store.append(To::Partition(0), &[record("new")], 7).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.lost(), []);
    assert_eq!(values(&store, "pos.events", 0), ["0", "1", "2", "new"]);
}

#[test]
fn a_log_that_is_gone_or_whose_mark_is_gone_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), 1, true);
    fs::remove_file(directory.path().join("acknowledged")).unwrap();
    let refused =
        |directory: &Path| Store::open(directory, options(2, &Hands::default())).err().map(|error| error.code);
    assert_eq!(refused(directory.path()), Some("log-behind"));
    drop(accept_loss(directory.path()).unwrap());
    assert_eq!(refused(directory.path()), None);

    fs::remove_dir_all(directory.path().join("engine")).unwrap();
    assert_eq!(refused(directory.path()), Some("log-behind"));
    let store = accept_loss(directory.path()).unwrap();
    assert_eq!(
        store.lost().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["commits 1 to 2", "pos.events/0: offsets 0 to 3 (4 records)"]
    );
}

#[test]
fn an_interrupted_first_start_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("engine.new/keyspaces")).unwrap();
    fs::write(directory.path().join("engine.new/0.jnl"), b"torn").unwrap();
    let store = open(directory.path());
    assert_eq!(store.end_offset("pos.events", 0), Ok(0));
    assert!(!directory.path().join("engine.new").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_to_one_byte_or_to_the_end_nothing_acknowledged_is_lost_silently(
        place in 0.0..1.0_f64, mask in 1..=255_u8, cut in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let mut worker = store.worker(0, &[0, 1]).unwrap();
        for n in 1..=4 {
            store.append(To::Partition(1), &[record(&n.to_string())], n).unwrap();
            worker.commit(&[commit(0, n), commit(1, n)]).unwrap();
        }
        drop((worker, store));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
        let at = (length(&journal(directory.path())) as f64 * place) as usize;
        damage(directory.path(), at, |bytes, at| if cut { bytes.truncate(at) } else { bytes[at] ^= mask });
        match Store::open(directory.path(), options(2, &Hands::default())) {
            Ok(store) => {
                prop_assert_eq!(values(&store, "pos.events", 1), ["1", "2", "3", "4"]);
                prop_assert_eq!(values(&store, "pos.findings", 0).len(), 8);
            }
            Err(error) => {
                prop_assert!(["log-behind", "log-corrupt"].contains(&error.code), "{}", error);
                prop_assert!(!error.retry);
            }
        }
    }
}
