//! A row of items that grows without moving any of them.
//!
//! A vector that is full moves to twice its room: with millions of items that is memory that nobody has touched yet, a hundred times larger than
//! what the item at hand wants, and all of it is copied. Here the row goes on in a next piece (ADR 0034).

use std::ops::{Index, IndexMut};

use crate::line;

/// Items of a piece. The first piece grows up to it, so that a short row is small.
const PIECE: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    /// All are full but the last.
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Pieces<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, item: T) {
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(if self.len == 0 { Vec::new() } else { Vec::with_capacity(PIECE) });
        }
        self.pieces[self.len / PIECE].push(item);
        self.len += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    /// Asks for the lines that so many items begin in, as far as they are of one piece.
    #[inline]
    pub(super) fn fetch<const ITEMS: usize>(&self, at: usize) {
        let (piece, at) = (&self.pieces[at / PIECE], at % PIECE);
        (at..at + ITEMS).for_each(|at| line::fetch(piece, at));
    }
}

impl<T> Index<usize> for Pieces<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pieces[at / PIECE][at % PIECE]
    }
}

impl<T> IndexMut<usize> for Pieces<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pieces[at / PIECE][at % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_where_they_were_pushed() {
        let mut row = Pieces::default();
        let mut places = Vec::new();
        for number in 0..3 * PIECE + 1 {
            row.push(number);
            if number >= PIECE {
                places.push(&raw const row[number]);
            }
        }
        row[PIECE] = 0;
        assert_eq!(row.len(), 3 * PIECE + 1);
        let expected: Vec<_> = (0..row.len()).map(|number| if number == PIECE { 0 } else { number }).collect();
        assert_eq!(row.iter().copied().collect::<Vec<_>>(), expected);
        let now: Vec<_> = (PIECE..row.len()).map(|number| &raw const row[number]).collect();
        assert_eq!(now, places);
    }
}
