//! Every figure in one command.
//!
//! Owns what the measurements need: the release binary and its components, the measuring programs, the Java programs of the peers with their
//! jars, and a Kafka for the time of the run. Owns no figure: `tests/bench` measures and prints the table.

use crate::kafka::{Cluster, Options as KafkaOptions, install};
use crate::process::{quietly, run as run_command, say};
use crate::suite::KAFKA;
use crate::workspace::{Workspace, env};
use crate::{jars, release, system};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The peers: a folder of Java files under `tests/bench`, with its `pom.xml`.
const PEERS: [(&str, &str); 2] = [("flink", "Apache Flink"), ("streams", "Kafka Streams")];

/// A few files.
const COMPILE_TIME_MAX: Duration = Duration::from_mins(2);

/// What to measure and where to put it.
#[derive(Debug, Default)]
pub struct Options {
    /// One family of figures alone.
    pub only: Option<String>,
    /// File for the figures as JSON.
    pub json: Option<PathBuf>,
    /// Markdown files to put the table into.
    pub into: Vec<PathBuf>,
}

/// Provides everything, measures, and prints the table.
///
/// # Errors
/// Where something cannot be had, built or measured. A figure that is not reached is none.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    system::provision_build(&workspace.logs())?;
    release::build_programs(workspace)?;
    let kafka_jars = install(workspace)?;
    system::provision_java_compiler(&workspace.logs())?;
    PEERS.iter().try_for_each(|(peer, what)| compile(workspace, peer, what))?;
    let cluster = match env(KAFKA) {
        Some(address) => {
            say(&format!("using the Kafka at {address}, as {KAFKA} says"));
            None
        }
        None => Some(start(workspace, &kafka_jars)?),
    };
    let measured = measure(workspace, options, cluster.as_ref());
    match cluster {
        Some(cluster) if measured.is_ok() => cluster.remove().and(measured),
        // The broker's log stays.
        _ => measured,
    }
}

fn start(workspace: &Workspace, jars: &Path) -> Result<Cluster> {
    let dir = workspace.target().join("kafka").join("bench");
    Cluster::start(jars, &KafkaOptions::new(dir))
}

fn measure(workspace: &Workspace, options: &Options, cluster: Option<&Cluster>) -> Result<()> {
    let mut command = Command::new(workspace.target().join("release").join("figures"));
    if let Some(path) = &options.json {
        command.arg("--json").arg(std::path::absolute(path)?);
    }
    for path in &options.into {
        command.arg("--into").arg(std::path::absolute(path)?);
    }
    if let Some(only) = &options.only {
        command.arg("--only").arg(only);
    }
    if let Some(cluster) = cluster {
        command.env(KAFKA, cluster.bootstrap());
    }
    run_command(command.current_dir(workspace.root()))
}

/// Fetches a peer's jars and compiles its programs into `target/bench/<peer>/classes`.
fn compile(workspace: &Workspace, peer: &str, what: &str) -> Result<()> {
    let sources = workspace.root().join("tests/bench").join(peer);
    let folder = workspace.target().join("bench").join(peer);
    let (lib, classes) = (folder.join("lib"), folder.join("classes"));
    jars::fetch(workspace, &sources.join("pom.xml"), &lib, what)?;
    if classes.exists() {
        std::fs::remove_dir_all(&classes).with_context(|| format!("cannot empty {}", classes.display()))?;
    }
    let mut command = Command::new("javac");
    command.args(["-nowarn", "-d"]).arg(&classes).arg("-cp").arg(lib.join("*"));
    for entry in std::fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "java") {
            command.arg(path);
        }
    }
    let log = workspace.logs().join(format!("javac-{peer}.log"));
    quietly(&format!("compiling the programs for {what}"), &mut command, &log, COMPILE_TIME_MAX)
}
