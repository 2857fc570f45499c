//! A torn write that fjall reports instead of dropping.
//!
//! A batch cut short at the end of the newest journal is dropped by fjall without a word; one whose middle never reached the disk fails
//! its checksum, and then the engine does not open at all. Nothing of such a batch was acknowledged, or `acknowledged` will say that it
//! was: so the journal is cut behind its last whole batch, what is cut off is kept beside it, and the comparison decides. Owns the little
//! that must be known of fjall's journal format (version 3).

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use tillwatch_core::log::LogError;
use xxhash_rust::xxh3::Xxh3;

use crate::fault;

const TRAILER: [u8; 4] = *b"FJL\x03";

/// Bytes of an item before its key: tag, value type, compression, keyspace, three lengths.
const ITEM: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;

/// Bytes behind the last whole batch of the newest journal: what a write that was cut short has left.
pub(crate) fn torn(directory: &Path) -> Result<u64, LogError> {
    let Some(journal) = newest(directory)? else { return Ok(0) };
    let bytes = fs::read(&journal).map_err(fault::io(&journal, "reading"))?;
    Ok(tail(&bytes).map_or(0, |(whole, last)| (last + 1 - whole) as u64))
}

/// Cuts the newest journal behind its last whole batch; whether there was something to cut.
pub(crate) fn cut_garbled_tail(directory: &Path) -> Result<bool, LogError> {
    let Some(journal) = newest(directory)? else { return Ok(false) };
    let bytes = fs::read(&journal).map_err(fault::io(&journal, "reading"))?;
    let Some((whole, last)) = tail(&bytes) else { return Ok(false) };
    let kept = directory.with_extension("garbled");
    fs::write(&kept, &bytes[whole..=last]).map_err(fault::io(&kept, "keeping what is cut off"))?;
    let cut = |file: File| {
        file.set_len(whole as u64)?;
        file.sync_all()
    };
    File::options().write(true).open(&journal).and_then(cut).map_err(fault::io(&journal, "cutting"))?;
    Ok(true)
}

fn newest(directory: &Path) -> Result<Option<PathBuf>, LogError> {
    let mut newest = None;
    for entry in fs::read_dir(directory).map_err(fault::io(directory, "listing"))? {
        let path = entry.map_err(fault::io(directory, "listing"))?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        newest = newest.max(number.map(|number| (number, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where what follows the whole batches begins and has its last byte; none where there is nothing. The journal ends in zeros.
fn tail(bytes: &[u8]) -> Option<(usize, usize)> {
    let whole = whole_batches(bytes);
    let last = bytes[whole..].iter().rposition(|byte| *byte != 0)?;
    Some((whole, whole + last))
}

/// Length of the batches at the beginning that are whole.
fn whole_batches(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = bytes.get(at..).and_then(batch) {
        at += length;
    }
    at
}

/// Length of the batch at the beginning, if it is whole.
fn batch(bytes: &[u8]) -> Option<usize> {
    let (tag, rest) = bytes.split_first()?;
    let count = u32::from_le_bytes(*rest.first_chunk()?);
    let mut at = 1 + 4 + 8;
    if *tag != 1 {
        return None;
    }
    let mut hasher = Xxh3::new();
    for _ in 0..count {
        let item = bytes.get(at..)?;
        let length = match item.first()? {
            2 => {
                let lengths = item.get(11..ITEM)?;
                let key = u16::from_le_bytes(*lengths.first_chunk()?);
                let value = u32::from_le_bytes(*lengths.last_chunk()?);
                ITEM + usize::from(key) + usize::try_from(value).ok()?
            }
            4 => 1 + 8,
            _ => return None,
        };
        hasher.update(item.get(..length)?);
        at += length;
    }
    let (tag, end) = bytes.get(at..)?.split_first()?;
    let stored = u64::from_le_bytes(*end.first_chunk()?);
    (*tag == 3 && stored == hasher.digest() && end.get(8..12)? == TRAILER).then_some(at + 1 + 8 + 4)
}
