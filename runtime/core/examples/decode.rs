//! How long one event takes to decode, by mode and format, beside ciborium's serde front end.
//!
//! `cargo run --release -p tillwatch-core --example decode [events]`; the numbers of `docs/adr/0003-decoder-of-the-hot-path.md` come from here.
#![allow(clippy::print_stdout, reason = "a program whose output is its result")]

use std::{hint::black_box, time::Duration};

use serde::Deserialize;
use tillwatch_core::{
    cloudevents::Decoder,
    limits::Limits,
    log::RawRecord,
    partition::{Body, Record},
};

const INGEST: i64 = 1_795_339_801_310;
const DATA: &str = r#"{"region":"cn-east","site":"S0012","terminal":"T0000123","merchant":"M0000042","acquirer":"A01","operator":"op-7f3a","rail":"card","app_version":"4.12.0","param_version":"2026-11-01","amount":1250,"currency":"CNY","stan":"003021","batch":"000017","repeat":false}"#;
const HEADERS: [(&str, &[u8]); 7] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"01JD9V4M6Z8Q2R5T7W0X3Y6B9C"),
    ("ce_source", b"/r/cn-east/s/S0012/t/T0000123"),
    ("ce_type", b"pos.payment.authorize"),
    ("ce_subject", b"A01:M0000042:T0000123:000017:003021"),
    ("ce_time", b"2026-11-22T09:30:01.250Z"),
    ("content-type", b"application/cbor"),
];

/// What a decoder by serde would fill: ciborium lends no text, so each is a `String`.
#[derive(Deserialize)]
#[allow(dead_code, reason = "filled to be measured")]
struct Typed {
    region: Option<String>,
    site: Option<String>,
    terminal: Option<String>,
    merchant: Option<String>,
    acquirer: Option<String>,
    operator: Option<String>,
    rail: Option<String>,
    app_version: Option<String>,
    param_version: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    order: Option<String>,
    stan: Option<String>,
    batch: Option<String>,
    repeat: Option<bool>,
}

fn main() {
    let events: u64 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let value: ciborium::Value = serde_json::from_str(DATA).expect("the sample is JSON");
    let mut cbor = Vec::new();
    ciborium::into_writer(&value, &mut cbor).expect("the sample is written to memory");
    let structured = format!(
        r#"{{"specversion":"1.0","id":"01JD9V4M6Z8Q2R5T7W0X3Y6B9C","source":"/r/cn-east/s/S0012/t/T0000123","type":"pos.payment.authorize","subject":"A01:M0000042:T0000123:000017:003021","time":"2026-11-22T09:30:01.250Z","ingesttime":"2026-11-22T09:30:01.310Z","partitionkey":"T0000123","data":{DATA}}}"#
    );
    let value: ciborium::Value = serde_json::from_str(&structured).expect("the sample is JSON");
    let mut structured_cbor = Vec::new();
    ciborium::into_writer(&value, &mut structured_cbor).expect("the sample is written to memory");
    println!("{} bytes of CBOR, {} of JSON, {events} events", cbor.len(), DATA.len());

    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let json_headers = {
        let mut headers = HEADERS;
        headers[6].1 = b"application/json";
        headers
    };
    let mut records = |name: &str, value: &[u8], headers: &[(&str, &[u8])]| {
        let raw = RawRecord { offset: 0, ingest: INGEST, key: Some(b"T0000123"), value: Some(value), headers };
        report(name, events, || read(decoder.decode(0, black_box(raw))));
    };
    records("binary CBOR", &cbor, &HEADERS);
    records("binary JSON", DATA.as_bytes(), &json_headers);
    records("structured CBOR", &structured_cbor, &[]);
    records("structured JSON", structured.as_bytes(), &[]);
    report("JSON line", events, || read(decoder.decode_line(0, black_box(structured.as_bytes()))));
    report("ciborium serde, data only", events, || {
        let typed: Typed = ciborium::from_reader(black_box(&*cbor)).expect("the sample is read");
        black_box(typed);
    });
    report("ciborium::Value, data only", events, || {
        let value: ciborium::Value = ciborium::from_reader(black_box(&*cbor)).expect("the sample is read");
        black_box(value);
    });
    report("serde_json, data only", events, || {
        let typed: Typed = serde_json::from_slice(black_box(DATA.as_bytes())).expect("the sample is read");
        black_box(typed);
    });
}

fn read(record: Record) {
    assert!(matches!(record.body, Body::Event(_)), "the sample is read: {record:?}");
    black_box(record);
}

/// The best of many short rounds: what the machine does when nothing else disturbs it.
fn report(name: &str, events: u64, mut one: impl FnMut()) {
    const ROUNDS: u64 = 200;
    let best = (0..ROUNDS).map(|_| round(events / ROUNDS, &mut one)).min().unwrap_or_default();
    let nanos = best.as_secs_f64() * 1e9 / (events / ROUNDS).max(1) as f64;
    println!("{name:28} {nanos:7.0} ns an event, {:5.2} million a second", 1e3 / nanos);
}

#[allow(clippy::disallowed_methods, reason = "a stopwatch")]
fn round(events: u64, one: &mut impl FnMut()) -> Duration {
    let start = std::time::Instant::now();
    for _ in 0..events {
        one();
    }
    start.elapsed()
}
