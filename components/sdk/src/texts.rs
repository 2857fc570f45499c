//! A few texts in one piece, for states that are read and written at every visit: a text of its own is made and dropped each time.

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Texts that one piece holds.
pub const TEXTS_MAX: usize = 12;

/// See the module. What was not set is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    all: String,
    ends: [u32; TEXTS_MAX],
}

/// How they are written: how many, up to the last that is not empty, and where each ends; then the texts. An end has two bytes where all of them fit, else
/// four: nothing is looked for, and nothing counted up.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    #[serde(with = "serde_bytes")]
    ends: &'a [u8],
    #[serde(with = "serde_bytes")]
    all: &'a [u8],
}

/// Beside the number of texts: each end has four bytes.
const WIDE: u8 = 1 << 7;

/// Texts as they lie in a stored state.
pub(crate) struct Lent<'a> {
    all: &'a [u8],
    ends: [u32; TEXTS_MAX],
}

impl<'a> Lent<'a> {
    /// Of a state that begins with texts; none where it does not.
    pub(crate) fn beginning(state: &'a [u8]) -> Option<Self> {
        Self::of(&postcard::take_from_bytes(state).ok()?.0)
    }

    fn of(packed: &Packed<'a>) -> Option<Self> {
        let (head, rest) = packed.ends.split_first()?;
        let count = usize::from(head & !WIDE);
        let mut ends = [0; TEXTS_MAX];
        let own = ends.get_mut(..count)?;
        let last = if head & WIDE == 0 { read_ends::<2>(rest, own)? } else { read_ends::<4>(rest, own)? };
        ends[count..].fill(last);
        (last as usize == packed.all.len()).then_some(Self { all: packed.all, ends })
    }

    pub(crate) fn bytes(&self, index: usize) -> &'a [u8] {
        &self.all[range(&self.ends, index)]
    }
}

/// Reads ends of so many bytes each; gives the last, none where they are not as many or not in order.
fn read_ends<const BYTES: usize>(stored: &[u8], ends: &mut [u32]) -> Option<u32> {
    let (stored, rest) = stored.as_chunks::<BYTES>();
    if stored.len() != ends.len() || !rest.is_empty() {
        return None;
    }
    let mut last = 0;
    for (end, stored) in ends.iter_mut().zip(stored) {
        let mut whole = [0; 4];
        whole[..BYTES].copy_from_slice(stored);
        *end = u32::from_le_bytes(whole);
        if *end < last {
            return None;
        }
        last = *end;
    }
    Some(last)
}

/// Writes ends as so many bytes each; gives how many that are.
fn write_ends<const BYTES: usize>(ends: &[u32], room: &mut [u8]) -> usize {
    for (end, room) in ends.iter().zip(room.as_chunks_mut::<BYTES>().0) {
        room.copy_from_slice(&end.to_le_bytes()[..BYTES]);
    }
    BYTES * ends.len()
}

/// Where one of them lies.
fn range(ends: &[u32; TEXTS_MAX], index: usize) -> Range<usize> {
    index.checked_sub(1).map_or(0, |before| ends[before] as usize)..ends[index] as usize
}

impl Texts {
    /// These, from the first on.
    ///
    /// # Panics
    /// Where there are more than [`TEXTS_MAX`].
    #[must_use]
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut made = Self::default();
        texts.into_iter().enumerate().for_each(|(index, text)| made.set(index, text));
        made
    }

    /// One of them.
    ///
    /// # Panics
    /// From [`TEXTS_MAX`] on.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        &self.all[range(&self.ends, index)]
    }

    /// The same without a look at what its bytes mean.
    ///
    /// # Panics
    /// As [`Texts::get`].
    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        &self.all.as_bytes()[range(&self.ends, index)]
    }

    /// Sets one of them.
    ///
    /// # Panics
    /// As [`Texts::get`], and where all of them have more than 4 GiB.
    pub fn set(&mut self, index: usize, text: &str) {
        let (Range { start, end: old }, length) = (range(&self.ends, index), self.all.len());
        let (before, end) = (self.ends[index], start + text.len());
        let behind = old..length;
        let now = end + behind.len();
        // As bytes: to replace a part of a text by a longer one costs several times as much.
        let mut all = std::mem::take(&mut self.all).into_bytes();
        if now > length {
            all.resize(now, 0);
        }
        all.copy_within(behind, end);
        all.truncate(now);
        all[start..end].copy_from_slice(text.as_bytes());
        self.all = String::from_utf8(all).expect("invariant: texts behind each other are text");
        let end = u32::try_from(end).expect("texts of a state are far smaller");
        for later in &mut self.ends[index..] {
            *later = *later - before + end;
        }
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let last = u32::try_from(self.all.len()).expect("texts of a state are far smaller");
        let count = if last == 0 { 0 } else { self.ends.partition_point(|end| *end < last) + 1 };
        let mut ends = [0; 1 + 4 * TEXTS_MAX];
        let (head, room) = ends.split_at_mut(1);
        head[0] = u8::try_from(count).expect("invariant: texts are few");
        let own = &self.ends[..count];
        let length = if last <= u32::from(u16::MAX) {
            write_ends::<2>(own, room)
        } else {
            head[0] |= WIDE;
            write_ends::<4>(own, room)
        };
        Packed { ends: &ends[..=length], all: self.all.as_bytes() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lent = Lent::of(&Packed::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("no texts"))?;
        let all = std::str::from_utf8(lent.all).ok();
        let all = all.filter(|all| all.is_ascii() || lent.ends.iter().all(|end| all.is_char_boundary(*end as usize)));
        let all = all.ok_or_else(|| D::Error::custom("texts that are no UTF-8"))?.to_owned();
        Ok(Self { all, ends: lent.ends })
    }
}

#[cfg(test)]
mod tests {
    use super::{Lent, TEXTS_MAX, Texts};
    use crate::{decode_state, encode_state};

    #[test]
    fn a_text_that_changes_leaves_the_others_as_they_are() {
        let mut texts = Texts::default();
        let mut model = vec![String::new(); TEXTS_MAX];
        for step in 0..1_000 {
            let (index, text) = (step * 7 % TEXTS_MAX, "店x".repeat(step * 5 % 9));
            texts.set(index, &text);
            model[index] = text;
            assert!((0..TEXTS_MAX).all(|index| texts.get(index) == model[index]), "after step {step}");
            assert_eq!(texts.bytes(index), model[index].as_bytes());
        }
        assert_eq!(Texts::of(model.iter().map(String::as_str)), texts);
    }

    #[test]
    fn what_is_written_reads_back_and_is_lent_as_it_lies() {
        for lengths in [
            [0; TEXTS_MAX],
            [3; TEXTS_MAX],
            std::array::from_fn(|index| index * 80),
            [0, 254, 255, 256, 0, 0, 70_000, 1, 0, 0, 0, 0],
        ] {
            let owned = lengths.map(|length| "x".repeat(length));
            let texts = Texts::of(owned.iter().map(String::as_str));
            let mut state = encode_state(&texts).expect("is written");
            assert_eq!(decode_state(&state), Ok(texts));
            state.extend_from_slice(b"and more");
            let lent = Lent::beginning(&state).expect("it begins with texts");
            assert!((0..TEXTS_MAX).all(|index| lent.bytes(index) == owned[index].as_bytes()), "{lengths:?}");
        }
        assert_eq!(encode_state(&Texts::default()), Ok(vec![1, 0, 0]));
    }

    #[test]
    fn what_no_texts_were_written_as_is_an_error() {
        let state = encode_state(&Texts::of(["a", "bc", &"d".repeat(300)])).expect("is written");
        for length in 0..state.len() {
            assert!(decode_state::<Texts>(&state[..length]).is_err(), "cut to {length} bytes");
        }
        for place in 0..state.len().min(20) {
            for byte in 0..=u8::MAX {
                let mut state = state.clone();
                state[place] = byte;
                if let Ok(texts) = decode_state::<Texts>(&state) {
                    (0..TEXTS_MAX).for_each(|index| assert!(texts.get(index).len() <= state.len()));
                }
            }
        }
        assert!(decode_state::<Texts>(&[&[27, 13][..], &[0; 26], &[0]].concat()).is_err(), "too many");
        assert!(decode_state::<Texts>(&[3, 1, 1, 0, 1, 0xff]).is_err(), "no UTF-8");
        assert!(decode_state::<Texts>(&[5, 2, 1, 0, 0, 0, 0]).is_err(), "one ends before it begins");
        assert!(decode_state::<Texts>(&[4, 1, 1, 0, 0, 1, b'x']).is_err(), "a byte too many");
    }
}
