//! What one process costs: from its start to the first event handled with precompiled components, memory at rest, size of the binary.
//! `cargo xtask bench --only start`.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Parser;
use tillwatch_bench::{
    broker::{Feeder, PARTITIONS},
    figure::{Figure, Reach, Teller, median},
    machine::{binary, now, resident_bytes_of, wall_ms},
    process::{Member, topics},
    traffic::{Row, Shape, Step, bytes},
};
use tillwatch_embedded::{NewRecord, Store, To};

/// A start that takes longer hangs.
const START_MAX: Duration = Duration::from_secs(60);

/// Ticks of an idle process before its memory is looked at, over all partitions.
const IDLE_TICKS: u64 = 3 * PARTITIONS.unsigned_abs() as u64;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Bootstrap servers of a Kafka
    #[arg(long, env = "TILLWATCH_KAFKA")]
    kafka: String,
    /// Starts on each log; the median is told
    #[arg(long, default_value_t = 5)]
    starts: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let embedded = on_embedded(&options)?;
    let kafka = on_kafka(&options)?;
    let size = std::fs::metadata(binary())?.len() as f64 / 1e6;
    let tell = |name: &str, value: f64, unit: &str, reach, how: String| {
        options.teller.tell(&Figure { name: name.to_owned(), value, unit: unit.to_owned(), reach, how });
    };
    let how = |log: &str| {
        format!("from exec to the first visit of a rule, components precompiled, {log}, median of {}", options.starts)
    };
    tell("start-embedded-ms", embedded.start_ms, "ms", Reach::AtMost(500.0), how("the embedded log"));
    tell("start-kafka-ms", kafka.start_ms, "ms", Reach::AtMost(500.0), how("Kafka, joining its group"));
    let how = |log: &str| format!("VmRSS, all built-in rules, two workers, {log}");
    tell("idle-embedded-mb", embedded.idle_mb, "MB", Reach::AtMost(64.0), how("the embedded log"));
    tell("idle-kafka-mb", kafka.idle_mb, "MB", Reach::AtMost(64.0), how("Kafka"));
    tell("binary-mb", size, "MB", Reach::AtMost(40.0), "the release binary as it is built".to_owned());
    Ok(())
}

struct Cost {
    start_ms: f64,
    idle_mb: f64,
}

/// The first event is handed out once the second has moved the watermark past it: both are there before the start.
fn rows() -> [Row; 2] {
    #[allow(clippy::cast_possible_truncation, reason = "whole ms are meant")]
    let row = |payment, ago: i64| Row { at: wall_ms() as i64 - ago, payment, step: Step::Authorize };
    // Of one terminal, so that they share a partition.
    [row(0, 4_000), row(Shape::default().terminals, 2_000)]
}

fn on_embedded(options: &Options) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    measure(folder.path(), options, |round| {
        let log = folder.path().join(format!("log-{round}"));
        fill(&log)?;
        let path = log.display();
        Ok(format!(
            "[log]\nkind = \"embedded\"\nworkers = 2\n[embedded]\npath = \"{path}\"\npartitions = {PARTITIONS}\n"
        ))
    })
}

fn fill(log: &Path) -> Result<()> {
    #[allow(clippy::cast_possible_truncation, reason = "whole ms are meant")]
    let clock = || wall_ms() as i64;
    let told = |error: tillwatch_core::log::LogError| anyhow::anyhow!("{error}");
    let store = Store::open(log, tillwatch_embedded::Options::new(PARTITIONS, Arc::new(clock))).map_err(told)?;
    for row in rows() {
        let bytes = bytes(row, Shape::default());
        let headers: Vec<(&str, &[u8])> = bytes.headers.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let record = NewRecord { key: Some(bytes.key.as_bytes()), headers: &headers, value: Some(&bytes.value) };
        store.append(To::Key, &[record], bytes.ingest).map_err(told)?;
    }
    Ok(())
}

fn on_kafka(options: &Options) -> Result<Cost> {
    let (brokers, folder) = (options.kafka.clone(), tempfile::tempdir()?);
    let mut made = Vec::new();
    measure(folder.path(), options, |round| {
        let name = format!("bench-start-{round}");
        let config = format!(
            "[log]\nworkers = 2\n[kafka]\nbrokers = [\"{brokers}\"]\ngroup = \"{name}\"\ninstance = \"bench\"\n\
             partitions = {PARTITIONS}\nreplication = 1\nmin_insync = 1\nrecorded_timestamps = true\n{}",
            topics(&name)
        );
        made.push(Member::new(folder.path(), &config)?.create_topics(&brokers, &name)?);
        let feeder = Feeder::new(&brokers, &format!("{name}.pos.events"), 1)?;
        rows().into_iter().try_for_each(|row| feeder.send(row, Shape::default()))?;
        feeder.flush()?;
        Ok(config)
    })
}

/// Starts again and again with the configuration that `prepare` gives for the round; the first start compiles the components.
fn measure(folder: &Path, options: &Options, mut prepare: impl FnMut(usize) -> Result<String>) -> Result<Cost> {
    let mut times = Vec::new();
    let mut idle_mb = 0.0;
    for round in 0..=options.starts {
        let mut member = Member::new(folder, &prepare(round)?)?;
        let began = now();
        member.start()?;
        member.reaches("tillwatch_engine_total", "what=\"visits\"", 1, START_MAX)?;
        if round > 0 {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        if round == options.starts {
            member.reaches("tillwatch_ticks_total", "", IDLE_TICKS, START_MAX)?;
            idle_mb = resident_bytes_of(&member.id().to_string()) as f64 / 1e6;
        }
        member.kill()?;
    }
    Ok(Cost { start_ms: median(times), idle_mb })
}
