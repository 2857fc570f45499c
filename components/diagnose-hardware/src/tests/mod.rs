//! The rule, visited as the runtime does.

mod app;
mod device;
mod printer;
mod scanner;

use tillwatch_sdk::{Finding, Instant, Updated, Value, native::Key};
use tillwatch_wit::contract::Action;

use crate::DiagnoseHardware;

/// A terminal, and what the rule said of it.
struct Bench {
    key: Key<DiagnoseHardware>,
}

impl Bench {
    fn new() -> Self {
        Self { key: Key::new("T1", "") }
    }

    fn event(&mut self, at: Instant, event: &str, fields: &[(&str, Value)]) -> Vec<String> {
        let site = [("site", Value::from("S1"))];
        let fields: Vec<_> = site.into_iter().chain(fields.iter().cloned()).collect();
        said(self.key.event(at, event, &fields))
    }

    fn status(&mut self, at: Instant, fields: &[(&str, Value)]) -> Vec<String> {
        self.event(at, "pos.device.status", fields)
    }

    fn until(&mut self, at: Instant) -> Vec<String> {
        said(self.key.until(at))
    }
}

/// What is not evidence, a line an action.
fn said(actions: Vec<Action>) -> Vec<String> {
    let line = |action| match action {
        Action::Raise(Finding { kind, scope, severity, generation, details, .. }) => Some(format!(
            "raise {kind} {} {} {generation} {}",
            scope.unwrap_or_default(),
            severity.name(),
            verdict(&details)
        )),
        Action::Update(Updated { details, .. }) => Some(format!("update {}", verdict(&details))),
        Action::Clear(cleared) => Some(format!("clear {} {}", cleared.kind, cleared.resolution)),
        Action::Derive(_) => None,
        other => panic!("the rule may not do {other:?}"),
    };
    actions.into_iter().filter_map(line).collect()
}

fn verdict(details: &[(String, Value)]) -> String {
    let value = |name: &str| &details.iter().find(|(known, _)| known == name).expect("it is there").1;
    let text = |name: &str| match value(name) {
        Value::Text(text) => text.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let Value::Number(confidence) = value("confidence") else { panic!("a number") };
    assert!(!text("text_en").is_empty() && text("text_zh").chars().any(|letter| letter > '\u{4e00}'));
    format!("{} {confidence} {}", text("cause"), text("runner_up"))
}

fn updates(actions: Vec<Action>) -> Vec<Updated> {
    let update = |action| match action {
        Action::Update(updated) => Some(updated),
        Action::Derive(_) => None,
        other => panic!("nothing but updates, not {other:?}"),
    };
    actions.into_iter().filter_map(update).collect()
}

/// Cause, name, count and value of all signs that were told.
fn signs(actions: &[Action]) -> Vec<String> {
    let sign = |action: &Action| match action {
        Action::Derive(derived) => {
            assert_eq!(derived.event, "pos.evidence.sign");
            let value = |name: &str| &derived.details.iter().find(|(known, _)| known == name).expect("it is there").1;
            let texts = ["cause", "what"].map(|name| match value(name) {
                Value::Text(text) => text.clone(),
                other => panic!("{name} is {other:?}"),
            });
            let (Value::Integer(count), Value::Number(value)) = (value("count"), value("value")) else {
                panic!("numbers")
            };
            Some(format!("{} {} {count} {value}", texts[0], texts[1]))
        }
        _ => None,
    };
    actions.iter().filter_map(sign).collect()
}
