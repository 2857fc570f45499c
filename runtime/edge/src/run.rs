//! `tillwatch run` as a function: workers on a log until somebody asks to stop.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use tillwatch_core::{
    log::{Log, LogError, PartitionId},
    stage::Stage,
};
use tillwatch_embedded::Store;
use tillwatch_host::{Counters, Host, LoadError, Loaded};
use tillwatch_kafka::KafkaLog;

use crate::{
    clock::Clock,
    config::{Config, LogKind, Secret},
    driver::{Driver, Failure, Options, RETRY_WAIT, Shared, Status},
    http::{self, HttpError, Ingest},
    rules,
    shutdown::Shutdown,
    telemetry::{Metrics, events},
    wiring,
};

/// Why a run ended before it was asked to.
#[derive(Debug)]
pub enum RunError {
    /// The log could not be opened.
    Log(LogError),
    /// HTTP could not begin.
    Http(HttpError),
    /// A rule could not be instantiated.
    Rules(LoadError),
    /// A worker failed.
    Worker(Failure),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "{error}"),
            Self::Http(error) => write!(f, "{error}"),
            Self::Rules(error) => write!(f, "{error}"),
            Self::Worker(failure) => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Everything that a run is made of.
pub struct Run<'a> {
    /// The checked configuration.
    pub config: &'a Config,
    /// The rules, in the order of their visits.
    pub rules: &'a [Arc<Loaded>],
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who may ask to stop.
    pub shutdown: Shutdown,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The workers of one stage.
struct Team {
    stage: Stage,
    /// Its rules, in the order of their visits.
    rules: Vec<Arc<Loaded>>,
    shared: Shared,
    workers: usize,
    /// Number of the first one, among all of the process.
    first: usize,
}

impl Run<'_> {
    /// Works until somebody asks to stop.
    ///
    /// # Errors
    /// [`RunError`]: what ended it before. The other workers have stopped in good order.
    pub fn run(&self) -> Result<(), RunError> {
        match self.config.log.kind {
            LogKind::Kafka => {
                let teams = self.teams();
                let server = self.serve(&teams, None)?;
                let open = |stage, slot| KafkaLog::connect(&wiring::kafka_of(self.config, stage, slot)?);
                let ended = self.workers(&teams, open);
                server.stop(&self.shutdown);
                ended
            }
            LogKind::Embedded => {
                let options = wiring::embedded(self.config, self.clock.clone());
                let store = Store::open(self.config.embedded.path.as_ref(), options).map_err(RunError::Log)?;
                self.run_embedded(&store)
            }
        }
    }

    /// As [`Run::run`], on an embedded log that is open already.
    ///
    /// # Errors
    /// As [`Run::run`].
    pub fn run_embedded(&self, store: &Store) -> Result<(), RunError> {
        for lost in store.lost() {
            tracing::warn!("{lost}");
        }
        if store.torn() > 0 {
            events::Torn { bytes: store.torn() }.emit();
        }
        let teams = self.teams();
        let server = self.serve(&teams, Some(store))?;
        let workers = wiring::workers(self.config);
        let partitions = self.config.embedded.partitions;
        let partitions = PartitionId::try_from(partitions).expect("invariant: the configuration was checked");
        let ended = self.workers(&teams, |stage, slot| match stage {
            Stage::First => {
                let share: Vec<PartitionId> =
                    (0..partitions).filter(|partition| partition.unsigned_abs() as usize % workers == slot).collect();
                store.worker(slot, &share)
            }
            Stage::Second => store.worker_of(stage, slot, &[0]),
        });
        server.stop(&self.shutdown);
        ended
    }

    /// The stages that this process runs: the second, where there is a rule for it. Their workers are counted through.
    fn teams(&self) -> Vec<Team> {
        let second = rules::of_stage(self.rules, Stage::Second);
        let watermark_every = Duration::from_millis(u64::from(self.config.stages.watermark_every_ms));
        let watermark_every = (!second.is_empty()).then_some(watermark_every);
        let mut plan = Vec::new();
        if wiring::runs(self.config, Stage::First) {
            let first = rules::of_stage(self.rules, Stage::First);
            plan.push((Stage::First, first, wiring::workers(self.config), watermark_every));
        }
        if wiring::runs(self.config, Stage::Second) && !second.is_empty() {
            plan.push((Stage::Second, second, wiring::SECOND_WORKERS, None));
        }
        let status = Arc::new(Status::new(plan.iter().map(|(_, _, workers, _)| workers).sum()));
        let mut first = 0;
        let team = |(stage, rules, workers, watermark_every)| {
            let shared = Shared {
                settings: wiring::settings_of(self.config, stage),
                encoding: wiring::encoding(self.config),
                options: Options { watermark_every, ..wiring::options(self.config) },
                metrics: self.metrics.clone(),
                status: status.clone(),
                shutdown: self.shutdown.clone(),
            };
            let before = first;
            first += workers;
            Team { stage, rules, shared, workers, first: before }
        };
        plan.into_iter().map(team).collect()
    }

    fn serve(&self, teams: &[Team], store: Option<&Store>) -> Result<http::Server, RunError> {
        let shared = &teams.first().expect("invariant: a checked configuration names a stage").shared;
        let token = &self.config.http.token_file;
        let token = if token.is_empty() {
            None
        } else {
            Some(Secret::read(token).map_err(|error| RunError::Http(HttpError::Token(token.clone(), error)))?)
        };
        let ingest = store.map(|store| Ingest {
            store: store.clone(),
            token,
            topic: self.config.topics.events.clone(),
            limits: self.config.engine.limits(),
            clock: self.clock.clone(),
        });
        http::serve(&self.config.http, shared, ingest).map_err(RunError::Http)
    }

    /// One thread a worker; the first failure stops the others, and is the result.
    fn workers<L: Log>(
        &self,
        teams: &[Team],
        open: impl Fn(Stage, usize) -> Result<L, LogError> + Sync,
    ) -> Result<(), RunError> {
        let count = teams.iter().map(|team| team.workers).sum();
        let log = if self.config.log.kind == LogKind::Kafka { "kafka" } else { "embedded" };
        events::Started { log, workers: count }.emit();
        thread::scope(|scope| {
            let open = &open;
            let all = teams.iter().flat_map(|team| (0..team.workers).map(move |slot| (team, slot)));
            let handles: Vec<_> = all
                .map(|(team, slot)| {
                    let number = team.first + slot;
                    let name = format!("worker-{number}");
                    let work = move || {
                        let worked = catch_unwind(AssertUnwindSafe(|| self.worker(team, slot, open)));
                        let ended = worked.unwrap_or_else(|panic| Err(RunError::Worker(panicked(number, &*panic))));
                        if ended.is_err() {
                            self.shutdown.request();
                        }
                        ended
                    };
                    thread::Builder::new().name(name).spawn_scoped(scope, work)
                })
                .collect();
            let mut result = Ok(());
            for handle in handles {
                let ended = handle.expect("invariant: the system can start threads").join();
                let ended = ended.expect("invariant: a worker's panics are caught in it");
                result = result.and(ended);
            }
            result
        })
    }

    fn worker<L: Log>(
        &self,
        team: &Team,
        slot: usize,
        open: &(impl Fn(Stage, usize) -> Result<L, LogError> + Sync),
    ) -> Result<(), RunError> {
        let host = Host::new(&team.rules).map_err(RunError::Rules)?;
        let shared = &team.shared;
        let Some(log) = self.open(team, slot, open)? else { return Ok(()) };
        let slot = u32::try_from(team.first + slot).expect("invariant: a process has fewer than 2^32 workers");
        let mut before = Vec::new();
        let report = |host: &Host| count(host, &mut before, &shared.metrics);
        Driver::new(slot, log, host, self.clock.as_ref(), shared.clone(), report).run().map_err(RunError::Worker)
    }

    /// Opens the log, again and again while its failure is one that passes.
    fn open<L: Log>(
        &self,
        team: &Team,
        slot: usize,
        open: &(impl Fn(Stage, usize) -> Result<L, LogError> + Sync),
    ) -> Result<Option<L>, RunError> {
        let shared = &team.shared;
        let mut first = true;
        let worker = u32::try_from(team.first + slot).expect("invariant: a process has fewer than 2^32 workers");
        while !shared.shutdown.requested() {
            match open(team.stage, slot) {
                Ok(log) => return Ok(Some(log)),
                Err(error) if error.retry => {
                    events::Trouble { slot: worker, error: &error, first }.emit(&shared.metrics);
                    first = false;
                    self.clock.pass(RETRY_WAIT * 4, &shared.shutdown);
                }
                Err(error) => return Err(RunError::Log(error)),
            }
        }
        Ok(None)
    }
}

fn panicked(slot: usize, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let what = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned();
    Failure::Panicked { slot: u32::try_from(slot).unwrap_or(u32::MAX), what }
}

/// Moves the rules' metrics by what the host has counted since the last call.
fn count(host: &Host, before: &mut Vec<Counts>, metrics: &Metrics) {
    use tillwatch_core::rules::Rules as _;
    before.resize_with(host.descriptors().len(), Counts::default);
    for ((descriptor, counters), before) in host.descriptors().iter().zip(host.counters()).zip(before) {
        for (what, now) in named(counters) {
            let seen = before.entry(what).or_default();
            metrics.rule(&descriptor.id, what, now.saturating_sub(*seen));
            *seen = now;
        }
    }
}

/// What the host counts of a rule, each under a name of its own: `fuel` is the fault, as in `docs/runbook.md`.
fn named(counters: &Counters) -> impl Iterator<Item = (&'static str, u64)> {
    let plain = [
        ("calls", counters.calls),
        ("visits", counters.visits),
        ("reruns", counters.reruns),
        ("fuel-used", counters.fuel),
        ("recycled", counters.recycled),
        ("stalls", counters.stalls),
    ];
    plain.into_iter().chain(counters.faults())
}

/// What was counted of one rule, by name.
type Counts = BTreeMap<&'static str, u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_counts_of_a_rule_have_one_name() {
        let mut names: Vec<&str> = named(&Counters::default()).map(|(name, _)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }
}
