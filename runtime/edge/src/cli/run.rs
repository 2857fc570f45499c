//! `tillwatch run`.

use std::sync::Arc;

use super::{ConfigFile, Exit};
use crate::{
    clock::Wall,
    config::Environment,
    rules,
    run::{Run, RunError},
    shutdown::Shutdown,
    telemetry::{self, Metrics},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch run --config /etc/tillwatch/tillwatch.toml
  TILLWATCH_LOG__KIND=embedded TILLWATCH_EMBEDDED__PATH=./log tillwatch run

SIGTERM or Ctrl-C: what was read is committed, then it ends, in under 5 s. A second one ends it at once.
Exit codes: 0 stopped when asked to, 1 failed (a restart begins at the last commit), 2 bad configuration or components.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let config = args.config.load(environment)?;
    telemetry::start(&config.telemetry);
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(Exit::failed)?;
    let rules = rules::load(&config, environment).map_err(Exit::usage)?;
    let run = Run {
        config: &config,
        rules: &rules,
        clock: Arc::new(Wall::new()),
        shutdown,
        metrics: Arc::new(Metrics::new()),
    };
    run.run().map_err(|error| match error {
        RunError::Rules(_) => Exit::usage(error),
        RunError::Log(ref log) if log.who == tillwatch_core::log::Who::Config => Exit::usage(error),
        error => Exit::failed(error),
    })
}
