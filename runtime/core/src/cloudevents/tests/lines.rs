//! Lines of `replay` and `export`.

use super::*;

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

/// A record and its exported line give the same, but for the payload kept.
#[track_caller]
pub(super) fn exported(raw: &Raw) {
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
