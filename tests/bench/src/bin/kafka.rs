//! Kafka to Kafka, exactly once, the same events in binary mode and CBOR on the same broker in one run: `tillwatch run` against a bare loop of
//! rdkafka that consumes, decodes and produces in transactions, Kafka Streams and Flink. `cargo xtask bench --only kafka`.
//!
//! The rate of each is read from outside, from the offsets that its group commits. Those that look for missing receipts must all find the same.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use tillwatch_bench::{
    bare::{self, Output},
    broker::{Feeder, PARTITIONS, Progress, Reader, Topics, header},
    figure::{Figure, Reach, Teller, median},
    machine::{now, wall_ms},
    process::{Member, Peers, Process, others, pause, topics},
    traffic::{self, Row, Shape, TRANSIT_MS, Traffic},
};

/// The topic that all of them read.
const INPUT: &str = "bench.pos.events";

/// Who reads it, and writes to a topic of that name.
const CONTENDERS: [Contender; 6] = [
    Contender::Bare(Output::Each),
    Contender::Bare(Output::Findings),
    Contender::Tillwatch { alone: true },
    Contender::Tillwatch { alone: false },
    Contender::Streams,
    Contender::Flink,
];

/// One that takes longer hangs: all rules take minutes on a loaded machine.
const RUN_MAX: Duration = Duration::from_secs(400);

/// How often the broker is asked how far a group is.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// The measurement begins when this share of the events is done, in percent: programs have started, joined and compiled by then.
const FROM_PERCENT: i64 = 25;

/// And ends when this share is done: the last events wait for time to go on, which it does not.
const TO_PERCENT: i64 = 95;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Bootstrap servers of a Kafka
    #[arg(long, env = "TILLWATCH_KAFKA")]
    kafka: String,
    /// Events in the topic
    #[arg(long, default_value_t = 1_500_000)]
    events: usize,
    /// Rounds of the bare loop and Tillwatch with one rule, in turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rounds of Tillwatch with all its rules, Kafka Streams and Flink, which commits once a second: one round may be of two commits too close
    #[arg(long, default_value_t = 3)]
    peer_rounds: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The bare loop, as a program of its own
    #[command(hide = true)]
    Bare { brokers: String, group: String, input: String, to: String, output: Output },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Bare(Output),
    Tillwatch { alone: bool },
    Streams,
    Flink,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Bare(Output::Each) => "bare",
            Self::Bare(Output::Findings) => "bare-reading",
            Self::Tillwatch { alone: true } => "tillwatch",
            Self::Tillwatch { alone: false } => "tillwatch-all-rules",
            Self::Streams => "streams",
            Self::Flink => "flink",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Bare(Output::Each) => "rdkafka, no engine: consumes, decodes, produces a record an event",
            Self::Bare(Output::Findings) => {
                "rdkafka, no engine: consumes, decodes, produces as many records as there are findings"
            }
            Self::Tillwatch { alone: true } => "tillwatch run, correlate-payment",
            Self::Tillwatch { alone: false } => "tillwatch run, all built-in rules",
            Self::Streams => "Kafka Streams 4.4, exactly_once_v2, one thread",
            Self::Flink => "Flink 2.3, Kafka source and sink, exactly once, parallelism 1, a checkpoint a second",
        }
    }

    fn rounds(self, options: &Options) -> usize {
        match self {
            Self::Bare(_) | Self::Tillwatch { alone: true } => options.rounds,
            Self::Tillwatch { alone: false } | Self::Streams | Self::Flink => options.peer_rounds,
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    match &options.part {
        Some(Part::Bare { brokers, group, input, to, output }) => bare::run(brokers, group, input, to, *output),
        None => compare(&options),
    }
}

fn compare(options: &Options) -> Result<()> {
    let (brokers, peers, folder) = (options.kafka.clone(), Peers::find()?, tempfile::tempdir()?);
    let _input = Topics::make(&brokers, &[INPUT], &[("message.timestamp.type", "CreateTime"), ("retention.ms", "-1")])?;
    feed(&brokers, options.events)?;
    let settled = traffic::settled(Shape::default(), options.events);
    let missing: BTreeSet<u64> = (0..settled).filter(|payment| Traffic::missing(*payment)).collect();
    ensure!(!missing.is_empty(), "with {} events nothing is settled: there must be more", options.events);
    let mut rates: [Vec<f64>; CONTENDERS.len()] = Default::default();
    for round in 0..options.rounds.max(options.peer_rounds) {
        for (contender, rates) in CONTENDERS.into_iter().zip(&mut rates) {
            if round < contender.rounds(options) {
                let run = Run { brokers: &brokers, contender, round, events: options.events, settled };
                let (rate, found) = run.measure(&peers, folder.path())?;
                if let Some(found) = found {
                    let (lost, more) = (missing.difference(&found).count(), found.difference(&missing).count());
                    ensure!(lost + more == 0, "{}: {lost} payments not found, {more} wrongly found", contender.name());
                }
                rates.push(rate);
            }
        }
    }
    tell(options, &rates, missing.len());
    Ok(())
}

/// Fills the topic with traffic that ends at this moment: brokers refuse what comes from the future and drop what is old.
fn feed(brokers: &str, events: usize) -> Result<()> {
    let traffic = || Traffic::new(Shape::default()).take(events);
    let last = traffic().last().context("there are events")?.at;
    #[allow(clippy::cast_possible_truncation, reason = "whole ms are meant")]
    let shift = wall_ms() as i64 - TRANSIT_MS - last;
    let feeder = Feeder::new(brokers, INPUT, 20)?;
    traffic().try_for_each(|row| feeder.send(Row { at: row.at + shift, ..row }, Shape::default()))?;
    feeder.flush()
}

fn tell(options: &Options, rates: &[Vec<f64>], missing: usize) {
    let figure = |name: String, value: f64, unit: &str, reach, how: String| {
        options.teller.tell(&Figure { name, value, unit: unit.to_owned(), reach, how });
    };
    let of = |contender: Contender| {
        let place = CONTENDERS.iter().position(|other| *other == contender);
        median(rates[place.expect("invariant: every contender is in the list")].clone())
    };
    for contender in CONTENDERS {
        let name = format!("kafka-{}-events-per-s", contender.name());
        figure(name, of(contender), "events/s", Reach::Nothing, contender.what().to_owned());
    }
    let tillwatch = of(Contender::Tillwatch { alone: true });
    let same = format!("events/s against events/s; the same {missing} payments without a receipt found");
    let bare = "events/s against events/s of kafka-bare".to_owned();
    figure(
        "kafka-bare-ratio".to_owned(),
        tillwatch / of(Contender::Bare(Output::Each)),
        "x",
        Reach::AtLeast(0.6),
        bare,
    );
    figure(
        "kafka-streams-ratio".to_owned(),
        tillwatch / of(Contender::Streams),
        "x",
        Reach::AtLeast(1.0),
        same.clone(),
    );
    figure("kafka-flink-ratio".to_owned(), tillwatch / of(Contender::Flink), "x", Reach::AtLeast(1.0), same);
}

/// One contender, once, from the beginning of the input.
struct Run<'a> {
    brokers: &'a str,
    contender: Contender,
    round: usize,
    events: usize,
    settled: u64,
}

impl Run<'_> {
    /// Events a second, and the payments without a receipt that it found, where it looks for them.
    fn measure(&self, peers: &Peers, folder: &Path) -> Result<(f64, Option<BTreeSet<u64>>)> {
        let name = format!("bench-{}-{}", self.contender.name(), self.round);
        let folder = folder.join(&name);
        std::fs::create_dir_all(folder.join("state"))?;
        let output = format!("{name}.findings");
        let topics = Topics::make(self.brokers, &[&output], &[])?;
        let _topics = topics.with([format!("{name}-{STREAMS_CHANGELOG}")]);
        let log = folder.join("log");
        let rate = match self.contender {
            Contender::Bare(what) => {
                let mut command = Command::new(std::env::current_exe()?);
                let what = clap::ValueEnum::to_possible_value(&what).context("every output has a name")?;
                command.args(["bare", self.brokers, &name, INPUT, &output, what.get_name()]);
                self.watch(&name, &mut Process::start(command, log)?)?
            }
            Contender::Tillwatch { alone } => return self.tillwatch(&name, &folder, alone),
            Contender::Streams | Contender::Flink => {
                let streams = self.contender == Contender::Streams;
                let (peer, class) = if streams { ("streams", "Streams") } else { ("flink", "Kafka") };
                let mut command = peers.java(peer, class);
                command.args([self.brokers, &name, INPUT, &output]).arg(folder.join("state"));
                self.watch(&name, &mut Process::start(command, log)?)?
            }
        };
        let looks = !matches!(self.contender, Contender::Bare(_));
        Ok((rate, looks.then(|| self.found(&output)).transpose()?))
    }

    fn tillwatch(&self, name: &str, folder: &Path, alone: bool) -> Result<(f64, Option<BTreeSet<u64>>)> {
        let mut member = Member::new(folder, &config(self.brokers, name, !alone))?;
        let _topics = member.create_topics(self.brokers, name)?;
        let rate = self.watch(name, member.start()?)?;
        Ok((rate, Some(self.found(&format!("{name}.pos.findings"))?)))
    }

    /// Watches a group from outside until it is through with every partition: not all take them in equal steps.
    fn watch(&self, group: &str, process: &mut Process) -> Result<f64> {
        let progress = Progress::new(self.brokers, group, INPUT)?;
        let (began, events) = (now(), i64::try_from(self.events)?);
        let (from, to) = (events * FROM_PERCENT / 100, events * TO_PERCENT / 100);
        let mut wait = |done: i64| {
            process.lives()?;
            let over = began.elapsed() > RUN_MAX;
            ensure!(!over, "{group} has done {done} of {events} events after {} s", RUN_MAX.as_secs());
            pause(ASK_EVERY);
            anyhow::Ok(())
        };
        let mut first: Option<(Instant, i64)> = None;
        let rate = loop {
            let done = progress.done()?;
            match first {
                None if done >= from => first = Some((now(), done)),
                Some((at, before)) if done >= to && done > before => {
                    #[allow(clippy::cast_precision_loss, reason = "some millions")]
                    break (done - before) as f64 / at.elapsed().as_secs_f64();
                }
                _ => {}
            }
            wait(done)?;
        };
        while progress.least_percent()? < TO_PERCENT {
            wait(progress.done()?)?;
        }
        Ok(rate)
    }

    /// The payments without a receipt in a topic; of those that are settled.
    fn found(&self, topic: &str) -> Result<BTreeSet<u64>> {
        let (mut found, mut wrong) = (BTreeSet::new(), Vec::new());
        Reader::new(self.brokers, topic)?.all(|message| {
            let subject = match header(message, "ce_type") {
                // Other rules find what they find about terminals and operators.
                Some("pos.finding.raised") if header(message, "ce_subject").is_none() => return,
                Some("pos.finding.raised") => header(message, "ce_subject"),
                Some(_) => return,
                None => rdkafka::Message::key(message).and_then(|key| std::str::from_utf8(key).ok()),
            };
            match subject.and_then(|subject| traffic::payment(subject, Shape::default())) {
                Some(payment) if payment >= self.settled => {}
                Some(payment) if found.insert(payment) => {}
                _ => wrong.push(format!("{subject:?}")),
            }
        })?;
        ensure!(wrong.is_empty(), "{topic}: {} findings twice or of no payment: {}", wrong.len(), wrong[0]);
        Ok(found)
    }
}

/// What Kafka Streams calls the changelog of its store, after the application's id.
const STREAMS_CHANGELOG: &str = "deadlines-changelog";

/// `tillwatch run` with one worker on the input as it was recorded. No ticks: the others are to read the same input after it.
fn config(brokers: &str, name: &str, all_rules: bool) -> String {
    let others = others(all_rules);
    let topics = topics(name).replace(&format!("{name}.pos.events"), INPUT);
    format!(
        "[log]\nworkers = 1\n[kafka]\nbrokers = [\"{brokers}\"]\ngroup = \"{name}\"\ninstance = \"bench\"\npartitions = {PARTITIONS}\n\
         replication = 1\nmin_insync = 1\nrecorded_timestamps = true\n{topics}[engine]\ntick_every_ms = 60000\n{others}"
    )
}
