//! Rubbish among good payments: one dead letter for each, with its bytes and the reason, and not a byte of difference to the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use tillwatch_it::running::deployment::Deployment;
use tillwatch_it::running::feed::{now, silent, subject};
use tillwatch_it::running::process::{of, run, tillwatch};
use tillwatch_it::running::verdict::{export, once, replayed};

/// A text that no field takes.
const LONG: usize = 1 << 20;

/// Arrays in arrays in arrays.
const DEEP: usize = 100;

/// Lines of the simulator.
fn good() -> Vec<Vec<u8>> {
    let arguments = "simulate --seed 5 --faults demo --duration 5m --payments-per-hour 300 --terminals 5";
    let lines = of(arguments.split(' ')).good();
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// An event like `model` with this for that.
fn with(model: &Value, name: &str, value: Value) -> Vec<u8> {
    let mut event = model.clone();
    event["id"] = "bad".into();
    event[name] = value;
    event.to_string().into_bytes()
}

/// What cannot be read, and the code that says why.
fn bad(model: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let truncated = model[..model.len() / 2].to_vec();
    let event: Value = serde_json::from_slice(model).expect("the simulator writes JSON");
    let data = |name: &str, value: Value| {
        let mut data = event["data"].clone();
        data[name] = value;
        with(&event, "data", data)
    };
    let mut garbled = model.to_vec();
    let at = garbled.windows(8).position(|window| window == b"terminal").expect("an event names its terminal");
    garbled[at..at + 2].copy_from_slice(b"\xff\xfe");
    let deep = (0..DEEP).fold(json!(1), |inner, _| json!([inner]));
    vec![
        (truncated, "bad-json"),
        (b"not json at all".to_vec(), "bad-json"),
        (b"\xff\xfe\xfd".to_vec(), "bad-json"),
        (garbled, "bad-json"),
        (b"[]".to_vec(), "not-cloudevents"),
        (b"{}".to_vec(), "missing-attribute"),
        (with(&event, "id", json!(7)), "bad-attribute"),
        (with(&event, "type", json!("")), "missing-attribute"),
        (with(&event, "type", json!("pos.command")), "reserved-type"),
        (with(&event, "data", json!([1, 2])), "bad-field"),
        (data("merchant", json!("x".repeat(LONG))), "too-large"),
        (data("nested", deep), "too-deep"),
        (with(&event, "time", json!("yesterday")), "bad-time"),
        (with(&event, "time", json!("99999-01-01T00:00:00Z")), "bad-time"),
        (with(&event, "time", json!("0001-01-01T00:00:00Z")), "bad-time"),
        (with(&event, "ingesttime", json!("never")), "bad-time"),
    ]
}

fn replay(lines: &[Vec<u8>]) -> tillwatch_it::running::process::Ended {
    run(tillwatch(["replay", "-"]), &lines.join(&b'\n'))
}

fn is_dead(line: &&[u8]) -> bool {
    let line: Value = serde_json::from_slice(line).expect("an output is JSON");
    line["type"] == "pos.dead-letter"
}

#[test]
fn every_bad_line_is_one_dead_letter_and_the_rest_is_untouched() {
    let good = good();
    let clean = replay(&good).good();
    let bad = bad(&good[10]);
    let mut mixed = good.clone();
    // Between the good ones, and the first and the last of all.
    let spread = (good.len() - 1) / (bad.len() - 1);
    for (index, (line, _)) in bad.iter().enumerate().rev() {
        mixed.insert(index * spread, line.clone());
    }
    let ended = replay(&mixed);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("; {} could not be read", bad.len())), "{}", ended.stderr);
    let (dead, rest): (Vec<&[u8]>, Vec<&[u8]>) =
        ended.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).partition(is_dead);
    let clean: Vec<&[u8]> = clean.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert!(clean.len() > 20, "there is something to disturb");
    assert_eq!(rest, clean);
    let dead: Vec<Value> = dead.iter().map(|line| serde_json::from_slice(line).expect("JSON")).collect();
    let said: Vec<&str> = dead.iter().map(|letter| letter["data"]["code"].as_str().expect("a code")).collect();
    assert_eq!(said, bad.iter().map(|(_, code)| *code).collect::<Vec<_>>());
    for (letter, (line, code)) in dead.iter().zip(&bad) {
        assert!(letter["data"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{code}");
        let bytes = STANDARD.decode(letter["data"]["bytes"].as_str().expect("bytes")).expect("base64");
        assert!(!bytes.is_empty() && line.starts_with(&bytes), "{code}: its own bytes");
    }
}

#[test]
fn what_cannot_be_read_is_dead_and_the_payments_around_it_are_found_on_kafka() {
    let deployment = Deployment::new("rubbish");
    let member = deployment.member("a");
    let [authorize, response] = silent("SILENT", now());
    let bad: [(Option<&[u8]>, &str); 4] = [
        (Some(b"\xff\xfe"), "bad-json"),
        (Some(b"{\"specversion\":\"1.0\""), "bad-json"),
        (Some(b""), "empty"),
        (None, "tombstone"),
    ];
    deployment.send(Some(0), "SILENT", Some(authorize.as_bytes()));
    for (value, _) in bad {
        deployment.send(Some(0), "SILENT", value);
    }
    deployment.send(Some(0), "SILENT", Some(response.as_bytes()));
    deployment.flush();
    let mut said = Vec::new();
    deployment.until("the finding", &mut said, |said| {
        said.iter().any(|output| output["subject"] == subject("SILENT").as_str())
            && said.iter().filter(|output| output["type"] == "pos.dead-letter").count() >= bad.len()
    });
    let dead: Vec<&Value> = said.iter().filter(|output| output["type"] == "pos.dead-letter").collect();
    let codes: Vec<&str> = dead.iter().map(|letter| letter["data"]["code"].as_str().expect("a code")).collect();
    assert_eq!(codes, bad.map(|(_, code)| code));
    for (offset, letter) in (1..).zip(dead) {
        assert_eq!(letter["data"]["offset"], offset);
        assert_eq!(letter["data"]["topic"], deployment.topic("pos.events").as_str());
    }
    member.stop();
    let replayed = replayed(&deployment.config(), &export(&deployment.config(), None));
    for (id, letter) in once(said).iter().filter(|(_, output)| output["type"] == "pos.dead-letter") {
        assert_eq!(replayed.get(id), Some(letter), "a replay of the export has the same dead letter under the same id");
    }
}
