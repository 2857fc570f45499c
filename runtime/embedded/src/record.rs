//! Keys and values as they lie in the engine, each value with its checksum.
//!
//! A record's checksum covers its body, its ingest time and its place, so that garbage, and a record in a place that is not its own, are
//! both found and named.

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use tillwatch_core::{Instant, log::RawRecord};

use crate::store::NewRecord;

/// Bytes before a record's body: ingest time and checksum.
const HEAD: usize = 12;

/// Bytes of a record's place: topic, partition, offset.
pub const PLACE: usize = 14;

/// A record's place in the engine, in the order of offsets.
pub fn place(topic: u16, partition: u32, offset: i64) -> [u8; PLACE] {
    let mut key = [0; PLACE];
    key[..2].copy_from_slice(&topic.to_be_bytes());
    key[2..6].copy_from_slice(&partition.to_be_bytes());
    key[6..].copy_from_slice(&u64::try_from(offset).expect("invariant: offsets count from 0").to_be_bytes());
    key
}

/// The offset in a place.
pub fn offset(place: &[u8]) -> Option<i64> {
    let bytes = place.get(6..PLACE)?.try_into().ok()?;
    i64::try_from(u64::from_be_bytes(bytes)).ok()
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    key: Option<&'a Bytes>,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a Bytes)>,
    #[serde(borrow)]
    value: Option<&'a Bytes>,
}

/// A record whose place and time are not yet known; the checksum of its body is.
pub struct Prepared {
    bytes: Vec<u8>,
    body: u32,
    /// When another log took it in; none: it is taken in as it is written.
    pub(crate) recorded: Option<Instant>,
}

impl Prepared {
    /// Encodes a record.
    pub fn new(record: &NewRecord<'_>) -> Self {
        let body = Body {
            key: record.key.map(Bytes::new),
            headers: record.headers.iter().map(|(name, value)| (*name, Bytes::new(value))).collect(),
            value: record.value.map(Bytes::new),
        };
        let size = HEAD + 16 + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let mut bytes = Vec::with_capacity(size);
        bytes.resize(HEAD, 0);
        let bytes = postcard::to_extend(&body, bytes).expect("invariant: a record of bytes and texts can be encoded");
        let body = crc32fast::hash(&bytes[HEAD..]);
        Self { bytes, body, recorded: None }
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + PLACE
    }

    /// Its value at this place and time.
    pub fn at(mut self, place: &[u8; PLACE], ingest: Instant) -> Vec<u8> {
        let ingest = ingest.to_le_bytes();
        let checksum = checksum(self.body, place, &ingest);
        self.bytes[..8].copy_from_slice(&ingest);
        self.bytes[8..HEAD].copy_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

fn checksum(body: u32, place: &[u8], ingest: &[u8; 8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(body);
    hasher.update(place);
    hasher.update(ingest);
    hasher.finalize()
}

fn head(value: &[u8]) -> Option<(&[u8; 8], u32, &[u8])> {
    let (ingest, rest) = value.split_first_chunk::<8>()?;
    let (stored, body) = rest.split_first_chunk::<4>()?;
    Some((ingest, u32::from_le_bytes(*stored), body))
}

/// The ingest time of a record, without looking at the rest.
pub fn ingest(value: &[u8]) -> Option<Instant> {
    head(value).map(|(ingest, ..)| i64::from_le_bytes(*ingest))
}

/// Reads a record and hands it on; none: it is not what was written there.
pub fn read<T>(place: &[u8], value: &[u8], then: impl FnOnce(RawRecord<'_>) -> T) -> Option<T> {
    let (ingest, stored, bytes) = head(value)?;
    if stored != checksum(crc32fast::hash(bytes), place, ingest) {
        return None;
    }
    let body: Body<'_> = postcard::from_bytes(bytes).ok()?;
    let headers: Vec<(&str, &[u8])> = body.headers.iter().map(|(name, value)| (*name, &value[..])).collect();
    Some(then(RawRecord {
        offset: offset(place)?,
        ingest: i64::from_le_bytes(*ingest),
        key: body.key.map(|key| &key[..]),
        value: body.value.map(|value| &value[..]),
        headers: &headers,
    }))
}

/// A value of the changelog or of the bookkeeping with its checksum at its end.
pub fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let checksum = sealed(key, &value);
    value.extend_from_slice(&checksum.to_le_bytes());
    value
}

/// The value in what [`seal`] made; none: it is not what was written there.
pub fn unseal<'a>(key: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (value, stored) = bytes.split_last_chunk::<4>()?;
    (u32::from_le_bytes(*stored) == sealed(key, value)).then_some(value)
}

fn sealed(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(value);
    hasher.update(key);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            headers in proptest::collection::vec((".{0,12}", proptest::collection::vec(any::<u8>(), 0..20)), 0..5),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
            offset in 0..i64::MAX, ingest in any::<i64>(),
        ) {
            let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
            let record = NewRecord { key: key.as_deref(), headers: &headers, value: value.as_deref() };
            let place = place(3, 7, offset);
            let bytes = Prepared::new(&record).at(&place, ingest);
            let same = read(&place, &bytes, |read| {
                read.offset == offset && read.ingest == ingest && read.key == record.key && read.value == record.value
                    && read.headers == record.headers
            });
            prop_assert_eq!(same, Some(true));
        }

        #[test]
        fn a_flipped_bit_or_another_place_is_seen(bit in 0usize..400, value in proptest::collection::vec(any::<u8>(), 40..60)) {
            let record = NewRecord { key: None, headers: &[], value: Some(&value) };
            let here = place(0, 0, 5);
            let mut bytes = Prepared::new(&record).at(&here, 1_000);
            prop_assert!(read(&place(0, 0, 6), &bytes, |_| ()).is_none());
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(&here, &bytes, |_| ()).is_none());
        }
    }

    #[test]
    fn a_sealed_value_belongs_to_its_key() {
        let bytes = seal(b"key", b"value".to_vec());
        assert_eq!(unseal(b"key", &bytes), Some(&b"value"[..]));
        assert_eq!(unseal(b"yek", &bytes), None);
        assert_eq!(unseal(b"key", &bytes[1..]), None);
        assert_eq!(unseal(b"key", b"abc"), None);
    }
}
