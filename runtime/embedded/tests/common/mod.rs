//! What the tests of the store share.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a helper of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use tillwatch_core::log::{Commit, LogError, Message, PartitionId, Position, Topic};
use tillwatch_embedded::{NewRecord, Options, Store};

/// A clock that stands where it is put.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn put(&self, now: i64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

pub(crate) fn options(partitions: PartitionId, hands: &Hands) -> Options {
    let hands = hands.clone();
    Options::new(partitions, Arc::new(move || hands.0.load(Ordering::SeqCst)))
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(path, options(2, &Hands::default())).unwrap()
}

/// Opens a log that may be behind what it acknowledged.
pub(crate) fn accept_loss(directory: &Path) -> Result<Store, LogError> {
    let mut options = options(2, &Hands::default());
    options.accept_loss = true;
    Store::open(directory, options)
}

/// The newest journal.
pub(crate) fn journal(directory: &Path) -> PathBuf {
    let names = fs::read_dir(directory.join("engine")).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap()
}

/// Bytes of the journal that are written.
pub(crate) fn length(journal: &Path) -> usize {
    fs::read(journal).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1
}

pub(crate) fn record(text: &str) -> NewRecord<'_> {
    NewRecord { key: Some(b"T1"), headers: &[("h", b"v")], value: Some(text.as_bytes()) }
}

pub(crate) fn position(high: i64) -> Position {
    Position { low: high, ingest_low: 5, high, ingest_high: 6, floor: i64::MIN, floor_from: 0 }
}

/// Commit number `n` of a partition: two outputs, and a state that says `n`.
pub(crate) fn commit(partition: PartitionId, n: i64) -> Commit {
    let message = |topic, key: &str| Message {
        topic,
        key: key.to_owned(),
        headers: vec![("ce_id", format!("{partition}-{n}"))],
        value: n.to_string().into_bytes(),
    };
    Commit {
        partition,
        position: position(n),
        messages: vec![message(Topic::Findings, "payment:x"), message(Topic::Commands, "T1")],
        changes: [
            ("last".to_owned(), Some(n.to_string().into_bytes())),
            (format!("k{n}"), Some(vec![1])),
            (format!("k{}", n - 1), None),
        ]
        .into_iter()
        .collect(),
        passed: None,
    }
}

/// The values of a partition, as text.
pub(crate) fn values(store: &Store, topic: &str, partition: PartitionId) -> Vec<String> {
    let (mut texts, mut from) = (Vec::new(), 0);
    loop {
        let next = store
            .read(topic, partition, from, 100, &mut |record| {
                texts.push(String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap());
            })
            .unwrap();
        if next == store.end_offset(topic, partition).unwrap() {
            return texts;
        }
        from = next;
    }
}
