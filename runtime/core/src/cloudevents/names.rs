//! From a name to its row, without comparing it with every name: a perfect hash, found when the decoder is made.

/// Slots of the table: sparse enough that a multiplier without collisions is found within some hundred tries for about 100 names.
const SLOTS: usize = 2048;
const SLOTS_LOG2: u32 = SLOTS.trailing_zeros();
const EMPTY: u8 = u8::MAX;

/// A fixed set of names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    multiplier: u64,
    slots: Box<[u8; SLOTS]>,
    names: Vec<&'static str>,
}

impl Names {
    /// A table in which the name `names[i]` gives `i`.
    ///
    /// # Panics
    /// When there are 255 names or more, or two are equal: the tables of `tillwatch-wit` exclude both.
    pub(super) fn new(names: Vec<&'static str>) -> Self {
        assert!(names.len() < usize::from(EMPTY), "invariant: a row fits a byte");
        let mut multiplier = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..1_000_000 {
            if let Some(slots) = place(&names, multiplier) {
                return Self { multiplier, slots, names };
            }
            multiplier = multiplier.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f) | 1;
        }
        panic!("invariant: distinct names have a perfect hash within a million multipliers");
    }

    /// The row of a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<u8> {
        let row = self.slots[slot(name, self.multiplier)];
        (row != EMPTY && self.names[usize::from(row)].as_bytes() == name).then_some(row)
    }
}

fn place(names: &[&str], multiplier: u64) -> Option<Box<[u8; SLOTS]>> {
    let mut slots = Box::new([EMPTY; SLOTS]);
    for (row, name) in names.iter().enumerate() {
        let slot = &mut slots[slot(name.as_bytes(), multiplier)];
        if *slot != EMPTY {
            return None;
        }
        *slot = u8::try_from(row).expect("invariant: a row fits a byte");
    }
    Some(slots)
}

/// The first and last eight bytes and the length tell all names of the tables apart.
fn slot(name: &[u8], multiplier: u64) -> usize {
    let length = name.len();
    let word = |at: usize| u64::from_le_bytes(name[at..at + 8].try_into().expect("invariant: eight bytes"));
    let half = |at: usize| u64::from(u32::from_le_bytes(name[at..at + 4].try_into().expect("invariant: four bytes")));
    let mixed = match length {
        0 => 0,
        1..=3 => u64::from(name[0]) | u64::from(name[length / 2]) << 8 | u64::from(name[length - 1]) << 16,
        4..=7 => half(0) | half(length - 4) << 32,
        _ => word(0) ^ word(length - 8).rotate_left(23),
    };
    let hash = (mixed ^ length as u64).wrapping_mul(multiplier);
    usize::try_from(hash >> (64 - SLOTS_LOG2)).expect("invariant: a slot fits usize")
}

#[cfg(test)]
mod tests {
    use tillwatch_wit::table::{EVENTS, FIELDS};

    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for names in [
            FIELDS.iter().map(|field| field.name).collect::<Vec<_>>(),
            EVENTS.iter().map(|event| event.name).collect(),
            vec![],
        ] {
            let table = Names::new(names.clone());
            for (row, name) in names.iter().enumerate() {
                assert_eq!(table.get(name.as_bytes()).map(usize::from), Some(row), "{name}");
                assert_eq!(table.get(format!("{name}x").as_bytes()), None);
            }
            for other in ["", "x", "amounts", "pos.payment.authorise", "\u{fffd}"] {
                assert_eq!(table.get(other.as_bytes()), None, "{other}");
            }
        }
    }
}
