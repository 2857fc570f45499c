//! Memory that will be wanted soon, fetched for many events at once.
//!
//! An event is a dozen looks at places that nothing else has looked at lately: its own bytes, its hash among millions, its terminal, its
//! payment. One after the other each is waited for; looked at for many events in turn, kind by kind, a processor waits for them together.
//! So each kind of place is read for all events of a group before any of them is handed out. Owns no decision: without it everything is
//! the same, and slower (ADR 0019).

use std::hint::black_box;

use tillwatch_wit::{contract::Scope, table::FieldId};

use super::{
    Partition, dedup,
    order::{Order, Ready},
    terminals::Terminal,
};

/// Records that are taken in together: few enough for what they make due to stay near until it is handed out.
pub(super) const RECORDS: usize = 256;

/// Events whose places are looked at together.
const EVENTS: usize = 64;

/// What a group of events will look for.
#[derive(Default)]
pub(super) struct Ahead {
    places: Vec<u32>,
    terminals: Vec<Option<Terminal>>,
    slots: Vec<u32>,
}

/// Reads what the events hold that the next records will make due.
pub(super) fn touch_waiting(order: &Order) {
    black_box(order.waiting.touch(RECORDS));
}

impl Partition {
    /// Looks where the events to be handed out next will look.
    pub(super) fn touch_ready(&mut self) {
        let Ahead { mut places, mut terminals, mut slots } = std::mem::take(&mut self.scratch.ahead);
        places.clear();
        let events = self.order.ready.iter().take(EVENTS).filter_map(|ready| match ready {
            Ready::Event { place, .. } => Some(*place),
            _ => None,
        });
        places.extend(events);
        self.touched = places.len().max(1);
        for &place in &places {
            let event = &self.order.waiting.placed(place).event;
            let (hash, name) = (dedup::hash(event), event.piece(FieldId::PARTITIONKEY));
            let terminal = self.keyed.terminals.guess(name);
            self.order.waiting.remember(place, hash, terminal);
        }
        let placed = |place: &u32| self.order.waiting.placed(*place);
        black_box(places.iter().fold(0, |sum, place| sum + usize::from(self.dedup.touch(placed(place).hash))));
        let known = &self.keyed.terminals;
        terminals.clear();
        terminals.extend(places.iter().map(|place| placed(place).terminal));
        let length = |sum, terminal: &Terminal| sum + known.touch(*terminal).len();
        black_box(terminals.iter().flatten().fold(0, length));
        let first =
            |sum, terminal: &Terminal| sum + known.touch(*terminal).first().map_or(0, |byte| usize::from(*byte));
        black_box(terminals.iter().flatten().fold(0, first));
        slots.clear();
        for (place, terminal) in places.iter().zip(&terminals) {
            let (Some(terminal), event) = (*terminal, &placed(place).event) else { continue };
            for &(rule, _) in self.routes.of(event) {
                let by_payment = self.routes.rules[rule as usize].key == Scope::Payment;
                let key = if by_payment { event.piece(FieldId::SUBJECT) } else { &[] };
                slots.extend(self.keyed.guess(rule, terminal, key));
            }
        }
        self.keyed.touch(slots.iter().copied());
        self.scratch.ahead = Ahead { places, terminals, slots };
    }
}
