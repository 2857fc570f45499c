//! The findings of an incident that are not over, by a hash each, in one piece that is read and written as it lies: as a list of numbers, two
//! thousand of them were most of a visit (docs/adr/0023-what-changes-nothing-costs-little.md). Their order says nothing. Bytes that it has not written itself
//! are none.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members {
    #[serde(with = "serde_bytes")]
    hashes: Vec<u8>,
}

/// Bytes of a hash.
const BYTES: usize = 8;

/// A finding's hash: the first half of its id.
fn hash(finding: &str) -> [u8; BYTES] {
    let hash = finding.bytes().take(16).fold(0, |sum, letter| (sum << 4) | u64::from(letter.wrapping_sub(b'a') & 15));
    hash.to_le_bytes()
}

impl Members {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn all(&self) -> &[[u8; BYTES]] {
        self.hashes.as_chunks().0
    }

    fn place(&self, finding: &str) -> Option<usize> {
        let hash = u64::from_ne_bytes(hash(finding));
        self.all().iter().position(|known| u64::from_ne_bytes(*known) == hash)
    }

    /// Whether a finding is one of them.
    #[must_use]
    pub fn has(&self, finding: &str) -> bool {
        self.place(finding).is_some()
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: &str) {
        self.hashes.extend_from_slice(&hash(finding));
    }

    /// Takes a finding away; whether it was one of them.
    pub fn remove(&mut self, finding: &str) -> bool {
        let Some(place) = self.place(finding) else { return false };
        let last = self.len() - 1;
        self.hashes.as_chunks_mut::<BYTES>().0.swap(place, last);
        self.hashes.truncate(last * BYTES);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_and_go_in_any_order() {
        let (mut members, mut model) = (Members::default(), Vec::new());
        for step in 0..500_u32 {
            let finding = tillwatch_sdk::ids::finding("r", "k", &(step * 7 % 31).to_string(), "");
            if step % 3 == 0 {
                let known = model.iter().position(|known| *known == finding);
                assert_eq!(members.remove(&finding), known.is_some(), "step {step}");
                known.map(|place| model.remove(place));
            } else if !members.has(&finding) {
                members.add(&finding);
                model.push(finding);
            }
            assert_eq!((members.len(), members.is_empty()), (model.len(), model.is_empty()));
            assert!(model.iter().all(|known| members.has(known)), "step {step}");
        }
        let written = tillwatch_sdk::encode_state(&members).expect("is written");
        assert_eq!(tillwatch_sdk::decode_state(&written), Ok(members));
    }
}
