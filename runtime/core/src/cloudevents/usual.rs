//! The names that `data` of each event type usually has, in their order. A sender writes them the same way every time, so the next name is
//! compared with one and not looked for among all. Owns no decision: a name that comes unexpectedly is looked for as ever.

use tillwatch_wit::table::{EVENTS, FieldId, TypeId};

/// As much as is compared at once: a header of one byte and a name of up to fifteen.
const WORD_BYTES: usize = size_of::<u128>();
/// So many names of a type are remembered.
const NAMES_MAX: usize = 32;

/// A name as CBOR writes it, header and all.
#[derive(Clone, Copy, Debug)]
struct Name {
    word: u128,
    mask: u128,
    bytes: usize,
    field: FieldId,
}

/// See the module. Remembers from record to record.
#[derive(Debug)]
pub(super) struct Usual {
    /// By event type, behind them that of all types that the table does not have.
    types: Vec<Vec<Name>>,
}

/// Those of one type, and how many of them have come.
pub(super) struct Coming<'u> {
    names: &'u mut Vec<Name>,
    place: usize,
}

impl Usual {
    pub(super) fn new() -> Self {
        Self { types: vec![Vec::new(); EVENTS.len() + 1] }
    }

    pub(super) fn of(&mut self, event_type: TypeId) -> Coming<'_> {
        let row = usize::from(event_type.0).min(EVENTS.len());
        Coming { names: &mut self.types[row], place: 0 }
    }
}

impl Coming<'_> {
    /// The field whose name comes next in the bytes, and how many of them it takes, where it is the one that usually does.
    #[inline]
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<(FieldId, usize)> {
        let name = self.names.get(self.place)?;
        let word = u128::from_le_bytes(*bytes.first_chunk()?);
        if word & name.mask != name.word {
            return None;
        }
        self.place += 1;
        Some((name.field, name.bytes))
    }

    /// The name that came next instead, with its header: of that field. What was left out is not waited for.
    pub(super) fn put(&mut self, name: &[u8], field: FieldId) {
        if let Some(left_out) = self.names[self.place..].iter().position(|known| known.field == field) {
            self.place += left_out + 1;
        } else if name.len() <= WORD_BYTES && self.names.len() < NAMES_MAX {
            let (mut word, mut mask) = ([0; WORD_BYTES], [0; WORD_BYTES]);
            word[..name.len()].copy_from_slice(name);
            mask[..name.len()].fill(u8::MAX);
            let (word, mask) = (u128::from_le_bytes(word), u128::from_le_bytes(mask));
            self.names.insert(self.place, Name { word, mask, bytes: name.len(), field });
            self.place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_again_in_its_place_and_nothing_else_is() {
        let mut usual = Usual::new();
        let mut coming = usual.of(TypeId(0));
        let bytes = *b"\x64site\x66S00001\x66region\x60.........";
        assert_eq!(coming.next(&bytes), None);
        coming.put(&bytes[..5], FieldId::SITE);
        assert_eq!(coming.next(&bytes[12..]), None);
        coming.put(&bytes[12..19], FieldId::REGION);
        let mut coming = usual.of(TypeId(0));
        assert_eq!(coming.next(&bytes[12..]), None, "another one's place");
        assert_eq!(coming.next(&bytes), Some((FieldId::SITE, 5)));
        assert_eq!(coming.next(&bytes[12..27]), None, "too few bytes to compare");
        assert_eq!(coming.next(&bytes[12..]), Some((FieldId::REGION, 7)));
        assert_eq!(coming.next(&bytes), None, "more have never come");
        assert_eq!(usual.of(TypeId(1)).next(&bytes), None, "another type's");
        assert_eq!(usual.of(TypeId::CUSTOM).next(&bytes), None);
    }

    #[test]
    fn what_is_left_out_or_put_between_is_expected_where_it_was() {
        const NAMES: [(&[u8; 16], FieldId); 3] = [
            (b"\x64site...........", FieldId::SITE),
            (b"\x64rail...........", FieldId::RAIL),
            (b"\x64host...........", FieldId::HOST),
        ];
        let mut usual = Usual::new();
        // How many of those of a record were expected.
        let mut expected = |order: &[usize]| {
            let mut coming = usual.of(TypeId::CUSTOM);
            let known = order.iter().filter(|place| {
                let (name, field) = NAMES[**place];
                let known = coming.next(name) == Some((field, 5));
                if !known {
                    coming.put(&name[..5], field);
                }
                known
            });
            known.count()
        };
        assert_eq!(expected(&[0, 2]), 0);
        assert_eq!(expected(&[0, 2]), 2);
        assert_eq!(expected(&[0, 1, 2]), 2, "one between them");
        assert_eq!(expected(&[0, 1, 2]), 3);
        assert_eq!(expected(&[0, 2]), 1, "one left out");
        assert_eq!(expected(&[2, 1, 0]), 0);
        assert_eq!(expected(&[2, 1, 0]), 2, "another order");
        assert_eq!(expected(&[0, 1, 2]), 3, "and the first one as before");
    }

    #[test]
    fn long_names_and_those_past_the_most_are_not_remembered() {
        let mut usual = Usual::new();
        let mut coming = usual.of(TypeId(0));
        coming.put(b"\x70sixteen_letters_", FieldId::SITE);
        assert!(coming.names.is_empty());
        for field in 0..=NAMES_MAX {
            coming.put(b"\x64rail", FieldId(u8::try_from(field).unwrap()));
        }
        assert_eq!(coming.names.len(), NAMES_MAX);
    }
}
