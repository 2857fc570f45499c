//! `tillwatch run` as a function: workers on a log until somebody asks to stop.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use tillwatch_core::log::{Log, LogError, PartitionId};
use tillwatch_embedded::Store;
use tillwatch_host::{Host, LoadError, Loaded};
use tillwatch_kafka::KafkaLog;

use crate::{
    clock::Clock,
    config::{Config, LogKind, Secret},
    driver::{Driver, Failure, RETRY_WAIT, Shared, Status},
    http::{self, HttpError, Ingest},
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

impl Run<'_> {
    /// Works until somebody asks to stop.
    ///
    /// # Errors
    /// [`RunError`]: what ended it before. The other workers have stopped in good order.
    pub fn run(&self) -> Result<(), RunError> {
        match self.config.log.kind {
            LogKind::Kafka => {
                let shared = self.shared();
                let server = self.serve(&shared, None)?;
                let ended = self.workers(&shared, |slot| KafkaLog::connect(&wiring::kafka(self.config, slot)?));
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
        let shared = self.shared();
        let server = self.serve(&shared, Some(store))?;
        let workers = wiring::workers(self.config);
        let partitions = self.config.embedded.partitions;
        let partitions = PartitionId::try_from(partitions).expect("invariant: the configuration was checked");
        let ended = self.workers(&shared, |slot| {
            let share: Vec<PartitionId> =
                (0..partitions).filter(|partition| partition.unsigned_abs() as usize % workers == slot).collect();
            store.worker(slot, &share)
        });
        server.stop(&self.shutdown);
        ended
    }

    fn shared(&self) -> Shared {
        Shared {
            settings: wiring::settings(self.config),
            encoding: wiring::encoding(self.config),
            options: wiring::options(self.config),
            metrics: self.metrics.clone(),
            status: Arc::new(Status::new(wiring::workers(self.config))),
            shutdown: self.shutdown.clone(),
        }
    }

    fn serve(&self, shared: &Shared, store: Option<&Store>) -> Result<http::Server, RunError> {
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
        shared: &Shared,
        open: impl Fn(usize) -> Result<L, LogError> + Sync,
    ) -> Result<(), RunError> {
        let count = wiring::workers(self.config);
        let log = if self.config.log.kind == LogKind::Kafka { "kafka" } else { "embedded" };
        events::Started { log, workers: count }.emit();
        thread::scope(|scope| {
            let open = &open;
            let handles: Vec<_> = (0..count)
                .map(|slot| {
                    let name = format!("worker-{slot}");
                    let work = move || {
                        let worked = catch_unwind(AssertUnwindSafe(|| self.worker(slot, shared, open)));
                        let ended = worked.unwrap_or_else(|panic| Err(RunError::Worker(panicked(slot, &*panic))));
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
        slot: usize,
        shared: &Shared,
        open: &(impl Fn(usize) -> Result<L, LogError> + Sync),
    ) -> Result<(), RunError> {
        let host = Host::new(self.rules).map_err(RunError::Rules)?;
        let Some(log) = self.open(slot, shared, open)? else { return Ok(()) };
        let slot = u32::try_from(slot).expect("invariant: a process has fewer than 2^32 workers");
        let mut before = Vec::new();
        let report = |host: &Host| count(host, &mut before, &shared.metrics);
        Driver::new(slot, log, host, self.clock.as_ref(), shared.clone(), report).run().map_err(RunError::Worker)
    }

    /// Opens the log, again and again while its failure is one that passes.
    fn open<L: Log>(
        &self,
        slot: usize,
        shared: &Shared,
        open: &(impl Fn(usize) -> Result<L, LogError> + Sync),
    ) -> Result<Option<L>, RunError> {
        let mut first = true;
        let worker = u32::try_from(slot).expect("invariant: a process has fewer than 2^32 workers");
        while !shared.shutdown.requested() {
            match open(slot) {
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
        let plain = [
            ("calls", counters.calls),
            ("visits", counters.visits),
            ("reruns", counters.reruns),
            ("fuel", counters.fuel),
            ("recycled", counters.recycled),
            ("stalls", counters.stalls),
        ];
        for (what, now) in plain.into_iter().chain(counters.faults()) {
            let seen = before.entry(what).or_default();
            metrics.rule(&descriptor.id, what, now.saturating_sub(*seen));
            *seen = now;
        }
    }
}

/// What was counted of one rule, by name.
type Counts = BTreeMap<&'static str, u64>;
