//! The names of a payment, in one piece: as texts of their own each would be made and dropped at every visit to the terminal.

/// How many there are.
const COUNT: usize = 4;

/// Transaction key, rail, acquirer and the id of the authorize, one behind the other. Their lengths are bounded by `till`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    all: String,
    ends: [u16; COUNT],
}

impl Names {
    /// Of a payment whose authorize was not seen.
    #[must_use]
    pub fn new(txn: &str, rail: &str, acquirer: &str) -> Self {
        let mut names = Self::default();
        for (index, name) in [txn, rail, acquirer].into_iter().enumerate() {
            names.all.push_str(name);
            names.end(index);
        }
        names
    }

    /// What was put in last is the end of this one, and of those behind it.
    fn end(&mut self, index: usize) {
        self.ends[index..].fill(u16::try_from(self.all.len()).expect("invariant: names are bounded"));
    }

    fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.all[usize::from(start)..usize::from(self.ends[index])]
    }

    /// The transaction key.
    #[must_use]
    pub fn txn(&self) -> &str {
        self.get(0)
    }

    /// The rail.
    #[must_use]
    pub fn rail(&self) -> &str {
        self.get(1)
    }

    /// Whom to ask.
    #[must_use]
    pub fn acquirer(&self) -> &str {
        self.get(2)
    }

    /// The id of the authorize; empty where none is kept.
    #[must_use]
    pub fn authorize(&self) -> &str {
        self.get(3)
    }

    /// Keeps the id of the authorize.
    pub fn set_authorize(&mut self, id: &str) {
        self.all.truncate(usize::from(self.ends[2]));
        self.all.push_str(id);
        self.end(3);
    }

    /// Appends them as a state holds them: where each ends, two bytes, and the texts.
    pub(crate) fn append(&self, bytes: &mut Vec<u8>) {
        self.ends.iter().for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        bytes.extend_from_slice(self.all.as_bytes());
    }

    /// Splits off what [`Names::append`] wrote; none where it is not that.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<{ 2 * COUNT }>()?;
        let ends: [u16; COUNT] =
            std::array::from_fn(|index| u16::from_le_bytes([head[2 * index], head[2 * index + 1]]));
        let (all, rest) = rest.split_at_checked(usize::from(ends[COUNT - 1]))?;
        let all = std::str::from_utf8(all).ok()?;
        let sound = ends.is_sorted() && ends.iter().all(|end| all.is_char_boundary(usize::from(*end)));
        sound.then(|| (Self { all: all.to_owned(), ends }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_also_where_the_authorize_comes_later_or_again() {
        let mut names = Names::new("A01:M1:T1:1:7", "card", "A01");
        assert_eq!(
            (names.txn(), names.rail(), names.acquirer(), names.authorize()),
            ("A01:M1:T1:1:7", "card", "A01", "")
        );
        for id in ["an-id", "编号", "", "x"] {
            names.set_authorize(id);
            assert_eq!((names.acquirer(), names.authorize()), ("A01", id));
            let mut bytes = Vec::new();
            names.append(&mut bytes);
            bytes.push(7);
            assert_eq!(Names::split(&bytes), Some((names.clone(), &[7][..])));
        }
    }

    #[test]
    fn what_no_names_were_written_as_is_none() {
        let mut bytes = Vec::new();
        Names::new("店A", "r", "").append(&mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(Names::split(&bytes[..length]), None, "cut to {length} bytes");
        }
        for (place, byte) in [(0, 1), (0, 6), (2, 0), (8, 0xff)] {
            let mut bytes = bytes.clone();
            bytes[place] = byte;
            assert_eq!(Names::split(&bytes), None, "{byte} at {place}");
        }
    }
}
