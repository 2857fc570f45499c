//! One input partition: everything that happens to its records between decoding and encoding.
//!
//! [`Partition::step`] does all the work of one batch and hides no queue: when it returns, everything that the batch's records make due has
//! been handed out. Results do not depend on how records were cut into batches, nor on what else is in the partition: state, duplicates and
//! findings are kept per terminal. Owns no encoding of records and no I/O; what changed is drained by [`Partition::changes`].

mod actions;
mod ahead;
mod dedup;
mod engine;
mod index;
mod keyed;
mod ledger;
mod lines;
mod merge;
mod moment;
mod order;
mod pending;
mod pieces;
mod routing;
mod run;
mod second;
mod seen;
mod snapshot;
mod terminals;
#[cfg(test)]
mod tests;
mod timers;
mod waiting;
mod watch;

use std::{collections::BTreeMap, sync::Arc};

use tillwatch_wit::contract::{Batch, Descriptor, Instant};

use self::{
    dedup::Dedup,
    keyed::Keyed,
    ledger::Ledger,
    merge::Merge,
    moment::Place,
    order::{Order, Source},
    pending::Pending,
    routing::Routes,
    watch::Watch,
};
pub use self::{
    routing::{RULES_MAX, SetupError, stage_of},
    snapshot::{CorruptState, ResumeError},
    watch::SilentSource,
};
use crate::{
    event::Event,
    limits::Limits,
    log::{PartitionId, Position, Tick},
    output::{DeadLetter, Output},
    rules::{Answer, Rules, Stalled},
    stage::{LeftOut, Passed, Stage},
};

/// One decoded record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// When the log took it in.
    pub ingest: Instant,
    /// What it is.
    pub body: Body,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An event.
    Event(Event),
    /// Time, and perhaps a change of sight.
    Tick(Tick),
    /// Something that could not be read; it goes out as it is.
    Unreadable(Box<DeadLetter>),
    /// In the second stage: how far a partition of the first has come.
    Passed(Passed),
    /// In the second stage: time no longer waits for one.
    LeftOut(LeftOut),
}

/// What all partitions of an engine share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits and windows.
    pub limits: Limits,
    /// Commands are marked as not to be carried out.
    pub dry_run: bool,
    /// Sources whose silence is blindness.
    pub silent_sources: Vec<SilentSource>,
    /// Name of the input topic, for dead letters and scopes.
    pub topic: String,
    /// Which stage it is.
    pub stage: Stage,
}

/// Counts since the partition was made; all of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken in.
    pub records: u64,
    /// Events handed out to rules or found unwanted.
    pub events: u64,
    /// Events dropped as duplicates.
    pub duplicates: u64,
    /// Events that came later than the lateness allows.
    pub late: u64,
    /// Wake-ups that fired.
    pub wakes: u64,
    /// Visits to rules.
    pub visits: u64,
    /// Calls across the boundary.
    pub calls: u64,
    /// Visits that counted for nothing.
    pub faults: u64,
    /// Visits left out because their rule was in quarantine.
    pub quarantined: u64,
    /// Flushes run again one moment at a time because of a fault.
    pub reruns: u64,
    /// Events handed out ahead of the watermark because too much waited.
    pub overflows: u64,
    /// Hashes forgotten before their window ended.
    pub dedup_evicted: u64,
    /// Commands held back while the feed was blind.
    pub held: u64,
    /// Held commands that gave way to newer ones or expired.
    pub held_dropped: u64,
    /// Updates of findings that were no longer open.
    pub updates_dropped: u64,
    /// Outputs.
    pub outputs: u64,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Events that wait for the watermark.
    pub waiting_events: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Keys with state or a wake-up, over all rules.
    pub keys: usize,
    /// Open findings.
    pub findings: usize,
    /// Remembered hashes.
    pub dedup_entries: usize,
    /// Commands held back.
    pub held_commands: usize,
    /// Whether the feed is blind.
    pub blind: bool,
}

/// One input partition.
pub struct Partition {
    id: PartitionId,
    settings: Arc<Settings>,
    routes: Routes,
    order: Order,
    dedup: Dedup,
    keyed: Keyed,
    ledger: Ledger,
    watch: Watch,
    counters: Counters,
    pending: Pending,
    flush: u64,
    /// After a fault: moments up to this one (events before timers) run alone.
    cautious: (Instant, bool),
    emitted: Vec<(Place, Vec<Output>)>,
    scratch: Scratch,
    /// Nothing but events is due before this instant, as long as nothing asks for a wake-up.
    idle_until: Instant,
    /// How many of the events that are due next have been fetched.
    fetched: usize,
    /// State of rules that are not loaded, by changelog key: it stays in the changelog for their return.
    orphans: BTreeMap<Vec<u8>, Vec<u8>>,
    /// State whose format its rule no longer writes, until [`Partition::resume`]: (slot, version).
    migrating: BTreeMap<u32, u32>,
    meta_written: bool,
    /// In the second stage, where its time comes from.
    merge: Option<Merge>,
}

#[derive(Default)]
struct Scratch {
    batches: Vec<Batch>,
    answers: Vec<Answer>,
    /// In which order the moments of a flush are visited.
    order: Vec<usize>,
    wave: Vec<run::Visiting>,
    ranges: Vec<(u32, u32)>,
    /// Where the keys of a group of visits probably are, see `ahead`.
    slots: Vec<Option<u32>>,
    cursors: Vec<run::Cursor>,
    /// What the events to be handed out next will look for, see `ahead`.
    ahead: ahead::Ahead,
    /// Rules of the visits left out in this flush because of a quarantine.
    skipped: Vec<u16>,
}

impl Partition {
    /// A partition with nothing in it.
    ///
    /// # Errors
    /// Rules that cannot run together.
    pub fn new(id: PartitionId, settings: Arc<Settings>, descriptors: &[Descriptor]) -> Result<Self, SetupError> {
        let routes = Routes::new(settings.stage, descriptors)?;
        let mut scratch = Scratch::default();
        scratch.batches.resize_with(routes.rules.len(), Batch::default);
        scratch.answers.resize_with(routes.rules.len(), Answer::default);
        scratch.cursors.resize(routes.rules.len(), run::Cursor::default());
        Ok(Self {
            id,
            order: Order::new(settings.stage, &settings.limits),
            dedup: Dedup::new(&settings.limits),
            keyed: Keyed::default(),
            ledger: Ledger::default(),
            watch: Watch::new(&settings.silent_sources),
            counters: Counters::default(),
            pending: Pending::default(),
            flush: 1,
            cautious: (Instant::MIN, false),
            emitted: Vec::new(),
            scratch,
            idle_until: Instant::MIN,
            fetched: 0,
            orphans: BTreeMap::new(),
            migrating: BTreeMap::new(),
            meta_written: false,
            merge: (settings.stage == Stage::Second).then(Merge::default),
            routes,
            settings,
        })
    }

    /// Does all the work of a batch; the outputs follow in their order.
    ///
    /// # Errors
    /// The host could not answer in wall-clock time: the partition is no longer whole; drop it and restore it.
    pub fn step(
        &mut self,
        batch: &mut Vec<Record>,
        rules: &mut dyn Rules,
        out: &mut Vec<Output>,
    ) -> Result<(), Stalled> {
        let mut records = batch.drain(..);
        loop {
            ahead::fetch_waiting(&self.order);
            for record in records.by_ref().take(ahead::RECORDS) {
                self.take_in(record);
            }
            let last = records.as_slice().is_empty();
            self.advance(rules, last)?;
            if last {
                break;
            }
        }
        self.emitted.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, outputs) in self.emitted.drain(..) {
            self.counters.outputs += outputs.len() as u64;
            out.extend(outputs);
        }
        self.counters.overflows = self.order.overflows;
        self.counters.dedup_evicted = self.dedup.evicted;
        Ok(())
    }

    fn take_in(&mut self, record: Record) {
        let Record { offset, ingest, body } = record;
        let seen = self.order.seen(offset);
        let (ingest, sight) = match &mut self.merge {
            Some(merge) => merge.advance(offset, &body),
            None => (ingest, None),
        };
        let before = self.order.advance(offset, ingest);
        if let Some(blind) = sight.filter(|_| !seen) {
            self.order.sight(Source::Record(offset), Tick { blind: Some(blind) });
        }
        self.counters.records += u64::from(!seen);
        match body {
            Body::Event(event) => self.order.place(offset, before, event),
            Body::Tick(tick) if tick.blind.is_some() && !seen => self.order.sight(Source::Record(offset), tick),
            Body::Unreadable(letter) if !seen => self.order.unreadable(offset, letter),
            Body::Tick(_) | Body::Unreadable(_) | Body::Passed(_) | Body::LeftOut(_) => {}
        }
    }

    /// A tick that is in no log, by the worker's own clock: the next [`Partition::step`] does what it makes due. Time goes on to `now` only where
    /// the partition was `read` to its end after the clock was; the sight changes in any case. What it has decided stays decided after a
    /// restart: the position holds it.
    pub fn tick_locally(&mut self, tick: Tick, now: Instant, read: bool) {
        if read {
            self.order.pass(now);
        }
        if tick.blind.is_some() {
            self.order.sight(Source::Local(now), tick);
        }
    }

    /// Which partition it is.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// How far it has come; meant between steps.
    #[must_use]
    pub fn position(&self) -> Position {
        self.order.position()
    }

    /// Everything before this instant has been handed out.
    #[must_use]
    pub fn watermark(&self) -> Instant {
        self.order.watermark()
    }

    /// The earliest wake-up of any rule: when the watermark is strictly past it, something happens.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.keyed.next_deadline()
    }

    /// Counts so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it holds.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (waiting_events, waiting_bytes) = self.order.waiting();
        Gauges {
            waiting_events,
            waiting_bytes,
            keys: self.keyed.len(),
            findings: self.ledger.len(),
            dedup_entries: self.dedup.len(),
            held_commands: self.watch.held(),
            blind: self.watch.blind(),
        }
    }
}
