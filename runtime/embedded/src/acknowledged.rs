//! The file `acknowledged`: how far the log had come when it last said that something is durable.
//!
//! The engine drops what it cannot read at the end of its journal, silently. So every commit is counted, and after the engine's sync the
//! count and the end of every partition are written here and synced too, in two slots by turns: a torn write of one leaves the other.
//! Whoever opens a log compares.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tillwatch_core::log::{LogError, PartitionId};

use crate::fault;

const MAGIC: [u8; 4] = *b"TWA1";

/// Bytes of a slot; `Limits::partitions_max` ends fit.
const SLOT: usize = 16 << 10;

/// Bytes of a slot beside the ends: magic, generation, sequence, count, checksum.
const FRAME: usize = 4 + 8 + 8 + 4 + 4;

/// Ends that fit into a slot.
pub(crate) const ENDS_MAX: usize = (SLOT - FRAME) / 8;

/// What was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Number of the last commit.
    pub sequence: u64,
    /// The end of every partition, in the order of the table of topics.
    pub ends: Vec<i64>,
}

/// What is missing of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its topic; empty for the commits themselves.
    pub topic: String,
    /// Which.
    pub partition: PartitionId,
    /// First offset (or commit number) that is missing.
    pub from: i64,
    /// Last one.
    pub to: i64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, from, to } = self;
        if topic.is_empty() {
            write!(f, "commits {from} to {to}")
        } else {
            write!(f, "{topic}/{partition}: offsets {from} to {to} ({} records)", to - from + 1)
        }
    }
}

/// The open file.
pub(crate) struct Acknowledged {
    path: PathBuf,
    file: File,
    generation: u64,
}

impl Acknowledged {
    /// Opens the file and reads it; no mark where it is missing or both slots are garbled.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Mark>), LogError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fault::io(path, "opening"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault::io(path, "reading"))?;
        let newest = bytes.chunks(SLOT).filter_map(decode).max_by_key(|(generation, _)| *generation);
        let generation = newest.as_ref().map_or(0, |(generation, _)| *generation);
        Ok((Self { path: path.to_owned(), file, generation }, newest.map(|(_, mark)| mark)))
    }

    /// Makes a mark durable.
    pub(crate) fn write(&mut self, mark: &Mark) -> Result<(), LogError> {
        let generation = self.generation + 1;
        let slot = generation % 2 * SLOT as u64;
        let bytes = encode(generation, mark);
        let write = |file: &mut File| {
            file.seek(SeekFrom::Start(slot))?;
            file.write_all(&bytes)?;
            file.sync_data()
        };
        write(&mut self.file).map_err(fault::io(&self.path, "writing"))?;
        self.generation = generation;
        Ok(())
    }
}

pub fn encode(generation: u64, mark: &Mark) -> Vec<u8> {
    assert!(mark.ends.len() <= ENDS_MAX, "invariant: the table of topics keeps to partitions_max");
    let count = u32::try_from(mark.ends.len()).expect("invariant: ENDS_MAX is small");
    let mut bytes = Vec::with_capacity(FRAME + mark.ends.len() * 8);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&mark.sequence.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    for end in &mark.ends {
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

pub fn decode(slot: &[u8]) -> Option<(u64, Mark)> {
    let (magic, rest) = slot.split_first_chunk::<4>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok().filter(|count| *count <= ENDS_MAX)?;
    let ends = rest.get(..count * 8)?;
    let stored = rest.get(count * 8..count * 8 + 4)?;
    let sum = crc32fast::hash(&slot[..FRAME - 4 + count * 8]);
    if *magic != MAGIC || stored != sum.to_le_bytes() {
        return None;
    }
    let ends = ends.as_chunks::<8>().0.iter().map(|end| i64::from_le_bytes(*end)).collect();
    Some((u64::from_le_bytes(*generation), Mark { sequence: u64::from_le_bytes(*sequence), ends }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> Mark {
        Mark { sequence, ends: vec![3, 4, i64::try_from(sequence).unwrap()] }
    }

    #[test]
    fn the_newest_mark_is_read_and_a_torn_one_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acknowledged");
        let (mut file, none) = Acknowledged::open(&path).unwrap();
        assert_eq!(none, None);
        for sequence in 1..=5 {
            file.write(&mark(sequence)).unwrap();
        }
        drop(file);
        assert_eq!(Acknowledged::open(&path).unwrap().1, Some(mark(5)));

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[SLOT + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (mut file, before) = Acknowledged::open(&path).unwrap();
        assert_eq!(before, Some(mark(4)));
        file.write(&mark(6)).unwrap();
        drop(file);
        assert_eq!(Acknowledged::open(&path).unwrap().1, Some(mark(6)));
    }

    #[test]
    fn a_lower_mark_holds_once_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acknowledged");
        let (mut file, _) = Acknowledged::open(&path).unwrap();
        file.write(&mark(9)).unwrap();
        file.write(&mark(7)).unwrap();
        drop(file);
        assert_eq!(Acknowledged::open(&path).unwrap().1, Some(mark(7)));
    }

    #[test]
    fn as_many_ends_as_the_limit_allows_fit() {
        let full = Mark { sequence: 1, ends: vec![i64::MAX; ENDS_MAX] };
        assert_eq!(decode(&encode(8, &full)), Some((8, full)));
        assert!(crate::Limits::default().partitions_max <= ENDS_MAX);
    }
}
