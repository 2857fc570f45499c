//! Duplicates: which (terminal, source, id) were handed out within the window. Kept by minute-like buckets, so that the changelog gets
//! records of many hashes and forgets them together.

use std::collections::BTreeMap;

use tillwatch_wit::{contract::Instant, mask, table::FieldId};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{
    ahead::TOGETHER,
    seen::{Seen, SeenSet},
};
use crate::{event::Event, limits::Limits};

/// Buckets of one window.
const BUCKETS: i64 = 60;

/// Hashes of one changelog record: with 19 bytes each at most it is far below the mebibyte that a broker takes, however many events one commit has.
const RECORD_HASHES_MAX: usize = 16_384;

#[derive(Debug, Default)]
struct Bucket {
    /// Of each hash that was put into it, the part by which it is found: what has such a part and the bucket's number is the bucket's.
    parts: Vec<u32>,
    /// The records in which the changelog has them; those before may have been compacted away.
    records: Vec<u32>,
}

/// What was handed out lately.
#[derive(Debug)]
pub(super) struct Dedup {
    bucket_ms: i64,
    entries_max: usize,
    seen: SeenSet,
    buckets: BTreeMap<i64, Bucket>,
    /// The bucket that was last put into.
    last: Option<i64>,
    /// Hashes that the changelog does not have yet.
    fresh: Vec<u128>,
    /// Of which bucket they are: those behind the ones before, up to an end.
    runs: Vec<(i64, usize)>,
    gone: Vec<(i64, u32)>,
    pub(super) evicted: u64,
}

/// What an event is named by.
const NAMES: [FieldId; 3] = [FieldId::PARTITIONKEY, FieldId::SOURCE, FieldId::ID];

/// The hash that an event is known by: 128 bits, so that no two of billions meet by chance. Where its name was masked, that of all it says.
pub(super) fn hash(event: &Event) -> u128 {
    let ranges = NAMES.map(|field| event.range(field));
    let length = ranges.iter().map(|(start, end)| (end - start) as usize + size_of::<u64>()).sum::<usize>();
    if length <= SHORT_BYTES {
        let mut room = [0; SHORT_BYTES + WIDE_BYTES];
        let mut at = 0;
        for range in ranges {
            let part = event.at(range);
            room[at..at + size_of::<u64>()].copy_from_slice(&(part.len() as u64).to_le_bytes());
            at += size_of::<u64>();
            match event.whole()[range.0 as usize..].first_chunk::<WIDE_BYTES>() {
                // What is too much is written over, or lies behind the end.
                Some(wide) if part.len() <= WIDE_BYTES => room[at..at + WIDE_BYTES].copy_from_slice(wide),
                _ => room[at..at + part.len()].copy_from_slice(part),
            }
            at += part.len();
        }
        // Hardly one has a star; without a way out of the loop sixteen bytes are looked at at once. A length may look like one, and what lies
        // behind the end may have one: no harm.
        if room.iter().fold(false, |found, byte| found | (*byte == mask::MASK))
            && let Some(twin) = twin(event)
        {
            return twin;
        }
        return xxh3_128(&room[..length]);
    }
    if let Some(twin) = twin(event) {
        return twin;
    }
    let mut hasher = Xxh3::new();
    for part in ranges.map(|range| event.at(range)) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest128()
}

/// A hash of all that an event says, where its name was masked: others may have been masked to the same, and none of them must be taken for
/// a duplicate. No hash of what was hidden, which could be guessed from it.
pub(super) fn twin(event: &Event) -> Option<u128> {
    if !NAMES.iter().any(|field| mask::shows(event.piece(*field))) {
        return None;
    }
    // One who sends it again may order its fields in another way.
    let mut fields: Vec<_> = event.fields().collect();
    fields.sort_by_key(|(field, _)| *field);
    let mut hasher = Xxh3::new();
    hasher.update(&[event.event_type().0]);
    hasher.update(&event.time().map_or([0; 9], |time| {
        let mut said = [1; 9];
        said[1..].copy_from_slice(&time.to_le_bytes());
        said
    }));
    for (field, piece) in fields {
        hasher.update(&[field.0]);
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece);
    }
    Some(hasher.digest128())
}

/// Names of an event that are hashed in one piece: the hash is the same, and setting up one of several pieces costs more than a short hash.
const SHORT_BYTES: usize = 192;

/// Nearly every name is shorter: copied as a fixed number of bytes, which is a few loads and stores in place of a call.
const WIDE_BYTES: usize = 64;

impl Dedup {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            bucket_ms: (i64::from(limits.dedup_window_ms) / BUCKETS).max(1),
            entries_max: limits.dedup_entries_max,
            seen: SeenSet::default(),
            buckets: BTreeMap::new(),
            last: None,
            fresh: Vec::new(),
            runs: Vec::new(),
            gone: Vec::new(),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether an event handed out at `at` is the first of its hash within the window. Whether it is depends on the two times alone, not
    /// on what else came between.
    pub(super) fn first(&mut self, hash: u128, at: Instant) -> bool {
        let bucket = at.div_euclid(self.bucket_ms);
        // What is out of the window can be only where there is a newer bucket. Afterwards all that is remembered is in it.
        if self.last != Some(bucket) {
            self.expire(bucket);
            self.last = Some(bucket);
        }
        let seen = Seen::new(hash, bucket);
        if !self.seen.insert(seen) {
            return false;
        }
        self.list(seen.part(), bucket);
        self.fresh.push(hash);
        match self.runs.last_mut() {
            Some((last, end)) if *last == bucket => *end = self.fresh.len(),
            _ => self.runs.push((bucket, self.fresh.len())),
        }
        if self.seen.len() > self.entries_max {
            self.expire(bucket);
        }
        true
    }

    /// Fetches what a hash is looked for in, see `ahead`.
    pub(super) fn fetch(&self, hash: u128) {
        self.seen.fetch(Seen::new(hash, 0).part());
    }

    fn list(&mut self, part: u32, bucket: i64) {
        match self.buckets.last_entry() {
            Some(last) if *last.key() == bucket => last.into_mut().parts.push(part),
            Some(mut last) if *last.key() < bucket => {
                // Hardly any more come into the last one, and about as many into this one.
                last.get_mut().parts.shrink_to_fit();
                let mut parts = Vec::with_capacity(last.get().parts.len());
                parts.push(part);
                self.buckets.insert(bucket, Bucket { parts, ..Bucket::default() });
            }
            _ => self.buckets.entry(bucket).or_default().parts.push(part),
        }
    }

    /// Forgets what was put into a bucket, unless it was seen in a later one again.
    fn forget(&mut self, parts: &[u32], bucket: i64) {
        for group in parts.chunks(TOGETHER) {
            group.iter().for_each(|part| self.seen.fetch(*part));
            group.iter().for_each(|part| self.seen.remove(*part, bucket));
        }
    }

    fn expire(&mut self, today: i64) {
        while let Some(entry) = self.buckets.first_entry() {
            let bucket = *entry.key();
            let full = self.seen.len() > self.entries_max && bucket < today;
            if today - bucket <= BUCKETS && !full {
                break;
            }
            let content = entry.remove();
            if today - bucket <= BUCKETS {
                self.evicted += content.parts.len() as u64;
            }
            self.forget(&content.parts, bucket);
            self.gone.extend(content.records.into_iter().map(|record| (bucket, record)));
        }
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.fresh.is_empty() || !self.gone.is_empty()
    }

    /// Gives what changed: (bucket, record number, hashes; none to forget).
    pub(super) fn drain_changes(&mut self, mut each: impl FnMut(i64, u32, Option<&[u128]>)) {
        for (bucket, record) in std::mem::take(&mut self.gone) {
            each(bucket, record, None);
        }
        let mut begin = 0;
        for (number, end) in self.runs.drain(..) {
            let fresh = &self.fresh[begin..end];
            begin = end;
            // A bucket that had to give way meanwhile leaves nothing.
            let Some(bucket) = self.buckets.get_mut(&number) else { continue };
            for new in fresh.chunks(RECORD_HASHES_MAX) {
                let record = bucket.records.last().map_or(0, |last| last + 1);
                each(number, record, Some(new));
                bucket.records.push(record);
            }
        }
        self.fresh.clear();
    }

    /// Puts in a changelog record; a tombstone forgets nothing by itself, since what it forgot is out of the window or out of room.
    pub(super) fn load(&mut self, bucket: i64, record: u32, hashes: &[u128]) {
        for group in hashes.chunks(TOGETHER) {
            group.iter().for_each(|hash| self.fetch(*hash));
            for hash in group {
                let seen = Seen::new(*hash, bucket);
                self.seen.replace(seen);
                self.list(seen.part(), bucket);
            }
        }
        let content = self.buckets.entry(bucket).or_default();
        if let Err(place) = content.records.binary_search(&record) {
            content.records.insert(place, record);
        }
    }

    /// Forgets a changelog record that was loaded before its tombstone.
    pub(super) fn unload(&mut self, bucket: i64) {
        if let Some(content) = self.buckets.remove(&bucket) {
            self.forget(&content.parts, bucket);
        }
    }

    /// What is remembered of each bucket, for a whole snapshot. It takes a look at all hashes for every bucket.
    pub(super) fn all(&self, each: &mut dyn FnMut(i64, &[u128])) {
        for &bucket in self.buckets.keys() {
            each(bucket, &self.seen.of(bucket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventBuilder;

    #[test]
    fn a_second_one_within_the_window_is_no_first_and_after_it_is() {
        let mut dedup = Dedup::new(&Limits::default());
        assert!(dedup.first(1, 0));
        assert!(!dedup.first(1, 3_600_000));
        assert!(dedup.first(1, 3_660_000));
        assert!(!dedup.first(1, 3_660_001));
    }

    #[test]
    fn a_name_is_hashed_the_same_in_one_piece_and_in_several() {
        for length in [0, 1, 30, 63, 64, 65, 100, 131, 132, 133, 156, 157, 158, 300] {
            let (terminal, source, id) = ("T1", "/r/x/t/T1", "i".repeat(length));
            // Stars beside a name are none of its own.
            let mut event = EventBuilder::new(b"6222********1234");
            for (field, text) in
                [(FieldId::PARTITIONKEY, terminal), (FieldId::SOURCE, source), (FieldId::ID, id.as_str())]
            {
                event.push(field, text.as_bytes());
                event.push(FieldId::SITE, b"6222********1234");
            }
            let event = event.build();
            let mut hasher = Xxh3::new();
            for part in [terminal, source, &id] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            assert_eq!(hash(&event), hasher.digest128(), "an id of {length} bytes");
        }
    }

    #[test]
    fn however_many_come_between_two_commits_each_record_of_them_is_small() {
        type Changes = Vec<(i64, u32, Option<Vec<u128>>)>;
        let drain = |dedup: &mut Dedup| {
            let mut changes = Changes::new();
            dedup.drain_changes(|bucket, record, hashes| changes.push((bucket, record, hashes.map(<[u128]>::to_vec))));
            changes
        };
        // So large that each takes all the bytes that a number may.
        let hash = |number: usize| u128::MAX - number as u128;
        let mut dedup = Dedup::new(&Limits::default());
        assert!((0..RECORD_HASHES_MAX).all(|number| dedup.first(hash(number), 0)));
        let mut all = drain(&mut dedup);
        assert_eq!(all.len(), 1, "one as long as it fits");
        assert!((RECORD_HASHES_MAX..4 * RECORD_HASHES_MAX + 1).all(|number| dedup.first(hash(number), 0)));
        all.extend(drain(&mut dedup));
        assert_eq!(drain(&mut dedup), [], "each is told once");
        let records: Vec<_> = all.iter().map(|(bucket, record, _)| (*bucket, *record)).collect();
        assert_eq!(records, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]);
        for hashes in all.iter().filter_map(|(.., hashes)| hashes.as_ref()) {
            let bytes = postcard::to_stdvec(hashes).unwrap().len();
            assert!(bytes < 512 << 10, "{bytes}");
        }
        let mut restored = Dedup::new(&Limits::default());
        for (bucket, record, hashes) in &all {
            restored.load(*bucket, *record, hashes.as_ref().unwrap());
        }
        assert!((0..=4 * RECORD_HASHES_MAX).all(|number| !restored.first(hash(number), 0)));
        for mut dedup in [dedup, restored] {
            assert!(dedup.first(1, 2 * 3_600_000), "all others are forgotten by then");
            let gone = drain(&mut dedup).into_iter().filter(|(.., hashes)| hashes.is_none());
            assert_eq!(gone.map(|(bucket, record, _)| (bucket, record)).collect::<Vec<_>>(), records);
        }
    }

    fn told(id: &str, time: Instant, amount: i64, turned: bool) -> Event {
        let mut event = EventBuilder::new(&[]);
        event.set_time(time);
        let mut fields = vec![(FieldId::SOURCE, "/r/x/t/T1".as_bytes()), (FieldId::ID, id.as_bytes())];
        let amount = amount.to_le_bytes();
        fields.push((FieldId::AMOUNT, &amount));
        if turned {
            fields.reverse();
        }
        for (field, piece) in fields {
            event.push(field, piece);
        }
        event.build()
    }

    #[test]
    fn a_masked_id_names_an_event_by_all_that_it_says() {
        const MASKED: &str = "202611******0042";
        let first = hash(&told(MASKED, 1, 100, false));
        assert_eq!(hash(&told(MASKED, 1, 100, true)), first, "the same in another order");
        assert_ne!(hash(&told(MASKED, 2, 100, false)), first, "another time");
        assert_ne!(hash(&told(MASKED, 1, 101, false)), first, "another amount");
        assert_eq!(hash(&told("i1", 2, 100, false)), hash(&told("i1", 1, 101, false)), "any other id is enough");
    }

    #[test]
    fn past_dedup_entries_max_the_oldest_give_way_and_are_counted() {
        let mut dedup = Dedup::new(&Limits { dedup_entries_max: 3, ..Limits::default() });
        for hash in 0..5 {
            assert!(dedup.first(hash, i64::try_from(hash).expect("small") * 60_000));
        }
        assert_eq!((dedup.len(), dedup.evicted), (3, 2));
        assert!(dedup.first(0, 240_000), "the oldest was forgotten");
        assert!(!dedup.first(4, 240_000));
    }

    #[test]
    fn what_had_to_give_way_before_a_commit_leaves_nothing_in_it() {
        let mut dedup = Dedup::new(&Limits { dedup_entries_max: 3, ..Limits::default() });
        for (hash, minute) in [(0, 0), (1, 1), (2, 1), (3, 2)] {
            assert!(dedup.first(hash, minute * 60_000));
        }
        let mut given = Vec::new();
        dedup.drain_changes(|bucket, record, hashes| given.push((bucket, record, hashes.map(<[u128]>::to_vec))));
        assert_eq!(given, [(1, 0, Some(vec![1, 2])), (2, 0, Some(vec![3]))]);
        assert!(!dedup.has_changes());
    }

    #[test]
    fn only_records_that_there_are_get_a_tombstone() {
        let mut dedup = Dedup::new(&Limits::default());
        dedup.load(0, 900_000, &[1]);
        dedup.load(0, 900_002, &[2]);
        dedup.first(3, 1);
        let mut given = Vec::new();
        dedup.drain_changes(|bucket, record, hashes| given.push((bucket, record, hashes.map(<[u128]>::len))));
        dedup.first(4, 100 * 60_000);
        dedup.drain_changes(|bucket, record, hashes| given.push((bucket, record, hashes.map(<[u128]>::len))));
        let tombstones = [900_000, 900_002, 900_003].map(|record| (0, record, None));
        assert_eq!(given, [&[(0, 900_003, Some(1))], &tombstones[..], &[(100, 0, Some(1))]].concat());
    }

    #[test]
    fn a_restart_remembers_and_forgets_the_same() {
        let mut dedup = Dedup::new(&Limits::default());
        let mut log = BTreeMap::new();
        for (hash, at) in [(1, 0), (2, 10), (3, 59_999), (4, 60_000), (5, 3_700_000)] {
            dedup.first(hash, at);
            dedup.drain_changes(|bucket, record, hashes| {
                log.insert((bucket, record), hashes.map(<[u128]>::to_vec));
            });
        }
        let mut restored = Dedup::new(&Limits::default());
        for (&(bucket, record), hashes) in &log {
            match hashes {
                Some(hashes) => restored.load(bucket, record, hashes),
                None => restored.unload(bucket),
            }
        }
        assert_eq!(restored.len(), dedup.len());
        assert!(!restored.first(4, 3_700_000));
        assert!(restored.first(1, 3_700_000));
    }
}
