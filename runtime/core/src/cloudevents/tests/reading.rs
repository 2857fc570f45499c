//! What is read, and what is refused with which code.

use super::*;
use crate::log::{Blind, Tick};

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
fn what_usually_comes_keeps_to_the_limits_too() {
    let limits = Limits { text_bytes_max: "pos.payment.authorize".len(), ..Limits::default() };
    let mut decoder = Decoder::new("pos.events", &limits);
    let mut site = |length: usize| {
        let data = format!(r#"{{"site":"{}","region":"cn-east"}}"#, "x".repeat(length));
        Raw::binary("application/cbor", &to_cbor(&data)).without("ce_time").lend(INGEST, |raw| decoder.decode(3, raw))
    };
    for _ in 0..2 {
        assert_eq!(event(site(21)).text(FieldId::REGION), "cn-east");
        assert_eq!(letter(site(22)).code, "too-large");
    }
}

#[test]
fn in_structured_mode_headers_of_attributes_do_not_matter() {
    let text = structured(DATA);
    let raw = Raw::plain(text.as_bytes()).with("content-type", "application/cloudevents+json");
    let mut raw = raw.with("ce_source", &"x".repeat((64 << 10) + 1));
    for id in ["e2", "e3"] {
        raw.headers.push(("ce_id".to_owned(), id.as_bytes().to_vec()));
    }
    raw.headers.push(("ce_subject".to_owned(), b"\xff".to_vec()));
    same_event(&event(raw.decode()));
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
