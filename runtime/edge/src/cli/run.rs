//! `tillwatch run`.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tillwatch_core::log::Who;

use super::{ConfigFile, Exit, say};
use crate::{
    clock::Wall,
    config::Environment,
    driver::Failure,
    http::HttpError,
    rules,
    run::{Run, RunError},
    shutdown::Shutdown,
    telemetry::{self, Metrics},
};

/// How long stopping may take in all. A call into the Kafka client can outlast it while no broker answers.
const STOP_MAX: Duration = Duration::from_millis(4_800);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch run --config /etc/tillwatch/tillwatch.toml
  TILLWATCH_LOG__KIND=embedded TILLWATCH_EMBEDDED__PATH=./log tillwatch run

SIGTERM or Ctrl-C: what was read is committed, then it ends, in under 5 s. A second one ends it at once.
Exit codes: 0 stopped when asked to, 1 failed (a restart begins at the last commit), 2 bad configuration or components, or topics that are
missing or do not fit each other (a restart does not help).")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let config = args.config.load(environment)?;
    telemetry::start(&config.telemetry);
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(Exit::failed)?;
    let (ended, end) = mpsc::channel();
    stop_in_time(shutdown.clone(), end).map_err(Exit::failed)?;
    let rules = rules::load(&config, environment).map_err(Exit::usage)?;
    let run = Run {
        config: &config,
        rules: &rules,
        clock: Arc::new(Wall::new()),
        shutdown,
        metrics: Arc::new(Metrics::new()),
    };
    let worked = run.run();
    drop(ended);
    worked.map_err(|error| if of_configuration(&error) { Exit::usage(error) } else { Exit::failed(error) })
}

/// Whether whoever wrote the configuration must act, and nothing else helps.
fn of_configuration(error: &RunError) -> bool {
    match error {
        RunError::Rules(_)
        | RunError::Http(HttpError::Token(..))
        | RunError::Worker(Failure::Setup(_) | Failure::Resume(..)) => true,
        RunError::Log(log) | RunError::Worker(Failure::Log(log)) => log.who == Who::Config,
        RunError::Http(_) | RunError::Worker(_) => false,
    }
}

/// Ends the process where stopping takes too long. What is not committed is not lost: a restart makes it again.
fn stop_in_time(shutdown: Shutdown, end: mpsc::Receiver<()>) -> std::io::Result<()> {
    let work = move || {
        while !shutdown.wait(Duration::from_secs(3600)) {}
        if end.recv_timeout(STOP_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            say(
                "drain-timeout: the log did not answer in time; what was not committed is made again at the next start",
            );
            std::process::exit(1);
        }
    };
    thread::Builder::new().name("stop".to_owned()).spawn(work).map(drop)
}
