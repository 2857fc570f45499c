//! The whole engine, both stages, over a file of events, on a virtual clock: what `tillwatch replay` does, as a function.
//!
//! Ingest times drive it. Besides the plain way it can cut the records into batches of any size, spread terminals over several partitions,
//! and throw the partition away again and again and restore it from what it had committed: the results must be the same.

mod lane;
mod second;

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
    sync::Arc,
};

use tillwatch_core::{
    Instant,
    cloudevents::Decoder,
    log::Tick,
    output::Output,
    partition::{Body, Record, Settings},
    rules::Rules,
    stage::Passed,
};

pub use self::second::Second;
use self::{lane::Lane, second::Later};
use crate::driver::Failure;

/// How long time runs on after the last record by default, ms.
pub const DRAIN_MS: i64 = 3_600_000;

/// Where a replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Records after this moment do not count; time runs on until it.
    At(Instant),
    /// With the last record.
    End,
    /// [`DRAIN_MS`] after the last record.
    Drain,
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it ends.
    pub until: Until,
    /// Records of one step.
    pub batch: usize,
    /// Partitions that the terminals are spread over.
    pub partitions: usize,
    /// Every so many records, drop each partition and restore it from what it committed.
    pub crash_every: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { until: Until::Drain, batch: 1_024, partitions: 1, crash_every: None }
    }
}

/// What a replay saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines read.
    pub lines: u64,
    /// Those that could not be read.
    pub unreadable: u64,
    /// Ingest time of the first record.
    pub first: Option<Instant>,
    /// Where time stood at the end.
    pub last: Option<Instant>,
    /// Outputs by CloudEvents type.
    pub outputs: BTreeMap<String, u64>,
    /// Findings raised, by kind.
    pub findings: BTreeMap<String, u64>,
    /// Commands, by kind.
    pub commands: BTreeMap<String, u64>,
}

/// Why a replay did not come to its end.
#[derive(Debug)]
pub enum ReplayError {
    /// The input cannot be read.
    Input(io::Error),
    /// The output cannot be written.
    Output(io::Error),
    /// The engine failed.
    Engine(Failure),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(error) => write!(f, "cannot read the events: {error}"),
            Self::Output(error) => write!(f, "cannot write the results: {error}"),
            Self::Engine(failure) => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Gets outputs in the order in which a deployment would commit them.
pub type Sink<'a> = &'a mut dyn FnMut(&Output) -> io::Result<()>;

/// Replays `input`, one structured CloudEvent in JSON a line, through the first stage.
///
/// # Errors
/// [`ReplayError`]. Lines that cannot be read are no error: they are dead letters and counted.
pub fn replay(
    input: impl BufRead,
    settings: &Arc<Settings>,
    rules: &mut dyn Rules,
    options: &Options,
    sink: Sink<'_>,
) -> Result<Summary, ReplayError> {
    replay_both(input, settings, rules, None, options, sink)
}

/// As [`replay`], and through the second stage where there is one.
///
/// # Errors
/// As [`replay`].
pub fn replay_both(
    input: impl BufRead,
    settings: &Arc<Settings>,
    rules: &mut dyn Rules,
    second: Option<Second<'_>>,
    options: &Options,
    sink: Sink<'_>,
) -> Result<Summary, ReplayError> {
    let mut replay = Replay::new(settings, rules, second, options).map_err(ReplayError::Engine)?;
    replay.read(input, sink)?;
    replay.run_on(sink)?;
    Ok(replay.summary)
}

struct Replay<'a, 's> {
    options: &'a Options,
    rules: &'a mut dyn Rules,
    tick_every: i64,
    decoder: Decoder,
    lanes: Vec<Lane>,
    later: Option<Later<'s>>,
    waiting: usize,
    since_crash: usize,
    next: u64,
    now: Option<Instant>,
    outputs: Vec<Output>,
    summary: Summary,
}

impl<'a, 's> Replay<'a, 's> {
    fn new(
        settings: &Arc<Settings>,
        rules: &'a mut dyn Rules,
        second: Option<Second<'s>>,
        options: &'a Options,
    ) -> Result<Self, Failure> {
        assert!(options.batch > 0 && options.partitions > 0, "invariant: a replay has batches and partitions");
        let lanes = (0..options.partitions).map(|lane| Lane::new(lane, settings, rules)).collect::<Result<_, _>>()?;
        Ok(Self {
            options,
            rules,
            tick_every: i64::from(settings.limits.tick_every_ms),
            decoder: Decoder::new(&settings.topic, &settings.limits),
            lanes,
            later: second.map(|second| Later::new(second, options.partitions)).transpose()?,
            waiting: 0,
            since_crash: 0,
            next: 0,
            now: None,
            outputs: Vec::new(),
            summary: Summary::default(),
        })
    }

    fn read(&mut self, mut input: impl BufRead, sink: Sink<'_>) -> Result<(), ReplayError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).map_err(ReplayError::Input)? == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                self.next += 1;
                continue;
            }
            let record = self.decoder.decode_line(self.next, &line);
            if let Until::At(until) = self.options.until
                && record.ingest > until
            {
                break;
            }
            self.next += 1;
            self.summary.lines += 1;
            self.summary.unreadable += u64::from(matches!(record.body, Body::Unreadable(_)));
            self.summary.first.get_or_insert(record.ingest);
            self.now = Some(self.now.map_or(record.ingest, |now| now.max(record.ingest)));
            self.place(record, sink)?;
        }
        self.step(sink)
    }

    /// Time goes on as ticks of an idle partition would have it.
    fn run_on(&mut self, sink: Sink<'_>) -> Result<(), ReplayError> {
        let Some(mut now) = self.now else { return Ok(()) };
        let end = match self.options.until {
            Until::End => now,
            Until::At(until) => until,
            Until::Drain => now.saturating_add(DRAIN_MS),
        };
        while now < end {
            now = now.saturating_add(self.tick_every).min(end);
            let offset = i64::try_from(self.next).expect("invariant: a file has fewer than 2^63 lines");
            self.next += 1;
            self.place(Record { offset, ingest: now, body: Body::Tick(Tick { blind: None }) }, sink)?;
        }
        self.summary.last = Some(now);
        self.step(sink)
    }

    fn place(&mut self, record: Record, sink: Sink<'_>) -> Result<(), ReplayError> {
        let lanes = self.lanes.len();
        match &record.body {
            Body::Tick(_) => self.lanes.iter_mut().for_each(|lane| lane.push(record.clone())),
            Body::Event(event) => self.lanes[lane::of_key(event.key(), lanes)].push(record),
            // A watermark in a file of events is a dead letter already: only the second stage reads any.
            Body::Unreadable(_) | Body::Passed(_) | Body::LeftOut(_) => self.lanes[0].push(record),
        }
        self.waiting += 1;
        self.since_crash += 1;
        let crash = self.options.crash_every.is_some_and(|every| self.since_crash >= every);
        if self.waiting >= self.options.batch || crash {
            self.step(sink)?;
        }
        if crash {
            self.since_crash = 0;
            for lane in &mut self.lanes {
                lane.crash(self.rules).map_err(ReplayError::Engine)?;
            }
            self.later.as_mut().map_or(Ok(()), Later::crash).map_err(ReplayError::Engine)?;
        }
        Ok(())
    }

    fn step(&mut self, sink: Sink<'_>) -> Result<(), ReplayError> {
        self.waiting = 0;
        let keep = self.options.crash_every.is_some();
        let now = self.now.unwrap_or(0);
        let inputs = u32::try_from(self.lanes.len()).expect("invariant: a replay has fewer than 2^31 partitions");
        for (input, lane) in (0u32..).zip(&mut self.lanes) {
            let before = self.outputs.len();
            lane.step(self.rules, keep, &mut self.outputs).map_err(ReplayError::Engine)?;
            if let Some(later) = &mut self.later {
                self.outputs[before..].iter().for_each(|output| later.take_in(output, now));
                later.pass(Passed { input, inputs, at: lane.watermark() });
            }
        }
        if let Some(later) = &mut self.later {
            later.step(keep, &mut self.outputs).map_err(ReplayError::Engine)?;
        }
        for output in self.outputs.drain(..) {
            count(&mut self.summary, &output);
            sink(&output).map_err(ReplayError::Output)?;
        }
        Ok(())
    }
}

fn count(summary: &mut Summary, output: &Output) {
    use tillwatch_core::output::Data;
    *summary.outputs.entry(output.data.event_type().to_owned()).or_default() += 1;
    match &output.data {
        Data::Raised(finding) => *summary.findings.entry(finding.kind.clone()).or_default() += 1,
        Data::Command(command) => *summary.commands.entry(command.kind.clone()).or_default() += 1,
        _ => {}
    }
}
