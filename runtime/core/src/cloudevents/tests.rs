//! What the decoder makes of good, bad and hostile records.

use proptest::prelude::*;
use tillwatch_wit::{
    contract::{Evidence, Severity, Value},
    table::{FieldId, TypeId},
};

use super::*;
use crate::{
    event::Event,
    limits::Limits,
    log::{Blind, RawRecord, Tick},
    output::{Data, DeadLetter, Derived, Finding, Id, Output, Resolution},
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

#[test]
fn every_mode_and_format_is_read() {
    same_event(&event(Raw::json().decode()));
    same_event(&event(Raw::cbor().decode()));
    same_event(&event(Raw::cbor().without("content-type").decode()));
    same_event(&event(Raw::json().without("content-type").decode()));
    same_event(&event(Raw::json().with("content-type", "Application/JSON; charset=utf-8").decode()));
    let text = structured(DATA);
    for value in [text.as_bytes().to_vec(), to_cbor(&text)] {
        same_event(&event(Raw::plain(&value).decode()));
        same_event(&event(Raw::plain(&value).keyed(Some(b"T1")).decode()));
    }
    same_event(&event(
        Raw::plain(text.as_bytes()).with("content-type", "application/cloudevents+json; charset=UTF-8").decode(),
    ));
    same_event(&event(Raw::plain(&to_cbor(&text)).with("content-type", "application/cloudevents+cbor").decode()));
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(to_cbor(DATA));
    let wrapped = text
        .replace(&format!(r#""data":{DATA}"#), &format!(r#""data_base64":"{base64}""#))
        .replace("application/json", "application/cbor");
    same_event(&event(Raw::plain(wrapped.as_bytes()).decode()));
    let slashed = wrapped.replace(&base64, &base64.replace('/', "\\/"));
    same_event(&event(Raw::plain(slashed.as_bytes()).decode()));
}

#[test]
fn escapes_chunks_and_nulls_are_values_like_others() {
    let json = r#"{"site":"\u0053\"1","terminal":null,"amount":null,"temp_c":3,"battery_pct":1.5,"operator":""}"#;
    let read = event(Raw::binary("application/json", json.as_bytes()).decode());
    assert_eq!((read.text(FieldId::SITE), read.text(FieldId::TERMINAL)), ("S\"1", ""));
    assert_eq!(read.integer(FieldId::AMOUNT), None);
    assert_eq!(read.piece(FieldId::TEMP_C), 3.0_f64.to_le_bytes());
    assert_eq!(read.piece(FieldId::BATTERY_PCT), 1.5_f64.to_le_bytes());
    let chunks = b"\xbf\x7f\x62si\x62te\xff\x7f\x61S\x61\x31\xff\x66amount\x38\x63\x18\x2a\x9f\xff\xff";
    let read = event(Raw::binary("application/cbor", chunks).decode());
    assert_eq!((read.text(FieldId::SITE), read.integer(FieldId::AMOUNT)), ("S1", Some(-100)));
}

#[test]
fn unknown_types_carry_the_whole_of_data() {
    let raw = Raw::json().with("ce_type", "shop.drawer.open").without("ce_subject");
    let from_json = event(raw.decode());
    assert_eq!((from_json.event_type(), from_json.type_name()), (TypeId::CUSTOM, "shop.drawer.open"));
    assert_eq!(from_json.piece(FieldId::DATA), to_cbor(DATA));
    assert_eq!(from_json.text(FieldId::SITE), "S0012");
    let raw = Raw::cbor().with("ce_type", "shop.drawer.open").without("ce_subject");
    assert_eq!(event(raw.decode()).piece(FieldId::DATA), to_cbor(DATA));
    let list = Raw::binary("application/json", b"[1,2]").with("ce_type", "x");
    assert_eq!(event(list.decode()).piece(FieldId::DATA), [0x82, 1, 2]);
}

#[test]
fn fields_of_wrong_types_are_refused_by_name() {
    data_refused(r#"{"amount":1.0}"#, "bad-field", "`amount` must be an integer");
    data_refused(r#"{"amount":1e300}"#, "bad-field", "`amount`");
    data_refused(r#"{"amount":"12"}"#, "bad-field", "`amount` must be an integer, not a text");
    data_refused(
        r#"{"amount":9223372036854775808}"#,
        "bad-field",
        "`amount` must be an integer, not one beyond 64 bits",
    );
    data_refused(r#"{"repeat":1}"#, "bad-field", "`repeat` must be true or false, not a number");
    data_refused(r#"{"site":["S1"]}"#, "bad-field", "`site` must be a text, not an array");
    data_refused(r#"{"site":{"a":1}}"#, "bad-field", "`site` must be a text, not a map");
    data_refused(r#"{"site":true}"#, "bad-field", "`site` must be a text, not a flag");
    data_refused("[1]", "bad-field", "`data` must be a map");
    data_refused("7", "bad-field", "`data` must be a map");
    let nan = Raw::binary("application/cbor", b"\xa1\x66temp_c\xf9\x7e\x00").with("ce_type", "pos.device.status");
    refused(&nan, "bad-field", "`temp_c` must be a finite number");
    let status = Raw::json().with("ce_type", "pos.payment.status");
    refused(&status.valued(Some(br#"{"as_of":"yesterday"}"#)), "bad-time", "`as_of`");
    for twice in [&br#"{"site":"a","site":"b"}"#[..], b"\xa2\x64site\x61a\x64site\xf6"] {
        refused(&Raw::json().without("content-type").valued(Some(twice)), "bad-field", "`site` is there twice");
    }
}

#[test]
fn a_field_of_another_type_of_event_is_an_unknown_field() {
    let read =
        event(Raw::binary("application/json", br#"{"amount":7,"tamper":"x","detail":{"a":[]},"state":"s"}"#).decode());
    assert_eq!((read.piece(FieldId::TAMPER), read.piece(FieldId::DETAIL)), (&b""[..], &b""[..]));
    assert_eq!((read.text(FieldId::STATE), read.integer(FieldId::AMOUNT)), ("s", Some(7)));
}

#[test]
fn attributes_are_checked() {
    refused(&Raw::json().without("ce_specversion"), "not-cloudevents", "`specversion` is missing");
    refused(&Raw::json().with("ce_specversion", "0.3"), "not-cloudevents", "not 1.0");
    for name in ["id", "source", "type", "subject"] {
        refused(&Raw::json().without(&format!("ce_{name}")), "missing-attribute", &format!("`{name}`"));
        refused(&Raw::json().with(&format!("ce_{name}"), ""), "missing-attribute", &format!("`{name}`"));
    }
    refused(&Raw::json().keyed(None), "missing-attribute", "`partitionkey`");
    refused(&Raw::json().keyed(Some(b"")), "missing-attribute", "`partitionkey`");
    refused(&Raw::json().keyed(Some(b"\xff")), "bad-attribute", "key is no UTF-8");
    refused(&Raw::json().with("ce_partitionkey", "T2"), "key-mismatch", "differ");
    assert_eq!(event(Raw::json().keyed(None).with("ce_partitionkey", "T2").decode()).key(), "T2");
    let mut twice = Raw::json();
    twice.headers.push(("ce_id".to_owned(), b"e2".to_vec()));
    refused(&twice, "bad-attribute", "`id` is there twice");
    let mut broken = Raw::json().without("ce_id");
    broken.headers.push(("ce_id".to_owned(), b"\xff\xfe".to_vec()));
    refused(&broken, "bad-attribute", "`id` is no UTF-8");
    refused(&Raw::json().with("content-type", "text/plain"), "content-type", "application/cbor");
    refused(&Raw::plain(b"hello"), "not-cloudevents", "no `ce_` headers");
    refused(&Raw::plain(b"{}"), "not-cloudevents", "`specversion`");
    refused(&Raw::plain(b"[]").with("content-type", "application/cloudevents+json"), "not-cloudevents", "no object");
    refused(&Raw::plain(b"[]").with("content-type", "application/cloudevents-batch+json"), "content-type", "");
    refused(&Raw::plain(structured("{}").replace(r#""e1""#, "7").as_bytes()), "bad-attribute", "`id` must be a text");
}

#[test]
fn absurd_times_are_refused_and_none_is_none() {
    for (time, part) in [
        ("1999-12-31T23:59:59.999Z", "before the year 2000"),
        ("0000-00-00T00:00:00Z", "no RFC 3339"),
        ("9998-12-31T23:59:59Z", "ten years"),
        ("2037-11-22T00:00:00Z", "ten years"),
        ("1795339801250", "no RFC 3339"),
        ("soon", "no RFC 3339"),
    ] {
        refused(&Raw::json().with("ce_time", time), "bad-time", part);
    }
    assert_eq!(event(Raw::json().with("ce_time", "2036-11-21T09:30:01Z").decode()).time(), Some(2_110_872_601_000));
    assert_eq!(event(Raw::json().without("ce_time").decode()).time(), None);
}

#[test]
fn what_only_tillwatch_writes_is_refused() {
    for name in [
        "pos.finding.raised",
        "pos.command",
        "pos.command.cancelled",
        "pos.evidence",
        "pos.evidence.x",
        "pos.incident.opened",
        "pos.dead-letter",
        "tillwatch.unresolved",
        "tillwatch.raw",
    ] {
        refused(&Raw::json().with("ce_type", name), "reserved-type", "");
    }
    event(Raw::json().with("ce_type", "pos.command.result").decode());
    event(Raw::json().with("ce_type", "pos.commander").decode());
}

#[test]
fn broken_payloads_are_refused() {
    for length in 1..DATA.len() {
        assert_eq!(letter(Raw::json().valued(Some(&DATA.as_bytes()[..length])).decode()).code, "bad-json");
    }
    let cbor = to_cbor(DATA);
    for length in 1..cbor.len() {
        assert_eq!(letter(Raw::cbor().valued(Some(&cbor[..length])).decode()).code, "bad-cbor");
    }
    let bad_cbor: [&[u8]; 9] = [
        b"\xa1\x64site\x62\xff\xfe",
        b"\xa1\x61x\x62\xff\xfe",
        b"\xa1\x64site\x7b\xff\xff\xff\xff\xff\xff\xff\xffa",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a\x01",
        b"\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xa0\x00",
        b"\xa1\x61a\xff",
        b"\xa1\x61a\x7f\x41a\xff",
        b"\x1c",
    ];
    for value in bad_cbor {
        refused(&Raw::cbor().valued(Some(value)), "bad-cbor", "at byte");
    }
    refused(&Raw::json().valued(Some(b"{} {}")), "bad-json", "trailing");
    refused(&Raw::json().valued(Some(b"{\"a\":\"\xff\"}")), "bad-json", "");
    refused(&Raw::json().valued(Some(b"{\"a\":NaN}")), "bad-json", "");
    refused(&Raw::json().valued(Some(b"")), "empty", "");
    refused(&Raw::json().valued(None), "tombstone", "");
    refused(&Raw { key: Some(b"T1".to_vec()), headers: vec![], value: None }, "tombstone", "");
    refused(&Raw::plain(b""), "empty", "");
}

#[test]
fn long_and_deep_payloads_are_refused_before_they_cost_anything() {
    let long = "x".repeat((64 << 10) + 1);
    data_refused(&format!(r#"{{"site":"{long}"}}"#), "too-large", "`text_bytes_max`");
    data_refused(&format!(r#"{{"note":["{long}"]}}"#), "too-large", "`text_bytes_max`");
    data_refused(&format!(r#"{{"{long}":1}}"#), "too-large", "`text_bytes_max`");
    let fits = "x".repeat(64 << 10);
    assert_eq!(
        event(Raw::json().valued(Some(format!(r#"{{"site":"{fits}"}}"#).as_bytes())).decode()).text(FieldId::SITE),
        fits
    );
    refused(&Raw::json().with("ce_id", &long), "too-large", "`text_bytes_max`");
    let huge = format!(r#"{{"site":"{}"}}"#, "x".repeat(1 << 20));
    data_refused(&huge, "too-large", "`record_bytes_max`");
    let nested = |levels: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    data_refused(&nested(33), "too-deep", "`depth_max`");
    data_refused(&nested(120), "too-deep", "`depth_max`");
    for raw in [
        Raw::json().valued(Some(nested(32).as_bytes())),
        Raw::cbor().valued(Some(&to_cbor(&nested(32)))),
        Raw::plain(structured(&nested(32)).as_bytes()),
        Raw::plain(&to_cbor(&structured(&nested(32)))),
    ] {
        event(raw.decode());
    }
    refused(&Raw::json().valued(Some(nested(100_000).as_bytes())), "too-deep", "`depth_max`");
    let arrays = [&b"\xa1\x61a"[..], &vec![0x81; 500_000]].concat();
    refused(&Raw::cbor().valued(Some(&arrays)), "too-deep", "`depth_max`");
    let tags = [&b"\xa1\x61a"[..], &vec![0xc1; 500_000]].concat();
    refused(&Raw::cbor().valued(Some(&tags)), "too-deep", "`depth_max`");
}

#[test]
fn ticks_are_time_and_sight() {
    for blind in [None, Some(Blind::Broker), Some(Blind::Lag), Some(Blind::Over)] {
        let tick = Tick { blind };
        let headers =
            tick.headers().iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        for value in [None, Some(vec![])] {
            let raw = Raw { key: None, headers: Vec::clone(&headers), value };
            assert_eq!(raw.decode().body, Body::Tick(tick));
        }
        let line = tick_line(tick, INGEST);
        let record = Decoder::new("pos.events", &Limits::default()).decode_line(7, line.as_bytes());
        assert_eq!(record, Record { offset: 7, ingest: INGEST, body: Body::Tick(tick) });
    }
    let raw = Raw::json().with("ce_type", "tillwatch.tick").with("ce_blind", "perhaps");
    refused(&raw, "bad-attribute", "`blind`");
}

#[test]
fn card_numbers_are_masked_wherever_they_hide() {
    const PAN: &str = "4111111111111111";
    const MASKED: &str = "411111******1111";
    let data = format!(r#"{{"site":"{PAN}","note":{{"{PAN}":["x {PAN}"]}},"amount":{PAN}}}"#);
    let masked =
        data.replace(&format!("\"{PAN}"), &format!("\"{MASKED}")).replace(&format!("x {PAN}"), &format!("x {MASKED}"));
    for (content_type, value, kept) in [
        ("application/json", data.clone().into_bytes(), masked.clone().into_bytes()),
        ("application/cbor", to_cbor(&data), to_cbor(&masked)),
    ] {
        let mut decoder = Decoder::new("pos.events", &Limits::default());
        let mut raw = Raw::binary(content_type, &value).keyed(Some(PAN.as_bytes()));
        for name in ["ce_id", "ce_source", "ce_subject"] {
            raw.set(name, PAN);
        }
        let read = event(raw.lend(INGEST, |raw| decoder.decode(0, raw)));
        assert_eq!(read.payload(), kept);
        assert_eq!(read.integer(FieldId::AMOUNT), Some(4_111_111_111_111_111));
        for text in [read.text(FieldId::SITE), read.id(), read.source(), read.subject(), read.key()] {
            assert_eq!(text, MASKED);
        }
        assert_eq!(decoder.counts().masked, 1);
    }
    let escaped = event(Raw::json().valued(Some(br#"{"site":"\u0034111111111111111"}"#)).decode());
    assert_eq!(escaped.text(FieldId::SITE), MASKED);
    assert!(
        !String::from_utf8_lossy(escaped.payload()).contains("\\u003411111"[..].trim_end_matches('1'))
            || escaped.payload().contains(&b'*')
    );
}

#[test]
fn card_numbers_in_base64_are_masked_in_the_payload_too() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let inner = STANDARD.encode(to_cbor(r#"{"site":"4111111111111111?>"}"#));
    let hidden = STANDARD.encode(to_cbor(r#"{"site":"411111******1111?>"}"#));
    let wrapped = structured("null")
        .replace("\"data\":null", &format!(r#""data_base64":"{inner}""#))
        .replace("application/json", "application/cbor");
    let read = event(Raw::plain(wrapped.as_bytes()).decode());
    assert_eq!(read.text(FieldId::SITE), "411111******1111?>");
    assert_eq!(read.payload(), wrapped.replace(&inner, &hidden).as_bytes());
    assert!(inner.contains('/'), "{inner}");
    let slashed = wrapped.replace(&inner, &inner.replace('/', "\\/"));
    let read = event(Raw::plain(slashed.as_bytes()).decode());
    assert_eq!((read.text(FieldId::SITE), read.payload()), ("411111******1111?>", &b""[..]));
}

#[test]
fn dead_letters_are_masked_and_otherwise_intact() {
    let raw = Raw::plain(b"\xff 4111111111111111 {").keyed(Some(b"4111111111111111")).with("x", "4111111111111111");
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let letter = letter(raw.lend(INGEST, |raw| decoder.decode(0, raw)));
    assert_eq!(letter.bytes.as_deref(), Some(&b"\xff 411111******1111 {"[..]));
    assert_eq!(letter.key.as_deref(), Some(&b"411111******1111"[..]));
    assert_eq!(letter.headers, [("x".to_owned(), b"411111******1111".to_vec())]);
    assert_eq!(decoder.counts().masked, 1);
    assert_eq!(decoder.counts().unreadable["not-cloudevents"], 1);
}

#[test]
fn lines_are_structured_events_with_their_ingest() {
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let bad = decoder.decode_line(0, b"nonsense\r\n");
    assert_eq!((bad.offset, bad.ingest), (0, 0));
    let record = decoder.decode_line(1, format!("{}\r\n", structured(DATA)).as_bytes());
    assert_eq!((record.offset, record.ingest), (1, INGEST));
    same_event(&event(record));
    let bad = decoder.decode_line(2, b"nonsense");
    assert_eq!((bad.offset, bad.ingest), (2, INGEST));
    let bad = letter(bad);
    assert_eq!((bad.code.as_str(), bad.offset, bad.bytes.as_deref()), ("bad-json", Some(2), Some(&b"nonsense"[..])));
    assert_eq!(letter(decoder.decode_line(3, b" ")).code, "empty");
    let timed = structured(DATA).replace("ingesttime", "other");
    assert_eq!(decoder.decode_line(4, timed.as_bytes()).ingest, 1_795_339_801_250);
    let untimed = timed.replace("\"time\"", "\"another\"");
    assert_eq!(letter(decoder.decode_line(5, untimed.as_bytes())).code, "missing-attribute");
    let wrong = structured(r#"{"amount":"x"}"#).replace("09:30:01.310Z", "09:30:02.000Z");
    let record = decoder.decode_line(6, wrong.as_bytes());
    assert_eq!(record.ingest, 1_795_339_802_000);
    assert_eq!(letter(record).code, "bad-field");
    assert_eq!(decoder.counts().events, 2);
    let long = structured(&format!("[{}]", "1,".repeat(1 << 19)));
    assert_eq!(letter(decoder.decode_line(7, long.as_bytes())).code, "too-large");
}

#[test]
fn a_record_with_many_card_numbers_is_counted_once() {
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let raw = Raw::json().valued(Some(br#"{"amount":4111111111111111.5,"site":"4111111111111111"}"#));
    let letter = letter(raw.lend(INGEST, |raw| decoder.decode(0, raw)));
    assert_eq!(letter.bytes.as_deref(), Some(&br#"{"amount":411111******1111.5,"site":"411111******1111"}"#[..]));
    assert_eq!(decoder.counts().masked, 1);
    decoder.decode_line(1, br#"{"4111111111111111":"#);
    assert_eq!(decoder.counts().masked, 2);
}

/// A record and its exported line give the same, but for the payload kept.
#[track_caller]
fn exported(raw: &Raw) {
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let line = raw.lend(INGEST, |raw| decoder.event_line(3, raw));
    assert!(!line.contains('\n'));
    let again = Decoder::new("pos.events", &Limits::default()).decode_line(7, line.as_bytes());
    let once = raw.decode();
    assert_eq!((again.offset, again.ingest), (7, once.ingest));
    match (once.body, again.body) {
        (Body::Event(once), Body::Event(again)) => {
            let fields = |event: &Event| {
                let mut fields: Vec<_> = event.fields().map(|(field, piece)| (field, piece.to_vec())).collect();
                fields.sort();
                fields
            };
            assert_eq!(
                (once.event_type(), once.time(), fields(&once)),
                (again.event_type(), again.time(), fields(&again))
            );
        }
        (once, again) => assert_eq!(once, again),
    }
}

#[test]
fn what_is_exported_is_what_was_read() {
    let text = structured(DATA);
    for raw in [
        Raw::json(),
        Raw::cbor(),
        Raw::json().with("ce_type", "shop.x"),
        Raw::cbor().with("ce_type", "shop.x"),
        Raw::cbor().with("ce_type", "shop.x").valued(Some(b"\xa2\x61a\x42\xff\xfe\x01\xf9\x7c\x00")),
        Raw::json().valued(Some(b"{ \"site\" : \"a \\\" b\\n\",\n\t\"amount\": 12345 }")),
        Raw::json().valued(Some(br#"{"site":"4111111111111111"}"#)),
        Raw::json().without("ce_time").keyed(None).with("ce_partitionkey", "T9"),
        Raw::plain(text.as_bytes()),
        Raw::plain(&to_cbor(&text)),
        Raw::plain(text.replace(DATA, "null").as_bytes()),
        Raw::json().with("ce_time", "1990-01-01T00:00:00Z"),
        Raw::json().valued(None),
        Raw::json().valued(Some(b"")),
        Raw::plain(b"\xff\x00 4111111111111111"),
        Raw::json().valued(Some(br#"{"amount":4111111111111111.5,"site":"4111111111111111"}"#)),
        Raw::json().valued(Some(&vec![b'['; 3 << 20])),
        Raw::cbor().valued(Some(&[&b"\xa1\x61x\x9a\x00\x0f\x00\x00"[..], &vec![0xf4; 0x000f_0000]].concat())),
    ] {
        exported(&raw);
    }
    let line = Raw::json()
        .with("ce_traceparent", "00-a")
        .lend(INGEST, |raw| Decoder::new("pos.events", &Limits::default()).event_line(3, raw));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["traceparent"], "00-a");
    assert_eq!((&line["kafkapartition"], &line["kafkaoffset"]), (&3.into(), &"42".into()));
    assert_eq!(line["data"], serde_json::from_str::<serde_json::Value>(DATA).unwrap());
}

fn derived(event: &str, details: Vec<(String, Value)>) -> Output {
    Output {
        id: Id::of(&[b"x"]),
        source: "/tillwatch/rule".to_owned(),
        time: INGEST,
        subject: Some("A01:M1:T1:1:7".to_owned()),
        key: "T1".to_owned(),
        data: Data::Evidence(Derived { event: event.to_owned(), details }),
    }
}

const ENCODINGS: [Encoding; 4] = [
    Encoding { mode: Mode::Binary, format: Format::Cbor },
    Encoding { mode: Mode::Binary, format: Format::Json },
    Encoding { mode: Mode::Structured, format: Format::Cbor },
    Encoding { mode: Mode::Structured, format: Format::Json },
];

#[test]
fn a_cleared_finding_says_what_it_was_and_how_it_ended() {
    let finding = Finding {
        finding: Id::of(&[b"f"]),
        kind: "no-answer".to_owned(),
        scope: "payment:A01:M1:T1:1:7".to_owned(),
        cause: None,
        confidence: Some(0.5),
        runner_up: None,
        evidence: vec![Evidence { event: "pos.payment.authorize".to_owned(), id: "e1".to_owned(), time: INGEST }],
        txn: Some("A01:M1:T1:1:7".to_owned()),
        amount: Some(1250),
        currency: Some("CNY".to_owned()),
        broke_at: None,
        rule: "correlate-payment".to_owned(),
        rule_version: "0.1.0".to_owned(),
        deadline: Some(INGEST),
        opened_at: INGEST,
        severity: Severity::Warning,
        generation: 1,
        text: crate::words::finding_text("no-answer", "payment:A01:M1:T1:1:7", Some(1250), Some("CNY"), None),
        runbook: crate::words::runbook("no-answer"),
        details: vec![("rail".to_owned(), Value::Text("card".to_owned()))],
    };
    let resolution = Resolution { resolution: "superseded".to_owned(), cleared_by: None, after_ms: 0 };
    let output = Output { data: Data::Cleared(finding, resolution), ..derived("x", Vec::new()) };
    let read = |encoding: Encoding| -> serde_json::Value {
        let message = encode(&output, encoding);
        assert_eq!(message.topic, crate::log::Topic::Findings);
        let value = match encoding.format {
            Format::Json => serde_json::from_slice(&message.value).unwrap(),
            Format::Cbor => ciborium::from_reader::<serde_json::Value, _>(&*message.value).unwrap(),
        };
        if encoding.mode == Mode::Structured { value["data"].clone() } else { value }
    };
    let data = read(ENCODINGS[0]);
    assert_eq!(
        (&data["kind"], &data["resolution"], &data["cleared_by"], &data["after_ms"]),
        (&"no-answer".into(), &"superseded".into(), &serde_json::Value::Null, &0.into())
    );
    assert!(data.as_object().unwrap().contains_key("cleared_by"));
    assert_eq!(data["deadline"], "2026-11-22T09:30:01.310Z");
    assert_eq!(data["evidence"][0]["type"], "pos.payment.authorize");
    for encoding in ENCODINGS {
        assert_eq!(read(encoding), data);
        assert_eq!(encode(&output, encoding), encode(&output, encoding));
    }
}

#[test]
fn a_line_of_output_has_its_topic() {
    let output = derived("pos.evidence.x", vec![("total".to_owned(), Value::Integer(7))]);
    assert_eq!(
        encode_line(&output, "pos.evidence"),
        format!(
            r#"{{"specversion":"1.0","id":"{}","source":"/tillwatch/rule","type":"pos.evidence.x","subject":"A01:M1:T1:1:7","time":"2026-11-22T09:30:01.310Z","partitionkey":"T1","topic":"pos.evidence","datacontenttype":"application/json","data":{{"total":7}}}}"#,
            output.id.as_str()
        )
    );
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(
        site in "\\PC{0,12}", amount: i64, temperature in -1e12..1e12_f64, repeat: bool, custom: bool,
    ) {
        let event_type = if custom { "shop.x" } else { "pos.payment.authorize" };
        let output = derived(event_type, vec![
            ("site".to_owned(), Value::Text(site.clone())),
            ("amount".to_owned(), Value::Integer(amount)),
            ("temp_c".to_owned(), Value::Number(temperature)),
            ("repeat".to_owned(), Value::Flag(repeat)),
        ]);
        for encoding in ENCODINGS {
            let message = encode(&output, encoding);
            let raw = Raw {
                key: Some(message.key.into_bytes()),
                headers: message.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
                value: Some(message.value),
            };
            let read = event(raw.decode());
            let mut masked = site.clone().into_bytes();
            mask::plain(&mut masked);
            prop_assert_eq!(read.piece(FieldId::SITE), masked);
            prop_assert_eq!(read.integer(FieldId::AMOUNT), Some(amount));
            prop_assert_eq!(read.piece(FieldId::TEMP_C), temperature.to_le_bytes());
            prop_assert_eq!(read.piece(FieldId::REPEAT), [u8::from(repeat)]);
            prop_assert_eq!((read.id(), read.type_name(), read.time()), (output.id.as_str(), event_type, Some(INGEST)));
            exported(&raw);
        }
    }

    #[test]
    fn no_card_number_passes(
        texts in proptest::collection::vec("([0-9]{11,21}|4111111111111111|[a-z ]){0,3}", 4), escape: bool,
    ) {
        let [a, b, c, id] = &texts[..] else { unreachable!() };
        let mut json = format!(r#"{{"site":"{a}","{b}":["{c}"]}}"#);
        if escape {
            json = json.replace('1', "\\u0031");
        }
        for mut raw in [Raw::json().valued(Some(json.as_bytes())), Raw::cbor().valued(Some(&to_cbor(&json)))] {
            raw.set("ce_id", &format!("i{id}"));
            raw.set("ce_type", "shop.x");
            let read = event(raw.decode());
            let data: ciborium::Value = ciborium::from_reader(read.piece(FieldId::DATA)).unwrap();
            let kept = String::from_utf8_lossy(read.payload()).replace("\\u0031", "1");
            for text in [format!("{data:?}"), kept, read.text(FieldId::SITE).to_owned(), read.id().to_owned()] {
                let mut masked = text.clone().into_bytes();
                prop_assert!(!mask::plain(&mut masked), "{}", text);
            }
        }
    }

    #[test]
    fn any_bytes_give_one_record(
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            mutated(to_cbor(DATA)),
            mutated(DATA.as_bytes().to_vec()),
            mutated(structured(DATA).into_bytes()),
            mutated(to_cbor(&structured(DATA))),
        ],
        content_type in prop_oneof![
            Just("application/json"), Just("application/cbor"), Just("application/cloudevents+json"),
            Just("application/cloudevents+cbor"), Just("")
        ],
        headers: bool,
    ) {
        let mut raw = if headers { Raw::json() } else { Raw::plain(b"") }.valued(Some(&value));
        raw.set("content-type", content_type);
        let mut decoder = Decoder::new("pos.events", &Limits::default());
        let record = raw.lend(INGEST, |raw| decoder.decode(3, raw));
        prop_assert_eq!((record.offset, record.ingest), (42, INGEST));
        let counts = decoder.counts();
        prop_assert_eq!(counts.events + counts.ticks + counts.unreadable.values().sum::<u64>(), 1);
        if let Body::Unreadable(letter) = &record.body {
            let mut masked = value.clone();
            mask::plain(&mut masked);
            let mut given = letter.bytes.clone().unwrap();
            mask::plain(&mut given);
            prop_assert!(given == masked || counts.masked == 1);
        }
        exported(&raw);
        decoder.decode_line(1, &value);
    }
}

fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = bytes.len();
    proptest::collection::vec((0..length, any::<u8>(), 0_u8..3), 0..4).prop_map(move |changes| {
        let mut bytes = bytes.clone();
        for (at, byte, how) in changes {
            let at = at.min(bytes.len() - 1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at + 1),
            }
        }
        bytes
    })
}
