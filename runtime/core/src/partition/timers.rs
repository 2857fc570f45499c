//! The timer index: which slot wants to be woken when. One wake-up per slot; what a slot no longer wants stays in the heap until it
//! comes up, and is recognised there (ADR 0004).

use std::{cmp::Reverse, collections::BinaryHeap};

use tillwatch_wit::contract::Instant;

/// A heap of (deadline, slot, the slot's generation).
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, u32, u32)>>,
}

impl Timers {
    pub(super) fn push(&mut self, deadline: Instant, slot: u32, generation: u32) {
        self.heap.push(Reverse((deadline, slot, generation)));
    }

    /// The earliest deadline that `wanted` confirms; drops those before it that it does not.
    pub(super) fn first(&mut self, wanted: impl Fn(Instant, u32, u32) -> bool) -> Option<Instant> {
        while let Some(&Reverse((deadline, slot, generation))) = self.heap.peek() {
            if wanted(deadline, slot, generation) {
                return Some(deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes one entry with that very deadline.
    pub(super) fn take(&mut self, deadline: Instant) -> Option<(u32, u32)> {
        match self.heap.peek() {
            Some(&Reverse((first, slot, generation))) if first == deadline => {
                self.heap.pop();
                Some((slot, generation))
            }
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Drops every entry that `wanted` does not confirm.
    pub(super) fn compact(&mut self, wanted: impl Fn(Instant, u32, u32) -> bool) {
        self.heap.retain(|&Reverse((deadline, slot, generation))| wanted(deadline, slot, generation));
    }
}
