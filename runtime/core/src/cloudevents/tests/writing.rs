//! The bytes of outputs.

use tillwatch_wit::contract::{Evidence, Severity, Value};

use super::*;
use crate::output::{Data, Derived, Finding, Id, Output, Resolution};

pub(super) fn derived(event: &str, details: Vec<(String, Value)>) -> Output {
    Output {
        id: Id::of(&[b"x"]),
        source: "/tillwatch/rule".to_owned(),
        time: INGEST,
        subject: Some("A01:M1:T1:1:7".to_owned()),
        key: "T1".to_owned(),
        data: Data::Evidence(Derived { event: event.to_owned(), details }),
    }
}

pub(super) const ENCODINGS: [Encoding; 4] = [
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
