//! The storage engine: three keyspaces of one fjall database, and how they are read.
//!
//! `log` has the records of all topics, `state` the changelog (the last value of a key), `meta` the bookkeeping. Owns no decision about
//! what is written when.

use std::{fs, path::Path};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tillwatch_core::{
    Instant,
    log::{LogError, PartitionId, Position, RawRecord},
};

use crate::{
    fault, record, salvage,
    topics::{Row, Topic},
};

/// Version of everything in the directory; a reader refuses a newer one.
const FORMAT: u32 = 1;

/// Bytes of journal before the engine flushes its tables, and so most of what opening has to read.
const JOURNAL_BYTES: u64 = 256 << 20;

const SEQUENCE: &[u8] = b"sequence";
const VERSION: &[u8] = b"format";

/// Where a partition of a topic begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// Offset of the oldest record that is kept.
    pub(crate) start: i64,
    /// Offset of the next record.
    pub(crate) end: i64,
    /// Ingest time reached; it never runs backwards.
    pub(crate) ingest: Option<Instant>,
    /// Bytes of the records that are kept.
    pub(crate) bytes: u64,
}

/// The open engine.
pub(crate) struct Engine {
    pub(crate) database: Database,
    pub(crate) log: Keyspace,
    pub(crate) state: Keyspace,
    pub(crate) meta: Keyspace,
    directory: std::path::PathBuf,
}

/// One write of everything that belongs together.
pub(crate) struct Batch<'a> {
    engine: &'a Engine,
    inner: fjall::OwnedWriteBatch,
}

impl Engine {
    /// Opens the engine in an existing directory of its own, or makes one: complete or not at all.
    pub(crate) fn open(directory: &Path) -> Result<Self, LogError> {
        if !directory.exists() {
            Self::create(directory)?;
        }
        match Self::open_at(directory) {
            Err(error) if error.code == "log-corrupt" && salvage::cut_garbled_tail(directory)? => {
                Self::open_at(directory)
            }
            opened => opened,
        }
    }

    fn create(directory: &Path) -> Result<(), LogError> {
        let new = directory.with_extension("new");
        if new.exists() {
            fs::remove_dir_all(&new).map_err(fault::io(&new, "removing what an interrupted start left"))?;
        }
        drop(Self::open_at(&new)?);
        fs::rename(&new, directory).map_err(fault::io(directory, "creating"))?;
        let parent = directory.parent().expect("invariant: the engine lies in the log's directory");
        fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(fault::io(parent, "syncing"))
    }

    fn open_at(directory: &Path) -> Result<Self, LogError> {
        let failed = |error: fjall::Error| fault::engine(directory, "opening the log", &error);
        let database =
            Database::builder(directory).worker_threads(2).max_journaling_size(JOURNAL_BYTES).open().map_err(failed)?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(failed);
        let (log, state, meta) = (keyspace("log")?, keyspace("state")?, keyspace("meta")?);
        let engine = Self { database, log, state, meta, directory: directory.to_owned() };
        match engine.meta::<u32>(VERSION)? {
            None => {
                let mut batch = engine.batch();
                batch.meta(VERSION, &FORMAT);
                batch.commit()?;
            }
            Some(FORMAT) => {}
            Some(version) => {
                let what = format!(
                    "{} was written by a newer tillwatch (format {version}, this one knows {FORMAT}): use that version",
                    directory.display()
                );
                return Err(fault::config("log-format", what));
            }
        }
        Ok(engine)
    }

    /// A new batch.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { engine: self, inner: self.database.batch().durability(Some(PersistMode::SyncData)) }
    }

    fn failed(&self, doing: &str) -> impl Fn(fjall::Error) -> LogError {
        let (directory, doing) = (self.directory.clone(), doing.to_owned());
        move |error| fault::engine(&directory, &doing, &error)
    }

    fn meta<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, LogError> {
        let Some(bytes) = self.meta.get(key).map_err(self.failed("reading the log"))? else { return Ok(None) };
        let value = record::unseal(key, &bytes).and_then(|value| postcard::from_bytes(value).ok());
        value.map(Some).ok_or_else(|| {
            let what = format!("the row {} of {} is garbled", String::from_utf8_lossy(key), self.directory.display());
            fault::corrupt(what)
        })
    }

    /// The number of the last commit.
    pub(crate) fn sequence(&self) -> Result<u64, LogError> {
        Ok(self.meta(SEQUENCE)?.unwrap_or(0))
    }

    /// The topics, by id.
    pub(crate) fn topics(&self) -> Result<Vec<Row>, LogError> {
        let mut rows = Vec::new();
        while let Some(row) = self.meta(&topic_key(rows.len()))? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// Where a partition begins and ends.
    pub(crate) fn tail(&self, topic: u16, partition: u32) -> Result<Tail, LogError> {
        Ok(self.meta(&tail_key(topic, partition))?.unwrap_or_default())
    }

    /// What an input partition has committed.
    pub(crate) fn position(&self, partition: PartitionId) -> Result<Option<Position>, LogError> {
        let row: Option<(i64, i64, i64, i64, i64, i64)> = self.meta(&position_key(partition))?;
        Ok(row.map(|(low, ingest_low, high, ingest_high, floor, floor_from)| Position {
            low,
            ingest_low,
            high,
            ingest_high,
            floor,
            floor_from,
        }))
    }

    /// Hands on records from `from` on, at most `max` and about `bytes_max` bytes, and gives the next offset. An offset that is missing is
    /// given to `gone`, which says where to go on (retention has been there meanwhile) or that nothing explains it.
    pub(crate) fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: i64,
        (max, bytes_max): (usize, usize),
        gone: impl Fn(i64) -> Option<i64>,
        sink: &mut dyn FnMut(RawRecord<'_>),
    ) -> Result<i64, LogError> {
        let garbled = |offset: i64, how: &str| {
            let what = format!("{}/{partition} offset {offset} in {} {how}", topic.name, self.directory.display());
            fault::corrupt(what)
        };
        let (first, last) = (record::place(topic.id, partition, from), record::place(topic.id, partition, i64::MAX));
        let (mut next, mut bytes) = (from, 0);
        for row in self.log.range(first..=last).take(max) {
            let (place, value) = row.into_inner().map_err(self.failed("reading the log"))?;
            let offset = record::offset(&place).ok_or_else(|| garbled(next, "is followed by a key that is none"))?;
            if offset != next && gone(next) != Some(offset) {
                return Err(garbled(next, "is missing"));
            }
            record::read(&place, &value, &mut *sink).ok_or_else(|| garbled(offset, "is garbled (checksum)"))?;
            next = offset + 1;
            bytes += value.len();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(next)
    }

    /// Offset, ingest time and bytes of the oldest records of a partition, from `from` on.
    pub(crate) fn oldest(
        &self,
        topic: &Topic,
        partition: u32,
        from: i64,
    ) -> impl Iterator<Item = Result<(i64, Instant, u64), LogError>> {
        let (first, last) = (record::place(topic.id, partition, from), record::place(topic.id, partition, i64::MAX));
        self.log.range(first..=last).map(move |row| {
            let (place, value) = row.into_inner().map_err(self.failed("reading the log"))?;
            let row = record::offset(&place).zip(record::ingest(&value));
            let (offset, ingest) =
                row.ok_or_else(|| fault::corrupt(format!("a record of {}/{partition} is too short", topic.name)))?;
            Ok((offset, ingest, size(&value)))
        })
    }

    /// Every key of an input partition's changelog with its last value.
    pub(crate) fn state(&self, partition: PartitionId, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), LogError> {
        for row in self.state.prefix(partition.to_be_bytes()) {
            let (key, bytes) = row.into_inner().map_err(self.failed("reading the changelog"))?;
            let own = &key[size_of::<PartitionId>()..];
            let value = record::unseal(&key, &bytes).ok_or_else(|| {
                let key = own.escape_ascii();
                fault::corrupt(format!("the changelog of partition {partition} is garbled at the key {key}"))
            })?;
            each(own, value);
        }
        Ok(())
    }
}

impl Batch<'_> {
    fn meta<T: Serialize>(&mut self, key: &[u8], row: &T) {
        let value = postcard::to_stdvec(row).expect("invariant: a row of integers and texts can be encoded");
        self.inner.insert(&self.engine.meta, key, record::seal(key, value));
    }

    /// Numbers the commit.
    pub(crate) fn sequence(&mut self, sequence: u64) {
        self.meta(SEQUENCE, &sequence);
    }

    /// Adds a topic.
    pub(crate) fn topic(&mut self, id: usize, row: &Row) {
        self.meta(&topic_key(id), row);
    }

    /// Moves a partition's begin and end.
    pub(crate) fn tail(&mut self, topic: u16, partition: u32, tail: &Tail) {
        self.meta(&tail_key(topic, partition), tail);
    }

    /// Commits a position.
    pub(crate) fn position(&mut self, partition: PartitionId, position: &Position) {
        let Position { low, ingest_low, high, ingest_high, floor, floor_from } = *position;
        self.meta(&position_key(partition), &(low, ingest_low, high, ingest_high, floor, floor_from));
    }

    /// Appends a record; gives its bytes.
    pub(crate) fn record(&mut self, place: &[u8; record::PLACE], value: Vec<u8>) -> u64 {
        let bytes = size(&value);
        self.inner.insert(&self.engine.log, &place[..], value);
        bytes
    }

    /// Drops a record.
    pub(crate) fn forget(&mut self, place: &[u8; record::PLACE]) {
        self.inner.remove(&self.engine.log, &place[..]);
    }

    /// Changes a key of the changelog; its value is sealed.
    pub(crate) fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.inner.insert(&self.engine.state, key, value),
            None => self.inner.remove(&self.engine.state, key),
        }
    }

    /// Makes all of it durable.
    pub(crate) fn commit(self) -> Result<(), LogError> {
        self.inner.commit().map_err(self.engine.failed("writing the log"))
    }
}

/// The key of a changelog entry.
pub(crate) fn state_key(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    [&partition.to_be_bytes(), key].concat()
}

fn size(value: &[u8]) -> u64 {
    (value.len() + record::PLACE) as u64
}

fn topic_key(id: usize) -> Vec<u8> {
    [b"topic/", &id.to_be_bytes()[..]].concat()
}

fn tail_key(topic: u16, partition: u32) -> Vec<u8> {
    [b"tail/", &topic.to_be_bytes()[..], &partition.to_be_bytes()].concat()
}

fn position_key(partition: PartitionId) -> Vec<u8> {
    [b"position/", &partition.to_be_bytes()[..]].concat()
}
