//! `tillwatch simulate`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

use clap::ValueEnum;
use serde::Serialize;
use tillwatch_core::Instant;
use tillwatch_kafka::{produce::Producer, read::Reader};

use super::{ConfigFile, Exit, say, written};
use crate::{
    clock::{Clock, Wall, parse_rfc3339},
    config::Environment,
    feedback::Seen,
    shutdown::Shutdown,
    simulate::{Emitted, Faults, Fleet, Inject, Options, Order, Preset, Scenario, parse_length},
    telemetry, wiring,
};

/// How long after its last payment a simulation goes on, for what runs to come to its end, ms.
const REST_MS: Instant = 15 * 60_000;

/// How long the last records may take to be acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// Longest wait before commands are looked for again.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// How long customers come where nothing is said, ms.
const DURATION_MS: Instant = 60 * 60_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch simulate --seed 7 --duration 1h --truth truth.jsonl > events.jsonl
  tillwatch simulate --duration 2h --faults none --fault decline=0.1 | tillwatch replay -
  tillwatch simulate --faults day --duration 24h --terminals 1000 --sites 200 > day.jsonl
  tillwatch simulate --inject N4@host:A01/H1 --inject H1@terminal,from=5m,for=20m,strength=60 --truth truth.jsonl
  tillwatch simulate --scenario scenario.toml --seed 8 --truth truth.jsonl
  tillwatch simulate --to kafka --config tillwatch.toml --terminals 1000 --pace real
  tillwatch simulate --to kafka --config tillwatch.toml --pace 5000

--inject takes a cause (N1 to N4, H1 to H4, S1 to S4, P1 to P4, maintenance, customer, mixed), a scope (terminal, site, acquirer, host,
version, operator or region; with :ID, or one that the seed draws; several joined by + must all hold), and where wanted from= (10m),
for= (15m) and strength= (80; from 50 on it passes the thresholds of its rule, below 30 it is a near miss).

The same seed and options give the same bytes, as long as no commands come back. With `--to kafka --pace real` the terminals act on the
commands they get. Exit codes: 0, 1 it could not be written, 2 bad usage, scenario or configuration.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Where to
    #[arg(long, value_enum, default_value = "jsonl")]
    to: Target,
    /// `full` (as fast as it goes), `real` (as it happens), or events a second
    #[arg(long, default_value = "full", value_parser = pace)]
    pace: Pace,
    /// A fleet and its faults from a file, TOML or JSON; flags win over it
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The same seed gives the same fleet [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Terminals [default: 20]
    #[arg(long)]
    terminals: Option<u32>,
    /// Sites that they are spread over [default: 4]
    #[arg(long)]
    sites: Option<u32>,
    /// Regions that the sites are spread over [default: 1]
    #[arg(long)]
    regions: Option<u32>,
    /// Acquirers; a site has one [default: 3]
    #[arg(long)]
    acquirers: Option<u32>,
    /// Hosts of each acquirer; a terminal has one [default: 2]
    #[arg(long)]
    hosts: Option<u32>,
    /// Versions of the app in the field [default: 2]
    #[arg(long)]
    versions: Option<u32>,
    /// Versions of the parameters in the field [default: 2]
    #[arg(long)]
    params: Option<u32>,
    /// Receipts on a roll of paper, 0: it never runs out [default: 0, with `--faults day` 1000]
    #[arg(long)]
    roll: Option<u32>,
    /// Payments an hour of each terminal, in the mean [default: 30]
    #[arg(long)]
    payments_per_hour: Option<f64>,
    /// When the first customer may come (RFC 3339); with `--pace real` always now [default: 2026-01-05T00:00:00Z]
    #[arg(long, value_parser = parse_rfc3339)]
    start: Option<Instant>,
    /// How long customers come, as 90s, 30m or 2h [default: 1h]
    #[arg(long, value_parser = duration)]
    duration: Option<Instant>,
    /// What goes wrong now and then [default: some]
    #[arg(long, value_enum)]
    faults: Option<Preset>,
    /// One fault's probability, as `printer_jam=0.1`; may be given again
    #[arg(long, value_name = "NAME=PROBABILITY", value_parser = fault)]
    fault: Vec<(String, f64)>,
    /// A fault with a cause at one place and time, as `N4@host:A01/H1,from=10m,for=15m,strength=80`; may be given again
    #[arg(long, value_name = "CAUSE@SCOPE")]
    inject: Vec<Inject>,
    /// Side file for the truth about every injected fault and every payment, one JSON object a line
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// JSON lines on standard output, as `replay` reads them
    Jsonl,
    /// The input topic in Kafka
    Kafka,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    Full,
    Real,
    PerSecond(f64),
}

fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "full" => Ok(Pace::Full),
        "real" => Ok(Pace::Real),
        rate => match rate.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Pace::PerSecond(rate)),
            _ => Err(format!("{rate:?} is neither `full`, nor `real`, nor a number of events a second")),
        },
    }
}

fn duration(text: &str) -> Result<Instant, String> {
    parse_length(text).and_then(|ms| if ms > 0 { Ok(ms) } else { Err(format!("{text:?} is out of range")) })
}

fn fault(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=probability")?;
    let value = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    Ok((name.to_owned(), value))
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let config = args.config.load(environment)?;
    telemetry::start(&config.telemetry);
    let clock = Wall::new();
    let (options, duration) = options(args, &clock)?;
    let stop_at = options.start.saturating_add(duration);
    let fleet = Fleet::new(options).map_err(Exit::usage)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(Exit::failed)?;
    let truth: Box<dyn Write> = match &args.truth {
        Some(path) => {
            let file =
                File::create(path).map_err(|error| Exit::usage(format!("cannot write {}: {error}", path.display())))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(io::sink()),
    };
    let sink = match args.to {
        Target::Jsonl => Sink::Lines(BufWriter::with_capacity(1 << 16, io::stdout().lock())),
        Target::Kafka => {
            let client = wiring::kafka(&config, 0).map_err(Exit::usage)?;
            let producer = Producer::open(&client).map_err(Exit::failed)?;
            let commands = match args.pace {
                Pace::Real => Some(Reader::open(&client, &config.topics.commands).map_err(Exit::failed)?),
                _ => None,
            };
            let recorded = config.kafka.recorded_timestamps;
            Sink::Kafka { producer, commands, topic: config.topics.events.clone(), recorded }
        }
    };
    Simulation { fleet, sink, truth, clock, shutdown, pace: args.pace, stop_at, emitted: 0, payments: 0 }.run()
}

/// The fleet that file and flags ask for, and how long its customers come.
fn options(args: &Args, clock: &Wall) -> Result<(Options, Instant), Exit> {
    let (file, origin) = match &args.scenario {
        Some(path) => {
            let origin = path.display().to_string();
            let text =
                fs::read_to_string(path).map_err(|error| Exit::usage(format!("cannot read {origin}: {error}")))?;
            (Scenario::parse(&text, &origin).map_err(Exit::usage)?, origin)
        }
        None => (Scenario::default(), "flags".to_owned()),
    };
    if let Some((name, _)) = args.fault.iter().find(|(name, _)| !Faults::names().contains(&name.as_str())) {
        let known = Faults::names().join(", ");
        return Err(Exit::usage(format!("--fault: there is no fault {name}. There are {known}")));
    }
    let start = if args.pace == Pace::Real { Some(clock.now()) } else { args.start.or(file.start) };
    let duration = args.duration.or(file.duration).unwrap_or(DURATION_MS);
    let scenario = Scenario {
        seed: args.seed.or(file.seed),
        terminals: args.terminals.or(file.terminals),
        sites: args.sites.or(file.sites),
        regions: args.regions.or(file.regions),
        acquirers: args.acquirers.or(file.acquirers),
        hosts: args.hosts.or(file.hosts),
        versions: args.versions.or(file.versions),
        params: args.params.or(file.params),
        roll: args.roll.or(file.roll),
        start,
        payments_per_hour: args.payments_per_hour.or(file.payments_per_hour),
        preset: args.faults.or(file.preset),
        faults: file.faults.into_iter().chain(args.fault.iter().cloned()).collect(),
        inject: file.inject.into_iter().chain(args.inject.iter().cloned()).collect(),
        ..file
    };
    Ok((scenario.options(&origin).map_err(Exit::usage)?, duration))
}

/// Where records go to.
#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Sink<'a> {
    Lines(BufWriter<io::StdoutLock<'a>>),
    Kafka { producer: Producer, commands: Option<Reader>, topic: String, recorded: bool },
}

struct Simulation<'a> {
    fleet: Fleet,
    sink: Sink<'a>,
    truth: Box<dyn Write>,
    clock: Wall,
    shutdown: Shutdown,
    pace: Pace,
    stop_at: Instant,
    emitted: u64,
    payments: u64,
}

impl Simulation<'_> {
    fn run(mut self) -> Result<(), Exit> {
        for injected in self.fleet.injected() {
            self.tell(&injected)?;
        }
        let mut stopped = false;
        while let Some(due) = self.fleet.due() {
            if !stopped && (due >= self.stop_at || self.shutdown.requested()) {
                self.fleet.stop();
                stopped = true;
            }
            if due > self.stop_at.saturating_add(REST_MS) || self.shutdown.requested() {
                break;
            }
            let until = if self.pace == Pace::Real { self.clock.now() } else { due };
            while let Some(record) = self.fleet.next(until) {
                self.emit(&record)?;
            }
            self.tell_truths()?;
            if self.pace == Pace::Real {
                self.act()?;
                let wait = self.fleet.due().map_or(0, |due| due - self.clock.now());
                let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(WAIT_MAX);
                let _asked_to_stop = self.shutdown.wait(wait);
            }
        }
        self.tell_truths()?;
        self.truth.flush().map_err(Exit::failed)?;
        match &mut self.sink {
            Sink::Lines(out) => written(out.flush())?,
            Sink::Kafka { producer, .. } => producer.flush(FLUSH_MAX).map_err(Exit::failed)?,
        }
        say(format!("{} records, {} payments", self.emitted, self.payments));
        Ok(())
    }

    fn emit(&mut self, record: &Emitted) -> Result<(), Exit> {
        if let Pace::PerSecond(rate) = self.pace {
            #[allow(clippy::cast_precision_loss, reason = "a rate needs no precision past 2^52 records")]
            let due = Duration::from_secs_f64(self.emitted as f64 / rate);
            let _asked_to_stop = self.shutdown.wait(due.saturating_sub(self.clock.elapsed()));
        }
        self.emitted += 1;
        match &mut self.sink {
            Sink::Lines(out) => written(writeln!(out, "{}", record.line)),
            Sink::Kafka { producer, topic, recorded, .. } => {
                let headers = [("content-type", "application/cloudevents+json")];
                let timestamp = recorded.then_some(record.ingest);
                let sent = producer.send(topic, &record.key, &headers, record.line.as_bytes(), timestamp);
                sent.map_err(Exit::failed)
            }
        }
    }

    /// Terminals and acquirers do what commands ask of them.
    fn act(&mut self) -> Result<(), Exit> {
        let Sink::Kafka { commands: Some(commands), .. } = &mut self.sink else { return Ok(()) };
        let mut orders = Vec::new();
        let read = commands.poll(Duration::ZERO, &mut |_, raw| {
            orders.extend(Seen::of(&raw).and_then(|seen| Order::from_event(&seen.event_type, &seen.data)));
        });
        match read {
            Err(error) if !error.retry => return Err(Exit::failed(error)),
            _ => {}
        }
        let now = self.clock.now();
        orders.into_iter().filter(|order| order.expires_at >= now).for_each(|order| self.fleet.command(order, now));
        Ok(())
    }

    fn tell_truths(&mut self) -> Result<(), Exit> {
        for truth in self.fleet.truths() {
            self.payments += 1;
            self.tell(&truth)?;
        }
        Ok(())
    }

    /// A line of the side file.
    fn tell(&mut self, truth: &impl Serialize) -> Result<(), Exit> {
        serde_json::to_writer(&mut self.truth, truth).map_err(Exit::failed)?;
        self.truth.write_all(b"\n").map_err(Exit::failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        assert_eq!(pace("real"), Ok(Pace::Real));
        assert_eq!(pace("250"), Ok(Pace::PerSecond(250.0)));
        assert!(pace("-1").is_err() && pace("slow").is_err());
        assert_eq!(duration("90s"), Ok(90_000));
        assert!(duration("-1s").is_err() && duration("soon").is_err());
        assert_eq!(fault("jam=0.25"), Ok(("jam".to_owned(), 0.25)));
        assert!(fault("jam").is_err());
    }
}
