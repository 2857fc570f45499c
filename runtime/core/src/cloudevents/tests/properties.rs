//! What holds for any bytes.

use proptest::prelude::*;
use tillwatch_wit::contract::Value;

use super::{
    lines::exported,
    writing::{ENCODINGS, derived},
    *,
};

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

    #[test]
    fn what_was_read_before_changes_nothing(
        records in proptest::collection::vec((
            prop_oneof![Just("pos.payment.authorize"), Just("pos.print.result"), Just("pos.odd"), Just("pos.odder")],
            prop_oneof![4 => entries(), 1 => mutated(to_cbor(DATA))],
        ), 1..12),
    ) {
        let mut decoder = Decoder::new("pos.events", &Limits::default());
        for (kind, value) in records {
            let raw = Raw::binary("application/cbor", &value).with("ce_type", kind);
            prop_assert_eq!(raw.lend(INGEST, |raw| decoder.decode(3, raw)), raw.decode());
        }
    }
}

/// A map of names, known or not, in any order, some of them twice, and of values that may be theirs.
fn entries() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: [&[u8]; 12] = [
        b"\x64site",
        b"\x66region",
        b"\x64rail",
        b"\x65state",
        b"\x66amount",
        b"\x6dparam_version",
        b"\x78\x04site",
        b"\x67regions",
        b"\x7f\x62si\x62te\xff",
        b"\x62id",
        b"\x61\xff",
        b"\x01",
    ];
    const VALUES: [&[u8]; 7] =
        [b"\x66S00012", b"\x60", b"\x19\x04\xe2", b"\x62\xc3\xa9", b"\x62\xc3\x28", b"\xf6", b"\x81\x01"];
    proptest::collection::vec((0..NAMES.len(), 0..VALUES.len()), 0..10).prop_map(|entries| {
        let mut bytes = vec![0xa0 + u8::try_from(entries.len()).unwrap()];
        for (name, value) in entries {
            bytes.extend_from_slice(NAMES[name]);
            bytes.extend_from_slice(VALUES[value]);
        }
        bytes
    })
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
