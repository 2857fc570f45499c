//! Memory that will be wanted soon, fetched for many events at once.
//!
//! An event is a dozen looks at places that nothing else has looked at lately: its own bytes, its hash among millions, its terminal, its
//! payment. One after the other each is waited for. So the lines of each kind of place are asked for, for all events of a group, before any of
//! them is handed out, and come while the others are asked for. Owns no decision: without it everything is the same, and slower (ADR 0019,
//! ADR 0032).

use tillwatch_wit::table::FieldId;

use super::{
    Partition, dedup,
    order::{Order, Ready},
    terminals::{Terminal, Terminals},
};

/// Records that are taken in together: few enough for what they make due to stay near until it is handed out.
pub(super) const RECORDS: usize = 128;

/// Events or visits whose places are fetched together.
pub(super) const TOGETHER: usize = 64;

/// What a group of events will look for.
#[derive(Default)]
pub(super) struct Ahead {
    places: Vec<u32>,
    /// What each event is remembered by, and the hash of its terminal's name.
    hashes: Vec<(u128, u64)>,
    terminals: Vec<Option<Terminal>>,
}

/// Fetches what the events hold that the next records will make due.
pub(super) fn fetch_waiting(order: &Order) {
    order.waiting.fetch(RECORDS);
}

impl Partition {
    /// Fetches what the events to be handed out next will look at.
    pub(super) fn fetch_ready(&mut self) {
        let Ahead { mut places, mut hashes, mut terminals } = std::mem::take(&mut self.scratch.ahead);
        places.clear();
        let events = self.order.ready.iter().take(TOGETHER).filter_map(|ready| match ready {
            Ready::Event { place, .. } => Some(*place),
            _ => None,
        });
        places.extend(events);
        self.fetched = places.len().max(1);
        let known = &self.keyed.terminals;
        // What is computed is computed first, and the lines are asked for one behind the other (ADR 0032).
        hashes.clear();
        hashes.extend(places.iter().map(|place| {
            let event = &self.order.waiting.placed(*place).event;
            (dedup::hash(event), Terminals::hash(event.piece(FieldId::PARTITIONKEY)))
        }));
        hashes.iter().for_each(|(_, name)| known.fetch_index(*name));
        hashes.iter().for_each(|(hash, _)| self.dedup.fetch(*hash));
        terminals.clear();
        terminals.extend(hashes.iter().map(|(_, name)| known.guess(*name)));
        terminals.iter().flatten().for_each(|terminal| known.fetch(*terminal));
        terminals.iter().flatten().for_each(|terminal| known.fetch_name(*terminal));
        for ((place, (hash, _)), terminal) in places.iter().zip(&hashes).zip(&terminals) {
            self.order.waiting.remember(*place, *hash, *terminal);
        }
        self.scratch.ahead = Ahead { places, hashes, terminals };
    }

    /// Fetches where keys of these hashes probably are, and gives it.
    pub(super) fn fetch_slots(&self, hashes: impl Iterator<Item = u64> + Clone, slots: &mut Vec<Option<u32>>) {
        hashes.clone().for_each(|hash| self.keyed.fetch_index(hash));
        slots.clear();
        slots.extend(hashes.map(|hash| self.keyed.guess(hash)));
        self.keyed.fetch(slots.iter().copied().flatten());
    }
}
