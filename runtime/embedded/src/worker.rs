//! One worker's share of the store: core's `Log` over its input partitions.
//!
//! Ownership does not move while a worker lives, so there is nothing to revoke: its partitions are assigned at the first poll.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tillwatch_core::{
    log::{Commit, Committed, Ended, Log, LogError, PartitionId, Polled, Position, RawRecord, Restoring, Tick, Ticked},
    stage::{LeftOut, Passed, Stage},
};

use crate::{
    engine::state_key,
    fault,
    record::seal,
    store::{NewRecord, Shared},
    topics::Topic,
    write::{Failure, Request, numbered},
};

/// A worker on the store. Dropping it gives its partitions back.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    stage: Stage,
    slot: usize,
    partitions: Vec<PartitionId>,
    assigned: bool,
    /// The next offset of each partition that was started.
    cursors: BTreeMap<PartitionId, i64>,
    /// The partition that the next poll begins with, so that a busy one starves no other.
    turn: PartitionId,
    /// How the last commit ended, until the driver asks.
    ended: Option<Ended>,
}

impl EmbeddedLog {
    pub(crate) fn new(
        shared: Arc<Shared>,
        stage: Stage,
        slot: usize,
        partitions: &[PartitionId],
    ) -> Result<Self, LogError> {
        let mut owners = shared.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let input = shared.topics.of_stage(stage)?;
        let mut wanted = partitions.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let indexes = wanted.iter().map(|partition| input.index(*partition));
        let indexes: Vec<usize> = indexes.collect::<Result<_, LogError>>()?;
        for index in &indexes {
            if let Some(other) = owners[*index] {
                let (name, partition) = (&input.name, index - input.first);
                return Err(fault::misuse(format!(
                    "{name}/{partition} is wanted by worker {slot} and owned by worker {other}"
                )));
            }
        }
        indexes.into_iter().for_each(|index| owners[index] = Some(slot));
        drop(owners);
        Ok(Self {
            shared,
            stage,
            slot,
            partitions: wanted,
            assigned: false,
            cursors: BTreeMap::new(),
            turn: 0,
            ended: None,
        })
    }

    fn topic(&self) -> &Topic {
        self.shared.topics.of_stage(self.stage).expect("invariant: checked by `new`")
    }

    fn index(&self, partition: PartitionId) -> Result<usize, LogError> {
        if self.partitions.binary_search(&partition).is_err() {
            let (name, slot) = (&self.topic().name, self.slot);
            return Err(fault::misuse(format!("{name}/{partition} does not belong to worker {slot}")));
        }
        self.topic().index(partition)
    }

    /// Appends a record that is all headers to an owned partition.
    fn append(&self, partition: PartitionId, headers: &[(&str, &[u8])]) -> Result<(), LogError> {
        let record = NewRecord { key: None, headers, value: Some(&[]) };
        let records = vec![(self.index(partition)?, self.shared.prepare(&self.topic().name, &record)?)];
        let request = Request { now: (self.shared.clock)(), records, ..Request::default() };
        self.shared.submit(request).map(drop).map_err(Failure::into_error)
    }

    fn give_back(&mut self) {
        let first = self.topic().first;
        let mut owners = self.shared.owners.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in self.partitions.drain(..) {
            let index = usize::try_from(partition).expect("invariant: checked by `new`");
            owners[first + index] = None;
        }
        self.cursors.clear();
    }

    /// Reads what is there; whether it was anything.
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(PartitionId, RawRecord<'_>)) -> Result<bool, LogError> {
        let mut left = max;
        let order: Vec<PartitionId> = self
            .cursors
            .range(self.turn..)
            .chain(self.cursors.range(..self.turn))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in order {
            if left == 0 {
                break;
            }
            let index = self.index(partition)?;
            let from = self.cursors[&partition];
            let mut seen = 0;
            let next = self.shared.read(index, from, left, &mut |record| {
                seen += 1;
                sink(partition, record);
            })?;
            left -= seen;
            self.turn = partition + 1;
            self.cursors.insert(partition, next);
        }
        Ok(left < max)
    }

    fn submit(&self, commits: &[Commit]) -> Result<Committed, LogError> {
        match self.shared.submit(self.request(commits)?) {
            Ok(_) => Ok(Committed::Done),
            Err(Failure::Nothing(error)) => Err(error),
            Err(Failure::Unknown(error)) => Ok(Committed::Unknown { reason: error.to_string() }),
        }
    }

    fn request(&self, commits: &[Commit]) -> Result<Request, LogError> {
        let shared = &self.shared;
        let mut request = Request { now: (shared.clock)(), ..Request::default() };
        for commit in commits {
            let index = self.index(commit.partition)?;
            let number = numbered(self.stage, commit.partition);
            for message in &commit.messages {
                let topic = shared.topics.output(message.topic).ok_or_else(|| {
                    fault::misuse(format!("a message for {}, which the options do not name", message.topic.name()))
                })?;
                let headers: Vec<(&str, &[u8])> =
                    message.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                let key = message.key.as_bytes();
                let record = NewRecord { key: Some(key), headers: &headers, value: Some(&message.value) };
                let index = topic.index(topic.partition_of(key))?;
                request.records.push((index, shared.prepare(&topic.name, &record)?));
            }
            if let Some(at) = commit.passed {
                let topic = shared.topics.of_stage(Stage::Second)?;
                let input = commit.partition.unsigned_abs();
                let headers = Passed { input, inputs: self.topic().partitions, at }.headers();
                let headers: Vec<(&str, &[u8])> =
                    headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                let record = NewRecord { key: None, headers: &headers, value: Some(&[]) };
                for index in topic.first..topic.first + topic.count() {
                    request.records.push((index, shared.prepare(&topic.name, &record)?));
                }
            }
            for (key, value) in commit.changes.iter() {
                let key = state_key(number, key);
                let value = value.map(|value| seal(&key, value.to_vec()));
                request.changes.push((key, value));
            }
            request.positions.push((index, number, commit.position));
        }
        Ok(request)
    }
}

impl Log for EmbeddedLog {
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        sink: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<Polled, LogError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Polled::Assigned(self.partitions.clone()));
        }
        if !self.read(max, sink)? && max > 0 {
            let first = self.topic().first;
            let cursors = &self.cursors;
            let nothing = |tails: &mut crate::write::Tails| {
                cursors.iter().all(|(partition, next)| {
                    let index = usize::try_from(*partition).expect("invariant: checked by `new`");
                    tails.all[first + index].end <= *next
                })
            };
            let waited = self.shared.grown.wait_timeout_while(self.shared.tails(), wait, nothing);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            self.read(max, sink)?;
        }
        Ok(Polled::Records)
    }

    fn restore(
        &mut self,
        partition: PartitionId,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>),
        progress: &mut dyn FnMut(Restoring),
    ) -> Result<Option<Position>, LogError> {
        /// Keys between two reports.
        const REPORT_EVERY: u64 = 16_384;
        self.index(partition)?;
        let number = numbered(self.stage, partition);
        self.shared.with_engine(|engine| {
            let mut read = 0;
            engine.state(number, &mut |key, value| {
                each(key, Some(value));
                read += 1;
                if read % REPORT_EVERY == 0 {
                    progress(Restoring { partition, read, total: read });
                }
            })?;
            progress(Restoring { partition, read, total: read });
            engine.position(number)
        })
    }

    fn start(&mut self, partition: PartitionId, from: Option<i64>) -> Result<(), LogError> {
        let index = self.index(partition)?;
        let tail = self.shared.tails().all[index];
        let from = from.unwrap_or(tail.start);
        if from > tail.end {
            let (name, end) = (&self.topic().name, tail.end);
            return Err(fault::misuse(format!("{name}/{partition} is to start at {from} and ends at {end}")));
        }
        self.cursors.insert(partition, from);
        Ok(())
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), LogError> {
        for partition in partitions {
            self.cursors.remove(partition);
        }
        Ok(())
    }

    /// One writer makes everybody's effects durable with one call of the disk, so a worker waits for it here.
    fn begin_commit(&mut self, commits: Vec<Commit>) {
        let outcome = self.submit(&commits);
        self.ended = Some(Ended { commits, outcome });
    }

    fn ended(&mut self, _: bool) -> Option<Ended> {
        self.ended.take()
    }

    fn position(&mut self, partition: PartitionId) -> Result<Option<Position>, LogError> {
        self.index(partition)?;
        self.shared.with_engine(|engine| engine.position(numbered(self.stage, partition)))
    }

    fn tick(&mut self, partition: PartitionId, tick: Tick) -> Result<Ticked, LogError> {
        let headers = tick.headers();
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.append(partition, &headers).map(|()| Ticked::Appended)
    }

    fn leave_out(&mut self, partition: PartitionId, left: LeftOut) -> Result<(), LogError> {
        let headers = left.headers();
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.append(partition, &headers)
    }

    fn end(&mut self, partition: PartitionId) -> Option<i64> {
        let index = self.index(partition).ok()?;
        Some(self.shared.tails().all[index].end)
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.give_back();
        Ok(())
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.give_back();
    }
}
