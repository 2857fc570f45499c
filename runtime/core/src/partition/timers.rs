//! The timer index: which slot wants to be woken when. One wake-up per slot; what a slot no longer wants stays in the index until it
//! comes up, and is recognised there (ADR 0004, ADR 0019).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use tillwatch_wit::contract::Instant;

use super::ahead::TOGETHER;

/// Instants are put together by so much, ms: a wake-up costs one entry at the end of its span's list, and is sorted when the span comes up.
const SPAN_MS: i64 = 1_000;

/// A full span gets room for as many again between these two, and past that for a part of what it has.
const ROOM_MIN: usize = 4;
const ROOM_MAX: usize = 64;
const ROOM_DIVISOR: usize = 8;

/// Wake-ups that [`Timers::coming`] gives at once.
const COMING: usize = 32;

/// A wake-up of a span: how far into it, the slot, the slot's generation.
type Entry = (u16, u32, u32);

/// A wake-up that is near: deadline, slot, generation.
type Near = (Instant, u32, u32);

/// Wake-ups by span.
#[derive(Debug)]
pub(super) struct Timers {
    /// Of the spans from `opened` on, in the order in which they were asked for.
    spans: BTreeMap<i64, Vec<Entry>>,
    /// The span that was put into last, and its list: not among the others, and not looked for, since the next wake-up is mostly of the same.
    last: (i64, Vec<Entry>),
    /// The first span that is not opened yet.
    opened: i64,
    /// Of the spans before, the last one first to go.
    near: Vec<Near>,
    /// How many of them, counted from the last to go, have not been given by [`Timers::coming`].
    fresh: usize,
    /// Asked for after their span was opened.
    late: BinaryHeap<Reverse<Near>>,
    /// How many are in `spans` and `last`.
    far: usize,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            spans: BTreeMap::new(),
            last: (i64::MIN, Vec::new()),
            opened: i64::MIN,
            near: Vec::new(),
            fresh: 0,
            late: BinaryHeap::new(),
            far: 0,
        }
    }
}

impl Timers {
    pub(super) fn push(&mut self, deadline: Instant, slot: u32, generation: u32) {
        let span = deadline.div_euclid(SPAN_MS);
        if span < self.opened {
            self.late.push(Reverse((deadline, slot, generation)));
            return;
        }
        let into = u16::try_from(deadline.rem_euclid(SPAN_MS)).expect("invariant: a span is a second");
        if span != self.last.0 {
            self.turn_to(span);
        }
        let entries = &mut self.last.1;
        if entries.len() == entries.capacity() {
            // Millions wait in spans: doubling would leave much of their room empty.
            let room = entries.len().clamp(ROOM_MIN, ROOM_MAX).max(entries.len() / ROOM_DIVISOR);
            entries.reserve_exact(room);
        }
        entries.push((into, slot, generation));
        self.far += 1;
    }

    /// Makes a span the last one.
    fn turn_to(&mut self, span: i64) {
        let entries = self.spans.remove(&span).unwrap_or_default();
        let (before, entries) = std::mem::replace(&mut self.last, (span, entries));
        if !entries.is_empty() {
            self.spans.insert(before, entries);
        }
    }

    /// Puts the last span among the others.
    fn put_back(&mut self) {
        self.turn_to(i64::MIN);
    }

    /// The earliest deadline that `wanted` confirms, if it is before `before`: some later ones may be given too. Drops those before it
    /// that it does not. Of many slots that it will be asked about, `fetch` hears before.
    pub(super) fn first(
        &mut self,
        before: Instant,
        fetch: impl Fn(u32),
        wanted: impl Fn(Instant, u32, u32) -> bool,
    ) -> Option<Instant> {
        loop {
            while let Some(&(deadline, slot, generation)) = self.near.last()
                && !wanted(deadline, slot, generation)
            {
                self.near.pop();
            }
            while let Some(&Reverse((deadline, slot, generation))) = self.late.peek()
                && !wanted(deadline, slot, generation)
            {
                self.late.pop();
            }
            let near = self.near.last().map(|(deadline, ..)| *deadline);
            let late = self.late.peek().map(|Reverse((deadline, ..))| *deadline);
            if let Some(first) = near.into_iter().chain(late).min() {
                return Some(first);
            }
            if !self.last.1.is_empty() && self.last.0.saturating_mul(SPAN_MS) < before {
                self.put_back();
            }
            let span = self.spans.first_entry().filter(|span| span.key().saturating_mul(SPAN_MS) < before)?;
            self.opened = *span.key() + 1;
            let begins = *span.key() * SPAN_MS;
            let entries = span.remove();
            self.far -= entries.len();
            for group in entries.chunks(TOGETHER) {
                group.iter().for_each(|&(_, slot, _)| fetch(slot));
                let entries =
                    group.iter().map(|&(into, slot, generation)| (begins + i64::from(into), slot, generation));
                self.near.extend(entries.filter(|&(deadline, slot, generation)| wanted(deadline, slot, generation)));
            }
            self.near.sort_unstable_by(|a, b| b.cmp(a));
            self.fresh = self.near.len();
        }
    }

    /// The earliest deadline of all that `wanted` confirms. Opens nothing: what is asked for meanwhile costs no more.
    pub(super) fn earliest(&mut self, wanted: impl Fn(Instant, u32, u32) -> bool) -> Option<Instant> {
        self.first(Instant::MIN, |_| {}, &wanted).or_else(|| {
            self.put_back();
            self.spans.iter().find_map(|(span, entries)| {
                let deadlines = entries
                    .iter()
                    .map(|&(into, slot, generation)| (span * SPAN_MS + i64::from(into), slot, generation));
                deadlines
                    .filter(|&(deadline, slot, generation)| wanted(deadline, slot, generation))
                    .map(|(deadline, ..)| deadline)
                    .min()
            })
        })
    }

    /// Takes one entry with that very deadline, where none is before it.
    pub(super) fn take(&mut self, deadline: Instant) -> Option<(u32, u32)> {
        if let Some(&(first, slot, generation)) = self.near.last()
            && first == deadline
        {
            self.near.pop();
            return Some((slot, generation));
        }
        match self.late.peek() {
            Some(&Reverse((first, slot, generation))) if first == deadline => {
                self.late.pop();
                Some((slot, generation))
            }
            _ => None,
        }
    }

    /// Once for each group of them: those of which the first is about to be taken.
    pub(super) fn coming(&mut self) -> &[Near] {
        let end = self.near.len();
        if end > self.fresh {
            return &[];
        }
        self.fresh = end.saturating_sub(COMING);
        &self.near[self.fresh..end]
    }

    pub(super) fn len(&self) -> usize {
        self.far + self.near.len() + self.late.len()
    }

    /// Drops every entry that `wanted` does not confirm.
    pub(super) fn compact(&mut self, wanted: impl Fn(Instant, u32, u32) -> bool) {
        self.near.retain(|&(deadline, slot, generation)| wanted(deadline, slot, generation));
        self.fresh = self.near.len();
        self.late.retain(|&Reverse((deadline, slot, generation))| wanted(deadline, slot, generation));
        self.put_back();
        self.spans.retain(|span, entries| {
            let begins = span * SPAN_MS;
            entries.retain(|&(into, slot, generation)| wanted(begins + i64::from(into), slot, generation));
            entries.shrink_to_fit();
            !entries.is_empty()
        });
        self.far = self.spans.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn wake_ups_come_by_deadline_whatever_their_span_and_whenever_they_were_asked_for() {
        let mut timers = Timers::default();
        for (slot, deadline) in (0..).zip([5_000, 999, 86_400_000, 1_000, -1, 1_999, i64::MAX - 1]) {
            timers.push(deadline, slot, 0);
        }
        let mut come = Vec::new();
        while let Some(deadline) = timers.first(Instant::MAX, |_| {}, |_, slot, _| slot != 5) {
            while let Some((slot, _)) = timers.take(deadline) {
                come.push((deadline, slot));
            }
            if deadline == 1_000 {
                // Its span is opened already.
                timers.push(1_500, 7, 0);
                timers.push(1_001, 8, 0);
            }
        }
        let expected = [(-1, 4), (999, 1), (1_000, 3), (1_001, 8), (1_500, 7), (5_000, 0), (86_400_000, 2)];
        assert_eq!(come[..7], expected);
        assert_eq!(come[7..], [(i64::MAX - 1, 6)]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn no_span_is_opened_before_its_time_and_what_nobody_wants_is_dropped() {
        let mut timers = Timers::default();
        (0..10).for_each(|slot| timers.push(60_000 + i64::from(slot), slot, 0));
        assert_eq!(timers.first(60_000, |_| {}, |_, _, _| true), None);
        assert_eq!(timers.len(), 10);
        timers.compact(|_, slot, _| slot % 2 == 1);
        assert_eq!((timers.len(), timers.first(60_001, |_| {}, |_, _, _| true)), (5, Some(60_001)));
        assert_eq!(timers.first(70_000, |_| {}, |_, _, _| false), None);
        assert_eq!(timers.len(), 0);
    }

    proptest! {
        /// Whatever is asked for meanwhile, wake-ups come by deadline, each once, and as many wait as were asked for and have not come.
        #[test]
        fn wake_ups_are_those_of_one_sorted_list(
            steps in vec((0..4_u8, 0..9_000_i64, any::<bool>()), 1..80),
        ) {
            let mut timers = Timers::default();
            let mut model = BTreeSet::new();
            let mut now = 0;
            for (slot, (step, ahead, even)) in (0..).zip(steps) {
                match step {
                    0 => {
                        let earliest = timers.earliest(|_, _, _| true);
                        prop_assert_eq!(earliest, model.first().map(|(deadline, _)| *deadline));
                    }
                    1 => {
                        timers.compact(|_, slot, _| (slot % 2 == 0) == even);
                        model.retain(|(_, slot)| (slot % 2 == 0) == even);
                    }
                    2 => {
                        now += ahead / 3;
                        let mut come = BTreeSet::new();
                        while let Some(deadline) = timers.first(now, |_| {}, |_, _, _| true).filter(|at| *at < now) {
                            while let Some((slot, _)) = timers.take(deadline) {
                                come.insert((deadline, slot));
                            }
                        }
                        let later = model.split_off(&(now, 0));
                        prop_assert_eq!(come, std::mem::replace(&mut model, later));
                    }
                    _ => {
                        timers.push(now + ahead, slot, 0);
                        model.insert((now + ahead, slot));
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
            }
        }
    }
}
