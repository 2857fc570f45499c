//! Rows of one width, each with a text, in two pieces that are read and written as they lie: as lists of their own, half a thousand cohorts would be
//! made and dropped again at every visit (docs/adr/0021-a-region-in-sheets.md).
//!
//! Knows nothing of what the cells mean. Bytes that it has not written itself are a trap.

use serde::{Deserialize, Serialize};

/// Bytes in which a row says where its text ends.
const END: usize = 4;

/// See the module. `W`: bytes of a row's cells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet<const W: usize> {
    #[serde(with = "serde_bytes")]
    rows: Vec<u8>,
    texts: String,
}

impl<const W: usize> Sheet<W> {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() / (END + W)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn end(&self, row: usize) -> usize {
        u32::from_le_bytes(cells(&self.rows[row * (END + W)..])) as usize
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.end(before))
    }

    /// The text of a row.
    #[must_use]
    pub fn text(&self, row: usize) -> &str {
        &self.texts[self.start(row)..self.end(row)]
    }

    /// All rows: text, as bytes, and cells. One after the other is cheaper than each by its number.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8; W])> {
        let mut start = 0;
        self.rows.chunks_exact(END + W).map(move |row| {
            let (end, cells) = row.split_first_chunk().expect("invariant: rows are whole");
            let end = u32::from_le_bytes(*end) as usize;
            let text = &self.texts.as_bytes()[start..end];
            start = end;
            (text, cells.first_chunk().expect("invariant: rows are whole"))
        })
    }

    /// The cells of a row.
    #[must_use]
    pub fn cells(&self, row: usize) -> [u8; W] {
        cells(&self.rows[row * (END + W) + END..])
    }

    /// The same, to write to.
    pub fn cells_mut(&mut self, row: usize) -> &mut [u8] {
        let at = row * (END + W) + END;
        &mut self.rows[at..at + W]
    }

    /// A row before that one, its cells all zero.
    pub fn insert(&mut self, row: usize, text: &str) {
        let (start, at) = (self.start(row), row * (END + W));
        self.rows.splice(at..at, [0; END].into_iter().chain([0; W]));
        self.texts.insert_str(start, text);
        self.move_ends(row + 1, text.len(), 0);
        self.set_end(row, start + text.len());
    }

    /// More text of a row.
    pub fn append(&mut self, row: usize, text: &str) {
        self.texts.insert_str(self.end(row), text);
        self.move_ends(row, text.len(), 0);
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: usize) {
        let (start, end) = (self.start(row), self.end(row));
        self.rows.drain(row * (END + W)..(row + 1) * (END + W));
        self.texts.drain(start..end);
        self.move_ends(row, 0, end - start);
    }

    /// Takes out the rows whose cells are not wanted.
    pub fn retain(&mut self, wanted: impl Fn([u8; W]) -> bool) {
        for row in (0..self.len()).rev() {
            if !wanted(self.cells(row)) {
                self.remove(row);
            }
        }
    }

    fn move_ends(&mut self, from: usize, more: usize, less: usize) {
        for row in self.rows[from * (END + W)..].chunks_exact_mut(END + W) {
            let end = u32::from_le_bytes(cells(row)) as usize + more - less;
            row[..END].copy_from_slice(&bytes(end));
        }
    }

    fn set_end(&mut self, row: usize, end: usize) {
        self.rows[row * (END + W)..][..END].copy_from_slice(&bytes(end));
    }
}

fn bytes(end: usize) -> [u8; END] {
    u32::try_from(end).expect("invariant: a state is far smaller").to_le_bytes()
}

/// The first bytes.
pub fn cells<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("invariant: rows are whole")
}

#[cfg(test)]
mod tests {
    use super::Sheet;

    #[test]
    fn rows_keep_their_texts_whatever_comes_and_goes() {
        let mut sheet: Sheet<1> = Sheet::default();
        let mut model: Vec<(String, u8)> = Vec::new();
        // A walk through all that may be done, with a model beside it.
        for step in 0..2_000_usize {
            let row = (step * 7) % (model.len() + 1);
            let text = "店x".repeat(step % 4);
            match step % 11 {
                0..5 => {
                    sheet.insert(row, &text);
                    model.insert(row, (text, 0));
                }
                5 if row < model.len() => {
                    sheet.append(row, &text);
                    model[row].0.push_str(&text);
                }
                6..9 if row < model.len() => {
                    sheet.cells_mut(row)[0] += 1;
                    model[row].1 += 1;
                }
                9 if row < model.len() => {
                    sheet.remove(row);
                    model.remove(row);
                }
                10 if step % 3 == 0 => {
                    sheet.retain(|[cell]| cell % 2 == 0);
                    model.retain(|(_, cell)| cell % 2 == 0);
                }
                _ => {}
            }
            let bytes = tillwatch_sdk::encode_state(&sheet).expect("it encodes");
            let read: Sheet<1> = tillwatch_sdk::decode_state(&bytes).expect("it decodes");
            assert_eq!(read, sheet);
            let rows: Vec<_> = (0..sheet.len()).map(|row| (sheet.text(row).to_owned(), sheet.cells(row)[0])).collect();
            assert_eq!(rows, model, "after step {step}");
            let all = sheet.iter().map(|(text, [cell])| (text, *cell));
            assert!(all.eq(model.iter().map(|(text, cell)| (text.as_bytes(), *cell))), "after step {step}");
        }
        assert!(model.len() > 50);
    }
}
