//! How often the causes that are named are right, in one command.
//!
//! Owns what the run needs: the components and the program. Owns no scenario and no figure: `tests/score` runs, compares and prints.

use crate::process::run as run_command;
use crate::release;
use crate::workspace::Workspace;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Which scenarios, and where the figures go.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A dozen scenarios of the list alone
    #[arg(long)]
    pub quick: bool,
    /// The list of seeds that nobody tunes on, and not the other
    #[arg(long)]
    pub held_out: bool,
    /// These seeds and no list, both ends included
    #[arg(long, value_name = "A..B", conflicts_with_all = ["held_out", "quick"])]
    pub seeds: Option<String>,
    /// Scenarios at a time
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Write every scenario and the sums to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Builds, runs the scenarios and prints the tables.
///
/// # Errors
/// Where something cannot be built or run. A figure that is not reached is none.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    release::build_programs(workspace)?;
    let mut command = Command::new(workspace.target().join("release").join("score"));
    command.arg("--components").arg(workspace.components_dir());
    command.arg("--jobs").arg(options.jobs.to_string());
    for (flag, wanted) in [("--quick", options.quick), ("--held-out", options.held_out)] {
        command.args(wanted.then_some(flag));
    }
    if let Some(seeds) = &options.seeds {
        command.arg("--seeds").arg(seeds);
    }
    if let Some(path) = &options.json {
        command.arg("--json").arg(std::path::absolute(path)?);
    }
    run_command(command.current_dir(workspace.root()))
}
