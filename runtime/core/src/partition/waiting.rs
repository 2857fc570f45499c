//! The events that wait for the watermark, each in a place that it keeps until it is handed out.
//!
//! Owns their order. Nearly all come in it, so they stand in a queue; those that do not, in a heap beside it.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use tillwatch_wit::contract::Instant;

use super::{
    dedup,
    order::{Placed, Ready},
    terminals::Terminal,
};
use crate::line::fetch;

/// So many events of one instant are put in order without memory of its own.
const FEW: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    places: Vec<Option<Placed>>,
    free: Vec<u32>,
    /// (instant, place), ascending.
    queue: VecDeque<(Instant, u32)>,
    /// What came too late for the queue.
    heap: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Of those that wait, not of those that are due.
    events: usize,
    bytes: usize,
    /// Of one instant.
    group: Vec<u32>,
}

impl Waiting {
    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn put(&mut self, placed: Placed) {
        let at = placed.at;
        self.events += 1;
        self.bytes += placed.event.size();
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(placed);
                place
            }
            None => {
                self.places.push(Some(placed));
                u32::try_from(self.places.len() - 1).expect("invariant: waiting_events_max is under 4 billion")
            }
        };
        if self.queue.back().is_none_or(|(last, _)| *last <= at) {
            self.queue.push_back((at, place));
        } else {
            self.heap.push(Reverse((at, place)));
        }
    }

    /// The first instant at which anything waits.
    pub(super) fn first(&self) -> Option<Instant> {
        let queued = self.queue.front().map(|(at, _)| *at);
        let heaped = self.heap.peek().map(|Reverse((at, _))| *at);
        queued.into_iter().chain(heaped).min()
    }

    /// Hands on in their order what waits for an instant before the watermark.
    pub(super) fn release(&mut self, watermark: Instant, ready: &mut VecDeque<Ready>) {
        while let Some(at) = self.first().filter(|at| *at < watermark) {
            self.take(at);
            let group = std::mem::take(&mut self.group);
            for &place in &group {
                self.events -= 1;
                self.bytes -= self.placed(place).event.size();
                ready.push_back(Ready::Event { at, place });
            }
            self.group = group;
        }
    }

    /// Takes into `group`, in their order, all that wait for one instant.
    fn take(&mut self, at: Instant) {
        self.group.clear();
        while let Some(&(first, place)) = self.queue.front()
            && first == at
        {
            self.queue.pop_front();
            self.group.push(place);
        }
        while let Some(&Reverse((first, place))) = self.heap.peek()
            && first == at
        {
            self.heap.pop();
            self.group.push(place);
        }
        if self.group.len() > 1 {
            self.sort();
        }
    }

    /// Puts those of one instant in their order: by name. Two that a sender gave one id, though they differ, are told apart by what they say: the
    /// first is taken, the other is a duplicate, and which came first over the network must not matter. Where masking made their ids one, both
    /// are taken.
    fn sort(&mut self) {
        let Self { group, places, .. } = self;
        let of = |place: u32| places[place as usize].as_ref().expect("invariant: it waits");
        let order = |(a_name, a): &(_, u32), (b_name, b): &(_, u32)| {
            let content = || {
                let (a, b) = (of(*a), of(*b));
                let twins = || dedup::twin(&a.event).cmp(&dedup::twin(&b.event));
                twins().then_with(|| a.event.content_cmp(&b.event)).then_with(|| a.offset.cmp(&b.offset))
            };
            Ord::cmp(a_name, b_name).then_with(content)
        };
        // Names are looked up once and not at every comparison; of an instant there are hardly more than these.
        let mut few = [((&[][..], &[][..]), 0); FEW];
        let mut many = Vec::new();
        let named = match few.get_mut(..group.len()) {
            Some(few) => few,
            None => {
                many.resize(group.len(), few[0]);
                &mut many[..]
            }
        };
        for (named, place) in named.iter_mut().zip(&*group) {
            *named = (of(*place).name(), *place);
        }
        named.sort_unstable_by(order);
        for (place, (_, sorted)) in group.iter_mut().zip(named) {
            *place = *sorted;
        }
    }

    /// What is in a place.
    pub(super) fn placed(&self, place: u32) -> &Placed {
        self.places[place as usize].as_ref().expect("invariant: it is not handed out yet")
    }

    /// Fetches the first `count` that wait and what they hold, see `ahead`.
    pub(super) fn fetch(&self, count: usize) {
        let coming = || self.queue.iter().take(count).map(|(_, place)| *place);
        coming().for_each(|place| fetch(&self.places, place as usize));
        coming().for_each(|place| self.placed(place).event.fetch());
    }

    /// Remembers of what is in a place its hash and the guess of its terminal.
    pub(super) fn remember(&mut self, place: u32, hash: u128, terminal: Option<Terminal>) {
        let placed = self.places[place as usize].as_mut().expect("invariant: it is not handed out yet");
        (placed.hash, placed.terminal) = (hash, terminal);
    }

    /// Takes what is in a place; the place is free again.
    pub(super) fn hand_out(&mut self, place: u32) -> Placed {
        self.free.push(place);
        self.places[place as usize].take().expect("invariant: an event is handed out once")
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Placed> {
        self.places.iter().flatten()
    }
}
