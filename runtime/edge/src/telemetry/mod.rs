//! What a running process says about itself: log lines on standard error and metrics in OpenMetrics.
//!
//! One table: an event is a struct in [`events`], and its `emit` writes the log line and moves the counter, so that neither is forgotten.
//! Labels are bounded: codes, topics, rules and outcomes, never ids. Secrets do not get here: their type does not show them.

pub mod events;
mod metrics;

use std::io::IsTerminal as _;

pub use metrics::{Metrics, Outcome};
use tracing_subscriber::{filter::LevelFilter, fmt};

use crate::config::{Level, LogFormat, Telemetry};

/// Log lines go to standard error from now on, as the configuration says. Later calls change nothing.
pub fn start(config: &Telemetry) {
    let level = match config.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let subscriber = fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    let started = match config.format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("log lines were set up before");
    }
}
