//! One partition that this worker owns: the core's part of it, what was read, and what is not yet durable.

use std::{mem, time::Duration};

use tillwatch_core::{
    Instant,
    cloudevents::{Encoding, encode},
    log::{Changes, Commit, Message, PartitionId, Position, Tick},
    output::Output,
    partition::{Body, Counters, Partition, Record},
    rules::{Rules, Stalled},
};

use super::{
    Options, Sight,
    stage::{Heard, Told},
};
use crate::telemetry::Metrics;

/// Names of what [`Owned::gauges`] gives.
pub(super) const GAUGES: [&str; 6] =
    ["waiting_events", "waiting_bytes", "keys", "findings", "dedup_entries", "held_commands"];

/// Room for changes that is kept from one commit to the next, at most: some seven thousand of them.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// One owned partition.
pub(super) struct Owned {
    id: PartitionId,
    pub(super) partition: Partition,
    records: Vec<Record>,
    /// Something but ticks is among the records.
    spoken: bool,
    /// A local tick has something for the core to do.
    ticked: bool,
    /// Offset of the next record, as far as known.
    next: Option<i64>,
    /// Ingest time of the last record read.
    ingest: Option<Instant>,
    messages: Vec<Message>,
    /// What a commit that came to nothing has changed.
    changes: Changes,
    /// Room for the changes of the next commit.
    room: Changes,
    bytes: usize,
    counted: Counters,
    /// The position that is durable, as far as known.
    durable: Option<Position>,
    /// When the last record that is no tick was read, or the last tick appended.
    pub(super) quiet_since: Duration,
    pub(super) sight: Sight,
    pub(super) stalls: u32,
    told: Told,
    pub(super) heard: Heard,
}

impl Owned {
    pub(super) fn new(
        id: PartitionId,
        partition: Partition,
        next: Option<i64>,
        durable: Option<Position>,
        now: Duration,
    ) -> Self {
        let sight = Sight::restored(partition.gauges().blind);
        let counted = *partition.counters();
        Self {
            id,
            partition,
            records: Vec::new(),
            spoken: false,
            ticked: false,
            next,
            ingest: None,
            messages: Vec::new(),
            changes: Changes::default(),
            room: Changes::default(),
            bytes: 0,
            counted,
            durable,
            quiet_since: now,
            sight,
            stalls: 0,
            told: Told::default(),
            heard: Heard::begin(now),
        }
    }

    /// One record was read.
    pub(super) fn take_in(&mut self, record: Record, now: Duration) {
        self.heard.take_in(&record, now);
        self.next = Some(record.offset + 1);
        self.ingest = Some(record.ingest);
        self.spoken |= !matches!(record.body, Body::Tick(_));
        self.records.push(record);
    }

    /// A tick that is in no log. Before anything was read there is nothing that it could fire, and no place to go on from.
    pub(super) fn tick_locally(&mut self, tick: Tick, now: Instant, read: bool) {
        if self.next.is_some() {
            self.partition.tick_locally(tick, now, read);
            self.ticked = true;
        }
    }

    /// Hands what was read to the core and keeps the effects.
    pub(super) fn step(
        &mut self,
        now: Duration,
        rules: &mut dyn Rules,
        outputs: &mut Vec<Output>,
        encoding: Encoding,
        metrics: &Metrics,
    ) -> Result<(), Stalled> {
        if self.records.is_empty() && !mem::take(&mut self.ticked) {
            return Ok(());
        }
        if mem::take(&mut self.spoken) {
            self.quiet_since = now;
        }
        self.partition.step(&mut self.records, rules, outputs)?;
        for output in outputs.drain(..) {
            let message = encode(&output, encoding);
            self.bytes += size(&message);
            metrics.output(message.topic);
            self.messages.push(message);
        }
        self.count(metrics);
        Ok(())
    }

    fn count(&mut self, metrics: &Metrics) {
        let now = *self.partition.counters();
        let before = mem::replace(&mut self.counted, now);
        for (what, now, before) in [
            ("events", now.events, before.events),
            ("duplicates", now.duplicates, before.duplicates),
            ("late", now.late, before.late),
            ("wakes", now.wakes, before.wakes),
            ("visits", now.visits, before.visits),
            ("calls", now.calls, before.calls),
            ("faults", now.faults, before.faults),
            ("quarantined", now.quarantined, before.quarantined),
            ("reruns", now.reruns, before.reruns),
            ("overflows", now.overflows, before.overflows),
            ("dedup_evicted", now.dedup_evicted, before.dedup_evicted),
            ("held_commands", now.held, before.held),
            ("held_commands_dropped", now.held_dropped, before.held_dropped),
            ("updates_dropped", now.updates_dropped, before.updates_dropped),
        ] {
            metrics.engine(what, now.saturating_sub(before));
        }
    }

    /// What it holds, in the order of [`GAUGES`].
    pub(super) fn gauges(&self) -> [usize; 6] {
        let gauges = self.partition.gauges();
        [
            gauges.waiting_events,
            gauges.waiting_bytes,
            gauges.keys,
            gauges.findings,
            gauges.dedup_entries,
            gauges.held_commands,
        ]
    }

    /// Whether something is to be committed.
    pub(super) fn dirty(&self) -> bool {
        self.partition.dirty() || !self.messages.is_empty() || !self.changes.is_empty()
    }

    /// Whether only time has gone on since the last commit: nothing is lost without another, but a restart would read all of it again.
    pub(super) fn moved(&self) -> bool {
        self.next.is_some() && self.durable != Some(self.partition.position())
    }

    /// A commit became durable.
    pub(super) fn committed(&mut self, commit: Commit, now: Duration) {
        self.durable = Some(commit.position);
        if let Some(watermark) = commit.passed {
            self.told.told(watermark, now);
        }
        if commit.changes.room() <= ROOM_BYTES_MAX {
            self.room = commit.changes;
            self.room.clear();
        }
    }

    /// What is to be told to the second stage: how far this partition has come.
    pub(super) fn tells(&self, now: Duration, options: &Options) -> Option<Instant> {
        self.told.due(self.partition.watermark(), now, options.watermark_every)
    }

    /// Bytes of the outputs that no commit has yet.
    pub(super) fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Everything that no commit has yet, as one; none where there is nothing.
    pub(super) fn take_commit(&mut self, now: Duration, options: &Options) -> Option<Commit> {
        let passed = self.tells(now, options);
        if !self.dirty() && !self.moved() && passed.is_none() {
            return None;
        }
        let mut changes = mem::take(&mut self.room);
        self.partition.changes(&mut changes);
        if !self.changes.is_empty() {
            changes = mem::take(&mut self.changes).followed_by(&changes);
        }
        self.bytes = 0;
        let messages = mem::take(&mut self.messages);
        Some(Commit { partition: self.id, position: self.partition.position(), messages, changes, passed })
    }

    /// A commit that did not become durable: its effects are sent again with the next, before what was made since.
    pub(super) fn put_back(&mut self, commit: Commit) {
        assert!(self.changes.is_empty(), "invariant: one commit is under way at a time");
        self.bytes += commit.messages.iter().map(size).sum::<usize>();
        let since = mem::replace(&mut self.messages, commit.messages);
        self.messages.extend(since);
        self.changes = commit.changes;
    }

    /// How far behind the wall clock the reading is, ms; none where nothing was read and there is something to read.
    pub(super) fn lag(&self, end: Option<i64>, wall: Instant) -> Option<i64> {
        if self.at_end(end) { Some(0) } else { self.ingest.map(|ingest| wall.saturating_sub(ingest).max(0)) }
    }

    /// Whether it has been at its end, and quiet, for `tick_every`.
    pub(super) fn idle(&self, end: Option<i64>, now: Duration, tick_every: Duration) -> bool {
        self.at_end(end) && now.saturating_sub(self.quiet_since) >= tick_every
    }

    pub(super) fn at_end(&self, end: Option<i64>) -> bool {
        match (self.next, end) {
            (Some(next), Some(end)) => next >= end,
            (None, Some(end)) => end == 0,
            (_, None) => true,
        }
    }
}

fn size(message: &Message) -> usize {
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    message.key.len() + message.value.len() + headers + size_of::<Message>()
}
