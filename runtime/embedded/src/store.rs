//! The store: opening it, appending from outside, reading for exports, consoles and tests.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tillwatch_core::{
    Instant,
    log::{LogError, PartitionId, RawRecord},
    stage::Stage,
};

use crate::{
    acknowledged::{Acknowledged, Lost, Mark},
    engine::Engine,
    fault,
    group::Group,
    options::{Clock, Limits, Options},
    record::Prepared,
    salvage,
    topics::{Row, Topics},
    worker::EmbeddedLog,
    write::{Failure, Request, Tails, Written},
};

/// A log on this machine. Clones share it; all methods may be called from any thread.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Shared>);

/// What all clones, workers and readers share.
pub(crate) struct Shared {
    pub(crate) directory: PathBuf,
    pub(crate) topics: Topics,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) engine: RwLock<Option<Engine>>,
    pub(crate) acknowledged: Mutex<Acknowledged>,
    pub(crate) tails: Mutex<Tails>,
    pub(crate) grown: Condvar,
    pub(crate) group: Group<Request, Result<Written, Failure>>,
    /// The slot of the worker that owns each partition, by flat index.
    pub(crate) owners: Mutex<Vec<Option<usize>>>,
    lost: Vec<Lost>,
    torn: u64,
    /// Held as long as the store lives.
    _lock: File,
}

/// Where an appended record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// All to this partition of the input.
    Partition(PartitionId),
    /// Each to the partition of its key, those without a key to partition 0.
    Key,
}

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its payload; none for a tombstone.
    pub value: Option<&'a [u8]>,
}

impl NewRecord<'_> {
    pub(crate) fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.map_or(0, <[u8]>::len) + headers + self.value.map_or(0, <[u8]>::len)
    }
}

impl Store {
    /// Opens the log in a directory of its own, which is made where it is missing, with its topics.
    ///
    /// # Errors
    /// `log-locked`: another process has it. `log-behind`: less is there than was acknowledged, and [`Options::accept_loss`] is not set.
    /// `log-partitions`, `log-format`: the log and the configuration do not fit. `log-corrupt`: it cannot be read. `log-disk`: the disk
    /// failed, retrying may help.
    pub fn open(path: &Path, options: Options) -> Result<Self, LogError> {
        fs::create_dir_all(path).map_err(fault::io(path, "creating the directory"))?;
        let lock = lock(path)?;
        let (mut acknowledged, mark) = Acknowledged::open(&path.join("acknowledged"))?;
        let directory = path.join("engine");
        if !directory.exists() {
            match &mark {
                Some(mark) if mark.sequence > 0 && !options.accept_loss => {
                    return Err(fault::behind(path, mark.sequence, 0, &[]));
                }
                Some(_) => {}
                None => acknowledged.write(&Mark::default())?,
            }
        }
        let torn = if directory.exists() { salvage::torn(&directory)? } else { 0 };
        let engine = Engine::open(&directory)?;
        let stored = engine.topics()?;
        let known = stored.len();
        let topics = Topics::new(stored, &options)?;
        if known < topics.all().len() {
            let mut batch = engine.batch();
            for (id, topic) in topics.all().iter().enumerate().skip(known) {
                batch.topic(id, &Row { name: topic.name.clone(), partitions: topic.partitions });
            }
            batch.commit()?;
        }
        let tails = Tails::read(&engine, &topics)?;
        let (expected, lost) = compare(mark, &tails, &topics);
        if !lost.is_empty() && !options.accept_loss {
            return Err(fault::behind(path, expected, tails.sequence, &lost));
        }
        acknowledged.write(&tails.mark())?;
        let owners = vec![None; topics.count()];
        Ok(Self(Arc::new(Shared {
            directory,
            topics,
            clock: options.clock,
            limits: options.limits,
            engine: RwLock::new(Some(engine)),
            acknowledged: Mutex::new(acknowledged),
            tails: Mutex::new(tails),
            grown: Condvar::new(),
            group: Group::new(),
            owners: Mutex::new(owners),
            lost,
            torn,
            _lock: lock,
        })))
    }

    /// What [`Options::accept_loss`] let go; empty where nothing was missing.
    #[must_use]
    pub fn lost(&self) -> &[Lost] {
        &self.0.lost
    }

    /// Bytes of a write that a crash had cut short, and that opening has dropped; 0 where the last write was whole. None of them was
    /// acknowledged, or [`Store::open`] would have refused or [`Store::lost`] would say so.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.0.torn
    }

    /// Appends records to the input topic, all or none, and returns when they are durable: partition and offset of each. `now` becomes
    /// their ingest time, or the time that their partition has reached if that is later.
    ///
    /// # Errors
    /// `record-too-large` and `log-topic`: nothing was appended. `log-disk`, which may be retried: they are not acknowledged, and in rare
    /// cases there all the same.
    pub fn append(&self, to: To, records: &[NewRecord<'_>], now: Instant) -> Result<Vec<(PartitionId, i64)>, LogError> {
        let input = self.0.topics.input();
        let mut request = Request { now, ..Request::default() };
        let mut partitions = Vec::with_capacity(records.len());
        for record in records {
            let partition = match to {
                To::Partition(partition) => partition,
                To::Key => record.key.map_or(0, |key| input.partition_of(key)),
            };
            request.records.push((input.index(partition)?, self.0.prepare(&input.name, record)?));
            partitions.push(partition);
        }
        let written = self.0.submit(request).map_err(Failure::into_error)?;
        Ok(partitions.into_iter().zip(written.offsets).collect())
    }

    /// As [`Store::append`], for records that another log took in: each with its partition and the ingest time that it had there, which
    /// counts unless its partition has come further. For backfills and tests.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn append_recorded(&self, records: &[(PartitionId, Instant, NewRecord<'_>)]) -> Result<(), LogError> {
        let input = self.0.topics.input();
        let mut request = Request::default();
        for (partition, ingest, record) in records {
            let mut prepared = self.0.prepare(&input.name, record)?;
            prepared.recorded = Some(*ingest);
            request.records.push((input.index(*partition)?, prepared));
        }
        self.0.submit(request).map(drop).map_err(Failure::into_error)
    }

    /// The input partition of a key.
    #[must_use]
    pub fn partition_of(&self, key: &[u8]) -> PartitionId {
        self.0.topics.input().partition_of(key)
    }

    /// A worker of the first stage that owns these input partitions until it is closed or dropped.
    ///
    /// # Errors
    /// `log-topic`: there is no such partition. `log-misuse`: another worker has it.
    pub fn worker(&self, slot: usize, partitions: &[PartitionId]) -> Result<EmbeddedLog, LogError> {
        self.worker_of(Stage::First, slot, partitions)
    }

    /// A worker of a stage; the second owns partitions of the topic of evidence.
    ///
    /// # Errors
    /// As [`Store::worker`].
    pub fn worker_of(&self, stage: Stage, slot: usize, partitions: &[PartitionId]) -> Result<EmbeddedLog, LogError> {
        EmbeddedLog::new(Arc::clone(&self.0), stage, slot, partitions)
    }

    /// Hands at most `max` records of a partition to the sink, from `from` or the oldest that is kept, and gives the offset to go on
    /// from. The sink must not call the store.
    ///
    /// # Errors
    /// `log-topic`: there is no such partition. `log-corrupt`: a record is garbled, with its offset. `log-disk`.
    pub fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: i64,
        max: usize,
        sink: &mut dyn FnMut(RawRecord<'_>),
    ) -> Result<i64, LogError> {
        self.0.read(self.0.topics.index(topic, partition)?, from, max, sink)
    }

    /// Offset of the oldest record that is kept.
    ///
    /// # Errors
    /// `log-topic`: there is no such partition.
    pub fn start_offset(&self, topic: &str, partition: PartitionId) -> Result<i64, LogError> {
        let index = self.0.topics.index(topic, partition)?;
        Ok(self.0.tails().all[index].start)
    }

    /// Offset of the next record.
    ///
    /// # Errors
    /// `log-topic`: there is no such partition.
    pub fn end_offset(&self, topic: &str, partition: PartitionId) -> Result<i64, LogError> {
        let index = self.0.topics.index(topic, partition)?;
        Ok(self.0.tails().all[index].end)
    }

    /// Name and number of partitions of every topic in the log.
    #[must_use]
    pub fn topics(&self) -> Vec<(String, PartitionId)> {
        let partitions = |count| PartitionId::try_from(count).expect("invariant: at most ENDS_MAX partitions");
        self.0.topics.all().iter().map(|topic| (topic.name.clone(), partitions(topic.partitions))).collect()
    }

    /// Waits until a partition has a record at `offset`, at most so long; whether it has.
    ///
    /// # Errors
    /// `log-topic`: there is no such partition.
    pub fn wait(&self, topic: &str, partition: PartitionId, offset: i64, wait: Duration) -> Result<bool, LogError> {
        let index = self.0.topics.index(topic, partition)?;
        let waited = self.0.grown.wait_timeout_while(self.0.tails(), wait, |tails| tails.all[index].end <= offset);
        let (tails, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Ok(tails.all[index].end > offset)
    }

    /// Drops records past their retention, as commits do by the way; how many.
    ///
    /// # Errors
    /// `log-disk`, which may be retried.
    pub fn trim(&self, now: Instant) -> Result<u64, LogError> {
        let request = Request { now, trim: Some(now), ..Request::default() };
        self.0.submit(request).map(|written| written.trimmed).map_err(Failure::into_error)
    }
}

impl Shared {
    /// Encodes a record, if it is not too large.
    pub(crate) fn prepare(&self, topic: &str, record: &NewRecord<'_>) -> Result<Prepared, LogError> {
        let (size, most) = (record.size(), self.limits.record_bytes_max);
        if size > most {
            let what = format!("a record of {size} bytes for {topic}; at most {most} are taken (record_bytes_max)");
            return Err(fault::config("record-too-large", what));
        }
        Ok(Prepared::new(record))
    }

    /// See [`Store::read`]; by flat index.
    pub(crate) fn read(
        &self,
        index: usize,
        from: i64,
        max: usize,
        sink: &mut dyn FnMut(RawRecord<'_>),
    ) -> Result<i64, LogError> {
        let tail = self.tails().all[index];
        let from = from.max(tail.start);
        let max = max.min(usize::try_from(tail.end.saturating_sub(from)).unwrap_or(0));
        if max == 0 {
            return Ok(from);
        }
        let (topic, partition) = self.topics.at(index);
        let gone = |missing| Some(self.tails().all[index].start).filter(|start| *start > missing);
        self.with_engine(|engine| engine.read(topic, partition, from, (max, self.limits.poll_bytes_max), gone, sink))
    }
}

fn lock(path: &Path) -> Result<File, LogError> {
    let name = path.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(fault::io(&name, "opening the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(fault::locked(path)),
        Err(TryLockError::Error(error)) => Err(fault::disk(&name, "taking the lock", &error)),
    }
}

/// What the log should have had, and what of it is missing.
fn compare(mark: Option<Mark>, tails: &Tails, topics: &Topics) -> (u64, Vec<Lost>) {
    let Some(mark) = mark else {
        let commits = Lost { topic: String::new(), partition: 0, from: 0, to: number(tails.sequence) };
        return (tails.sequence, if tails.sequence > 0 { vec![commits] } else { Vec::new() });
    };
    let mut lost = Vec::new();
    if mark.sequence > tails.sequence {
        let (from, to) = (number(tails.sequence + 1), number(mark.sequence));
        lost.push(Lost { topic: String::new(), partition: 0, from, to });
    }
    for (index, (end, tail)) in mark.ends.iter().zip(&tails.all).enumerate() {
        if *end > tail.end {
            let (topic, partition) = topics.at(index);
            let partition = PartitionId::try_from(partition).expect("invariant: at most ENDS_MAX partitions");
            lost.push(Lost { topic: topic.name.clone(), partition, from: tail.end, to: end - 1 });
        }
    }
    (mark.sequence, lost)
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("invariant: commits are counted from 1, one at a time")
}
