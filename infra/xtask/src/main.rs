//! `cargo xtask`: the workspace's own tool. See `cargo xtask --help`.
//!
//! Owns the command line; everything it does is in the library.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use xtask::process::{print, say};
use xtask::wasm::Choice;
use xtask::workspace::Workspace;
use xtask::{bench, components, fault, fuzz, instructions, kafka, release, score, suite, system};

/// Builds, tests and tries Tillwatch on a machine that has nothing but Rust.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the workspace needs beside Rust: a C compiler, OpenSSL, zlib
    Provision,
    /// Build the WebAssembly components into target/components
    #[command(after_help = "Examples:\n  cargo xtask components\n  cargo xtask components --only correlate-payment")]
    Components {
        /// Build this one alone
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// The compiler to use
        #[arg(long, value_enum, default_value_t = Choice::Auto)]
        toolchain: Choice,
    },
    /// Build target/release/tillwatch with its components beside it
    Build,
    /// Build, then run `tillwatch demo` with the given arguments
    #[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo -- --help")]
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test of the workspace, with a Kafka started for them
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --only core\n  cargo xtask test silence\n  \
        cargo xtask test --seed 7      with the property tests of a run that printed this seed\n  \
        TILLWATCH_KAFKA=host:9092 cargo xtask test     with a broker that runs already"
    )]
    Test {
        /// The tests of this package alone
        #[arg(long, value_name = "PACKAGE")]
        only: Option<String>,
        /// The seed of property tests [default: a fixed one with CI=true, else another in every run]
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Kill members and brokers at random moments for longer than `test` does, seed after seed
    #[command(
        after_help = "Examples:\n  cargo xtask fault --minutes 60\n  cargo xtask fault --minutes 0 --seed 17     that seed alone"
    )]
    Fault {
        /// No new run begins after so many minutes
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// The first run's seed; each further run's is one more
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Events of each run
        #[arg(long, default_value_t = 200_000)]
        events: u64,
    },
    /// Count the instructions of one event in the core and compare them with the baseline
    Instructions {
        /// Make the count the baseline
        #[arg(long)]
        write: bool,
    },
    /// Feed garbage to whatever reads bytes, guided by coverage
    #[command(after_help = "Examples:\n  cargo xtask fuzz                         every target for a minute\n  \
        cargo xtask fuzz --seconds 600 decode    one target for ten\n  \
        cargo xtask fuzz --minimise              and put what is new into tests/fuzz/corpus")]
    Fuzz {
        /// How long each target runs
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Rewrite the committed corpora with the fewest inputs that reach all that was reached
        #[arg(long)]
        minimise: bool,
        /// This target alone
        target: Option<String>,
    },
    /// Measure every figure of the README, beside Flink and Kafka Streams, with a Kafka started for it
    #[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --only latency\n  \
        cargo xtask bench --into README.md --into README.zh-CN.md\n\n\
        Ten minutes on a machine that does nothing else. A figure that is not reached is told, and is no failure.")]
    Bench {
        /// One family of figures alone
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Write the figures to this file, one JSON object a line
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Put the table into this Markdown file, between its marks; may be given again
        #[arg(long, value_name = "FILE", conflicts_with = "only")]
        into: Vec<PathBuf>,
    },
    /// Run seeded scenarios of every cause through the engine and tell how often the cause that it names is right
    #[command(
        after_help = "Examples:\n  cargo xtask score                        the committed list, tests/score/seeds\n  \
        cargo xtask score --quick                a dozen of it\n  \
        cargo xtask score --held-out             the list that nobody tunes on, tests/score/held-out\n  \
        cargo xtask score --seeds 500..520 --json score.json\n\n\
        A figure that is not reached is told, and is no failure."
    )]
    Score(score::Options),
    /// Run a real Apache Kafka on this machine, by Maven and Java
    #[command(after_help = "Examples:\n  cargo xtask kafka                       until Ctrl-C, on a free port\n  \
        cargo xtask kafka start --port 9092     in the background\n  cargo xtask kafka start --brokers 3\n  \
        cargo xtask kafka start --secured       with TLS and SASL too\n  cargo xtask kafka stop")]
    Kafka {
        #[arg(value_enum, default_value_t = Verb::Run)]
        verb: Verb,
        /// How many brokers, each a controller too
        #[arg(long, default_value_t = 1)]
        brokers: u16,
        /// Where data, logs and process ids go; emptied at the start [default: target/kafka/cluster]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// The first broker's port, the others follow [default: any that is free]
        #[arg(long)]
        port: Option<u16>,
        /// A line of server.properties; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
        /// Also with TLS, passwords (SCRAM and PLAIN) and rights, on a second port
        #[arg(long)]
        secured: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Verb {
    /// Until Ctrl-C, in the foreground
    Run,
    /// In the background; prints the address
    Start,
    /// End what was started in that folder
    Stop,
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let verdict = Workspace::find().and_then(|workspace| {
        let verdict = run(&workspace, task);
        // A linker on a full disk ends with "Bus error" and says nothing of the disk.
        if !matches!(verdict, Ok(true))
            && let Some(full) = system::full_disk(&workspace.target())
        {
            say(&format!("error: {full}"));
        }
        verdict
    });
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        // The reason has been told.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether it is a success; what is an error stops at once.
fn run(workspace: &Workspace, task: Task) -> anyhow::Result<bool> {
    match task {
        Task::Provision => system::provision_build(&workspace.logs())?,
        Task::Components { only, toolchain } => {
            components::report(&components::build(workspace, only.as_deref(), toolchain)?);
        }
        Task::Build => release::build(workspace)?,
        Task::Demo { arguments } => release::demo(workspace, &arguments)?,
        Task::Test { only, filter, seed } => return suite::run(workspace, &suite::Options { only, filter, seed }),
        Task::Fuzz { seconds, minimise, target } => {
            return fuzz::run(workspace, &fuzz::Options { seconds, minimise, target });
        }
        Task::Bench { only, json, into } => bench::run(workspace, &bench::Options { only, json, into })?,
        Task::Score(options) => score::run(workspace, &options)?,
        Task::Fault { minutes, seed, events } => {
            return fault::run(workspace, fault::Options { minutes, seed, events });
        }
        Task::Instructions { write } => return instructions::run(workspace, write),
        Task::Kafka { verb, brokers, dir, port, settings, secured } => {
            let dir = dir.unwrap_or_else(|| workspace.target().join("kafka").join("cluster"));
            let dir = std::path::absolute(dir)?;
            let detached = matches!(verb, Verb::Start);
            let options = kafka::Options { brokers, detached, settings, secured, port, ..kafka::Options::new(dir) };
            run_kafka(workspace, verb, &options)?;
        }
    }
    Ok(true)
}

fn run_kafka(workspace: &Workspace, verb: Verb, options: &kafka::Options) -> anyhow::Result<()> {
    if matches!(verb, Verb::Stop) {
        let ended = kafka::stop(&options.dir)?;
        say(&format!("brokers ended in {}: {ended}", options.dir.display()));
        return Ok(());
    }
    let cluster = kafka::Cluster::start(&kafka::install(workspace)?, options)?;
    say(&format!("Apache Kafka serves; data and logs in {}", options.dir.display()));
    if let Some(access) = cluster.access() {
        say(&format!(
            "with TLS and SASL at {}: user {}, password in {}, authority in {}",
            access.bootstrap,
            kafka::USER,
            access.password.display(),
            access.ca.display()
        ));
    }
    print(&cluster.bootstrap());
    if options.detached {
        cluster.detach();
        return Ok(());
    }
    say("Ctrl-C ends it");
    cluster.wait()
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
