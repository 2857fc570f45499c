//! A part of a state that is nearly always as it begins, as a finding that does not stand: `#[serde(with = "tillwatch_sdk::rare")]` on a field. Then it is
//! one byte, and neither read nor written piece by piece at every visit.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the part, or that it is as it begins.
///
/// # Errors
/// Those of the part.
pub fn serialize<T: Default + PartialEq + Serialize, S: Serializer>(
    part: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Some(part).filter(|part| **part != T::default()).serialize(serializer)
}

/// Reads the part.
///
/// # Errors
/// Those of the part.
pub fn deserialize<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::{decode_state, encode_state};

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct State {
        #[serde(with = "crate::rare")]
        names: Vec<String>,
        #[serde(with = "crate::rare")]
        pair: (u32, u32),
        count: u8,
    }

    #[test]
    fn a_part_as_it_begins_is_one_byte_and_any_other_reads_back() {
        assert_eq!(encode_state(&State { count: 7, ..State::default() }), Ok(vec![0, 0, 7]));
        for pair in [(0, 0), (0, 1), (1, 0)] {
            let state = State { names: vec!["a".to_owned(); pair.0 as usize], pair, count: 1 };
            assert_eq!(decode_state(&encode_state(&state).expect("is written")), Ok(state));
        }
    }
}
