//! `tillwatch demo`.

use std::{io::IsTerminal as _, sync::Arc, thread, time::Duration};

use clap::ValueEnum;
use tillwatch_core::{Instant, log::LogError};
use tillwatch_embedded::{NewRecord, Store, To};

use super::{Exit, print};
use crate::{
    clock::{Clock, Wall},
    config::{Config, Environment, Format, Level, LogKind, Mode, Telemetry},
    demo::{Language, Tally, View},
    feedback::Seen,
    rules,
    run::Run,
    shutdown::Shutdown,
    simulate::{Faults, Fleet, Options, Order},
    telemetry::{self, Metrics},
    wiring,
};

/// Longest wait before outputs are looked for again.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Records of one look.
const READ_MAX: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch demo
  tillwatch demo --seconds 180 --language zh

Everything happens in a temporary folder that is removed at the end. Exit codes: 0, 1 it failed, 2 bad usage or components.")]
pub(super) struct Args {
    /// How long it runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=86_400))]
    seconds: u32,
    /// Terminals
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    terminals: u32,
    /// Payments an hour of each terminal
    #[arg(long, default_value_t = 900.0)]
    payments_per_hour: f64,
    /// Another seed, other customers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Texts in English, Chinese or both
    #[arg(long, value_enum, default_value = "en")]
    language: Spoken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spoken {
    En,
    Zh,
    Both,
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let folder = tempfile::tempdir().map_err(Exit::failed)?;
    let config = config(folder.path().to_string_lossy().into_owned());
    telemetry::start(&config.telemetry);
    let rules = rules::load(&config, environment).map_err(Exit::usage)?;
    let clock: Arc<dyn Clock> = Arc::new(Wall::new());
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(Exit::failed)?;
    let options = wiring::embedded(&config, clock.clone());
    let store = Store::open(folder.path(), options).map_err(Exit::failed)?;
    let fleet = Fleet::new(Options {
        seed: args.seed,
        terminals: args.terminals,
        sites: args.terminals.div_ceil(8),
        start: clock.now(),
        payments_per_hour: args.payments_per_hour,
        busy_hours: false,
        heartbeat_ms: 30_000,
        faults: Faults::demo(),
        ..Options::default()
    })
    .map_err(Exit::usage)?;
    let metrics = Arc::new(Metrics::new());
    let run = Run { config: &config, rules: &rules, clock: clock.clone(), shutdown: shutdown.clone(), metrics };
    let language = match args.language {
        Spoken::En => Language::En,
        Spoken::Zh => Language::Zh,
        Spoken::Both => Language::Both,
    };
    let view = View { language, colour: std::io::stdout().is_terminal() };
    print(&view.welcome(args.terminals, args.seconds))?;
    let mut demo = Demo { config: &config, store: &store, fleet, clock, view, tally: Tally::default(), read: [0; 3] };
    let ended = thread::scope(|scope| {
        let worker = scope.spawn(|| run.run_embedded(&store));
        let shown = demo.show(Instant::from(args.seconds) * 1_000, &shutdown);
        shutdown.request();
        let worked = worker.join().expect("invariant: a run's panics are caught in it");
        shown.and(worked.map_err(Exit::failed))
    });
    ended?;
    print(&demo.tally.summary(&demo.view))
}

fn config(path: String) -> Config {
    let mut config = Config::default();
    config.log.kind = LogKind::Embedded;
    config.embedded.path = path;
    config.embedded.partitions = 2;
    config.output.mode = Mode::Structured;
    config.output.format = Format::Json;
    config.http.listen = "127.0.0.1:0".to_owned();
    config.telemetry = Telemetry { level: Level::Warn, ..config.telemetry };
    config
}

struct Demo<'a> {
    config: &'a Config,
    store: &'a Store,
    fleet: Fleet,
    clock: Arc<dyn Clock>,
    view: View,
    tally: Tally,
    /// Next offsets in findings, incidents and commands.
    read: [i64; 3],
}

impl Demo<'_> {
    fn show(&mut self, length: Instant, shutdown: &Shutdown) -> Result<(), Exit> {
        let end = self.clock.now() + length;
        while self.clock.now() < end && !shutdown.requested() {
            self.send().map_err(Exit::failed)?;
            for seen in self.look().map_err(Exit::failed)? {
                let now = self.clock.now();
                if let Some(order) = Order::from_event(&seen.event_type, &seen.data) {
                    self.fleet.command(order, now);
                }
                self.tally.take(&seen, now);
                print(&self.view.line(&seen, now))?;
            }
            let wait = self.fleet.due().map_or(0, |due| due - self.clock.now());
            let _asked_to_stop = shutdown.wait(Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(WAIT_MAX));
        }
        Ok(())
    }

    /// What the fleet says now goes into the log.
    fn send(&mut self) -> Result<(), LogError> {
        let now = self.clock.now();
        let mut records = Vec::new();
        while let Some(record) = self.fleet.next(now) {
            self.tally.sent(&record.line);
            records.push(record);
        }
        if records.is_empty() {
            return Ok(());
        }
        let headers: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents+json")];
        let new: Vec<NewRecord<'_>> = records
            .iter()
            .map(|record| NewRecord {
                key: Some(record.key.as_bytes()),
                headers: &headers,
                value: Some(record.line.as_bytes()),
            })
            .collect();
        self.store.append(To::Key, &new, now)?;
        Ok(())
    }

    /// What Tillwatch has said since the last look.
    fn look(&mut self) -> Result<Vec<Seen>, LogError> {
        let mut seen = Vec::new();
        let topics = &self.config.topics;
        for (topic, next) in [&topics.findings, &topics.incidents, &topics.commands].into_iter().zip(&mut self.read) {
            *next = self.store.read(topic, 0, *next, READ_MAX, &mut |raw| seen.extend(Seen::of(&raw)))?;
        }
        Ok(seen)
    }
}
