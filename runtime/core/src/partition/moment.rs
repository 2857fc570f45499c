//! One moment: an event or a wake-up, the visits that follow from it, and what they put out. Moments of distinct terminals do not touch
//! each other, so many of them share a call across the boundary; the outputs are put in the moments' order afterwards.

use std::collections::VecDeque;

use tillwatch_wit::{
    contract::{Instant, Trigger, Visit},
    table::{FieldId, TypeId},
};

use super::{dedup, order::Placed, routing::Routes, terminals::Terminal};
use crate::{
    event::Event,
    log::PartitionId,
    output::{Id, Output},
};

/// The place of a moment in the order of everything: what the same input gives in the same order, however it was cut into batches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: Instant,
    /// What arrived comes before events, events before timers, those of payments before those of terminals: what is due for a terminal
    /// sees what its payments have come to.
    pub(super) class: Class,
    /// Source and id of an event; key and terminal of a timer.
    pub(super) first: String,
    pub(super) second: String,
    /// A timer's rule.
    pub(super) rule: String,
    /// Of an event whose name was masked, what tells it from others of that name.
    pub(super) twin: Option<u128>,
    /// For arrivals and events with the same source and id, the offset.
    pub(super) offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Arrival,
    Event,
    Timer,
    TerminalTimer,
}

/// A visit that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) rule: u16,
    pub(super) trigger: Trigger,
    /// Index in the moment's events; none for a wake-up.
    pub(super) event: Option<usize>,
    pub(super) depth: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) time: Instant,
    pub(super) late: bool,
    pub(super) offset: Option<i64>,
    pub(super) terminal: Terminal,
    /// The slot whose wake-up it is: (slot, rule, key).
    pub(super) timer: Option<(u32, u16, Box<str>)>,
    /// The event itself first, then what was derived from it.
    pub(super) events: Vec<Event>,
    pub(super) queue: VecDeque<Coming>,
    /// What the engine itself says of the event, before any rule.
    pub(super) prelude: Vec<Output>,
    pub(super) outputs: Vec<Output>,
}

impl Moment {
    /// An empty one becomes that of an event.
    #[inline]
    pub(super) fn begin(&mut self, placed: Placed, terminal: Terminal, prelude: Vec<Output>) {
        let Placed { at, time, late, offset, event, .. } = placed;
        (self.at, self.time, self.late) = (at, time, late);
        (self.offset, self.terminal) = (Some(offset), terminal);
        self.events.push(event);
        self.prelude = prelude;
    }

    /// An empty one becomes that of a slot's wake-up: (slot, rule, key).
    pub(super) fn wake(&mut self, at: Instant, terminal: Terminal, timer: (u32, u16, Box<str>)) {
        (self.at, self.time, self.late) = (at, at, false);
        (self.offset, self.terminal) = (None, terminal);
        self.timer = Some(timer);
    }

    /// Empties it and keeps the room of its lists.
    pub(super) fn clear(&mut self) {
        self.timer = None;
        self.events.clear();
        self.queue.clear();
        self.prelude.clear();
        self.outputs.clear();
    }

    /// The visit as the rule sees it.
    pub(super) fn visit(&self, coming: &Coming) -> Visit {
        Visit { at: self.at, time: self.time, late: self.late, trigger: coming.trigger }
    }

    /// The type of the event that it began with; a wake-up has none.
    pub(super) fn event_type(&self) -> TypeId {
        self.events.first().map_or(TypeId::CUSTOM, Event::event_type)
    }

    /// The key of the rule's state for a visit; empty for rules keyed by terminal.
    pub(super) fn key<'a>(&'a self, coming: &Coming, by_payment: bool) -> &'a [u8] {
        match (coming.event, &self.timer) {
            (None, Some((_, _, key))) => key.as_bytes(),
            (Some(event), _) if by_payment => self.events[event].piece(FieldId::SUBJECT),
            _ => &[],
        }
    }

    /// Whether the wake-up of a visit's key has had its turn in this instant. Wake-ups of an instant come in one order, so each has one.
    pub(super) fn turn_is_over(&self, coming: &Coming, by_payment: bool, rank: &[u16]) -> bool {
        self.timer.as_ref().is_some_and(|(_, fired, its)| {
            // All of a moment is one terminal's.
            let turn = |key, rule: u16| turn(key, "", rank[rule as usize]);
            turn(self.key(coming, by_payment), coming.rule) <= turn(its.as_bytes(), *fired)
        })
    }

    /// The same as text, for what is seldom.
    pub(super) fn key_text<'a>(&'a self, coming: &Coming, by_payment: bool) -> &'a str {
        std::str::from_utf8(self.key(coming, by_payment)).expect("invariant: the decoder checked UTF-8")
    }

    /// Queues the first visits and forgets what an earlier attempt left.
    pub(super) fn prepare(&mut self, routes: &Routes) {
        self.outputs.clear();
        self.queue.clear();
        if let Some((_, rule, _)) = self.timer {
            self.events.clear();
            self.queue.push_back(Coming { rule, trigger: Trigger::Timer, event: None, depth: 1 });
            return;
        }
        self.events.truncate(1);
        let first =
            |&(rule, index): &(u16, u32)| Coming { rule, trigger: Trigger::Event(index), event: Some(0), depth: 1 };
        self.queue.extend(routes.of(&self.events[0]).iter().map(first));
    }

    pub(super) fn place(&self, terminal: &str, rule: &str) -> Place {
        let (class, first, second) = match &self.timer {
            Some((_, _, key)) if key.is_empty() => (Class::TerminalTimer, String::new(), terminal.to_owned()),
            Some((_, _, key)) => (Class::Timer, key.to_string(), terminal.to_owned()),
            None => (Class::Event, self.events[0].source().to_owned(), self.events[0].id().to_owned()),
        };
        Place {
            at: self.at,
            class,
            first,
            second,
            rule: rule.to_owned(),
            twin: self.events.first().filter(|_| class == Class::Event).and_then(dedup::twin),
            offset: if class == Class::Event { self.offset.unwrap_or(0) } else { 0 },
        }
    }
}

impl Place {
    /// The CloudEvents id of the `ordinal`th output of one source in this moment: what else speaks up in it does not matter. Nothing in it
    /// depends on partitions or offsets, but for what is about a record as such.
    pub(super) fn id(&self, terminal: &str, source: &str, ordinal: usize) -> Id {
        let offset = if self.class == Class::Arrival { self.offset } else { 0 }.to_le_bytes();
        let twin = self.twin.map(u128::to_le_bytes);
        let apart = twin.as_ref().map_or(&offset[..], <[u8; 16]>::as_slice);
        Id::of(&[
            b"output",
            terminal.as_bytes(),
            source.as_bytes(),
            &self.at.to_le_bytes(),
            // A timer's key tells whose it is.
            &[self.class.min(Class::Timer) as u8],
            self.first.as_bytes(),
            self.second.as_bytes(),
            self.rule.as_bytes(),
            apart,
            &(ordinal as u64).to_le_bytes(),
        ])
    }

    /// The place of a local tick of the moment `now`: none that a record could have.
    pub(super) fn local(at: Instant, topic: &str, partition: PartitionId, now: Instant) -> Self {
        Self { second: format!("{partition}/local"), ..Self::arrival(at, topic, partition, now) }
    }

    /// The place of something that arrived with the record at `offset`.
    pub(super) fn arrival(at: Instant, topic: &str, partition: PartitionId, offset: i64) -> Self {
        Self {
            at,
            class: Class::Arrival,
            first: topic.to_owned(),
            second: partition.to_string(),
            rule: String::new(),
            twin: None,
            offset,
        }
    }
}

/// When a wake-up comes among those of its instant: payments before terminals, then by key, terminal and rule as it is ranked.
pub(super) fn turn<'a>(key: &'a [u8], terminal: &'a str, rank: u16) -> (bool, &'a [u8], &'a str, u16) {
    (key.is_empty(), key, terminal, rank)
}

/// Headers that name an event again, for its dead letter.
pub(super) fn headers(event: &Event) -> Vec<(String, Vec<u8>)> {
    let mut headers = vec![("ce_specversion".to_owned(), b"1.0".to_vec())];
    for (name, field) in [("ce_id", FieldId::ID), ("ce_source", FieldId::SOURCE), ("ce_subject", FieldId::SUBJECT)] {
        if !event.piece(field).is_empty() {
            headers.push((name.to_owned(), event.piece(field).to_vec()));
        }
    }
    headers.push(("ce_type".to_owned(), event.type_name().as_bytes().to_vec()));
    if let Some(time) = event.time() {
        headers.push(("ce_time".to_owned(), crate::output::rfc3339(time).into_bytes()));
    }
    headers
}
