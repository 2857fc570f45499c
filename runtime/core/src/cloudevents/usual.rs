//! The names that `data` of each event type usually has, in their order. A sender writes them the same way every time, so the next name is
//! compared with one and not looked for among all. Owns no decision: a name that comes unexpectedly is looked for as ever.

use tillwatch_wit::table::{EVENTS, FieldId, Kind, TypeId};

/// As much as is compared at once: a header of one byte and a name of up to fifteen.
const WORD_BYTES: usize = size_of::<u128>();
/// So many names of a type are remembered.
const NAMES_MAX: usize = 32;

/// A name as CBOR writes it, header and all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    word: u128,
    mask: u128,
    bytes: usize,
    /// The field that it is of.
    pub(super) field: FieldId,
    /// Whether that is a text.
    pub(super) text: bool,
}

impl Name {
    /// What is behind it, where it stands first in the bytes.
    #[inline(always)]
    pub(super) fn before<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let there = match bytes.first_chunk() {
            Some(word) => u128::from_le_bytes(*word) & self.mask == self.word,
            None => bytes.starts_with(&self.word.to_le_bytes()[..self.bytes]),
        };
        if there { bytes.get(self.bytes..) } else { None }
    }
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
    /// Those that usually come, one after the other; how many have come is for the caller to say, see [`Coming::came`].
    pub(super) fn ahead(&self) -> &[Name] {
        &self.names[self.place..]
    }

    /// So many came as expected.
    pub(super) fn came(&mut self, count: usize) {
        self.place += count;
    }

    /// The name that came next instead, with its header: of that field. What was left out is not waited for.
    pub(super) fn put(&mut self, name: &[u8], field: FieldId) {
        if let Some(left_out) = self.names[self.place..].iter().position(|name| name.field == field) {
            self.place += left_out + 1;
        } else if name.len() <= WORD_BYTES && self.names.len() < NAMES_MAX {
            let (mut word, mut mask) = ([0; WORD_BYTES], [0; WORD_BYTES]);
            word[..name.len()].copy_from_slice(name);
            mask[..name.len()].fill(u8::MAX);
            let (word, mask) = (u128::from_le_bytes(word), u128::from_le_bytes(mask));
            let text = field.field().kind == Kind::Text;
            self.names.insert(self.place, Name { word, mask, bytes: name.len(), field, text });
            self.place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field whose name stands first in the bytes where it is the one that is expected, and what is behind it.
    fn next<'b>(coming: &Coming<'_>, bytes: &'b [u8]) -> Option<(FieldId, &'b [u8])> {
        let name = coming.ahead().first()?;
        name.before(bytes).map(|behind| (name.field, behind))
    }

    #[test]
    fn a_name_is_known_again_in_its_place_and_nothing_else_is() {
        let mut usual = Usual::new();
        let mut coming = usual.of(TypeId(0));
        let bytes = *b"\x64site\x66S00001\x66amount\x60.........";
        assert_eq!(next(&coming, &bytes), None);
        coming.put(&bytes[..5], FieldId::SITE);
        assert_eq!(next(&coming, &bytes[12..]), None);
        coming.put(&bytes[12..19], FieldId::AMOUNT);
        let mut coming = usual.of(TypeId(0));
        assert_eq!(coming.ahead().iter().map(|name| name.text).collect::<Vec<_>>(), [true, false]);
        assert_eq!(next(&coming, &bytes[12..]), None, "another one's place");
        assert_eq!(next(&coming, &bytes), Some((FieldId::SITE, &bytes[5..])));
        coming.came(1);
        for end in 12..bytes.len() {
            let known = (end >= 19).then(|| (FieldId::AMOUNT, &bytes[19..end]));
            assert_eq!(next(&coming, &bytes[12..end]), known, "{end}: also where little follows");
        }
        coming.came(1);
        assert_eq!(next(&coming, &bytes), None, "more have never come");
        assert_eq!(next(&usual.of(TypeId(1)), &bytes), None, "another type's");
        assert_eq!(next(&usual.of(TypeId::CUSTOM), &bytes), None);
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
                let known = next(&coming, name) == Some((field, &name[5..]));
                if known {
                    coming.came(1);
                } else {
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
