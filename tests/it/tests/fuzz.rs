//! What the fuzzer is fed, without the fuzzer: the committed corpora, everything that was ever found, and card numbers in any nesting.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use proptest::prelude::*;
use tillwatch_fuzz::targets::{self, Target};
use tillwatch_it::machine::root;

/// The committed inputs of one kind, by name.
fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root().join("tests/fuzz").join(kind).join(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("can be listed").path()).collect();
    paths.sort();
    paths
}

/// Runs a target over files; names every one that is wrong.
fn feed((name, run): Target, paths: &[PathBuf]) {
    let wrong: Vec<String> = paths
        .iter()
        .filter(|path| {
            let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_err()
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn every_target_takes_its_corpus() {
    for target in targets::ALL {
        let paths = inputs("corpus", target.0);
        assert!(!paths.is_empty(), "{}: no corpus", target.0);
        feed(target, &paths);
    }
}

#[test]
fn what_was_found_stays_mended() {
    let mut all = 0;
    for target in targets::ALL {
        let paths = inputs("found", target.0);
        all += paths.len();
        feed(target, &paths);
    }
    assert!(all > 0, "what was found has been lost");
}

#[test]
fn every_target_has_a_program_and_the_corpora_stay_small() {
    let programs = fs::read_dir(root().join("tests/fuzz/examples")).expect("there are programs");
    let mut programs: Vec<String> = programs
        .map(|entry| entry.expect("can be listed").path())
        .map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned())
        .collect();
    programs.sort();
    assert_eq!(programs, targets::ALL.map(|(name, _)| name));
    let paths =
        targets::ALL.into_iter().flat_map(|(name, _)| [inputs("corpus", name), inputs("found", name)]).flatten();
    let bytes: u64 = paths.map(|path| fs::metadata(path).expect("can be read").len()).sum();
    assert!(bytes < 200 << 10, "{bytes} bytes of inputs");
}

/// Texts that hold card numbers and what looks like them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,4}", "[0-9]{11,21}", Just("4111111111111111".to_owned()), "x{0,2}4222222222222y{0,2}"]
}

/// JSON with such texts at any depth, as values and as names.
fn nested() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![text().prop_map(serde_json::Value::from), any::<i64>().prop_map(serde_json::Value::from)];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// The target says what is wrong: in whatever encoding, read or not, no card number comes out, and an export reads as what it was.
    #[test]
    fn no_card_number_comes_out_of_any_nesting(
        data in nested(), id in text(), site in text(), way in 0_u8..6, whole in any::<bool>(), wrapped in any::<bool>(),
        escaped in any::<bool>(),
    ) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let cbor = |value: &serde_json::Value| {
            let mut bytes = Vec::new();
            ciborium::into_writer(value, &mut bytes).expect("memory has room");
            bytes
        };
        let data = serde_json::json!({"site": site, "note": data});
        let mut event = serde_json::json!({
            "specversion": "1.0", "source": "/r/t/T1", "type": "shop.x", "time": "2026-11-22T09:30:01.250Z",
            "partitionkey": "T1", "datacontenttype": "application/json",
        });
        // Without an id it cannot be read, and is a dead letter.
        if whole {
            event["id"] = format!("i{id}").into();
        }
        match wrapped {
            true => event["data_base64"] = STANDARD.encode(data.to_string()).into(),
            false => event["data"] = data.clone(),
        }
        let payload = match way {
            0 => data.to_string().into_bytes(),
            1 => cbor(&data),
            3 => cbor(&event),
            _ => event.to_string().into_bytes(),
        };
        let payload = match (way, escaped) {
            (1 | 3, _) | (_, false) => payload,
            (_, true) => String::from_utf8(payload).expect("JSON is text").replace('1', "\\u0031").into_bytes(),
        };
        // The key is the event's own, except in binary mode.
        let way = if way < 2 { way } else { way | 0x80 };
        targets::decode::run(&[&[way, 0], &payload[..]].concat());
    }
}
