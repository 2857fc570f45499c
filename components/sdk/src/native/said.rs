//! What a rule wants done, in lines that a test can compare.

use tillwatch_wit::contract::{Action, Details, Finding, Updated, Value};

/// A line each for what is said of findings; signs go to `signs`, as cause, name and count.
///
/// # Panics
/// The rule does anything else, or says something without a text in Chinese.
#[must_use]
pub fn said(actions: Vec<Action>, signs: &mut Vec<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for action in actions {
        match action {
            Action::Derive(derived) => {
                assert_eq!(derived.event, crate::evidence::SIGN);
                let value = |name: &str| value(&derived.details, name);
                signs.push(format!("{} {} {}", value("cause"), value("what"), value("count")));
            }
            Action::Raise(Finding { kind, scope, generation, evidence, details, .. }) => {
                let scope = scope.unwrap_or_default();
                lines.push(format!("raise {kind} {scope} {generation} {} by {}", verdict(&details), evidence.len()));
            }
            Action::Update(Updated { finding, details, .. }) => {
                lines.push(format!("update {finding} {}", verdict(&details)));
            }
            Action::Clear(cleared) => lines.push(format!("clear {} {}", cleared.kind, cleared.resolution)),
            other => panic!("the rule may not do {other:?}"),
        }
    }
    lines
}

/// Cause, confidence and runner-up.
fn verdict(details: &Details) -> String {
    let zh = value(details, "text_zh");
    assert!(zh.chars().any(|letter| letter > '\u{4e00}'), "{zh}");
    let value = |name: &str| value(details, name);
    format!("{} {} {}", value("cause"), value("confidence"), value("runner_up"))
}

fn value(details: &Details, name: &str) -> String {
    match details.iter().find(|(known, _)| known == name) {
        Some((_, Value::Text(text))) => text.clone(),
        Some((_, Value::Integer(integer))) => integer.to_string(),
        Some((_, Value::Number(number))) => number.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}
