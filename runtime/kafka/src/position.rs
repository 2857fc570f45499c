//! A [`Position`] as text in a committed offset's metadata, with the id of the transactional producer that committed it (ADR 0005).
//!
//! Read strictly: whatever Tillwatch did not write there is an error that says what to do, never a guess.

use std::fmt::Write as _;

use tillwatch_core::log::{LogError, PartitionId, Position, Who};

/// Version of the format, its first word.
const VERSION: &str = "tillwatch/1";
/// The key of the changelog record that says the same as the metadata of the offset that is committed with it. Keys of what a partition keeps never
/// begin with 0.
pub(crate) const MARK: &[u8] = b"\0committed";
/// The broker's `offset.metadata.max.bytes` is 4096 unless set otherwise.
const BYTES_MAX: usize = 4096;

/// What stands with a committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// How far the partition has come.
    pub position: Position,
    /// The transactional id of the worker that committed.
    pub by: String,
}

impl Committed {
    /// The metadata text.
    pub(crate) fn encode(&self) -> String {
        let Position { low, ingest_low, high, ingest_high, floor, floor_from } = self.position;
        let mut text = String::from(VERSION);
        for number in [low, ingest_low, high, ingest_high, floor, floor_from] {
            write!(text, " {number}").expect("invariant: a String takes all that is written");
        }
        write!(text, " {}", self.by).expect("invariant: a String takes all that is written");
        assert!(text.len() <= BYTES_MAX, "invariant: the config bounds the transactional id");
        text
    }

    /// Reads what [`Committed::encode`] wrote for a committed `offset`.
    pub(crate) fn parse(text: &str, offset: i64) -> Result<Self, &'static str> {
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) {
            return Err("it does not begin with tillwatch/1");
        }
        let mut number =
            || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or("a number is missing or cannot be read");
        let position = Position {
            low: number()?,
            ingest_low: number()?,
            high: number()?,
            ingest_high: number()?,
            floor: number()?,
            floor_from: number()?,
        };
        let by = words.next().filter(|word| !word.is_empty()).ok_or("the transactional id is missing")?.to_owned();
        if words.next().is_some() {
            return Err("something follows the transactional id");
        }
        if position.low != offset {
            return Err("its position is not the committed offset");
        }
        if !position.is_sound() {
            return Err("its offsets contradict each other, or a time is beyond any clock");
        }
        Ok(Self { position, by })
    }
}

/// Whether changelog and committed offset are of one commit: `marked` is what the changelog says last under [`MARK`].
pub(crate) fn whole(committed: Option<&Committed>, marked: Option<&[u8]>) -> Result<(), String> {
    let committed = committed.map(Committed::encode);
    if committed.as_deref().map(str::as_bytes) == marked {
        return Ok(());
    }
    let shown = |text: Option<&[u8]>| text.map_or_else(|| "nothing".to_owned(), |text| text.escape_ascii().to_string());
    Err(format!("it says `{}`, the offset says `{}`", shown(marked), shown(committed.as_deref().map(str::as_bytes))))
}

/// The error for a changelog that is not of the commit that the offset is of.
pub(crate) fn torn(group: &str, input: &str, changelog: &str, partition: PartitionId, why: &str) -> LogError {
    LogError {
        code: "changelog-torn",
        what: format!(
            "{changelog}-{partition} and the committed offset of {input}-{partition} in group {group} are not of one commit: {why}. The partition does \
             not start on a guess. Was the topic made anew, an offset moved, or a transaction ended by hand in some partitions only? See \
             docs/runbook.md#changelog-torn"
        ),
        who: Who::Operations,
        retry: false,
    }
}

/// The error for metadata that cannot be read.
pub(crate) fn unreadable(group: &str, topic: &str, partition: PartitionId, offset: i64, why: &str) -> LogError {
    LogError {
        code: "offset-metadata",
        what: format!(
            "group {group} has committed offset {offset} of {topic}-{partition} with metadata that this Tillwatch cannot read: {why}. Were \
             the group's offsets set by another tool? Restore them, or stop all workers, delete the partition's committed offset and its \
             changelog records, and it starts at the beginning"
        ),
        who: Who::Operations,
        retry: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> Committed {
        let position = Position {
            low: 17,
            ingest_low: 1_795_000_000_000,
            high: 23,
            ingest_high: 1_795_000_000_900,
            floor: i64::MIN,
            floor_from: 23,
        };
        Committed { position, by: "tillwatch-edge-1-0".to_owned() }
    }

    #[test]
    fn a_position_comes_back_as_it_was() {
        let text = committed().encode();
        assert_eq!(text, "tillwatch/1 17 1795000000000 23 1795000000900 -9223372036854775808 23 tillwatch-edge-1-0");
        assert_eq!(Committed::parse(&text, 17), Ok(committed()));
    }

    #[test]
    fn changelog_and_offset_are_whole_where_they_say_the_same() {
        let (ours, text) = (committed(), committed().encode());
        assert_eq!(whole(None, None), Ok(()));
        assert_eq!(whole(Some(&ours), Some(text.as_bytes())), Ok(()));
        assert!(whole(Some(&ours), None).is_err_and(|why| why.starts_with("it says `nothing`")));
        assert!(whole(None, Some(text.as_bytes())).is_err_and(|why| why.ends_with("the offset says `nothing`")));
        assert!(whole(Some(&ours), Some(&text.as_bytes()[1..])).is_err());
    }

    #[test]
    fn the_longest_fits_the_brokers_bound() {
        let extremes = Position {
            low: i64::MAX / 4,
            ingest_low: i64::MIN,
            high: i64::MAX / 4,
            ingest_high: i64::MIN,
            floor: i64::MIN,
            floor_from: i64::MIN,
        };
        let committed = Committed { position: extremes, by: "x".repeat(401) };
        assert!(committed.encode().len() < BYTES_MAX);
    }

    #[test]
    fn anything_else_is_refused() {
        let good = committed().encode();
        let refused = [
            "",
            "tillwatch/2 17 0 23 0 0 23 x",
            "tillwatch/1 17 0 23 0 0",
            "tillwatch/1 17 0 23 0 0 x",
            "tillwatch/1 17 0 23 0 0 23",
            "tillwatch/1 17 0 23 0 0 23 ",
            "tillwatch/1 17 0 16 0 0 23 x",
            "tillwatch/1 17  0 23 0 0 23 x",
            "tillwatch/1 17 0 23 0 9223372036854775807 23 x",
            &format!("{good} more"),
        ];
        for text in refused {
            assert!(Committed::parse(text, 17).is_err(), "{text:?}");
        }
        assert_eq!(Committed::parse(&good, 18), Err("its position is not the committed offset"));
    }
}
