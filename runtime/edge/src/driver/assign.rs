//! Partitions that come and go.

use tillwatch_core::{
    log::{Log, PartitionId, Restoring},
    partition::Partition,
    rules::Rules,
};

use super::{Driver, Failure, Owned, Phase};
use crate::telemetry::events;

/// Changelog records between two log lines about restoring.
const PROGRESS_EVERY: u64 = 100_000;

impl<L: Log, R: Rules> Driver<'_, L, R> {
    /// These are now this worker's: all are restored before anything is read.
    pub(super) fn assigned(&mut self, partitions: &[PartitionId]) -> Result<(), Failure> {
        self.recovered();
        if partitions.is_empty() {
            self.shared.status.dealt(self.slot);
            return Ok(());
        }
        if !std::mem::take(&mut self.lost) {
            self.heard_at = self.clock.elapsed();
        }
        events::Assigned { slot: self.slot, partitions }.emit(&self.shared.metrics);
        self.shared.status.set(self.slot, Phase::Restoring);
        let silent = self.clock.elapsed().saturating_sub(self.heard_at);
        for partition in partitions {
            self.restore(*partition, 0)?;
        }
        self.heard_at = self.clock.elapsed();
        if silent >= self.shared.options.unreachable_max {
            self.owned.values_mut().for_each(|owned| owned.sight.unreachable());
        }
        self.shared.status.set(self.slot, Phase::Running);
        Ok(())
    }

    /// These will be taken away: what is pending is committed, then they are dropped and given back.
    pub(super) fn revoked(&mut self, partitions: &[PartitionId]) -> Result<(), Failure> {
        self.recovered();
        self.step()?;
        self.commit()?;
        self.give_back(partitions, "revoked")
    }

    /// These are gone: they are dropped with what was pending.
    pub(super) fn lost(&mut self, partitions: &[PartitionId]) -> Result<(), Failure> {
        // What could not be committed is dropped.
        self.stuck = false;
        self.recovered();
        self.lost = true;
        self.give_back(partitions, "lost")
    }

    fn give_back(&mut self, partitions: &[PartitionId], why: &'static str) -> Result<(), Failure> {
        for partition in partitions {
            self.drop_partition(*partition, why);
        }
        self.stuck &= !self.owned.is_empty();
        match self.log.release(partitions) {
            Ok(()) => Ok(()),
            Err(error) => self.trouble(error),
        }
    }

    pub(super) fn drop_partition(&mut self, partition: PartitionId, why: &'static str) {
        if self.owned.remove(&partition).is_some() {
            events::Released { slot: self.slot, partition, why }.emit(&self.shared.metrics);
        }
    }

    /// Builds a partition from what is committed and begins to read it. Failures that pass are tried again until somebody asks to stop.
    pub(super) fn restore(&mut self, partition: PartitionId, stalls: u32) -> Result<(), Failure> {
        loop {
            match self.restore_once(partition, stalls) {
                Err(Failure::Log(error)) if error.retry && !self.shared.shutdown.requested() => self.trouble(error)?,
                Err(Failure::Log(error)) if error.retry => return Ok(()),
                other => return other,
            }
        }
    }

    fn restore_once(&mut self, partition: PartitionId, stalls: u32) -> Result<(), Failure> {
        let began = self.clock.elapsed();
        let descriptors = self.rules.descriptors();
        let mut core = Partition::new(partition, self.shared.settings.clone(), descriptors).map_err(Failure::Setup)?;
        let slot = self.slot;
        let (mut records, mut said, mut corrupt) = (0, 0, None);
        let position = self.log.restore(
            partition,
            &mut |key, value| {
                records += 1;
                if corrupt.is_none() {
                    corrupt = core.load(key, value).err();
                }
            },
            &mut |restoring: Restoring| {
                if restoring.read >= said + PROGRESS_EVERY {
                    said = restoring.read;
                    events::Progress { slot, restoring }.emit();
                }
            },
        );
        let position = position.map_err(Failure::Log)?;
        if let Some(error) = corrupt {
            return Err(Failure::Corrupt(partition, error));
        }
        let from = core.resume(position, &mut self.rules).map_err(|error| Failure::Resume(partition, error))?;
        self.log.start(partition, from).map_err(Failure::Log)?;
        let now = self.clock.elapsed();
        let mut owned = Owned::new(partition, core, from, position, now);
        owned.stalls = stalls;
        self.owned.insert(partition, owned);
        let took = now.saturating_sub(began);
        events::Restored { slot, partition, records, from, took }.emit(&self.shared.metrics);
        Ok(())
    }
}
