//! What the decoder makes of good, bad and hostile records, and what is written. Owns the records that its parts change.

mod lines;
mod masking;
mod properties;
mod reading;
mod writing;

use tillwatch_wit::table::{FieldId, TypeId};

use super::*;
use crate::{
    event::Event,
    limits::Limits,
    log::RawRecord,
    output::DeadLetter,
    partition::{Body, Record},
};

const INGEST: i64 = 1_795_339_801_310;
const DATA: &str = r#"{"site":"S0012","rail":"card","amount":1250,"currency":"CNY","repeat":false,"x":[1,{"y":null}]}"#;

struct Raw {
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    value: Option<Vec<u8>>,
}

impl Raw {
    fn binary(content_type: &str, value: &[u8]) -> Self {
        let mut raw = Self { key: Some(b"T1".to_vec()), headers: Vec::new(), value: Some(value.to_vec()) };
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", "e1"),
            ("ce_source", "/r/t/T1"),
            ("ce_type", "pos.payment.authorize"),
            ("ce_subject", "A01:M1:T1:1:7"),
            ("ce_time", "2026-11-22T09:30:01.250Z"),
            ("content-type", content_type),
        ] {
            raw.set(name, value);
        }
        raw
    }

    fn json() -> Self {
        Self::binary("application/json", DATA.as_bytes())
    }

    fn cbor() -> Self {
        Self::binary("application/cbor", &to_cbor(DATA))
    }

    fn plain(value: &[u8]) -> Self {
        Self { key: None, headers: Vec::new(), value: Some(value.to_vec()) }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    fn keyed(mut self, key: Option<&[u8]>) -> Self {
        self.key = key.map(<[u8]>::to_vec);
        self
    }

    fn valued(mut self, value: Option<&[u8]>) -> Self {
        self.value = value.map(<[u8]>::to_vec);
        self
    }

    fn lend<T>(&self, ingest: i64, take: impl FnOnce(RawRecord<'_>) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        take(RawRecord {
            offset: 42,
            ingest,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }

    fn decode(&self) -> Record {
        let mut decoder = Decoder::new("pos.events", &Limits::default());
        self.lend(INGEST, |raw| decoder.decode(3, raw))
    }
}

fn to_cbor(json: &str) -> Vec<u8> {
    let value: ciborium::Value = serde_json::from_str(json).unwrap();
    let mut out = Vec::new();
    ciborium::into_writer(&value, &mut out).unwrap();
    out
}

fn structured(data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e1","source":"/r/t/T1","type":"pos.payment.authorize","subject":"A01:M1:T1:1:7","time":"2026-11-22T09:30:01.250Z","ingesttime":"2026-11-22T09:30:01.310Z","partitionkey":"T1","datacontenttype":"application/json","data":{data}}}"#
    )
}

fn event(record: Record) -> Event {
    match record.body {
        Body::Event(event) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn letter(record: Record) -> DeadLetter {
    match record.body {
        Body::Unreadable(letter) => *letter,
        other => panic!("readable: {other:?}"),
    }
}

#[track_caller]
fn refused(raw: &Raw, code: &str, part: &str) {
    let record = raw.decode();
    assert_eq!((record.offset, record.ingest), (42, INGEST));
    let letter = letter(record);
    assert_eq!(letter.code, code, "{}", letter.reason);
    assert!(letter.reason.contains(part), "{}", letter.reason);
    assert!(CODES.contains(&letter.code.as_str()));
    assert_eq!((letter.topic.as_str(), letter.partition, letter.offset), ("pos.events", 3, Some(42)));
    assert_eq!((&letter.key, &letter.headers, &letter.bytes), (&raw.key, &raw.headers, &raw.value));
}

#[track_caller]
fn data_refused(json: &str, code: &str, part: &str) {
    refused(&Raw::binary("application/json", json.as_bytes()), code, part);
    refused(&Raw::binary("application/cbor", &to_cbor(json)), code, part);
    refused(&Raw::plain(structured(json).as_bytes()), code, part);
}

#[track_caller]
fn same_event(event: &Event) {
    assert_eq!(event.type_name(), "pos.payment.authorize");
    assert_eq!((event.id(), event.source(), event.subject(), event.key()), ("e1", "/r/t/T1", "A01:M1:T1:1:7", "T1"));
    assert_eq!(event.time(), Some(1_795_339_801_250));
    assert_eq!(
        (event.text(FieldId::SITE), event.text(FieldId::RAIL), event.text(FieldId::CURRENCY)),
        ("S0012", "card", "CNY")
    );
    assert_eq!(event.integer(FieldId::AMOUNT), Some(1250));
    assert_eq!(event.piece(FieldId::REPEAT), [0]);
    assert_eq!(event.piece(FieldId::STAN), b"");
}
