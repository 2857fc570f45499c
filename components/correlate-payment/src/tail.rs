//! The end of a packed state, kept as it lies there: texts, then the events that opened windows. Most visits read none of it, so it is
//! copied whole and looked into where needed.
//!
//! A text is its length (one byte, or 255 and four) and its bytes; which texts there are says `texts`, in the order of [`Text`]. An opener is
//! its event (index in the rule's `EVENTS`), the length of its id, its own time from `base` in eight bytes, and its id.

use crate::state::Text;

/// The event that opened a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opener<'a> {
    /// Index in the rule's `EVENTS`.
    pub(crate) event: u8,
    pub(crate) id: &'a [u8],
    /// Its own time, from `base`.
    pub(crate) time: i64,
}

/// Every text's bit.
pub(crate) const TEXTS: u8 = (1 << (Text::Rail as u8 + 1)) - 1;

/// Openers of a payment: each is spoken of by a window or a finding, of which there is one of each kind at most, or is this visit's.
pub(crate) const OPENERS_MAX: u8 = 63;

/// Bytes of an opener before its id.
const OPENER_HEAD_BYTES: usize = 10;

/// Of the texts and openers that an ordinary payment comes to have: what it begins with is moved no more.
const TEXTS_ROOM_BYTES: usize = 120;

/// Of an ordinary opener, with an id of 26 characters.
const OPENER_ROOM_BYTES: usize = 40;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    texts: u8,
    openers: u8,
    /// Where the openers begin.
    openers_at: usize,
    bytes: Vec<u8>,
}

impl Tail {
    /// Becomes these bytes, which hold these texts and so many openers; none where they do not.
    pub(crate) fn read(&mut self, texts: u8, openers: u8, bytes: &[u8]) -> Option<()> {
        let mut rest = bytes;
        for _ in 0..(texts & TEXTS).count_ones() {
            rest = split_text(rest)?.1;
        }
        let openers_at = bytes.len() - rest.len();
        for _ in 0..openers {
            rest = split_opener(rest)?.1;
        }
        let sound = texts & !TEXTS == 0 && openers <= OPENERS_MAX && rest.is_empty();
        if !sound {
            return None;
        }
        self.bytes.clear();
        // Room for an opener of this visit.
        self.bytes.reserve(bytes.len() + OPENER_ROOM_BYTES);
        self.bytes.extend_from_slice(bytes);
        (self.texts, self.openers, self.openers_at) = (texts, openers, openers_at);
        Some(())
    }

    /// Its texts as bits, its openers, its bytes.
    pub(crate) fn parts(&self) -> (u8, u8, &[u8]) {
        (self.texts, self.openers, &self.bytes)
    }

    pub(crate) fn has(&self, text: Text) -> bool {
        self.texts & 1 << text as u8 != 0
    }

    /// A text, where it is there.
    pub(crate) fn text(&self, text: Text) -> Option<&str> {
        if !self.has(text) {
            return None;
        }
        let (found, _) = split_text(&self.bytes[self.start(text)..])?;
        Some(std::str::from_utf8(found).expect("invariant: texts are UTF-8"))
    }

    /// Where a text stands, or would.
    fn start(&self, text: Text) -> usize {
        let before = (self.texts & ((1 << text as u8) - 1)).count_ones();
        let mut rest = &self.bytes[..];
        for _ in 0..before {
            rest = split_text(rest).expect("invariant: the tail was checked").1;
        }
        self.bytes.len() - rest.len()
    }

    /// Puts in a text that is not there yet.
    pub(crate) fn put(&mut self, text: Text, content: &[u8]) {
        debug_assert!(!self.has(text), "the first one that says it counts");
        let at = self.start(text);
        let (head, count) = length(u32::try_from(content.len()).expect("invariant: a text is under 4 GiB"));
        let head = &head[..count];
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(TEXTS_ROOM_BYTES + OPENER_ROOM_BYTES);
        }
        let length = head.len() + content.len();
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(content);
        self.bytes[at..].rotate_right(length);
        self.texts |= 1 << text as u8;
        self.openers_at += length;
    }

    pub(crate) fn openers_count(&self) -> u8 {
        self.openers
    }

    /// In the order in which they opened something.
    pub(crate) fn openers(&self) -> impl Iterator<Item = Opener<'_>> {
        let mut rest = &self.bytes[self.openers_at..];
        std::iter::from_fn(move || {
            let (opener, tail) = split_opener(rest)?;
            rest = tail;
            Some(opener)
        })
    }

    /// Adds one; gives its place, none where there is no room.
    pub(crate) fn push_opener(&mut self, opener: Opener<'_>) -> Option<u8> {
        let length = u8::try_from(opener.id.len()).ok().filter(|_| self.openers < OPENERS_MAX)?;
        let [a, b, c, d, e, f, g, h] = opener.time.to_le_bytes();
        self.bytes.extend_from_slice(&[opener.event, length, a, b, c, d, e, f, g, h]);
        self.bytes.extend_from_slice(opener.id);
        self.openers += 1;
        Some(self.openers - 1)
    }

    /// Keeps those whose places are in `places`.
    pub(crate) fn retain_openers(&mut self, places: u64) {
        let (mut from, mut to) = (self.openers_at, self.openers_at);
        for place in 0..self.openers {
            let length = OPENER_HEAD_BYTES + usize::from(self.bytes[from + 1]);
            if places & 1 << place != 0 {
                self.bytes.copy_within(from..from + length, to);
                to += length;
            }
            from += length;
        }
        self.bytes.truncate(to);
        self.openers = u8::try_from(places.count_ones()).expect("invariant: 64 bits at most");
    }
}

/// Stands as the length of a text that has four bytes more for it.
const LONG: u8 = u8::MAX;

/// A length as it is written, and how many of the bytes that are.
#[inline]
fn length(length: u32) -> ([u8; 5], usize) {
    let [a, b, c, d] = length.to_le_bytes();
    if length < u32::from(LONG) { ([a, 0, 0, 0, 0], 1) } else { ([LONG, a, b, c, d], 5) }
}

/// Splits a length off; none where there is no whole one.
#[inline]
fn split_length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first != LONG {
        return Some((u32::from(first), rest));
    }
    let (length, rest) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*length), rest))
}

fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_length(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn split_opener(bytes: &[u8]) -> Option<(Opener<'_>, &[u8])> {
    let (&[event, length], rest) = bytes.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let (id, rest) = rest.split_at_checked(usize::from(length))?;
    Some((Opener { event, id, time: i64::from_le_bytes(*time) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_reads_back_and_a_part_of_one_is_none() {
        for number in [0, 1, 253, 254, 255, 256, 65_536, u32::MAX] {
            let (bytes, count) = length(number);
            assert_eq!(count, if number < 255 { 1 } else { 5 });
            assert_eq!(split_length(&[&bytes[..count], b"rest"].concat()), Some((number, &b"rest"[..])));
            assert!((0..count).all(|part| split_length(&bytes[..part]).is_none()), "{number}");
        }
    }
}
