//! A few texts in one piece, for states that are read and written at every visit: a text of its own is made and dropped each time.

use serde::{Deserialize, Serialize};

/// Texts that one piece holds.
pub const TEXTS_MAX: usize = 12;

/// See the module. What was not set is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    all: String,
    ends: [u32; TEXTS_MAX],
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
        &self.all[self.start(index)..self.ends[index] as usize]
    }

    /// The same without a look at what its bytes mean.
    ///
    /// # Panics
    /// As [`Texts::get`].
    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        &self.all.as_bytes()[self.start(index)..self.ends[index] as usize]
    }

    /// Sets one of them.
    ///
    /// # Panics
    /// As [`Texts::get`], and where all of them have more than 4 GiB.
    pub fn set(&mut self, index: usize, text: &str) {
        let (start, before) = (self.start(index), self.ends[index]);
        self.all.replace_range(start..before as usize, text);
        let end = u32::try_from(start + text.len()).expect("texts of a state are far smaller");
        for later in &mut self.ends[index..] {
            *later = *later - before + end;
        }
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{TEXTS_MAX, Texts};

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
}
