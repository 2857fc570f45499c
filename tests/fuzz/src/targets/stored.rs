//! Any bytes in the places where the two logs keep what they wrote: the metadata of a committed offset, and the embedded log's records,
//! bookkeeping and marks. Read as what was written there, or not at all.
//!
//! The first byte says which; checksums are made right, since garbage does not pass them.

use tillwatch_embedded::{NewRecord, acknowledged, record};

// The file itself, since the crate around it would have librdkafka built for the fuzzer.
#[allow(dead_code, unreachable_pub, reason = "the reader alone is fed")]
#[path = "../../../../runtime/kafka/src/position.rs"]
mod position;

/// Reads the bytes as what their first byte says.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => metadata(rest),
        1 => embedded(rest),
        2 => sealed(rest),
        _ => marked(rest),
    }
}

fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let offset = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    let Ok(committed) = position::Committed::parse(text, offset) else { return };
    assert!(committed.position.low >= 0 && committed.position.low <= committed.position.high);
    assert_eq!(position::Committed::parse(&committed.encode(), offset), Ok(committed), "{text:?}");
}

fn embedded(bytes: &[u8]) {
    let place = record::place(3, 7, 42);
    let ingest = bytes.first_chunk::<8>().copied().unwrap_or_default();
    let body = bytes.get(8..).unwrap_or_default();
    let value = [&ingest[..], &checksum(&place, &ingest, body), body].concat();
    let again = record::read(&place, &value, |read| {
        assert_eq!((read.offset, read.ingest), (42, i64::from_le_bytes(ingest)));
        let record = NewRecord { key: read.key, headers: read.headers, value: read.value };
        let written = record::Prepared::new(&record).at(&place, read.ingest);
        record::read(&place, &written, |again| {
            (again.key, again.value, again.headers) == (read.key, read.value, read.headers)
        })
    });
    assert!(again.is_none_or(|same| same == Some(true)), "written again it is another record");
    assert!(record::read(&record::place(3, 7, 43), &value, |_| ()).is_none(), "in another place it is no record");
    if record::read(&place, bytes, |_| ()).is_some() {
        // The fuzzer reads checksums off the comparison and writes them itself.
        let (ingest, rest) = bytes.split_at(8);
        let (written, body) = rest.split_at(4);
        assert_eq!(written, checksum(&place, ingest, body), "without its checksum it is no record");
    }
}

fn checksum(place: &[u8], ingest: &[u8], body: &[u8]) -> [u8; 4] {
    let mut checksum = crc32fast::Hasher::new_with_initial(crc32fast::hash(body));
    checksum.update(place);
    checksum.update(ingest);
    checksum.finalize().to_le_bytes()
}

fn sealed(bytes: &[u8]) {
    let (key, value) = bytes.split_at(bytes.len() / 2);
    let made = record::seal(key, value.to_vec());
    assert_eq!(record::unseal(key, &made), Some(value));
    if let Some(value) = record::unseal(key, value) {
        assert_eq!(record::seal(key, value.to_vec()), bytes[key.len()..]);
    }
}

fn marked(bytes: &[u8]) {
    let (generation, mark) = match acknowledged::decode(bytes) {
        Some(found) => found,
        None => {
            let Some(found) = acknowledged::decode(&[bytes, &crc32fast::hash(bytes).to_le_bytes()].concat()) else {
                return;
            };
            found
        }
    };
    assert_eq!(acknowledged::decode(&acknowledged::encode(generation, &mark)), Some((generation, mark)));
}
