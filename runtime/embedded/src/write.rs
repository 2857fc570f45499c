//! The one writer: requests of all workers and of the ingest become one batch, one sync and one mark in `acknowledged`.
//!
//! A write that fails closes the engine, since fjall takes no more after it, and opening it again decides what became of it.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use tillwatch_core::{
    Instant,
    log::{LogError, PartitionId, Position},
    stage::Stage,
};

use crate::{
    acknowledged::{Acknowledged, Mark},
    engine::{Batch, Engine, Tail},
    fault, record, retention,
    store::Shared,
};

/// What one caller wants made durable, all or nothing.
#[derive(Default)]
pub(crate) struct Request {
    /// The time of its records.
    pub(crate) now: Instant,
    /// Records with the flat index of their partition.
    pub(crate) records: Vec<(usize, record::Prepared)>,
    /// Changelog keys and sealed values.
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Positions of input partitions: flat index, number in the bookkeeping, position.
    pub(crate) positions: Vec<(usize, PartitionId, Position)>,
    /// Apply retention at this time.
    pub(crate) trim: Option<Instant>,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// Offsets of its records.
    pub(crate) offsets: Vec<i64>,
    /// Records that retention dropped, of the whole group.
    pub(crate) trimmed: u64,
}

/// Why it is not known to be durable.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// None of it is.
    Nothing(LogError),
    /// It may be.
    Unknown(LogError),
}

impl Failure {
    /// The error, for callers to whom a second attempt does no harm.
    pub(crate) fn into_error(self) -> LogError {
        match self {
            Self::Nothing(error) | Self::Unknown(error) => error,
        }
    }
}

/// What the writer knows of the partitions; readers wait on its growth.
#[derive(Default)]
pub(crate) struct Tails {
    /// By flat index.
    pub(crate) all: Vec<Tail>,
    /// Number of the last commit.
    pub(crate) sequence: u64,
    /// The lowest offset that a restart reads, by flat index; the largest number for what no stage reads.
    pub(crate) lows: Vec<i64>,
    /// When retention was applied last.
    pub(crate) trimmed_at: Option<Instant>,
}

impl Tails {
    /// Reads them from the engine.
    pub(crate) fn read(engine: &Engine, topics: &crate::topics::Topics) -> Result<Self, LogError> {
        let mut tails = Self { sequence: engine.sequence()?, ..Self::default() };
        for index in 0..topics.count() {
            let (topic, partition) = topics.at(index);
            tails.all.push(engine.tail(topic.id, partition)?);
        }
        tails.lows = vec![i64::MAX; topics.count()];
        for stage in [Stage::First, Stage::Second] {
            let Ok(topic) = topics.of_stage(stage) else { continue };
            // Where no second stage ever ran, nobody waits for evidence.
            let unread = if stage == Stage::First { 0 } else { i64::MAX };
            for partition in 0..topic.partitions {
                let partition = PartitionId::try_from(partition).expect("invariant: at most ENDS_MAX partitions");
                let position = engine.position(numbered(stage, partition))?;
                tails.lows[topic.index(partition)?] = position.map_or(unread, |position| position.low);
            }
        }
        Ok(tails)
    }

    /// What of them is acknowledged.
    pub(crate) fn mark(&self) -> Mark {
        Mark { sequence: self.sequence, ends: self.all.iter().map(|tail| tail.end).collect() }
    }
}

/// The number under which the state and position of a stage's partition are kept.
pub(crate) fn numbered(stage: Stage, partition: PartitionId) -> PartitionId {
    /// Beyond every number of a partition of the first stage.
    const SECOND: PartitionId = 1 << 20;
    match stage {
        Stage::First => partition,
        Stage::Second => SECOND + partition,
    }
}

/// A batch as it grows, with the partitions that it moves.
struct Draft<'a> {
    shared: &'a Shared,
    batch: Batch<'a>,
    moved: BTreeMap<usize, Tail>,
    lows: Vec<(usize, i64)>,
}

impl Shared {
    /// Has a request written in the next group.
    pub(crate) fn submit(&self, request: Request) -> Result<Written, Failure> {
        let bytes = request.records.iter().map(|(_, record)| record.size()).sum::<usize>()
            + request.changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        self.group.submit(request, bytes, self.limits.group_bytes_max, |requests| self.write(requests))
    }

    fn write(&self, requests: Vec<Request>) -> Vec<Result<Written, Failure>> {
        let count = requests.len();
        let mut acknowledged = self.acknowledged();
        let answer = self.reopen(&mut acknowledged).map_err(Failure::Nothing);
        match answer.and_then(|()| self.write_open(requests, &mut acknowledged)) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(failure) => vec![Err(failure); count],
        }
    }

    fn write_open(&self, requests: Vec<Request>, acknowledged: &mut Acknowledged) -> Result<Vec<Written>, Failure> {
        let guard = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = guard.as_ref().expect("invariant: reopened just before, by the only writer");
        let sequence = self.tails().sequence + 1;
        let mut draft = Draft { shared: self, batch: engine.batch(), moved: BTreeMap::new(), lows: Vec::new() };
        let clock = (self.clock)();
        let due = self.tails().trimmed_at.is_none_or(|at| clock.saturating_sub(at) >= self.limits.trim_every_ms);
        let trim = requests.iter().filter_map(|request| request.trim).chain(due.then_some(clock)).max();
        let mut answers: Vec<Written> = requests.into_iter().map(|request| draft.add(request)).collect();
        if let Some(now) = trim {
            let trimmed = draft.trim(engine, now).map_err(Failure::Nothing)?;
            answers.iter_mut().for_each(|answer| answer.trimmed = trimmed);
        }
        let Draft { mut batch, moved, lows, .. } = draft;
        for (index, tail) in &moved {
            let (topic, partition) = self.topics.at(*index);
            batch.tail(topic.id, partition, tail);
        }
        batch.sequence(sequence);
        {
            // Readers learn of a cut before it is made: they may find less than they saw, never a hole.
            let mut tails = self.tails();
            moved.iter().for_each(|(index, tail)| tails.all[*index].start = tail.start);
        }
        if let Err(error) = batch.commit() {
            drop(guard);
            return self.after_failure(sequence, error, acknowledged).map(|()| answers);
        }
        let mark = {
            let mut tails = self.tails();
            moved.into_iter().for_each(|(index, tail)| tails.all[index] = tail);
            lows.into_iter().for_each(|(index, low)| tails.lows[index] = low);
            tails.sequence = sequence;
            tails.trimmed_at = trim.or(tails.trimmed_at);
            tails.mark()
        };
        let marked = acknowledged.write(&mark);
        self.grown.notify_all();
        marked.map_err(Failure::Unknown).map(|()| answers)
    }

    /// A write has failed: opens the engine anew, and sees whether it is there all the same.
    fn after_failure(&self, sequence: u64, error: LogError, acknowledged: &mut Acknowledged) -> Result<(), Failure> {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = None;
        match self.reopen(acknowledged) {
            Err(_) => Err(Failure::Unknown(error)),
            Ok(()) if self.tails().sequence < sequence => Err(Failure::Nothing(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Opens the engine where a failed write has closed it.
    pub(crate) fn reopen(&self, acknowledged: &mut Acknowledged) -> Result<(), LogError> {
        if self.engine.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut place = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let engine = Engine::open(&self.directory)?;
        let read = Tails::read(&engine, &self.topics)?;
        let mut tails = self.tails();
        if read.sequence < tails.sequence {
            return Err(fault::behind(&self.directory, tails.sequence, read.sequence, &[]));
        }
        acknowledged.write(&read.mark())?;
        *tails = Tails { trimmed_at: tails.trimmed_at, ..read };
        *place = Some(engine);
        self.grown.notify_all();
        Ok(())
    }

    /// Runs something on the engine, opened again if need be.
    pub(crate) fn with_engine<T>(&self, then: impl FnOnce(&Engine) -> Result<T, LogError>) -> Result<T, LogError> {
        {
            let guard = self.engine.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(engine) = guard.as_ref() {
                return then(engine);
            }
        }
        self.reopen(&mut self.acknowledged())?;
        let guard = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || fault::disk(&self.directory, "opening the log", &"a write failed again meanwhile");
        then(guard.as_ref().ok_or_else(closed)?)
    }

    fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tails; held for moments only.
    pub(crate) fn tails(&self) -> MutexGuard<'_, Tails> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Draft<'_> {
    fn tail(&mut self, index: usize) -> &mut Tail {
        self.moved.entry(index).or_insert_with(|| self.shared.tails().all[index])
    }

    fn add(&mut self, request: Request) -> Written {
        let mut offsets = Vec::with_capacity(request.records.len());
        for (index, prepared) in request.records {
            let (topic, partition) = self.shared.topics.at(index);
            let id = topic.id;
            let now = prepared.recorded.unwrap_or(request.now);
            let tail = self.tail(index);
            let (offset, ingest) = (tail.end, tail.ingest.map_or(now, |reached| reached.max(now)));
            let place = record::place(id, partition, offset);
            let bytes = self.batch.record(&place, prepared.at(&place, ingest));
            let tail = self.tail(index);
            tail.end = offset + 1;
            tail.ingest = Some(ingest);
            tail.bytes += bytes;
            offsets.push(offset);
        }
        for (key, value) in request.changes {
            self.batch.change(key, value);
        }
        for (index, number, position) in request.positions {
            self.batch.position(number, &position);
            self.lows.push((index, position.low));
        }
        Written { offsets, trimmed: 0 }
    }

    /// Drops what has stayed long enough, of what was there before this batch.
    fn trim(&mut self, engine: &Engine, now: Instant) -> Result<u64, LogError> {
        let shared = self.shared;
        let mut trimmed = 0;
        for index in 0..shared.topics.count() {
            let (topic, partition) = shared.topics.at(index);
            let Some(retention) = topic.retention else { continue };
            let tail = *self.tail(index);
            let keep = shared.tails().lows[index];
            let oldest = engine.oldest(topic, partition, tail.start);
            let cut = retention::cut(&tail, retention, keep, now, shared.limits.trim_records_max, oldest)?;
            for offset in tail.start..cut.start {
                self.batch.forget(&record::place(topic.id, partition, offset));
                trimmed += 1;
            }
            if cut == tail {
                self.moved.retain(|moved, kept| *moved != index || *kept != shared.tails().all[index]);
            } else {
                self.moved.insert(index, cut);
            }
        }
        Ok(trimmed)
    }
}
