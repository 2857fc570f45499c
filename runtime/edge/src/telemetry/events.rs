//! What happens in a running process, a struct each: `emit` writes the log line and moves the metrics.

use std::time::Duration;

use tillwatch_core::log::{Blind, LogError, PartitionId, Restoring};

use super::{
    Metrics, Outcome,
    metrics::{Code, OfOutcome, OfSlot},
};

/// Partitions came to this worker.
#[derive(Debug)]
pub struct Assigned<'a> {
    /// Of which worker.
    pub slot: u32,
    /// Which.
    pub partitions: &'a [PartitionId],
}

impl Assigned<'_> {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        let restoring = i64::try_from(self.partitions.len()).unwrap_or(i64::MAX);
        metrics.restoring.get_or_create(&OfSlot { slot: self.slot }).set(restoring);
        tracing::info!(slot = self.slot, partitions = ?self.partitions, "partitions assigned");
    }
}

/// The second stage takes nothing while partitions of the first are restored.
#[derive(Debug)]
pub struct Rests {
    /// Which worker.
    pub slot: u32,
}

impl Rests {
    /// Says so.
    pub fn emit(&self) {
        tracing::info!(slot = self.slot, "the second stage waits while partitions of the first are restored");
    }
}

/// Restoring goes on.
#[derive(Debug)]
pub struct Progress {
    /// Of which worker.
    pub slot: u32,
    /// How far.
    pub restoring: Restoring,
}

impl Progress {
    /// Says so.
    pub fn emit(&self) {
        let Restoring { partition, read, total } = self.restoring;
        tracing::info!(slot = self.slot, partition, read, total, "restoring");
    }
}

/// A partition is restored and is being read.
#[derive(Debug)]
pub struct Restored {
    /// Of which worker.
    pub slot: u32,
    /// Which.
    pub partition: PartitionId,
    /// Changelog records read.
    pub records: u64,
    /// From which offset on it is read; none: from its beginning.
    pub from: Option<i64>,
    /// How long it took.
    pub took: Duration,
}

impl Restored {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.restored_records.inc_by(self.records);
        metrics.restoring.get_or_create(&OfSlot { slot: self.slot }).dec();
        metrics.partitions.get_or_create(&OfSlot { slot: self.slot }).inc();
        let (partition, records, took_ms) = (self.partition, self.records, self.took.as_millis());
        tracing::info!(slot = self.slot, partition, records, took_ms, from = ?self.from, "partition restored");
    }
}

/// A partition is no longer this worker's.
#[derive(Debug)]
pub struct Released {
    /// Of which worker.
    pub slot: u32,
    /// Which.
    pub partition: PartitionId,
    /// Why: `revoked`, `lost` or `stalled`.
    pub why: &'static str,
}

impl Released {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.partitions.get_or_create(&OfSlot { slot: self.slot }).dec();
        tracing::info!(slot = self.slot, partition = self.partition, why = self.why, "partition released");
    }
}

/// A commit came to its end.
#[derive(Debug)]
pub struct CommitEnded<'a> {
    /// Of which worker.
    pub slot: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it is not done.
    pub reason: &'a str,
    /// How long it took.
    pub took: Duration,
}

impl CommitEnded<'_> {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.commits.get_or_create(&OfOutcome { outcome: self.outcome }).inc();
        metrics.commit_seconds.observe(self.took.as_secs_f64());
        let took_ms = self.took.as_millis();
        if self.outcome == Outcome::Done {
            tracing::debug!(slot = self.slot, took_ms, "committed");
        } else {
            let (outcome, reason) = (self.outcome, self.reason);
            tracing::warn!(slot = self.slot, ?outcome, reason, took_ms, "commit will be made again");
        }
    }
}

/// The log failed in a way that passes.
#[derive(Debug)]
pub struct Trouble<'a> {
    /// Of which worker.
    pub slot: u32,
    /// How.
    pub error: &'a LogError,
    /// Whether it is the first in a row; the others are counted only.
    pub first: bool,
}

impl Trouble<'_> {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.trouble.get_or_create(&Code { code: self.error.code }).inc();
        if self.first {
            tracing::warn!(slot = self.slot, code = self.error.code, "{}", self.error.what);
        }
    }
}

/// The log works again.
#[derive(Debug)]
pub struct Recovered {
    /// Of which worker.
    pub slot: u32,
    /// How long it did not.
    pub after: Duration,
}

impl Recovered {
    /// Says so.
    pub fn emit(&self) {
        tracing::info!(slot = self.slot, after_ms = self.after.as_millis(), "the log works again");
    }
}

/// The feed's sight changed.
#[derive(Debug)]
pub struct Sight {
    /// Of which partition.
    pub partition: PartitionId,
    /// How.
    pub blind: Blind,
}

impl Sight {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.blind.get_or_create(&Code { code: self.blind.name() }).inc();
        tracing::warn!(partition = self.partition, reason = self.blind.name(), "the feed's sight changed");
    }
}

/// The second stage goes on without a partition of the first that has stood still.
#[derive(Debug)]
pub struct InputLeftOut {
    /// Partition of the second stage.
    pub partition: PartitionId,
    /// Partition of the first.
    pub input: u32,
}

impl InputLeftOut {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.blind.get_or_create(&Code { code: "input" }).inc();
        tracing::warn!(
            partition = self.partition,
            input = self.input,
            "a partition of the first stage stands still: incidents go on without it. See whether its worker runs"
        );
    }
}

/// A rule stalled; its partition is restored and the same records are tried again.
#[derive(Debug)]
pub struct RuleStalled<'a> {
    /// Which.
    pub rule: &'a str,
    /// In which partition.
    pub partition: PartitionId,
    /// How often in a row.
    pub times: u32,
}

impl RuleStalled<'_> {
    /// Says so.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.stalls.get_or_create(&Code { code: "partition-restored" }).inc();
        let (rule, partition, times) = (self.rule, self.partition, self.times);
        tracing::error!(
            rule,
            partition,
            times,
            "rule-stalled: the host could not answer in time; the partition is restored and tried again"
        );
    }
}

/// A component is loaded.
#[derive(Debug)]
pub struct Loaded<'a> {
    /// The rule's id.
    pub rule: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Hash of its bytes.
    pub digest: &'a str,
    /// Its file.
    pub path: &'a str,
}

impl Loaded<'_> {
    /// Says so.
    pub fn emit(&self) {
        let (rule, version, digest, path) = (self.rule, self.version, self.digest, self.path);
        tracing::info!(rule, version, digest, path, "rule loaded");
    }
}

/// A crash had cut the last write to the embedded log short.
#[derive(Debug)]
pub struct Torn {
    /// What it had written of it.
    pub bytes: u64,
}

impl Torn {
    /// Says so.
    pub fn emit(&self) {
        let bytes = self.bytes;
        tracing::warn!(
            bytes,
            "log-torn: a write that a crash had cut short was dropped; none of it had been acknowledged"
        );
    }
}

/// The process begins to work.
#[derive(Debug)]
pub struct Started<'a> {
    /// `kafka` or `embedded`.
    pub log: &'a str,
    /// How many workers.
    pub workers: usize,
}

impl Started<'_> {
    /// Says so.
    pub fn emit(&self) {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), log = self.log, workers = self.workers, "tillwatch starts");
    }
}

/// Somebody asked the process to stop.
#[derive(Debug)]
pub struct Stopping {
    /// Which worker heard it.
    pub slot: u32,
}

impl Stopping {
    /// Says so.
    pub fn emit(&self) {
        tracing::info!(slot = self.slot, "stopping: what was read is committed");
    }
}

/// The HTTP side listens.
#[derive(Debug)]
pub struct Listening {
    /// Where.
    pub address: std::net::SocketAddr,
    /// Whether POST /events is open.
    pub ingest: bool,
}

impl Listening {
    /// Says so.
    pub fn emit(&self) {
        tracing::info!(address = %self.address, ingest = self.ingest, "http listens");
    }
}
