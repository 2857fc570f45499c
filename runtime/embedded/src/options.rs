//! What a store must know to open.

use std::{fmt, sync::Arc};

use tillwatch_core::{
    Instant,
    log::{PartitionId, Topic},
};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Where the ingest time of ticks and outputs comes from: the one clock of the process, or a virtual one.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Everything [`crate::Store::open`] must know.
#[derive(Clone)]
pub struct Options {
    /// The input topic.
    pub input: TopicOptions,
    /// The output topics.
    pub outputs: Vec<(Topic, TopicOptions)>,
    /// The clock.
    pub clock: Clock,
    /// Limits of the store.
    pub limits: Limits,
    /// Start although the log is behind what was acknowledged; what is missing is then in [`crate::Store::lost`].
    pub accept_loss: bool,
}

impl Options {
    /// The default names, the input with so many partitions and every output with one.
    #[must_use]
    pub fn new(partitions: PartitionId, clock: Clock) -> Self {
        let topic = |name: &str, partitions| TopicOptions {
            name: name.to_owned(),
            partitions,
            retention: Retention::default(),
        };
        Self {
            input: topic("pos.events", partitions),
            outputs: Topic::ALL.into_iter().map(|output| (output, topic(output.name(), 1))).collect(),
            clock,
            limits: Limits::default(),
            accept_loss: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("input", &self.input)
            .field("outputs", &self.outputs)
            .field("limits", &self.limits)
            .field("accept_loss", &self.accept_loss)
            .finish_non_exhaustive()
    }
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// Its name.
    pub name: String,
    /// How many partitions it has; fixed once the log exists, since state follows its partition.
    pub partitions: PartitionId,
    /// How long records stay.
    pub retention: Retention,
}

/// How long the records of each partition of a topic stay. The older bound reached first counts; records of the input that a restart
/// would read again stay in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Older records go, ms.
    pub age_ms_max: i64,
    /// The oldest records go while the partition holds more bytes.
    pub bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age_ms_max: 7 * DAY_MS, bytes_max: 4 << 30 }
    }
}

/// Limits of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of records that one poll or read hands out, at least one record; the rest comes with the next.
    pub poll_bytes_max: usize,
    /// Bytes that one sync makes durable, at least one request; the rest goes with the next.
    pub group_bytes_max: usize,
    /// Bytes of one record (key, headers, value); a larger one is refused with `record-too-large`.
    pub record_bytes_max: usize,
    /// Partitions of all topics together; more are refused with `log-partitions`.
    pub partitions_max: usize,
    /// How often commits look for records past their retention, ms.
    pub trim_every_ms: i64,
    /// How many records of a partition one look drops; the rest goes with the next.
    pub trim_records_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            poll_bytes_max: 8 << 20,
            group_bytes_max: 64 << 20,
            record_bytes_max: 16 << 20,
            partitions_max: 1_024,
            trim_every_ms: 60_000,
            trim_records_max: 10_000,
        }
    }
}
