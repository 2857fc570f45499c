//! The same generated events through the engine, Flink CEP and a Flink function written by hand, in turns in one run, by the time of a
//! core that each takes:
//! authorize, response, and no receipt. All must find the same payments, or nothing is told: `cargo xtask bench --only peers`.
//!
//! Flink gets them twice: as rows of four numbers, which is less than an event, and whole, with all that the engine's events say.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use tillwatch_bench::{
    engine::{self, Bench},
    figure::{Figure, Reach, Teller, median},
    process::{Peers, run},
    traffic::{self, Shape, Traffic},
};
use tillwatch_core::output::Finding;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Rows before the measurement, to fill memories and let Java compile
    #[arg(long, default_value_t = 500_000)]
    warm: usize,
    /// Rows of the measurement
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Rounds of each; the median ratio is told
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The engine's part, as a program of its own
    #[command(hide = true)]
    Engine {
        /// The rows are generated; so many come before the measurement
        warm: usize,
        /// And so many are measured
        events: usize,
        /// Where the payments found go to
        found: PathBuf,
    },
}

/// What a program tells.
#[derive(Serialize, Deserialize)]
struct Took {
    events: usize,
    seconds: f64,
}

impl Took {
    fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    match &options.part {
        Some(Part::Engine { warm, events, found }) => engine_part(*warm, *events, found),
        None => compare(&options),
    }
}

/// CEP gets half of what the others get, since it takes its time, and so does who keeps whole events in memory.
const SHARE: usize = 2;

/// What an event of Flink's is.
#[derive(Clone, Copy)]
enum Kind {
    /// Four numbers.
    Rows,
    /// All that its record says.
    Whole,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Whole => "whole",
        }
    }
}

fn compare(options: &Options) -> Result<()> {
    let peers = Peers::find()?;
    let folder = tempfile::tempdir()?;
    let mut rates = [const { Vec::new() }; 5];
    let all = Case::new(folder.path(), Kind::Rows, options.warm, options.events)?;
    let few = Case::new(folder.path(), Kind::Rows, options.warm / SHARE, options.events / SHARE)?;
    let whole = Case::new(folder.path(), Kind::Whole, options.warm / SHARE, options.events / SHARE)?;
    let found = folder.path().join("found");
    for _ in 0..options.rounds {
        rates[0].push(all.run(&mut all.engine()?, &found)?);
        rates[1].push(few.run(&mut few.flink(&peers, "cep"), &found)?);
        rates[2].push(all.run(&mut all.flink(&peers, "function"), &found)?);
        rates[3].push(whole.run(&mut whole.flink(&peers, "cep"), &found)?);
        rates[4].push(whole.run(&mut whole.flink(&peers, "function"), &found)?);
    }
    let how = format!(
        "median of {} rounds in turns, the same {} payments without a receipt found by all",
        options.rounds,
        all.missing.len()
    );
    let tell = |name: &str, value: f64, unit: &str, reach, how: &str| {
        let (name, unit, how) = (name.to_owned(), unit.to_owned(), how.to_owned());
        options.teller.tell(&Figure { name, value, unit, reach, how });
    };
    tell(
        "peers-engine-events-per-s",
        median(rates[0].clone()),
        "events/s",
        Reach::Nothing,
        "correlate-payment as a component, by the time of a core",
    );
    let flink = [
        ("cep", "Flink 2.3 CEP over rows of four numbers", 10.0),
        ("function", "KeyedProcessFunction by hand over rows of four numbers", 3.0),
        ("cep-whole", "Flink 2.3 CEP over whole events", 10.0),
        ("function-whole", "KeyedProcessFunction by hand over whole events", 3.0),
    ];
    for ((name, what, _), rates) in flink.iter().zip(&rates[1..]) {
        let how = format!("{what}, by the time of a core");
        let name = format!("peers-flink-{name}-events-per-s");
        tell(&name, median(rates.clone()), "events/s", Reach::Nothing, &how);
    }
    for ((name, _, reach), others) in flink.iter().zip(&rates[1..]) {
        let ratios = rates[0].iter().zip(others).map(|(engine, other)| engine / other).collect();
        tell(&format!("peers-flink-{name}-ratio"), median(ratios), "x", Reach::AtLeast(*reach), &how);
    }
    Ok(())
}

/// The rows of a comparison, and what must be found in them.
struct Case {
    kind: Kind,
    rows: PathBuf,
    warm: usize,
    events: usize,
    /// Payments before this one are settled.
    settled: u64,
    missing: BTreeSet<u64>,
}

impl Case {
    fn new(folder: &Path, kind: Kind, warm: usize, events: usize) -> Result<Self> {
        let rows = folder.join(format!("{}-{events}", kind.name()));
        let mut file = BufWriter::new(File::create(&rows)?);
        match kind {
            Kind::Rows => traffic::write(Shape::default(), warm + events, &mut file)?,
            Kind::Whole => traffic::write_whole(Shape::default(), warm + events, &mut file)?,
        }
        let settled = traffic::settled(Shape::default(), warm + events);
        let missing: BTreeSet<u64> = (0..settled).filter(|payment| Traffic::missing(*payment)).collect();
        ensure!(!missing.is_empty(), "with {} events nothing is settled: there must be more", warm + events);
        Ok(Self { kind, rows, warm, events, settled, missing })
    }

    /// Runs one program; it must find what is missing, all of it and nothing else. Gives events a second.
    fn run(&self, command: &mut Command, found: &Path) -> Result<f64> {
        let told = run(command.arg(found))?;
        let took: Took = serde_json::from_str(told.trim()).with_context(|| format!("{command:?} told {told:?}"))?;
        let text = std::fs::read_to_string(found)?;
        let numbers: Vec<u64> = text.lines().map(number).collect::<Result<_, _>>()?;
        let found: BTreeSet<u64> = numbers.iter().copied().filter(|payment| *payment < self.settled).collect();
        ensure!(numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len(), "{command:?} found a payment twice");
        if found != self.missing {
            let (lost, invented) = (self.missing.difference(&found).count(), found.difference(&self.missing).count());
            bail!("{command:?} found something else: {lost} payments not found, {invented} wrongly found");
        }
        Ok(took.rate())
    }

    fn engine(&self) -> Result<Command> {
        let mut command = one_core(std::env::current_exe()?);
        command.args(["engine", &self.warm.to_string(), &self.events.to_string()]);
        Ok(command)
    }

    fn flink(&self, peers: &Peers, way: &str) -> Command {
        let java = peers.java("flink", "Compare");
        let mut command = one_core(java.get_program());
        command.args(java.get_args()).args([way, self.kind.name()]).arg(&self.rows).arg(self.warm.to_string());
        command
    }
}

fn one_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

/// The payment that a program names, by its number or its transaction key.
fn number(told: &str) -> Result<u64> {
    let subject = || traffic::payment(told, Shape::default());
    told.parse().ok().or_else(subject).with_context(|| format!("{told:?} is no payment"))
}

/// The payment of a finding; of all that can be missed only receipts are.
fn payment(raised: &Finding) -> Result<u64> {
    ensure!(
        raised.kind == "not-printed",
        "{} was raised for {:?} at {}, and nothing but receipts is missing",
        raised.kind,
        raised.txn,
        raised.opened_at
    );
    let subject = raised.txn.as_deref().context("a finding about a payment names it")?;
    traffic::payment(subject, Shape::default()).with_context(|| format!("{subject} is of no payment"))
}

#[allow(clippy::print_stdout, reason = "a program whose output is its result")]
fn engine_part(warm: usize, events: usize, found: &Path) -> Result<()> {
    let mut bench = Bench::new(Shape::default(), engine::component());
    let mut missing = Vec::new();
    bench.run_with(warm, |raised| missing.push(payment(raised)));
    let seconds = bench.run_with(events, |raised| missing.push(payment(raised))).as_secs_f64();
    let missing = missing.into_iter().collect::<Result<Vec<_>>>()?;
    let mut file = BufWriter::new(File::create(found)?);
    missing.iter().try_for_each(|payment| writeln!(file, "{payment}"))?;
    file.flush()?;
    println!("{}", serde_json::to_string(&Took { events, seconds })?);
    Ok(())
}
