//! `tillwatch doctor`.

use std::{fmt, net::TcpListener, sync::Arc};

use tillwatch_core::Instant;
use tillwatch_core::stage::Stage;
use tillwatch_embedded::Store;
use tillwatch_kafka::admin;

use super::{ConfigFile, Exit, print};
use crate::{
    clock::{Clock, Wall},
    config::{self, Config, Environment, Level, LogKind, Telemetry},
    rules, telemetry, wiring,
};

/// 2025-01-01T00:00:00Z: a clock before it was never set.
const CLOCK_LEAST: Instant = 1_735_689_600_000;

/// How far records may lie in the future before this machine's clock is slow, ms.
const CLOCK_AHEAD_MAX: Instant = 2_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch doctor --config tillwatch.toml

It changes nothing. Exit codes: 0 nothing is wrong (there may be advice), 1 something is.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    wrong: usize,
    lines: Vec<String>,
}

impl Findings {
    fn good(&mut self, what: impl fmt::Display) {
        self.lines.push(format!("ok      {what}"));
    }

    fn advice(&mut self, what: impl fmt::Display) {
        self.lines.push(format!("advice  {what}"));
    }

    fn wrong(&mut self, what: impl fmt::Display) {
        self.wrong += 1;
        self.lines.push(format!("wrong   {what}"));
    }
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let mut found = Findings::default();
    match config::load(args.config.config.as_deref(), environment) {
        Ok(config) => {
            telemetry::start(&Telemetry { level: Level::Error, ..config.telemetry.clone() });
            found.good("configuration: it can be used");
            examine(&config, environment, &mut found);
        }
        Err(problems) => problems.problems.iter().for_each(|problem| found.wrong(format!("configuration: {problem}"))),
    }
    found.lines.iter().try_for_each(|line| print(&format!("{line}\n")))?;
    if found.wrong > 0 { Err(Exit::silent(1)) } else { Ok(()) }
}

fn examine(config: &Config, environment: &Environment, found: &mut Findings) {
    clock(found);
    match rules::load(config, environment) {
        Ok(loaded) => {
            for rule in loaded {
                let descriptor = rule.descriptor();
                found.good(format!(
                    "component: {} {} from {}",
                    descriptor.id,
                    descriptor.version,
                    rule.config().path.display()
                ));
                rule.warnings().iter().for_each(|warning| found.advice(format!("component: {warning}")));
            }
        }
        Err(error) => error.0.iter().for_each(|problem| found.wrong(format!("component: {problem}"))),
    }
    match config.log.kind {
        LogKind::Kafka => kafka(config, found),
        LogKind::Embedded => embedded(config, found),
    }
    match TcpListener::bind(&config.http.listen) {
        Ok(_) => found.good(format!("http: {} is free", config.http.listen)),
        Err(error) => found.advice(format!(
            "http: {} cannot be had: {error}. Is tillwatch running already? Else choose another http.listen",
            config.http.listen
        )),
    }
}

fn clock(found: &mut Findings) {
    if Wall::new().now() < CLOCK_LEAST {
        found.wrong("clock: it was never set. Set it, and keep it right with NTP");
    } else if std::path::Path::new("/run/systemd/timesync").is_dir()
        && !std::path::Path::new("/run/systemd/timesync/synchronized").exists()
    {
        found.advice("clock: systemd-timesyncd has not synchronised it. See `timedatectl`");
    } else {
        found.good("clock: it is set");
    }
}

fn kafka(config: &Config, found: &mut Findings) {
    let (client, second) = match (wiring::kafka(config, 0), wiring::kafka_of(config, Stage::Second, 0)) {
        (Ok(client), Ok(second)) => (client, second),
        (Err(error), _) | (_, Err(error)) => return found.wrong(format!("broker: {error}")),
    };
    let mut problems = admin::check(&client, None);
    if !problems.iter().any(|problem| matches!(problem, admin::Problem::Unreachable(_))) {
        let more = admin::check(&second, None);
        problems.extend(more.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
    }
    for problem in &problems {
        let part = if matches!(problem, admin::Problem::Unreachable(_)) { "broker" } else { "topic" };
        let line = format!("{part}: {}: {problem}", problem.code());
        if problem.fatal() { found.wrong(line) } else { found.advice(line) }
    }
    if problems.iter().any(|problem| matches!(problem, admin::Problem::Unreachable(_))) {
        return;
    }
    found.good(format!("broker: {} answers", config.kafka.brokers.join(", ")));
    if problems.is_empty() {
        found.good("topics: all are as they must be");
    }
    if config.kafka.local_ticks {
        found.advice(format!(
            "clock: kafka.local_ticks is set: nothing is appended to {}, and what fires in silence goes by this machine's clock. Keep it in \
             step with the brokers' by NTP",
            config.topics.events
        ));
    }
    if config.kafka.recorded_timestamps || problems.iter().any(admin::Problem::fatal) {
        return;
    }
    let ahead = Wall::new().now() + CLOCK_AHEAD_MAX;
    let read = tillwatch_kafka::read::read_range(&client, &config.topics.events, Some(ahead), None, &mut |_, _| {});
    match read {
        Ok(0) => found.good("clock: it is not behind the brokers'"),
        Ok(_) => {
            found.wrong("clock: the brokers have stamped records in this machine's future. Set both clocks by NTP")
        }
        Err(error) => found.wrong(format!("topic: {error}")),
    }
}

fn embedded(config: &Config, found: &mut Findings) {
    let path = &config.embedded.path;
    if !std::path::Path::new(path).exists() {
        return found.advice(format!("log: {path} is not there yet: `tillwatch run` makes it"));
    }
    match Store::open(path.as_ref(), wiring::embedded(config, Arc::new(Wall::new()))) {
        Ok(_) => found.good(format!("log: {path} is whole")),
        Err(error) if error.code == "log-locked" => found.advice(format!("log: {error}")),
        Err(error) => found.wrong(format!("log: {error}")),
    }
    if config.http.token_file.is_empty() {
        found.advice("http: http.token_file is not set: POST /events is closed");
    }
}
