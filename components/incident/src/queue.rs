//! Payments that wait, as they are stored until somebody asks for them: nearly every record of evidence asks only since when they wait, and
//! whether a terminal or an operator is among theirs (docs/adr/0023-what-changes-nothing-costs-little.md).
//!
//! Knows nothing of what they wait for. Bytes that it has not written itself are a trap.

use std::{
    cell::OnceCell,
    ops::{Deref, DerefMut},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use tillwatch_sdk::{Instant, decode_state, encode_state, hash};

use crate::state::Waiting;

/// Scopes that are asked for by themselves: those of which there are many.
pub const WORDS: [&str; 2] = ["terminal", "operator"];

/// Bytes of an entry of `brief`: since when, and a hash of each of [`WORDS`], 0 where there is none.
const BRIEF_BYTES: usize = 8 * (1 + WORDS.len());

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    stored: Stored,
    read: OnceCell<Vec<Waiting>>,
    changed: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Stored {
    #[serde(with = "serde_bytes")]
    brief: Vec<u8>,
    #[serde(with = "serde_bytes")]
    whole: Vec<u8>,
}

impl Queue {
    fn brief(&self) -> &[[u8; BRIEF_BYTES]] {
        self.stored.brief.as_chunks().0
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.changed { Vec::len(self) } else { self.brief().len() }
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Since when each of them waits.
    pub fn since(&self) -> impl Iterator<Item = Instant> {
        let (changed, stored): (&[Waiting], _) = if self.changed { (self, &[][..]) } else { (&[], self.brief()) };
        let stored = stored.iter().map(|entry| i64::from_le_bytes(*entry.first_chunk().expect("it is longer")));
        changed.iter().map(|waiting| waiting.at).chain(stored)
    }

    /// Whether one of them is part of a scope, whose word is one of [`WORDS`].
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        let hash = hash(scope).to_le_bytes();
        let may = |entry: &[u8; BRIEF_BYTES]| entry[8..].chunks_exact(8).any(|known| known == hash);
        (self.changed || self.brief().iter().any(may)) && self.iter().any(|waiting| waiting.within(scope))
    }

    fn store(waiting: &Vec<Waiting>) -> Result<Stored, String> {
        let hashed = |waiting: &Waiting, word| waiting.named(word).map_or(0, hash).to_le_bytes();
        let brief = |waiting: &Waiting| {
            let [terminal, operator] = WORDS.map(|word| hashed(waiting, word));
            [waiting.at.to_le_bytes(), terminal, operator]
        };
        let brief: Vec<_> = waiting.iter().map(brief).collect();
        Ok(Stored { brief: brief.as_flattened().as_flattened().to_vec(), whole: encode_state(waiting)? })
    }
}

impl Deref for Queue {
    type Target = Vec<Waiting>;

    fn deref(&self) -> &Vec<Waiting> {
        self.read.get_or_init(|| {
            let whole = &self.stored.whole;
            if whole.is_empty() { Vec::new() } else { decode_state(whole).expect("invariant: it was stored here") }
        })
    }
}

impl DerefMut for Queue {
    fn deref_mut(&mut self) -> &mut Vec<Waiting> {
        let _: &Vec<Waiting> = self;
        self.changed = true;
        self.read.get_mut().expect("it has just been read")
    }
}

impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Serialize for Queue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.changed {
            Self::store(self).map_err(S::Error::custom)?.serialize(serializer)
        } else {
            self.stored.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Queue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { stored: Stored::deserialize(deserializer)?, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_sdk::evidence::{Cohorts, Stuck};

    use super::*;

    fn waiting(number: i64) -> Waiting {
        let cohorts = Cohorts {
            terminal: format!("T{}", number % 40),
            operator: if number % 3 == 0 { String::new() } else { format!("O{}", number % 7) },
            site: "S1".to_owned(),
            ..Cohorts::default()
        };
        Waiting::new(&Stuck { cohorts, finding: format!("f{number}"), ..Stuck::default() }, 1_000 + number)
    }

    #[test]
    fn what_is_asked_of_stored_ones_is_what_they_would_say() {
        let (mut queue, mut model) = (Queue::default(), Vec::new());
        for step in 0..400_i64 {
            match step % 5 {
                0 | 1 | 3 => {
                    queue.push(waiting(step));
                    model.push(waiting(step));
                }
                2 => {
                    let gone = format!("f{}", step * 7 % 400);
                    queue.retain(|waiting| waiting.finding() != gone);
                    model.retain(|waiting| waiting.finding() != gone);
                }
                _ => queue = decode_state(&encode_state(&queue).expect("is written")).expect("reads"),
            }
            assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()), "step {step}");
            assert!(queue.since().eq(model.iter().map(|waiting| waiting.at)), "step {step}");
            for scope in (0..45).map(|id| format!("terminal:T{id}")).chain((0..9).map(|id| format!("operator:O{id}"))) {
                let has = model.iter().any(|waiting| waiting.within(&scope));
                assert_eq!(queue.has(&scope), has, "{scope} at step {step}");
            }
            assert_eq!(*queue, model, "step {step}");
        }
        assert!(model.len() > 100);
    }

    #[test]
    fn what_is_not_asked_for_is_written_as_it_was_read() {
        let mut queue = Queue::default();
        queue.push(waiting(1));
        let written = encode_state(&queue).expect("is written");
        let read: Queue = decode_state(&written).expect("reads");
        assert!(read.has("terminal:T1") && !read.has("terminal:T11"));
        assert_eq!(encode_state(&read), Ok(written));
    }
}
