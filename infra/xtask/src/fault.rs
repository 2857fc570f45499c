//! Longer runs of the tests of faults than the suite can afford: seed after seed until the time is over.
//!
//! Owns the seeds and the time. What is killed when, and what must hold afterwards, is the test's (`tests/fault`).

use crate::process::{now, print, say};
use crate::release;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::Stdio;
use std::time::Duration;

/// The test that is run again and again.
const TEST: &str = "kills_of_members_and_of_the_broker_lose_nothing_and_double_nothing_on_kafka";

/// How long, and from which seed on.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// No new run begins after this time; one always does.
    pub minutes: u64,
    /// The first run's seed; each further run's is one more.
    pub seed: u64,
    /// Events of each run.
    pub events: u64,
}

/// Runs, prints the seeds, and returns whether all held. The first that does not ends it.
///
/// # Errors
/// Where something does not compile or cannot be started.
pub fn run(workspace: &Workspace, options: Options) -> Result<bool> {
    release::build(workspace)?;
    let began = now();
    let limit = Duration::from_secs(options.minutes * 60);
    for seed in options.seed.. {
        say(&format!("seed {seed}, {} s of {} s", began.elapsed().as_secs(), limit.as_secs()));
        let mut command = release::cargo(workspace, "test");
        command.args(["--workspace", "--test", "soak", "--", "--nocapture", TEST]);
        command.env("TILLWATCH_COMPONENTS", workspace.components_dir()).env("TILLWATCH_BIN", workspace.binary());
        command.env("TILLWATCH_FAULT_SEED", seed.to_string());
        command.env("TILLWATCH_FAULT_EVENTS", options.events.to_string());
        let status = command.stdin(Stdio::null()).status().context("cannot start cargo")?;
        if !status.success() {
            print(&format!("seed {seed} did not hold; again by: cargo xtask fault --minutes 0 --seed {seed}"));
            return Ok(false);
        }
        if began.elapsed() >= limit {
            print(&format!("seeds {} to {seed} held", options.seed));
            return Ok(true);
        }
    }
    Ok(true)
}
