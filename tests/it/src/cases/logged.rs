//! A case behind a log: as the records of an input topic, through the driver that a deployment has, and back from an output topic.
//!
//! Owns what every log has in common. All outputs lie in one partition of one topic, so that their order is that of the commits. Time is in
//! the records alone: the driver is never idle for long enough to append a tick of its own, and a commit follows every poll that has effects.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tillwatch::{
    clock::Virtual,
    config::{Config, Format, LogKind, Mode, SilentSource},
    driver::{Driver, Shared, Status},
    shutdown::Shutdown,
    telemetry::Metrics,
    wiring,
};
use tillwatch_core::{
    Instant,
    log::{Commit, Committed, Ended, Log, LogError, PartitionId, Polled, Position, RawRecord, Restoring, Tick, Ticked},
    partition::{Body, Settings},
    rules::Rules,
    stage::LeftOut,
};

use super::{Case, run};

/// Records of one poll: a case is read in several, with commits between them.
const RECORDS_MAX: usize = 64;

/// What a record says of itself and a line of a file does not.
const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The topic of all outputs.
pub const OUTPUTS: &str = "outputs";

/// One record of a case's input.
pub struct Written {
    /// Where it lies.
    pub partition: PartitionId,
    /// When the log takes it in.
    pub ingest: Instant,
    /// Its key.
    pub key: Option<String>,
    /// Its headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Its payload.
    pub value: Vec<u8>,
}

/// The input of a case as records, with the ticks that the core gets in this process, spread as there. A line that cannot be read is a
/// record with its bytes.
///
/// # Panics
/// Where the case is none.
#[must_use]
pub fn written(case: &Case, partitions: u32) -> Vec<Written> {
    let records = run::records(case, &run::settings(&case.setup));
    let mut all = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let (key, headers, value) = match &record.body {
            Body::Tick(tick) => (None, tick.headers(), Vec::new()),
            Body::Event(event) => {
                (Some(event.key().to_owned()), vec![("content-type", CONTENT_TYPE)], case.input[index].clone())
            }
            Body::Unreadable(_) | Body::Passed(_) | Body::LeftOut(_) => {
                (None, vec![("content-type", CONTENT_TYPE)], case.input[index].clone())
            }
        };
        for partition in (0..partitions).filter(|partition| run::lies_in(record, *partition, partitions)) {
            let partition = PartitionId::try_from(partition).expect("few partitions");
            let (key, headers, value) = (key.clone(), headers.clone(), value.clone());
            all.push(Written { partition, ingest: record.ingest, key, headers, value });
        }
    }
    all
}

/// Everything of a deployment's configuration that a case decides. Recorded timestamps count.
#[must_use]
pub fn config(case: &Case, kind: LogKind, partitions: u32) -> Config {
    let mut config = Config::default();
    config.log.kind = kind;
    config.kafka.recorded_timestamps = true;
    config.embedded.partitions = partitions;
    let topics = &mut config.topics;
    for topic in [
        &mut topics.findings,
        &mut topics.commands,
        &mut topics.evidence,
        &mut topics.incidents,
        &mut topics.dead_letters,
        &mut topics.shadow,
    ] {
        OUTPUTS.clone_into(topic);
    }
    config.output.mode = Mode::Structured;
    config.output.format = Format::Json;
    config.commit.every_ms = 0;
    // The driver's clock moves only while it waits for a log that cannot be used yet, and nothing may come of that.
    config.engine.tick_every_ms = u32::MAX;
    config.feed.unreachable_ms_max = u32::MAX;
    config.commit.records_max = RECORDS_MAX;
    let silent = case.setup.silent_sources.iter();
    config.feed.silent_sources =
        silent.map(|(prefix, silent_ms)| SilentSource { prefix: prefix.clone(), silent_ms: *silent_ms }).collect();
    config
}

/// Runs the driver over a log until it has committed all of these records.
///
/// # Panics
/// Where the driver fails, or has not committed them all when it ends.
pub fn drive<L: Log, R: Rules>(log: L, rules: R, config: &Config, clock: &Virtual, written: &[Written]) {
    let mut ends: BTreeMap<PartitionId, i64> = BTreeMap::new();
    written.iter().for_each(|record| *ends.entry(record.partition).or_default() += 1);
    let settings = Settings { topic: run::TOPIC.to_owned(), ..(*wiring::settings(config)).clone() };
    let shared = Shared {
        settings: Arc::new(settings),
        encoding: wiring::encoding(config),
        options: wiring::options(config),
        metrics: Arc::new(Metrics::new()),
        status: Arc::new(Status::new(1)),
        shutdown: Shutdown::new(),
    };
    let mut left = written.len();
    let committed = drive_until(log, rules, shared, clock, |_, _| {
        left -= 1;
        left == 0
    });
    assert_eq!(committed, ends, "the committed position of each partition is its end");
}

/// Runs the driver of a stage over a log until it has read a record, of a partition at an offset, that is the last, and committed it; gives the
/// committed position of each partition.
///
/// # Panics
/// Where the driver fails.
pub fn drive_until<L: Log, R: Rules>(
    log: L,
    rules: R,
    shared: Shared,
    clock: &Virtual,
    last: impl FnMut(PartitionId, i64) -> bool,
) -> BTreeMap<PartitionId, i64> {
    let committed = RefCell::default();
    let log = UntilRead { log, last, shutdown: shared.shutdown.clone(), committed: &committed };
    Driver::new(0, log, rules, clock, shared, |_| {}).run().unwrap_or_else(|failure| panic!("{failure}"));
    committed.into_inner()
}

/// Type of the records that carry a first-stage partition's watermark to the second stage.
const WATERMARK: &[u8] = b"tillwatch.watermark";

/// Attributes of an output, in the order in which `replay` writes them.
const ATTRIBUTES: [&str; 7] = ["specversion", "id", "source", "type", "subject", "time", "partitionkey"];

/// A record of [`OUTPUTS`] as `replay` writes it; none for what only carries time from one stage to the other.
///
/// # Panics
/// Where it is none of Tillwatch's.
#[must_use]
pub fn line(record: &RawRecord<'_>) -> Option<String> {
    let header = |wanted: &str| record.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    if let Some(event_type) = header("ce_type") {
        return (event_type != WATERMARK).then(|| evidence(record, header));
    }
    let value = std::str::from_utf8(record.value.expect("an output has a payload")).expect("JSON is UTF-8");
    let event: serde_json::Value = serde_json::from_str(value).expect("an output is JSON");
    let topic = match event["type"].as_str().expect("an output has a type") {
        name if name.starts_with("pos.finding.") => "pos.findings",
        name if name.starts_with("pos.command") => "pos.commands",
        "pos.dead-letter" => "pos.dead-letters",
        _ => "pos.evidence",
    };
    let line = value.replacen(r#""datacontenttype":"#, &format!(r#""topic":"{topic}","datacontenttype":"#), 1);
    if topic != "pos.dead-letters" {
        return Some(line);
    }
    // A record has to say in a header what a line of a file is.
    let header = format!(r#""headers":[["content-type","{}"]],"#, STANDARD.encode(CONTENT_TYPE));
    Some(line.replacen(&header, "", 1))
}

/// Evidence, which is CBOR in binary mode whatever the config says.
fn evidence<'a>(record: &RawRecord<'_>, header: impl Fn(&str) -> Option<&'a [u8]>) -> String {
    let attribute = |name: &str| {
        let text = std::str::from_utf8(header(&format!("ce_{name}"))?).expect("an attribute is text");
        Some(format!("\"{name}\":{},", serde_json::Value::from(text)))
    };
    let attributes: String = ATTRIBUTES.into_iter().filter_map(attribute).collect();
    let data: ciborium::Value = ciborium::from_reader(record.value.expect("it has a payload")).expect("it is CBOR");
    let data = serde_json::to_string(&data).expect("it can be JSON");
    format!("{{{attributes}\"topic\":\"pos.evidence\",\"datacontenttype\":\"application/json\",\"data\":{data}}}")
}

/// A log whose driver is asked to stop once it has read the last record.
struct UntilRead<'a, L, F> {
    log: L,
    last: F,
    shutdown: Shutdown,
    committed: &'a RefCell<BTreeMap<PartitionId, i64>>,
}

impl<L: Log, F: FnMut(PartitionId, i64) -> bool> Log for UntilRead<'_, L, F> {
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        sink: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<Polled, LogError> {
        let (last, shutdown) = (&mut self.last, &self.shutdown);
        self.log.poll(wait, max, &mut |partition, record| {
            if last(partition, record.offset) {
                shutdown.request();
            }
            sink(partition, record);
        })
    }

    fn restore(
        &mut self,
        partition: PartitionId,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>),
        progress: &mut dyn FnMut(Restoring),
    ) -> Result<Option<Position>, LogError> {
        self.log.restore(partition, each, progress)
    }

    fn start(&mut self, partition: PartitionId, from: Option<i64>) -> Result<(), LogError> {
        self.log.start(partition, from)
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), LogError> {
        self.log.release(partitions)
    }

    fn begin_commit(&mut self, commits: Vec<Commit>) {
        self.log.begin_commit(commits);
    }

    fn ended(&mut self, wait: bool) -> Option<Ended> {
        let ended = self.log.ended(wait)?;
        if matches!(ended.outcome, Ok(Committed::Done)) {
            let reached = ended.commits.iter().map(|commit| (commit.partition, commit.position.high));
            self.committed.borrow_mut().extend(reached.filter(|(_, high)| *high > 0));
        }
        Some(ended)
    }

    fn position(&mut self, partition: PartitionId) -> Result<Option<Position>, LogError> {
        self.log.position(partition)
    }

    fn tick(&mut self, partition: PartitionId, tick: Tick) -> Result<Ticked, LogError> {
        panic!("time is in the records alone, and yet partition {partition} was to get {tick:?}")
    }

    fn leave_out(&mut self, partition: PartitionId, left: LeftOut) -> Result<(), LogError> {
        self.log.leave_out(partition, left)
    }

    fn end(&mut self, partition: PartitionId) -> Option<i64> {
        self.log.end(partition)
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.log.close()
    }
}
