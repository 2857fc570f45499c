//! Every metric, with its name, labels and meaning.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tillwatch_core::log::Topic;

/// A label with a bounded set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
}

/// An output topic, by its default name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfTopic {
    pub(crate) topic: &'static str,
}

/// What became of a commit or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Outcome {
    Done,
    Aborted,
    Unknown,
    Failed,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfOutcome {
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfWhat {
    pub(crate) what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfRule {
    pub(crate) rule: String,
    pub(crate) what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfStatus {
    pub(crate) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfSlot {
    pub(crate) slot: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfSlotWhat {
    pub(crate) slot: u32,
    pub(crate) what: &'static str,
}

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    pub(crate) records: Counter,
    pub(crate) outputs: Family<OfTopic, Counter>,
    pub(crate) commits: Family<OfOutcome, Counter>,
    pub(crate) commit_seconds: Histogram,
    pub(crate) ticks: Counter,
    pub(crate) trouble: Family<Code, Counter>,
    pub(crate) blind: Family<Code, Counter>,
    pub(crate) stalls: Family<Code, Counter>,
    pub(crate) engine: Family<OfWhat, Counter>,
    pub(crate) state: Family<OfSlotWhat, Gauge>,
    pub(crate) rules: Family<OfRule, Counter>,
    pub(crate) partitions: Family<OfSlot, Gauge>,
    pub(crate) restoring: Family<OfSlot, Gauge>,
    pub(crate) restored_records: Counter,
    pub(crate) lag_seconds: Family<OfSlot, Gauge<f64, AtomicU64>>,
    pub(crate) ingested: Family<OfStatus, Counter>,
    pub(crate) ingested_events: Counter,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("tillwatch")),
            records: Counter::default(),
            outputs: Family::default(),
            commits: Family::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            ticks: Counter::default(),
            trouble: Family::default(),
            blind: Family::default(),
            stalls: Family::default(),
            engine: Family::default(),
            state: Family::default(),
            rules: Family::default(),
            partitions: Family::default(),
            restoring: Family::default(),
            restored_records: Counter::default(),
            lag_seconds: Family::default(),
            ingested: Family::default(),
            ingested_events: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register("records_read", "Records read from the input", self.records.clone());
        registry.register("outputs", "Records made for the output topics", self.outputs.clone());
        registry.register("commits", "Commits by what became of them", self.commits.clone());
        let seconds = self.commit_seconds.clone();
        registry.register_with_unit("commit_duration", "Time that a commit took", Unit::Seconds, seconds);
        registry.register("ticks", "Ticks appended to idle partitions", self.ticks.clone());
        registry.register("log_trouble", "Failures of the log that were retried, by code", self.trouble.clone());
        registry.register("blind", "Changes of the feed's sight, by reason", self.blind.clone());
        registry.register("rule_stalls", "Calls of rules that stalled, by what was done", self.stalls.clone());
        registry.register("engine", "What the partitions counted, by name", self.engine.clone());
        registry.register("engine_state", "What the partitions hold, by name", self.state.clone());
        registry.register("rules", "What the host counted of each rule, by name", self.rules.clone());
        registry.register("partitions", "Partitions this worker owns", self.partitions.clone());
        registry.register("partitions_restoring", "Partitions this worker restores", self.restoring.clone());
        registry.register("restored_records", "Changelog records read", self.restored_records.clone());
        let lag = self.lag_seconds.clone();
        registry.register_with_unit(
            "lag",
            "Age of the record at which this worker's slowest partition is",
            Unit::Seconds,
            lag,
        );
        registry.register("ingest_requests", "Requests to POST /events by status", self.ingested.clone());
        registry.register("ingest_events", "Events taken by POST /events", self.ingested_events.clone());
    }

    /// All of them as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut out, &registry).expect("invariant: writing to a text does not fail");
        out
    }

    /// Moves the counter of what the engine counts to its growth since `before`.
    pub(crate) fn engine(&self, what: &'static str, growth: u64) {
        if growth > 0 {
            self.engine.get_or_create(&OfWhat { what }).inc_by(growth);
        }
    }

    /// As [`Metrics::engine`], for a rule.
    pub(crate) fn rule(&self, rule: &str, what: &'static str, growth: u64) {
        if growth > 0 {
            self.rules.get_or_create(&OfRule { rule: rule.to_owned(), what }).inc_by(growth);
        }
    }

    /// Sets what one worker's partitions hold.
    pub(crate) fn state(&self, slot: u32, what: &'static str, value: u64) {
        self.state.get_or_create(&OfSlotWhat { slot, what }).set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Counts an answer of `POST /events`.
    pub(crate) fn ingest(&self, status: u16) {
        self.ingested.get_or_create(&OfStatus { status }).inc();
    }

    /// Counts an output record.
    pub(crate) fn output(&self, topic: Topic) {
        self.outputs.get_or_create(&OfTopic { topic: topic.name() }).inc();
    }

    /// Sets how far behind a worker's slowest partition is.
    #[allow(clippy::cast_precision_loss, reason = "a lag of more than 2^52 ms needs no precision")]
    pub(crate) fn lag(&self, slot: u32, ms: i64) {
        self.lag_seconds.get_or_create(&OfSlot { slot }).set(ms as f64 / 1000.0);
    }

    /// Records read so far.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.records.inner().load(Ordering::Relaxed)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_openmetrics() {
        let metrics = Metrics::new();
        metrics.records.inc_by(3);
        metrics.commits.get_or_create(&OfOutcome { outcome: Outcome::Done }).inc();
        metrics.engine("duplicates", 2);
        metrics.engine("late", 0);
        let text = metrics.encode();
        assert!(text.contains("tillwatch_records_read_total 3\n"), "{text}");
        assert!(text.contains("tillwatch_commits_total{outcome=\"done\"} 1\n"), "{text}");
        assert!(text.contains("tillwatch_engine_total{what=\"duplicates\"} 2\n") && !text.contains("late"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
