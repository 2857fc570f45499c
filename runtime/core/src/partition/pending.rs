//! The moments of one flush, which are of distinct terminals. Those that are over stay as room for the next: their lists are memory that each
//! would ask for anew, and a moment is three lines of memory that would be moved in and out.

use tillwatch_wit::table::EVENTS;

use super::moment::Moment;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The first `len` are pending, the others empty.
    moments: Vec<Moment>,
    len: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One more, which is empty.
    #[inline]
    pub(super) fn add(&mut self) -> &mut Moment {
        if self.len == self.moments.len() {
            self.moments.push(Moment::default());
        }
        self.len += 1;
        &mut self.moments[self.len - 1]
    }

    /// Those that are pending, in the order in which they came.
    pub(super) fn moments(&mut self) -> &mut [Moment] {
        &mut self.moments[..self.len]
    }

    /// None is pending any more.
    pub(super) fn clear(&mut self) {
        self.moments().iter_mut().for_each(Moment::clear);
        self.len = 0;
    }
}

/// The order in which a flush visits its moments: those that began with one type of event behind each other. They are of distinct terminals,
/// so that it is all the same to what comes of them; but a processor guesses that a rule goes the way it went before (ADR 0035).
pub(super) fn by_type(moments: &[Moment], order: &mut Vec<usize>) {
    let kind = |moment: &Moment| (moment.event_type().0 as usize).min(EVENTS.len());
    let mut places = [0; EVENTS.len() + 1];
    for moment in moments {
        places[kind(moment)] += 1;
    }
    let mut begins = 0;
    for place in &mut places {
        begins += std::mem::replace(place, begins);
    }
    order.clear();
    order.resize(moments.len(), 0);
    for (index, moment) in moments.iter().enumerate() {
        let place = &mut places[kind(moment)];
        order[*place] = index;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_wit::table::TypeId;

    use super::*;
    use crate::event::EventBuilder;

    #[test]
    fn moments_of_one_type_follow_each_other_in_the_order_in_which_they_came() {
        let mut pending = Pending::default();
        let types = [3, 255, 0, 3, 254, 0, 255, 3];
        for kind in types.into_iter().chain([7]) {
            let mut event = EventBuilder::new(&[]);
            event.set_type(TypeId(kind));
            let moment = pending.add();
            // A wake-up has no event.
            moment.events.extend((kind != 7).then(|| event.build()));
        }
        let mut order = vec![9; 20];
        by_type(pending.moments(), &mut order);
        assert_eq!(order, [2, 5, 0, 3, 7, 1, 4, 6, 8]);
        pending.clear();
        assert!(pending.is_empty());
        by_type(pending.moments(), &mut order);
        assert!(order.is_empty());
    }
}
