//! A disk that takes no more: a clear error, nothing half-written, and everything goes on once there is room again.
//!
//! The full disk is a limit on the size of files, which a process of its own sets for itself: this same test binary, started again.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{path::Path, process::Command};

use common::{commit, open, record, values};
use tillwatch_core::log::{Committed, Log};
use tillwatch_embedded::To;

const DIRECTORY: &str = "TILLWATCH_FULL_DISK_DIRECTORY";

fn limit(bytes: &str) {
    let process = std::process::id().to_string();
    let done =
        Command::new("prlimit").args(["--pid", &process, &format!("--fsize={bytes}:unlimited")]).status().unwrap();
    assert!(done.success());
}

/// Fills the disk and makes room again; `full` sets and lifts the limit, and without one nothing fails.
fn scenario(directory: &Path, full: Option<fn(&str)>) {
    let store = open(directory);
    let mut worker = store.worker(0, &[0, 1]).unwrap();
    assert_eq!(worker.commit(&[commit(0, 1)]), Ok(Committed::Done));
    if let Some(limit) = full {
        limit("200000");
    }
    let long = "x".repeat(4_000);
    let mut kept = 0;
    let error = (0..100).find_map(|_| {
        let appended = store.append(To::Partition(1), &[record(&long), record(&long)], 1);
        kept += if appended.is_ok() { 2 } else { 0 };
        appended.err()
    });
    if let Some(limit) = full {
        let error = error.unwrap();
        assert_eq!((error.code, error.retry), ("log-disk", true), "{error}");
        assert!(error.what.contains(directory.to_str().unwrap()), "{error}");
        let mut large = commit(0, 2);
        large.messages[0].value =
            (0..300_000_u64).map(|n| (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 17).to_le_bytes()[0]).collect();
        assert_eq!(worker.commit(&[large]).unwrap_err().code, "log-disk");
        assert_eq!(worker.position(0).unwrap().unwrap().high, 1);
        assert_eq!(values(&store, "pos.events", 1).len(), kept);
        limit("unlimited");
    } else {
        assert_eq!(error, None);
    }
    assert_eq!(worker.commit(&[commit(0, 2)]), Ok(Committed::Done));
    let at = store.append(To::Partition(1), &[record("room")], 1).unwrap();
    assert_eq!(at, [(1, i64::try_from(kept).unwrap())]);
    drop((worker, store));
    let store = open(directory);
    assert_eq!(values(&store, "pos.findings", 0), ["1", "2"]);
    assert_eq!(values(&store, "pos.events", 1).len(), kept + 1);
}

#[test]
fn with_room_nothing_fails() {
    let directory = tempfile::tempdir().unwrap();
    match std::env::var_os(DIRECTORY) {
        Some(full) => scenario(Path::new(&full), Some(limit)),
        None => scenario(directory.path(), None),
    }
}

#[test]
fn a_full_disk_is_an_error_that_passes() {
    let directory = tempfile::tempdir().unwrap();
    // A write past the limit is then an error and not a signal.
    let ran = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; exec "$0" with_room_nothing_fails --exact"#])
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(values(&open(directory.path()), "pos.findings", 0), ["1", "2"]);
}
