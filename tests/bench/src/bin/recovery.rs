//! kill -9 with a million open payments: how long until a new process has every timer again. On Kafka from its changelog, and on the embedded log.
//! `cargo xtask bench --only recovery`.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use clap::Parser;
use tillwatch_bench::{
    broker::{Feeder, PARTITIONS, Progress},
    figure::{Figure, Reach, Teller, median},
    machine::{now, wall_ms},
    process::{Member, pause, topics},
    traffic::{Row, Shape, Traffic, bytes},
};
use tillwatch_embedded::{NewRecord, Store, To};

/// No step takes longer.
const STEP_MAX: Duration = Duration::from_secs(120);

/// Records that one append to the embedded log makes durable.
const APPEND_RECORDS: usize = 10_000;

/// Every window is so long that no payment ends during the measurement, ms.
const WINDOW_MS: u32 = 86_400_000;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Bootstrap servers of a Kafka
    #[arg(long, env = "TILLWATCH_KAFKA")]
    kafka: String,
    /// Open payments
    #[arg(long, default_value_t = 1_000_000)]
    open: usize,
    /// Kills on each log; the median is told
    #[arg(long, default_value_t = 3)]
    kills: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let kafka = on_kafka(&options)?;
    let embedded = on_embedded(&options)?;
    for (name, times) in [("recovery-kafka-s", kafka), ("recovery-embedded-s", embedded)] {
        let how = format!("kill -9 with {} open payments, median of {} restarts", options.open, options.kills);
        let (name, unit) = (name.to_owned(), "s".to_owned());
        options.teller.tell(&Figure { name, value: median(times), unit, reach: Reach::AtMost(10.0), how });
    }
    Ok(())
}

/// Payments that have only begun, one at each terminal, as fast as one may send them.
fn rows(options: &Options) -> impl Iterator<Item = Row> {
    let traffic = Traffic::new(shape()).take(options.open);
    traffic.map(|row| {
        #[allow(clippy::cast_possible_truncation, reason = "whole ms are meant")]
        let at = wall_ms() as i64;
        Row { at, ..row }
    })
}

fn shape() -> Shape {
    Shape { payments_per_s: 100_000, terminals: 1_000_000, steps: 1 }
}

fn on_kafka(options: &Options) -> Result<Vec<f64>> {
    let (brokers, folder, name) = (options.kafka.clone(), tempfile::tempdir()?, "bench-recovery");
    let config = format!(
        "[log]\nworkers = 2\n[kafka]\nbrokers = [\"{brokers}\"]\ngroup = \"{name}\"\ninstance = \"bench\"\npartitions = {PARTITIONS}\n\
         replication = 1\nmin_insync = 1\n{}{}",
        topics(name),
        windows()
    );
    let mut member = Member::new(folder.path(), &config)?;
    let _topics = member.create_topics(&brokers, name)?;
    let input = format!("{name}.pos.events");
    let feeder = Feeder::new(&brokers, &input, 20)?;
    rows(options).try_for_each(|row| feeder.send(row, shape()))?;
    feeder.flush()?;
    member.start()?;
    let progress = Progress::new(&brokers, name, &input)?;
    let open = i64::try_from(options.open)?;
    let began = now();
    while progress.done()? < open {
        member.lives()?;
        ensure!(began.elapsed() < STEP_MAX, "{open} payments were not taken within {} s", STEP_MAX.as_secs());
        pause(Duration::from_millis(50));
    }
    kills(&mut member, options)
}

fn on_embedded(options: &Options) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    fill(&log, options)?;
    let config = format!(
        "[log]\nkind = \"embedded\"\nworkers = 2\n[embedded]\npath = \"{}\"\npartitions = {PARTITIONS}\n{}",
        log.display(),
        windows()
    );
    let mut member = Member::new(folder.path(), &config)?;
    member.start()?;
    member.reaches("tillwatch_engine_state", "what=\"keys\"", options.open as u64, STEP_MAX)?;
    // The last of them are committed before the next tick is appended and handed out.
    let ticks = member.metric("tillwatch_ticks_total", "").unwrap_or(0);
    member.reaches("tillwatch_ticks_total", "", ticks + 2 * u64::try_from(PARTITIONS)?, STEP_MAX)?;
    kills(&mut member, options)
}

fn fill(log: &Path, options: &Options) -> Result<()> {
    #[allow(clippy::cast_possible_truncation, reason = "whole ms are meant")]
    let clock = || wall_ms() as i64;
    let store = Store::open(log, tillwatch_embedded::Options::new(PARTITIONS, Arc::new(clock))).map_err(told)?;
    let rows: Vec<Row> = rows(options).collect();
    for chunk in rows.chunks(APPEND_RECORDS) {
        let all: Vec<_> = chunk.iter().map(|row| bytes(*row, shape())).collect();
        let headers: Vec<Vec<(&str, &[u8])>> = all
            .iter()
            .map(|bytes| bytes.headers.iter().map(|(name, text)| (*name, text.as_bytes())).collect())
            .collect();
        let records = all.iter().zip(&headers).map(|(bytes, headers)| NewRecord {
            key: Some(bytes.key.as_bytes()),
            headers,
            value: Some(&bytes.value),
        });
        store.append(To::Key, &records.collect::<Vec<_>>(), clock()).map_err(told)?;
    }
    Ok(())
}

fn told(error: tillwatch_core::log::LogError) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// Kills and restarts; seconds from the start of the new process until it is ready and says that it has every payment in memory: the second
/// stage may be ready before the first has its partitions.
fn kills(member: &mut Member, options: &Options) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..options.kills {
        member.kill()?;
        let began = now();
        member.start()?;
        member.ready(STEP_MAX)?;
        member.reaches("tillwatch_engine_state", "what=\"keys\"", options.open as u64, STEP_MAX)?;
        times.push(began.elapsed().as_secs_f64());
        let restored = member.metric("tillwatch_restored_records_total", "").unwrap_or(0);
        ensure!(restored >= options.open as u64, "only {restored} records were restored");
    }
    Ok(times)
}

fn windows() -> String {
    let keys = ["response_ms", "terminal_ms", "delivery_ms", "display_ms", "print_ms", "reversal_ms", "slow_ms"];
    let lines = keys.map(|key| format!("{key} = {WINDOW_MS}\n"));
    format!("[rules.correlate-payment.settings.defaults]\n{}", lines.concat())
}
