//! Card numbers, wherever they stand.

use super::*;

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
fn a_record_with_many_card_numbers_is_counted_once() {
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let raw = Raw::json().valued(Some(br#"{"amount":4111111111111111.5,"site":"4111111111111111"}"#));
    let letter = letter(raw.lend(INGEST, |raw| decoder.decode(0, raw)));
    assert_eq!(letter.bytes.as_deref(), Some(&br#"{"amount":411111******1111.5,"site":"411111******1111"}"#[..]));
    assert_eq!(decoder.counts().masked, 1);
    decoder.decode_line(1, br#"{"4111111111111111":"#);
    assert_eq!(decoder.counts().masked, 2);
}
