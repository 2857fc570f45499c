//! A log as the driver sees it: `kafka` and `embedded` implement it with the same promise. A commit's outputs, changelog and offsets become
//! visible together or not at all.

mod changes;

use std::{fmt, time::Duration};

use tillwatch_wit::contract::Instant;

pub use self::changes::Changes;
use crate::stage::LeftOut;

/// Index of an input partition in the input topic.
pub type PartitionId = i32;

/// One record as it lies in the log, borrowed for the length of a call.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// When the log took it in (Kafka: the record's timestamp).
    pub ingest: Instant,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The payload; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in their order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// An output record, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// The record's key.
    pub key: String,
    /// The record's headers.
    pub headers: Vec<(&'static str, String)>,
    /// The payload.
    pub value: Vec<u8>,
}

/// The output topics, by what they are for; their names are the config's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `pos.findings`
    Findings,
    /// `pos.commands`
    Commands,
    /// `pos.evidence`
    Evidence,
    /// `pos.incidents`
    Incidents,
    /// `pos.dead-letters`
    DeadLetters,
    /// `pos.shadow`
    Shadow,
}

impl Topic {
    /// All, in the order of their names in the config.
    pub const ALL: [Self; 6] =
        [Self::Findings, Self::Commands, Self::Evidence, Self::Incidents, Self::DeadLetters, Self::Shadow];

    /// Its default name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Findings => "pos.findings",
            Self::Commands => "pos.commands",
            Self::Evidence => "pos.evidence",
            Self::Incidents => "pos.incidents",
            Self::DeadLetters => "pos.dead-letters",
            Self::Shadow => "pos.shadow",
        }
    }
}

/// How far a partition has come: where a restart begins to read, and what it knows there. See ADR 0005.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Offset of the oldest record that still waits; equal to `high` where none does. A restart reads from here.
    pub low: i64,
    /// Ingest time reached just before `low` (running maximum).
    pub ingest_low: Instant,
    /// Offset of the next record that was never read.
    pub high: i64,
    /// Ingest time reached just before `high`.
    pub ingest_high: Instant,
    /// What was handed out ahead of the watermark because too much waited: everything before this instant; `Instant::MIN` for nothing.
    pub floor: Instant,
    /// From which offset on `floor` holds.
    pub floor_from: i64,
}

/// No instant that a log hands out lies beyond this, either way: far enough from both ends for arithmetic.
pub const INSTANT_MAX: Instant = Instant::MAX / 4;

impl Position {
    /// Whether a partition can have come so far. What is read back from outside is asked first.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Self { low, ingest_low, high, ingest_high, floor, floor_from } = *self;
        let ends = low >= 0 && low <= high && high <= i64::MAX / 4 && floor_from <= i64::MAX / 4;
        ends && ingest_low.max(ingest_high).max(floor) <= INSTANT_MAX
    }
}

/// What one partition wants made durable, together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Of which input partition.
    pub partition: PartitionId,
    /// How far it has come.
    pub position: Position,
    /// Outputs in their order.
    pub messages: Vec<Message>,
    /// Changed state, each key once.
    pub changes: Changes,
    /// How far it has come, for every partition of the evidence topic, behind the messages; none where nobody waits for it or it is too soon.
    pub passed: Option<Instant>,
}

/// What a poll saw beside records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing but the records that the sink got (none, perhaps).
    Records,
    /// These partitions are now this worker's; restore each, then `start` it. An empty list where the others of its
    /// group have them all.
    Assigned(Vec<PartitionId>),
    /// These partitions will be taken away: commit what is pending, drop them, then call `release`.
    Revoking(Vec<PartitionId>),
    /// These partitions are gone already: drop them with what was pending, then call `release`.
    Lost(Vec<PartitionId>),
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// All of it is durable.
    Done,
    /// None of it is. Commit again what belongs to partitions that are still owned; poll first, ownership may have changed.
    Aborted {
        /// Why, for the log and the operator.
        reason: String,
    },
    /// It is not known, and the log has a new producer: for each partition compare [`Log::position`] with the commit's, then commit again what is not there.
    Unknown {
        /// Why, for the log and the operator.
        reason: String,
    },
}

/// How a commit that was begun has ended.
#[derive(Debug)]
pub struct Ended {
    /// What was to be made durable.
    pub commits: Vec<Commit>,
    /// What became of it; an error says that nothing was made durable.
    pub outcome: Result<Committed, LogError>,
}

/// Restore progress of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// Which.
    pub partition: PartitionId,
    /// Changelog records read.
    pub read: u64,
    /// Changelog records there are, as far as known.
    pub total: u64,
}

/// A time signal that the owner of an input partition appends to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Whether the feed became blind (with the reason's code), or sees again. None: only time.
    pub blind: Option<Blind>,
}

/// A change of sight, recorded in a tick so that replays see it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// The broker was not to be reached.
    Broker,
    /// The lag has passed its bound.
    Lag,
    /// The feed is whole again.
    Over,
    /// In the second stage, time goes on without this partition of the first: no tick says so, but what is merged.
    Input(u32),
    /// It waits for all of them again.
    Inputs,
}

impl Tick {
    /// Its record, the same in every log: these headers (a CloudEvent in binary mode), no key, an empty value.
    #[must_use]
    pub fn headers(self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![
            ("ce_specversion", "1.0"),
            ("ce_type", tillwatch_wit::table::TICK),
            ("ce_source", "tillwatch"),
            ("ce_id", "tick"),
        ];
        headers.extend(self.blind.map(|blind| ("ce_blind", blind.name())));
        headers
    }
}

impl Blind {
    /// What the extension attribute `blind` of a tick says.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Lag => "lag",
            Self::Over => "over",
            Self::Input(_) => "input",
            Self::Inputs => "inputs",
        }
    }

    /// The inverse of [`Blind::name`], for what a tick may say.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Broker, Self::Lag, Self::Over].into_iter().find(|blind| blind.name() == name)
    }
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// It is on its way into the log, and comes back as a record.
    Appended,
    /// It is in no log, since the input may not be written to. Every record that the partition had at the time of the call was handed out: a
    /// local tick with a time read before it may move time on.
    Local,
    /// As [`Ticked::Local`], but there is more to read: time must not move on.
    Behind,
}

/// One worker's share of a log. Used by one thread.
pub trait Log {
    /// Waits at most `wait` for something to happen and gives at most `max` records to `sink`, in the order of each partition.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        sink: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<Polled, LogError>;

    /// What an assigned partition has committed: `each` gets every live changelog record (the last per key, or all in order), the result is
    /// the last committed position, none where nothing was ever committed. Waits until the commits of a dead predecessor are decided.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    #[allow(clippy::type_complexity, reason = "a callback with a key and a value says more than an alias")]
    fn restore(
        &mut self,
        partition: PartitionId,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>),
        progress: &mut dyn FnMut(Restoring),
    ) -> Result<Option<Position>, LogError>;

    /// Begins to read an assigned partition at `from`; none: at its beginning.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn start(&mut self, partition: PartitionId, from: Option<i64>) -> Result<(), LogError>;

    /// Gives partitions back after [`Polled::Revoking`] or [`Polled::Lost`].
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), LogError>;

    /// Begins to make commits durable, all together. They may still be under way when this returns, and the log is used meanwhile. One at a
    /// time: [`Log::ended`] has told of the one before.
    fn begin_commit(&mut self, commits: Vec<Commit>);

    /// How the commit that was begun has ended, once; none where none was begun or it is under way, for which `wait` waits.
    fn ended(&mut self, wait: bool) -> Option<Ended>;

    /// Makes commits durable, all together, and waits until that has ended.
    ///
    /// # Errors
    /// See [`LogError::retry`]; nothing was made durable.
    fn commit(&mut self, commits: &[Commit]) -> Result<Committed, LogError> {
        self.begin_commit(commits.to_vec());
        self.ended(true).expect("invariant: a commit was begun").outcome
    }

    /// The position that is committed for a partition, for [`Committed::Unknown`].
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn position(&mut self, partition: PartitionId) -> Result<Option<Position>, LogError>;

    /// Appends a tick to an input partition this worker owns, outside of any transaction; its ingest time is the log's. Where the input may not
    /// be written to, says whether it has been read to its end instead.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn tick(&mut self, partition: PartitionId, tick: Tick) -> Result<Ticked, LogError>;

    /// Appends to an owned partition of the second stage that time no longer waits for one of the first.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn leave_out(&mut self, partition: PartitionId, left: LeftOut) -> Result<(), LogError>;

    /// The offset behind the last record of an owned partition, as last seen; for lag.
    fn end(&mut self, partition: PartitionId) -> Option<i64>;

    /// Leaves in good order: what is not committed is not kept. The log is not used afterwards.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    fn close(&mut self) -> Result<(), LogError>;
}

/// Who must act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody: the same call may work later.
    Nobody,
    /// Whoever wrote the configuration.
    Config,
    /// Whoever runs the broker, the disk or the network.
    Operations,
    /// Whoever makes Tillwatch.
    Us,
}

/// A log's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError {
    /// A heading of `docs/runbook.md`, as `broker-unreachable`.
    pub code: &'static str,
    /// What failed, with topic, partition, offset or path, and what to do.
    pub what: String,
    /// Who must act.
    pub who: Who,
    /// Whether the same call may work later with the same log.
    pub retry: bool,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)
    }
}

impl std::error::Error for LogError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_says_in_its_headers_what_became_of_the_sight() {
        assert!(Tick { blind: None }.headers().iter().all(|(name, _)| *name != "ce_blind"));
        for blind in [Blind::Broker, Blind::Lag, Blind::Over] {
            let headers = Tick { blind: Some(blind) }.headers();
            let (_, value) = headers.iter().find(|(name, _)| *name == "ce_blind").expect("it says so");
            assert_eq!(Blind::from_name(value), Some(blind));
        }
        assert_eq!(Blind::from_name("dark"), None);
    }
}
