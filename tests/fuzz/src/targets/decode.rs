//! Any bytes as a record or a line: one record comes out, no card number does, and what is exported reads as the same.
//!
//! The first byte says how the bytes reach the decoder, the second how many of them are the texts of attributes; the rest is the payload.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tillwatch_core::{
    Instant,
    cloudevents::{Decoder, Encoding, Format, Mode, encode, encode_line, mask},
    event::Event,
    limits::Limits,
    log::RawRecord,
    output::{Data, DeadLetter, Id, Output},
    partition::{Body, Record},
};

const INGEST: Instant = 1_795_339_801_310;
const PARTITION: i32 = 3;
const OFFSET: i64 = 42;

/// Decodes the bytes in the way that their first two say.
pub fn run(data: &[u8]) {
    let [way, split, rest @ ..] = data else { return };
    let (texts, payload) = rest.split_at(usize::from(*split).min(rest.len()));
    let content_type = match way & 7 {
        0 => "application/json",
        1 => "application/cbor",
        2 => "application/cloudevents+json",
        3 => "application/cloudevents+cbor",
        4 => "",
        _ => return line(rest),
    };
    let texts: Vec<&[u8]> = texts.split(|byte| *byte == 0).collect();
    let text = |index: usize, otherwise: &'static str| texts.get(index).copied().unwrap_or(otherwise.as_bytes());
    let mut headers: Vec<(&str, &[u8])> = Vec::new();
    if !content_type.is_empty() {
        headers.push(("content-type", content_type.as_bytes()));
    }
    if way & 7 < 2 {
        headers.extend([
            ("ce_specversion", b"1.0".as_slice()),
            ("ce_type", text(0, "pos.payment.authorize")),
            ("ce_id", text(1, "e1")),
            ("ce_source", text(2, "/r/t/T1")),
            ("ce_subject", text(3, "A01:M1:T1:1:7")),
            ("ce_time", text(4, "2026-11-22T09:30:01.250Z")),
            ("ce_x", text(5, "more")),
        ]);
    }
    let key = (way & 0x80 == 0).then(|| text(6, "T1"));
    let value = (way & 0x40 == 0).then_some(payload);
    record(RawRecord { offset: OFFSET, ingest: INGEST, key, value, headers: &headers });
}

fn record(raw: RawRecord<'_>) {
    let limits = Limits::default();
    let mut decoder = Decoder::new("pos.events", &limits);
    let record = decoder.decode(PARTITION, raw);
    assert_eq!((record.offset, record.ingest), (OFFSET, INGEST));
    counted(&decoder, 1);
    clean(&record);
    let line = Decoder::new("pos.events", &limits).event_line(PARTITION, raw);
    let mut again = Decoder::new("pos.events", &limits);
    let exported = again.decode_line(7, line.as_bytes());
    assert!(!line.contains('\n'), "{line}");
    assert_eq!((exported.offset, exported.ingest), (7, INGEST), "{line}");
    clean_line(&line);
    same(&record, &exported, &line);
}

fn line(bytes: &[u8]) {
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let mut read = 0;
    for (number, line) in (0..).zip(bytes.split(|byte| *byte == b'\n')) {
        clean(&decoder.decode_line(number, line));
        read += 1;
    }
    counted(&decoder, read);
}

fn counted(decoder: &Decoder, records: u64) {
    let counts = decoder.counts();
    assert_eq!(counts.events + counts.ticks + counts.unreadable.values().sum::<u64>(), records, "each counts once");
}

/// An exported record and the one that it came from are the same, but for the payload kept.
fn same(once: &Record, again: &Record, line: &str) {
    match (&once.body, &again.body) {
        (Body::Event(once), Body::Event(again)) => {
            let all = |event: &Event| {
                let mut fields: Vec<_> = event.fields().map(|(field, piece)| (field, piece.to_vec())).collect();
                fields.sort();
                (event.event_type(), event.time(), fields)
            };
            assert_eq!(all(once), all(again), "{line}");
        }
        (once, again) => assert_eq!(once, again, "{line}"),
    }
}

/// No card number is in what leaves the decoder.
fn clean(record: &Record) {
    match &record.body {
        Body::Tick(_) | Body::Passed(_) | Body::LeftOut(_) => {}
        Body::Event(event) => {
            for text in [event.id(), event.source(), event.subject(), event.key(), event.type_name()] {
                no_card(text.as_bytes(), "an attribute");
            }
            for (field, piece) in event.fields() {
                match ciborium::from_reader::<ciborium::Value, _>(piece) {
                    Ok(value) if field.field().name == "data" => clean_cbor(&value),
                    _ => no_card(piece, field.field().name),
                }
            }
            clean_payload(event.payload());
        }
        Body::Unreadable(letter) => clean_letter(letter),
    }
}

fn clean_payload(payload: &[u8]) {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(payload) {
        clean_json(&json);
    } else if let Ok(cbor) = ciborium::from_reader::<ciborium::Value, _>(payload) {
        clean_cbor(&cbor);
    }
}

fn clean_letter(letter: &DeadLetter) {
    no_card(letter.reason.as_bytes(), "the reason");
    let headers = letter.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
    for bytes in letter.key.as_deref().into_iter().chain(letter.bytes.as_deref()).chain(headers) {
        no_card(bytes, "a dead letter");
    }
    if let Some(bytes) = &letter.bytes {
        clean_payload(bytes);
    }
    let output = Output {
        id: Id::of(&[b"x"]),
        source: "/tillwatch/engine".to_owned(),
        time: INGEST,
        subject: None,
        key: "T1".to_owned(),
        data: Data::DeadLetter(letter.clone()),
    };
    for (mode, format) in [Mode::Binary, Mode::Structured].into_iter().zip([Format::Cbor, Format::Json]) {
        clean_payload(&encode(&output, Encoding { mode, format }).value);
    }
    clean_line(&encode_line(&output, "pos.dead-letters"));
}

/// A line's strings, and what they hide in base64.
fn clean_line(line: &str) {
    let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    clean_json(&value);
    let data = &value["data"];
    let headers = data["headers"].as_array().into_iter().flatten().map(|header| &header[1]);
    for text in [&data["key"], &data["value"], &data["bytes"]].into_iter().chain(headers) {
        if value["type"] == "tillwatch.raw" || value["type"] == "pos.dead-letter" {
            no_card(&STANDARD.decode(text.as_str().unwrap_or_default()).unwrap_or_default(), "base64 of a line");
        }
    }
}

fn clean_json(value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => no_card(text.as_bytes(), "a text of JSON"),
        serde_json::Value::Array(items) => items.iter().for_each(clean_json),
        serde_json::Value::Object(entries) => {
            for (name, value) in entries {
                no_card(name.as_bytes(), "a name of JSON");
                clean_json(value);
            }
            if let Some(data) = entries.get("data_base64").and_then(serde_json::Value::as_str)
                && entries.contains_key("specversion")
                && let Ok(data) = STANDARD.decode(data)
            {
                clean_payload(&data);
            }
        }
        _ => {}
    }
}

fn clean_cbor(value: &ciborium::Value) {
    match value {
        ciborium::Value::Text(text) => no_card(text.as_bytes(), "a text of CBOR"),
        ciborium::Value::Bytes(bytes) => no_card(bytes, "bytes of CBOR"),
        ciborium::Value::Array(items) => items.iter().for_each(clean_cbor),
        ciborium::Value::Map(entries) => entries.iter().for_each(|(name, value)| {
            clean_cbor(name);
            clean_cbor(value);
        }),
        ciborium::Value::Tag(_, inner) => clean_cbor(inner),
        _ => {}
    }
}

fn no_card(bytes: &[u8], place: &str) {
    let mut copy = bytes.to_vec();
    assert!(!mask::plain(&mut copy), "a card number in {place}: {}", bytes.escape_ascii());
}
