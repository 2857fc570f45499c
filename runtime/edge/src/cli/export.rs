//! `tillwatch export`.

use std::io::{self, BufWriter, Write as _};

use tillwatch_core::{
    Instant,
    cloudevents::Decoder,
    log::{LogError, PartitionId, RawRecord},
};
use tillwatch_embedded::Store;

use super::{ConfigFile, Exit, say, written};
use crate::{
    clock::{Wall, parse_rfc3339},
    config::{Config, Environment, LogKind},
    feedback, telemetry, wiring,
};

/// Records of one read from the embedded log.
const READ_MAX: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch export --config tillwatch.toml --from 2026-11-22T09:00:00Z --to 2026-11-22T10:00:00Z > events.jsonl
  tillwatch export | tillwatch replay --until end -
  tillwatch export --topic pos.findings

Lines are structured CloudEvents in the order of their ingest times; of the input as `replay` reads them (ticks included, `ingesttime` is the
record's timestamp), of an output topic as `replay` writes them. The range is
held in memory to be ordered. The embedded log must not be in use by another process.
Exit codes: 0, 1 the log failed, 2 bad usage or configuration.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// First ingest time (RFC 3339); without it from the beginning
    #[arg(long, value_parser = parse_rfc3339)]
    from: Option<Instant>,
    /// Ingest time before which it ends (RFC 3339); without it at the end of what is there
    #[arg(long, value_parser = parse_rfc3339)]
    to: Option<Instant>,
    /// Topic; without it the input, `topics.events`
    #[arg(long)]
    topic: Option<String>,
}

/// A line with what orders it.
type Line = (Instant, PartitionId, i64, String);

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let config = args.config.load(environment)?;
    telemetry::start(&config.telemetry);
    let topic = args.topic.as_deref().unwrap_or(&config.topics.events);
    let mut lines = Lines::new(topic, &config);
    match config.log.kind {
        LogKind::Kafka => {
            let client = wiring::kafka(&config, 0).map_err(Exit::usage)?;
            let each = &mut |partition, raw: RawRecord<'_>| lines.take(partition, raw);
            tillwatch_kafka::read::read_range(&client, topic, args.from, args.to, each).map_err(Exit::failed)?;
        }
        LogKind::Embedded => embedded(args, &config, topic, &mut lines).map_err(Exit::failed)?,
    }
    let lines = lines.sorted();
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    for (_, _, _, line) in &lines {
        written(writeln!(out, "{line}"))?;
    }
    written(out.flush())?;
    say(format!("{} records of {topic}", lines.len()));
    Ok(())
}

fn embedded(args: &Args, config: &Config, topic: &str, lines: &mut Lines) -> Result<(), LogError> {
    let options = wiring::embedded(config, std::sync::Arc::new(Wall::new()));
    let store = Store::open(config.embedded.path.as_ref(), options)?;
    let partitions = store.topics().into_iter().find(|(name, _)| name == topic).map_or(1, |(_, count)| count);
    let wanted = |ingest: Instant| args.from.is_none_or(|from| ingest >= from) && args.to.is_none_or(|to| ingest < to);
    for partition in 0..partitions {
        let mut next = store.start_offset(topic, partition)?;
        let end = store.end_offset(topic, partition)?;
        while next < end {
            next = store.read(topic, partition, next, READ_MAX, &mut |raw| {
                if wanted(raw.ingest) {
                    lines.take(partition, raw);
                }
            })?;
        }
    }
    Ok(())
}

struct Lines {
    /// Its name where it is not the input: lines are then as `replay` writes them.
    output: Option<String>,
    decoder: Decoder,
    /// Ingest time reached in each partition: it never runs backwards there.
    reached: std::collections::BTreeMap<PartitionId, Instant>,
    lines: Vec<Line>,
}

impl Lines {
    fn new(topic: &str, config: &Config) -> Self {
        let decoder = Decoder::new(topic, &config.engine.limits());
        let output = (topic != config.topics.events).then(|| topic.to_owned());
        Self { output, decoder, reached: std::collections::BTreeMap::new(), lines: Vec::new() }
    }

    fn take(&mut self, partition: PartitionId, raw: RawRecord<'_>) {
        let reached = self.reached.entry(partition).or_insert(raw.ingest);
        *reached = raw.ingest.max(*reached);
        let written = self.output.as_ref().and_then(|topic| feedback::line(&raw, topic));
        let line = written.unwrap_or_else(|| self.decoder.event_line(partition, raw));
        self.lines.push((*reached, partition, raw.offset, line));
    }

    fn sorted(mut self) -> Vec<Line> {
        self.lines.sort_unstable_by_key(|(ingest, partition, offset, _)| (*ingest, *partition, *offset));
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_order_of_ingest_and_never_against_that_of_a_partition() {
        let mut lines = Lines::new("pos.events", &Config::default());
        for (partition, offset, ingest) in [(0, 0, 500), (0, 1, 300), (1, 0, 400), (1, 1, 500)] {
            lines.take(partition, RawRecord { offset, ingest, key: None, value: Some(b"?"), headers: &[] });
        }
        let order: Vec<(PartitionId, i64)> = lines.sorted().iter().map(|line| (line.1, line.2)).collect();
        assert_eq!(order, [(1, 0), (0, 0), (0, 1), (1, 1)]);
    }
}
