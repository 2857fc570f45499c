//! One worker: it drives a log, the core and the rules on one thread.
//!
//! Owns when to poll, to step, to commit, to append ticks and to say that the feed is blind, and what becomes of partitions in a rebalance.
//! Effects stay in memory until a commit has succeeded; after one that did not, the same bytes are sent again. A commit may be under way while
//! the worker goes on. Owns no decision about events.

mod assign;
mod commit;
mod owned;
mod sight;
mod stage;
mod status;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tillwatch_core::{
    cloudevents::{Decoder, Encoding},
    log::{Log, LogError, PartitionId, Polled, Tick, Ticked},
    output::Output,
    partition::{CorruptState, ResumeError, Settings, SetupError},
    rules::Rules,
};

pub use self::status::{Phase, Status};
use self::{commit::UnderWay, owned::Owned, sight::Sight};
use crate::{
    clock::Clock,
    shutdown::Shutdown,
    telemetry::{Metrics, events},
};

/// Stalls of rules in a row from which the worker gives up: a restart is then the better cure.
pub const STALLS_MAX: u32 = 5;

/// How long a worker waits for a failed log before it tries again.
pub const RETRY_WAIT: Duration = Duration::from_millis(250);

/// How long a worker that was asked to stop goes on trying to commit.
pub const DRAIN_MAX: Duration = Duration::from_secs(4);

/// Longest wait of one poll, so that a request to stop is heard.
const POLL_MAX: Duration = Duration::from_millis(100);

/// Longest time that the second stage leaves to partitions of the first that are restored: what is stuck there must not hold up pages for long.
pub const REST_MAX: Duration = Duration::from_secs(15);

/// Longest wait of one poll while a commit is under way, so that its end is seen.
const ENDED_MAX: Duration = Duration::from_millis(5);

/// When a worker does what.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often effects become durable.
    pub commit_every: Duration,
    /// Bytes of effects, with those of a commit under way, from which a commit does not wait, and nothing more is read before it.
    pub pending_bytes_max: usize,
    /// Records of one poll.
    pub records_max: usize,
    /// How long a partition is idle before it gets a tick.
    pub tick_every: Duration,
    /// How far behind a partition may be before it counts as blind, ms; none where timestamps are old on purpose.
    pub lag_ms_max: Option<i64>,
    /// How long the log may be out of reach before the feed counts as blind.
    pub unreachable_max: Duration,
    /// How long all must be well before the feed sees again.
    pub settle: Duration,
    /// How often, at most, a partition of the first stage tells the second how far it has come; none: nobody waits for it.
    pub watermark_every: Option<Duration>,
    /// How long a partition of the first stage may stand still before the second goes on without it.
    pub idle_max: Duration,
}

/// What all workers of a process share.
#[derive(Clone)]
pub struct Shared {
    /// The core's settings.
    pub settings: Arc<Settings>,
    /// How outputs are written.
    pub encoding: Encoding,
    /// When to do what.
    pub options: Options,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How far the workers are, for `/readyz`.
    pub status: Arc<Status>,
    /// Who may ask to stop.
    pub shutdown: Shutdown,
}

/// Why a worker ended before it was asked to. A restart begins at the last commit.
#[derive(Debug)]
pub enum Failure {
    /// The log failed for good.
    Log(LogError),
    /// The rules cannot run together.
    Setup(SetupError),
    /// What the changelog holds cannot be read.
    Corrupt(PartitionId, CorruptState),
    /// What the changelog holds does not fit the rules.
    Resume(PartitionId, ResumeError),
    /// A rule stalled again and again.
    Stalled {
        /// Which.
        rule: String,
        /// In which partition.
        partition: PartitionId,
    },
    /// The time to stop was over before the last effects were durable; a restart makes them again.
    Undrained(LogError),
    /// The thread panicked.
    Panicked {
        /// Which worker.
        slot: u32,
        /// What it said.
        what: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "{error}"),
            Self::Setup(error) => write!(f, "rules-setup: {error}. Correct [rules] in the configuration"),
            Self::Corrupt(partition, error) => write!(
                f,
                "changelog-corrupt: partition {partition}: {error}. Run the version that wrote it, or restore the changelog topic"
            ),
            Self::Resume(partition, error) => write!(f, "state-refused: partition {partition}: {error}"),
            Self::Stalled { rule, partition } => write!(
                f,
                "rule-stalled: rule {rule} did not answer {STALLS_MAX} times in a row on partition {partition}. \
                 See whether the machine is overloaded; a restart tries again"
            ),
            Self::Undrained(error) => {
                write!(f, "not everything was committed before the time to stop was over: {error}")
            }
            Self::Panicked { slot, what } => {
                write!(f, "worker {slot} panicked: {what}. A restart begins at the last commit")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// One worker's loop.
pub struct Driver<'a, L, R> {
    slot: u32,
    log: L,
    rules: R,
    clock: &'a dyn Clock,
    shared: Shared,
    decoder: Decoder,
    owned: BTreeMap<PartitionId, Owned>,
    outputs: Vec<Output>,
    /// The commit that is under way, if one is.
    under_way: Option<UnderWay>,
    /// From when the time to the next commit runs.
    commit_counts_from: Duration,
    ticked_at: Duration,
    trouble_since: Option<Duration>,
    /// A commit has failed and none has succeeded since: that the log can be read does not mean that it works.
    stuck: bool,
    /// When the log last showed that it is there: by a record (one's own ticks, if nothing else), a commit or an assignment.
    heard_at: Duration,
    /// Partitions were lost, and none came since.
    lost: bool,
    /// Since when it has rested, while others restore.
    rests_since: Option<Duration>,
    /// Called after each commit, with the rules: for what they count.
    report: Box<dyn FnMut(&R) + 'a>,
}

impl<'a, L: Log, R: Rules> Driver<'a, L, R> {
    /// A worker that has not begun.
    pub fn new(slot: u32, log: L, rules: R, clock: &'a dyn Clock, shared: Shared, report: impl FnMut(&R) + 'a) -> Self {
        let settings = &shared.settings;
        let decoder = Decoder::of(settings.stage, &settings.topic, &settings.limits);
        let now = clock.elapsed();
        Self {
            slot,
            log,
            rules,
            clock,
            shared,
            decoder,
            owned: BTreeMap::new(),
            outputs: Vec::new(),
            under_way: None,
            commit_counts_from: now,
            ticked_at: now,
            trouble_since: None,
            stuck: false,
            heard_at: now,
            lost: false,
            rests_since: None,
            report: Box::new(report),
        }
    }

    /// Works until somebody asks to stop, then commits what was read and closes the log.
    ///
    /// # Errors
    /// [`Failure`]: what ended it before.
    pub fn run(mut self) -> Result<(), Failure> {
        let worked = self.work();
        self.shared.status.set(self.slot, Phase::Stopped);
        worked?;
        self.drain()
    }

    fn work(&mut self) -> Result<(), Failure> {
        while !self.shared.shutdown.requested() {
            self.turn()?;
        }
        events::Stopping { slot: self.slot }.emit();
        Ok(())
    }

    /// One poll and all that follows from it.
    pub(crate) fn turn(&mut self) -> Result<(), Failure> {
        let rests = self.rests();
        let polled = if rests {
            self.poll(Duration::ZERO, 0)
        } else {
            let max = if self.full() { 0 } else { self.shared.options.records_max };
            self.poll(self.patience(), max)
        };
        if matches!(polled, Ok(Polled::Assigned(_) | Polled::Revoking(_) | Polled::Lost(_))) {
            // Partitions come and go between commits.
            self.ended(true)?;
        }
        match polled {
            Ok(Polled::Records) => self.recovered(),
            Ok(Polled::Assigned(partitions)) => self.assigned(&partitions)?,
            Ok(Polled::Revoking(partitions)) => self.revoked(&partitions)?,
            Ok(Polled::Lost(partitions)) => self.lost(&partitions)?,
            Err(error) => self.trouble(error)?,
        }
        self.step()?;
        self.ended(self.full())?;
        if self.commit_due() {
            self.begin_commit()?;
        }
        if rests {
            self.rested();
        }
        self.keep_time()
    }

    fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, LogError> {
        let now = self.clock.elapsed();
        let Self { log, decoder, owned, .. } = self;
        let mut read = 0;
        let polled = log.poll(wait, max, &mut |partition, raw| {
            if let Some(owned) = owned.get_mut(&partition) {
                read += 1;
                owned.take_in(decoder.decode(partition, raw), now);
            }
        });
        self.shared.metrics.records.inc_by(read);
        if read > 0 {
            self.heard();
        }
        polled
    }

    /// How long the next poll may wait: until the next commit or tick is due, or the one under way may have ended.
    fn patience(&self) -> Duration {
        if self.under_way.is_some() {
            return ENDED_MAX;
        }
        let now = self.clock.elapsed();
        let options = &self.shared.options;
        let pending = self.owned.values().any(|owned| owned.dirty() || owned.tells(now, options).is_some());
        let commit = (self.commit_counts_from + options.commit_every).saturating_sub(now);
        let tick = options.tick_every.min(POLL_MAX);
        if pending { commit.min(tick) } else { tick }
    }

    /// Hands what was read to the core.
    fn step(&mut self) -> Result<(), Failure> {
        let now = self.clock.elapsed();
        let mut stalled = Vec::new();
        let Self { owned, rules, outputs, shared, .. } = self;
        for (partition, owned) in owned {
            match owned.step(now, rules, outputs, shared.encoding, &shared.metrics) {
                Ok(()) => owned.stalls = 0,
                Err(stall) => stalled.push((*partition, owned.stalls + 1, stall.rule)),
            }
            outputs.clear();
        }
        if !stalled.is_empty() {
            self.ended(true)?;
        }
        for (partition, times, rule) in stalled {
            events::RuleStalled { rule: &rule, partition, times }.emit(&self.shared.metrics);
            if times >= STALLS_MAX {
                return Err(Failure::Stalled { rule, partition });
            }
            self.drop_partition(partition, "stalled");
            self.restore(partition, times)?;
        }
        Ok(())
    }

    /// Ticks for idle partitions, and changes of sight.
    fn keep_time(&mut self) -> Result<(), Failure> {
        let now = self.clock.elapsed();
        if self.trouble_since.is_some() {
            return Ok(());
        }
        let due = now >= self.ticked_at + self.shared.options.tick_every.min(POLL_MAX);
        if !due {
            return Ok(());
        }
        self.ticked_at = now;
        let wall = self.clock.now();
        let partitions: Vec<PartitionId> = self.owned.keys().copied().collect();
        let mut slowest = 0;
        for partition in partitions {
            let end = self.log.end(partition);
            let owned = self.owned.get_mut(&partition).expect("invariant: its id was just listed");
            let lag = owned.lag(end, wall);
            slowest = slowest.max(lag.unwrap_or(0));
            let blind = owned.sight.observe(now, lag, &self.shared.options);
            let idle = owned.idle(end, now, self.shared.options.tick_every);
            if blind.is_none() && !idle {
                continue;
            }
            owned.quiet_since = now;
            let ticked = match self.log.tick(partition, Tick { blind }) {
                Ok(ticked) => ticked,
                Err(error) => return self.trouble(error),
            };
            if ticked != Ticked::Appended {
                // No tick comes back as a record, but the log has answered.
                self.heard();
                if ticked == Ticked::Behind && blind.is_none() {
                    continue;
                }
                let owned = self.owned.get_mut(&partition).expect("invariant: its id was just listed");
                owned.tick_locally(Tick { blind }, wall, ticked == Ticked::Local);
            }
            self.shared.metrics.ticks.inc();
            if let Some(blind) = blind {
                let owned = self.owned.get_mut(&partition).expect("invariant: its id was just listed");
                owned.sight.told(blind);
                events::Sight { partition, blind }.emit(&self.shared.metrics);
            }
        }
        self.measure(slowest);
        self.leave_out()
    }

    /// A failure that passes is waited out; any other ends the worker.
    fn trouble(&mut self, error: LogError) -> Result<(), Failure> {
        if !error.retry {
            return Err(Failure::Log(error));
        }
        let now = self.clock.elapsed();
        let first = self.trouble_since.is_none();
        self.trouble_since.get_or_insert(now);
        events::Trouble { slot: self.slot, error: &error, first }.emit(&self.shared.metrics);
        self.clock.pass(RETRY_WAIT, &self.shared.shutdown);
        Ok(())
    }

    fn recovered(&mut self) {
        if self.stuck {
            return;
        }
        let Some(since) = self.trouble_since.take() else { return };
        let after = self.clock.elapsed().saturating_sub(since);
        events::Recovered { slot: self.slot, after }.emit();
    }

    /// The log is there. Where it was not for too long, nothing was seen meanwhile: ticks of a second go through it all the time.
    fn heard(&mut self) {
        let now = self.clock.elapsed();
        let silent = now.saturating_sub(std::mem::replace(&mut self.heard_at, now));
        if silent >= self.shared.options.unreachable_max {
            self.owned.values_mut().for_each(|owned| owned.sight.unreachable());
        }
    }

    fn measure(&mut self, slowest_ms: i64) {
        let (metrics, slot) = (&self.shared.metrics, self.slot);
        metrics.lag(slot, slowest_ms);
        let mut sums = [0_u64; 6];
        for owned in self.owned.values() {
            for (sum, value) in sums.iter_mut().zip(owned.gauges()) {
                *sum += value as u64;
            }
        }
        for (what, value) in owned::GAUGES.iter().zip(sums) {
            metrics.state(slot, what, value);
        }
    }
}
