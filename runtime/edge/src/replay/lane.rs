//! One partition of a replay, with what it committed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tillwatch_core::{
    Instant,
    log::{Changes, PartitionId, Position},
    output::{Id, Output},
    partition::{Partition, Record, Settings},
    rules::Rules,
};

use crate::driver::Failure;

/// One partition.
pub(super) struct Lane {
    id: PartitionId,
    settings: Arc<Settings>,
    partition: Partition,
    records: Vec<Record>,
    /// Records from the position's `low` on, to read again after a crash.
    kept: VecDeque<Record>,
    changelog: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Option<Position>,
}

impl Lane {
    pub(super) fn new(lane: usize, settings: &Arc<Settings>, rules: &mut dyn Rules) -> Result<Self, Failure> {
        let id = PartitionId::try_from(lane).expect("invariant: a replay has fewer than 2^31 partitions");
        let mut partition = Partition::new(id, settings.clone(), rules.descriptors()).map_err(Failure::Setup)?;
        partition.resume(None, rules).map_err(|error| Failure::Resume(id, error))?;
        Ok(Self {
            id,
            settings: settings.clone(),
            partition,
            records: Vec::new(),
            kept: VecDeque::new(),
            changelog: BTreeMap::new(),
            position: None,
        })
    }

    /// Everything before this instant has been handed out.
    pub(super) fn watermark(&self) -> Instant {
        self.partition.watermark()
    }

    pub(super) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Steps what was pushed; with `keep` also keeps what a restore needs.
    pub(super) fn step(&mut self, rules: &mut dyn Rules, keep: bool, out: &mut Vec<Output>) -> Result<(), Failure> {
        if self.records.is_empty() {
            return Ok(());
        }
        if keep {
            self.kept.extend(self.records.iter().cloned());
        }
        let stalled = self.partition.step(&mut self.records, rules, out);
        stalled.map_err(|stall| Failure::Stalled { rule: stall.rule, partition: self.id })?;
        if keep {
            self.commit();
        }
        Ok(())
    }

    fn commit(&mut self) {
        let mut changes = Changes::default();
        self.partition.changes(&mut changes);
        for (key, value) in changes.pairs() {
            match value {
                Some(value) => self.changelog.insert(key, value),
                None => self.changelog.remove(&key),
            };
        }
        let position = self.partition.position();
        while self.kept.front().is_some_and(|record| record.offset < position.low) {
            self.kept.pop_front();
        }
        self.position = Some(position);
    }

    /// Throws the partition away and builds it again from what it committed.
    pub(super) fn crash(&mut self, rules: &mut dyn Rules) -> Result<(), Failure> {
        let Some(position) = self.position else { return Ok(()) };
        let mut partition =
            Partition::new(self.id, self.settings.clone(), rules.descriptors()).map_err(Failure::Setup)?;
        for (key, value) in &self.changelog {
            partition.load(key, Some(value)).map_err(|error| Failure::Corrupt(self.id, error))?;
        }
        let from = partition.resume(Some(position), rules).map_err(|error| Failure::Resume(self.id, error))?;
        let from = from.unwrap_or(i64::MIN);
        assert!(from >= position.low, "invariant: what is read again was kept");
        self.records = self.kept.drain(..).filter(|record| record.offset >= from).collect();
        self.partition = partition;
        Ok(())
    }
}

/// The lane of a key: the same on every machine.
pub(super) fn of_key(key: &str, lanes: usize) -> usize {
    let id = Id::of(&[key.as_bytes()]);
    let hash = id.as_str().bytes().take(8).fold(0_usize, |hash, letter| hash * 16 + usize::from(letter - b'a'));
    hash % lanes
}
