//! What is refused, and whether the message says enough.

use tillwatch_core::rules::Scope;
use tillwatch_host::{Limits, RuleConfig};

use crate::support::{config, hostile, hostile_bytes, hostile_path, loader};

fn refusal_of_bytes(config: &RuleConfig, bytes: &[u8]) -> String {
    loader().load_bytes(config, bytes).expect_err("is refused").to_string()
}

fn refusal(change: impl FnOnce(&mut RuleConfig)) -> String {
    let mut config = config(Limits::default());
    change(&mut config);
    refusal_of_bytes(&config, hostile_bytes())
}

fn refusal_of_wat(text: &str) -> String {
    refusal_of_bytes(&config(Limits::default()), &wat::parse_str(text).expect("the text is WebAssembly"))
}

#[test]
fn a_rule_is_described_when_it_is_loaded() {
    let loaded = loader().load(&config(Limits::default())).expect("loads from its file");
    let descriptor = loaded.descriptor();
    assert_eq!((descriptor.id.as_str(), descriptor.version.as_str()), ("hostile", "1.2.3"));
    assert_eq!((descriptor.key, descriptor.state_version), (Scope::Payment, 2));
    assert_eq!(descriptor.fields, ["amount"]);
    assert_eq!(loaded.digest(), hostile(Limits::default()).digest());
    assert_eq!(loaded.warnings(), []);
}

#[test]
fn every_refusal_names_the_rule_and_its_file() {
    let missing = RuleConfig { path: "/nowhere/rule.wasm".into(), ..config(Limits::default()) };
    let error = loader().load(&missing).expect_err("is not there").to_string();
    assert!(error.starts_with("rule hostile: /nowhere/rule.wasm: "), "{error}");
    let error = refusal(|config| config.settings = "refuse".to_owned());
    let place = format!("rule hostile: {}: ", hostile_path().display());
    assert_eq!(error, format!("{place}does not accept its settings: mode: `refuse` is not a mode"));
}

#[test]
fn what_is_no_component_is_refused() {
    for bytes in [b"".as_slice(), b"#!/bin/sh", b"\0asm\x01\0\0\0", &hostile_bytes()[..1000]] {
        let error = refusal_of_bytes(&config(Limits::default()), bytes);
        assert!(error.contains("not a WebAssembly component that can be compiled"), "{error}");
    }
}

#[test]
fn imports_are_denied_by_default() {
    for import in ["wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0", "wasi:cli/run@0.2.0", "acme:till/door"]
    {
        let error = refusal_of_wat(&format!(r#"(component (import "{import}" (instance)))"#));
        assert!(error.contains(&format!("imports {import:?}; a rule is a pure function")), "{error}");
    }
}

#[test]
fn a_component_of_another_world_is_refused_with_what_is_missing() {
    let error = refusal_of_wat("(component)");
    assert!(
        error.contains("not a rule of tillwatch:rule@0.1.0") && error.contains("no export `configure` found"),
        "{error}"
    );
    let served = r#"(component (import "wasi:random/random@0.2.0"
        (instance (export "get-random-colour" (func (result u32))))))"#;
    let error = refusal_of_wat(served);
    assert!(error.contains("wasi:random/random@0.2.0"), "{error}");
}

#[test]
fn another_rule_than_the_one_asked_for_is_refused() {
    let error = refusal(|config| config.id = "friendly".to_owned());
    assert!(error.contains("the component calls itself \"hostile\""), "{error}");
}

#[test]
fn capabilities_are_denied_unless_granted() {
    let grants = |given: &[&str]| Some(given.iter().map(|grant| (*grant).to_owned()).collect());
    let error = refusal(|config| config.grants = grants(&["finding:odd"]));
    assert!(error.contains("wants the capability \"command:status-query\", which is not granted"), "{error}");
    let mut config = config(Limits::default());
    config.grants = grants(&["command:status-query", "finding:odd", "finding:more"]);
    assert!(loader().load_bytes(&config, hostile_bytes()).is_ok());
}

#[test]
fn a_rule_that_faults_before_its_first_visit_is_refused() {
    let error = refusal(|config| config.settings = "panic".to_owned());
    assert!(
        error.contains("fails while it is configured: trap: ") && error.contains("cannot even be configured"),
        "{error}"
    );
    let error = refusal(|config| {
        config.settings = "loop".to_owned();
        config.limits.fuel_load = 1_000_000;
    });
    assert!(error.contains("fails while it is configured: fuel: used up its 1000000 units of fuel"), "{error}");
    let error = refusal(|config| config.limits.memory_bytes_max = 65_536);
    assert!(error.contains("fails while it starts: memory: wanted more than its 65536 bytes"), "{error}");
    let error = refusal(|config| {
        config.settings = "loop".to_owned();
        config.limits.fuel_load = u64::MAX;
        config.limits.epoch_deadline_ms = 1;
    });
    assert!(error.contains("gave no answer while it is configured"), "{error}");
}

#[test]
fn a_rule_whose_answers_depend_on_what_its_instance_did_before_is_refused() {
    let error = refusal(|config| config.settings = "unsteady".to_owned());
    assert!(
        error.contains("answers pos.payment.authorize differently when its instance was visited before")
            && error.ends_with("(docs/rules.md); repair the rule"),
        "{error}"
    );
}

#[test]
fn a_component_file_past_component_bytes_max_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(tillwatch_host::COMPONENT_BYTES_MAX + 1).expect("a sparse file");
    let config = RuleConfig { path: file.path().to_owned(), ..config(Limits::default()) };
    let error = loader().load(&config).expect_err("is too large").to_string();
    assert_eq!(error, format!("rule hostile: {}: the file has more than 134217728 bytes", file.path().display()));
}
