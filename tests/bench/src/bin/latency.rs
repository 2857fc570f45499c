//! From the deadline of a receipt that does not come to its finding in the hands of a `read_committed` consumer: 20,000 events a second as they
//! happen, commits every 100 ms, a real Kafka, with the rule that finds it alone and with all built-in rules. `cargo xtask bench --only latency`.
//!
//! The watermark passes a deadline when a partition has a record that is younger by the lateness. At this rate that is within a millisecond of
//! deadline and lateness by the clock, from where latency is counted.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rdkafka::{Message as _, message::BorrowedMessage};
use serde_json::Value;
use tillwatch_bench::{
    broker::{Feeder, PARTITIONS, Reader, header},
    figure::{Figure, Reach, Teller, percentile},
    machine::wall_ms,
    process::{Member, others, pause, topics},
    traffic::{self, Row, START_MS, Shape, TRANSIT_MS, Traffic},
};

/// `engine.lateness_ms`, its default.
const LATENESS_MS: f64 = 500.0;

/// A broker that has just been started compiles its own code for the better part of a minute, on the processors of this machine; one in service has
/// done so. Nothing counts before, s.
const WARM_S: u64 = 45;

/// Windows of the first payments that count have passed by then, s.
const WINDOWS_S: u64 = 16;

/// How often the events that are due are sent.
const SEND_EVERY: Duration = Duration::from_millis(2);

/// Findings of no payment, which nobody waits for, show themselves this long after the end.
const REST: Duration = Duration::from_secs(5);

/// A finding that is not there this long after the end will not come. Those that come so late count with their time.
const REST_MAX: Duration = Duration::from_secs(90);

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Bootstrap servers of a Kafka
    #[arg(long, env = "TILLWATCH_KAFKA")]
    kafka: String,
    /// Events a second
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Seconds of the measurement, after those in which windows fill
    #[arg(long, default_value_t = 24)]
    seconds: u64,
    /// How long the sender gathers events before it sends them, ms: the default of Kafka's own producer
    #[arg(long, default_value_t = 5)]
    linger_ms: u32,
    /// With these rules alone
    #[arg(long)]
    rules: Option<Rules>,
}

/// What runs.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Rules {
    /// The one that finds what is missing here.
    One,
    /// All that are built in.
    All,
}

impl Rules {
    /// What the figures are called.
    fn name(self) -> &'static str {
        match self {
            Self::One => "latency-one-rule",
            Self::All => "latency",
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    for rules in options.rules.map_or(vec![Rules::One, Rules::All], |rules| vec![rules]) {
        measure(&options, rules)?;
    }
    Ok(())
}

fn measure(options: &Options, rules: Rules) -> Result<()> {
    let (brokers, folder) = (options.kafka.clone(), tempfile::tempdir()?);
    let name = &format!("bench-{}", rules.name());
    let mut member = Member::new(folder.path(), &config(&brokers, name, rules))?;
    let _topics = member.create_topics(&brokers, name)?;
    member.start()?;
    member.ready(Duration::from_secs(60))?;
    let (ahead, seen) = thread::scope(|scope| {
        let reader = scope.spawn(|| read(&brokers, &format!("{name}.pos.findings"), options));
        let ahead = feed(&brokers, &format!("{name}.pos.events"), options);
        let seen = reader.join().expect("the reader does not panic");
        anyhow::Ok((ahead?, seen?))
    })?;
    member.lives()?;
    tell(options, rules, ahead, &seen)
}

/// Sends events as they happen; gives by how many ms the clock was ahead of [`START_MS`] when the first payment began.
fn feed(brokers: &str, topic: &str, options: &Options) -> Result<f64> {
    let shape = shape(options);
    let feeder = Feeder::new(brokers, topic, options.linger_ms)?;
    let count = usize::try_from(options.rate * end_s(options))?;
    let ahead = wall_ms() - START_MS as f64;
    #[allow(clippy::cast_possible_truncation, reason = "whole ms are meant")]
    let shift = ahead as i64;
    let mut late: f64 = 0.0;
    for row in Traffic::new(shape).take(count) {
        let due = (row.at + TRANSIT_MS) as f64 + ahead;
        while wall_ms() < due {
            feeder.serve();
            pause(SEND_EVERY);
        }
        late = late.max(wall_ms() - due);
        feeder.send(Row { at: row.at + shift, ..row }, shape)?;
    }
    feeder.flush()?;
    ensure!(
        late < 1_000.0,
        "the machine could not send {} events a second: the last were {late:.0} ms late",
        options.rate
    );
    Ok(ahead)
}

fn shape(options: &Options) -> Shape {
    // Five events a payment, but for one in a hundred.
    Shape { payments_per_s: options.rate / 5, ..Shape::default() }
}

/// When the last event is sent, s.
fn end_s(options: &Options) -> u64 {
    WARM_S + WINDOWS_S + options.seconds
}

/// A finding in the hands of a reader.
struct Seen {
    deadline: i64,
    at: f64,
}

/// Payments without a receipt that count: begun when all is warm, and their deadlines pass before the end.
fn expected(options: &Options) -> Vec<u64> {
    let begun = |second: u64| second * options.rate / 5;
    (begun(WARM_S)..begun(WARM_S + options.seconds)).filter(|payment| Traffic::missing(*payment)).collect()
}

/// Reads findings as they come, until the feed has ended and all are there that must come; by payment.
fn read(brokers: &str, topic: &str, options: &Options) -> Result<BTreeMap<u64, Seen>> {
    let reader = Reader::new(brokers, topic)?;
    let end = wall_ms() + Duration::from_secs(end_s(options)).as_secs_f64() * 1e3;
    let after = |rest: Duration| wall_ms() > end + rest.as_secs_f64() * 1e3;
    let (expected, mut seen) = (expected(options), BTreeMap::new());
    while !after(REST) || !after(REST_MAX) && !expected.iter().all(|payment| seen.contains_key(payment)) {
        let Some(message) = reader.next(Duration::from_millis(100))? else { continue };
        let at = wall_ms();
        // Other rules find what they find about terminals and operators.
        if header(&message, "ce_type") != Some("pos.finding.raised") || header(&message, "ce_subject").is_none() {
            continue;
        }
        let (payment, deadline) = finding(&message, shape(options))?;
        ensure!(seen.insert(payment, Seen { deadline, at }).is_none(), "payment {payment} has two findings");
    }
    Ok(seen)
}

/// Payment and deadline of a finding about a receipt.
fn finding(message: &BorrowedMessage<'_>, shape: Shape) -> Result<(u64, i64)> {
    let data: Value = ciborium::from_reader(message.payload().context("a finding has a payload")?)?;
    ensure!(data["kind"] == "not-printed", "nothing but receipts is missing, but {data} came");
    let payment = data["txn"].as_str().and_then(|subject| traffic::payment(subject, shape));
    let deadline = data["deadline"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let deadline = deadline.context("a finding has a deadline")?.as_millisecond();
    Ok((payment.context("a finding names its payment")?, deadline))
}

/// Every payment without a receipt that counts must have been found, then the times of deadlines in the measurement are told.
fn tell(options: &Options, rules: Rules, ahead: f64, seen: &BTreeMap<u64, Seen>) -> Result<()> {
    let at = |seconds: u64| START_MS as f64 + ahead + Duration::from_secs(seconds).as_secs_f64() * 1e3;
    let (from, to) = (at(WARM_S + WINDOWS_S), at(end_s(options)));
    let lost = expected(options).iter().filter(|payment| !seen.contains_key(payment)).count();
    let invented = seen.keys().filter(|payment| !Traffic::missing(**payment)).count();
    ensure!(lost + invented == 0, "{lost} payments without a receipt were not found, {invented} wrongly");
    let in_time = seen.values().filter(|seen| (from..to).contains(&(seen.deadline as f64 + LATENESS_MS)));
    let mut times: Vec<f64> = in_time.map(|seen| seen.at - seen.deadline as f64 - LATENESS_MS).collect();
    ensure!(times.len() > 200, "only {} findings: too few for a p99", times.len());
    times.sort_by(f64::total_cmp);
    let how = format!("{} findings at {} events/s, read_committed, commits every 100 ms", times.len(), options.rate);
    for (what, percent, reach) in
        [("p50", 50, Reach::Nothing), ("p99", 99, Reach::AtMost(250.0)), ("max", 100, Reach::Nothing)]
    {
        let name = format!("{}-{what}-ms", rules.name());
        let (value, unit) = (percentile(&times, percent), "ms".to_owned());
        options.teller.tell(&Figure { name, value, unit, reach, how: how.clone() });
    }
    Ok(())
}

fn config(brokers: &str, name: &str, rules: Rules) -> String {
    format!(
        "[log]\nworkers = 1\n[kafka]\nbrokers = [\"{brokers}\"]\ngroup = \"{name}\"\ninstance = \"bench\"\npartitions = {PARTITIONS}\n\
         replication = 1\nmin_insync = 1\n{}[commit]\nevery_ms = 100\n{}",
        topics(name),
        others(matches!(rules, Rules::All))
    )
}
