//! Order: the running maximum of ingest time, the watermark, and the events that wait for it.
//!
//! Owns which event is handed out when, and where a restart must begin to read. Waiting events are not state: after a restart they are
//! read again from [`Position::low`]. Knows nothing of rules.

use std::collections::VecDeque;

use tillwatch_wit::{contract::Instant, table::FieldId};

use super::{moment::Moment, terminals::Terminal, waiting::Waiting};
use crate::{
    event::Event,
    limits::Limits,
    line::LINE_BYTES,
    log::{Position, Tick},
    output::DeadLetter,
    stage::Stage,
};

/// An event with its place in the order: two lines of memory. What is looked at before it is handed out is in the first, and in the second
/// what is put there then.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Placed {
    pub(super) event: Event,
    pub(super) at: Instant,
    /// Ingest time less the sender's time; positive for old events.
    pub(super) delay: i64,
    pub(super) time: Instant,
    pub(super) offset: i64,
    pub(super) ingest_before: Instant,
    /// What it is remembered by among those handed out, from when it is due; 0 before.
    pub(super) hash: u128,
    /// Its terminal, as far as that could be guessed when it became due.
    pub(super) terminal: Option<Terminal>,
    pub(super) late: bool,
}

const _: () = assert!(
    size_of::<Option<Placed>>() == 2 * LINE_BYTES && std::mem::offset_of!(Placed, time) == LINE_BYTES,
    "see Placed"
);

impl Placed {
    /// Source and id, as bytes: their order is that of the texts, which needs no second look for UTF-8.
    pub(super) fn name(&self) -> (&[u8], &[u8]) {
        (self.event.piece(FieldId::SOURCE), self.event.piece(FieldId::ID))
    }
}

/// Where a tick came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The record at this offset.
    Record(i64),
    /// No record: the worker's clock, which stood there.
    Local(Instant),
}

/// What is handed out, in order.
#[derive(Debug)]
pub(super) enum Ready {
    /// An event, in its place of [`Order::waiting`].
    Event {
        at: Instant,
        place: u32,
    },
    /// An event that was handed out already and has to wait for its terminal, or is run again.
    Again(Box<Moment>),
    Sight {
        at: Instant,
        by: Source,
        tick: Tick,
    },
    Unreadable {
        at: Instant,
        offset: i64,
        letter: Box<DeadLetter>,
    },
}

impl Ready {
    pub(super) fn at(&self) -> Instant {
        match self {
            Self::Again(moment) => moment.at,
            Self::Event { at, .. } | Self::Sight { at, .. } | Self::Unreadable { at, .. } => *at,
        }
    }
}

/// The order of one partition.
#[derive(Debug)]
pub(super) struct Order {
    lateness: i64,
    /// How far ahead of what the log has come to an event may be.
    ahead: i64,
    waiting_events_max: usize,
    waiting_bytes_max: usize,
    ingest: Instant,
    floor: Instant,
    floor_from: i64,
    /// Below this offset records were read before the restart.
    read_before: i64,
    /// Before this instant everything was handed out before the restart.
    done_before: Instant,
    /// Ingest time reached before the restart.
    reached: Instant,
    high: i64,
    pub(super) waiting: Waiting,
    pub(super) ready: VecDeque<Ready>,
    pub(super) overflows: u64,
}

/// Before any record: far enough from both ends for arithmetic.
const BEGINNING: Instant = i64::MIN / 4;

impl Order {
    pub(super) fn new(stage: Stage, limits: &Limits) -> Self {
        // Nothing from the first stage is late while its partitions are waited for, and the time of what it says is no sender's claim.
        let (lateness, ahead) = match stage {
            Stage::First => (i64::from(limits.lateness_ms), 0),
            Stage::Second => (0, i64::MAX / 2),
        };
        Self {
            lateness,
            ahead,
            waiting_events_max: limits.waiting_events_max,
            waiting_bytes_max: limits.waiting_bytes_max,
            ingest: BEGINNING,
            floor: BEGINNING,
            floor_from: 0,
            read_before: i64::MIN,
            done_before: BEGINNING,
            reached: BEGINNING,
            high: 0,
            waiting: Waiting::default(),
            ready: VecDeque::new(),
            overflows: 0,
        }
    }

    /// Goes on from a committed position: reading begins again at `low`.
    pub(super) fn resume(&mut self, position: &Position) {
        self.ingest = position.ingest_low.max(BEGINNING);
        self.floor = position.floor.max(BEGINNING);
        self.floor_from = position.floor_from;
        self.read_before = position.high;
        self.reached = position.ingest_high.max(BEGINNING);
        self.done_before = (self.reached - self.lateness).max(self.floor);
        self.high = position.low;
    }

    /// Everything before this instant has been handed out, or is in `ready`.
    pub(super) fn watermark(&self) -> Instant {
        (self.ingest - self.lateness).max(self.floor).max(self.done_before)
    }

    /// Whether the record at `offset` was read before the restart.
    pub(super) fn seen(&self, offset: i64) -> bool {
        offset < self.read_before
    }

    /// Takes in the ingest time of the record at `offset` and releases what it makes due; gives the ingest time before it.
    pub(super) fn advance(&mut self, offset: i64, ingest: Instant) -> Instant {
        let before = self.ingest;
        self.high = offset + 1;
        // Where time stands still, all that is due has been released.
        if ingest > before {
            self.ingest = ingest;
            self.release();
        }
        before
    }

    /// Time has come to `now` by a clock that is not the log's: what lies before it, less the lateness, is handed out, and records to come are
    /// placed behind that. Their ingest times are the log's own as before, so that a restart places them the same.
    pub(super) fn pass(&mut self, now: Instant) {
        let floor = now.saturating_sub(self.lateness);
        if floor > self.watermark() && self.high >= self.read_before {
            self.floor = floor;
            self.floor_from = self.high;
            self.release();
        }
    }

    /// Places the event of the record just advanced to.
    pub(super) fn place(&mut self, offset: i64, ingest_before: Instant, event: Event) {
        let floor = if offset >= self.floor_from { self.floor } else { BEGINNING };
        let watermark = (self.ingest - self.lateness).max(floor);
        let time = event.time().unwrap_or(self.ingest);
        let late = time < watermark;
        let at = time.clamp(self.ingest - self.lateness, self.ingest + self.ahead).max(watermark);
        if self.seen(offset) && at < self.done_before {
            return;
        }
        self.waiting.put(Placed {
            at,
            time,
            late,
            delay: self.ingest - time,
            offset,
            ingest_before,
            hash: 0,
            terminal: None,
            event,
        });
        while self.waiting.events() > self.waiting_events_max || self.waiting.bytes() > self.waiting_bytes_max {
            let Some(oldest) = self.waiting.first() else { break };
            self.floor = oldest + 1;
            self.floor_from = offset + 1;
            self.overflows += 1;
            self.release();
        }
    }

    fn release(&mut self) {
        let watermark = self.watermark();
        self.waiting.release(watermark, &mut self.ready);
    }

    /// A change of sight, by the record at `offset` or by a local tick at this time.
    pub(super) fn sight(&mut self, by: Source, tick: Tick) {
        self.ready.push_back(Ready::Sight { at: self.watermark(), by, tick });
    }

    pub(super) fn unreadable(&mut self, offset: i64, letter: Box<DeadLetter>) {
        self.ready.push_back(Ready::Unreadable { at: self.watermark(), offset, letter });
    }

    /// Where a restart would go on. Meant between steps, when nothing is in `ready`.
    pub(super) fn position(&self) -> Position {
        let oldest = self.waiting.iter().min_by_key(|placed| placed.offset);
        let high = self.high.max(self.read_before);
        let ingest_high = self.ingest.max(self.reached);
        let (low, ingest_low) = match oldest {
            Some(placed) => (placed.offset, placed.ingest_before),
            None if self.high < high => (self.high, self.ingest),
            None => (high, ingest_high),
        };
        Position { low, ingest_low, high, ingest_high, floor: self.floor, floor_from: self.floor_from }
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.waiting.events(), self.waiting.bytes())
    }
}
