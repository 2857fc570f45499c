//! What a descriptor must keep to; checked once at load, so that nothing later has to.

use tillwatch_core::rules::Descriptor;
use tillwatch_wit::table::{CUSTOM, FieldId, TypeId};

/// Bytes of a rule's id.
const ID_BYTES_MAX: usize = 64;
/// Capabilities of one rule.
const CAPABILITIES_MAX: usize = 256;
/// Bytes of a kind or type in a capability.
const KIND_BYTES_MAX: usize = 128;

/// Types that only the engine writes; a rule that could derive them would forge findings, commands or time.
const RESERVED: &[&str] = &[
    "pos.finding.",
    "pos.command",
    "pos.incident",
    "pos.dead-letter",
    "tillwatch.tick",
    "tillwatch.watermark",
    "tillwatch.left-out",
];

/// What types of evidence begin with: they are the rules' own, so a rule names them though the table does not.
const EVIDENCE: &str = "pos.evidence.";

/// Whether an event comes with the whole of its data.
fn whole(event: &str) -> bool {
    event == CUSTOM || event.starts_with(EVIDENCE)
}

/// All that is wrong with a descriptor, in words for whoever wrote the rule.
pub(crate) fn problems(descriptor: &Descriptor) -> Vec<String> {
    let mut found = Vec::new();
    if !is_word(&descriptor.id, ID_BYTES_MAX, |c| c == b'-') {
        found.push(format!("id {:?}: lower case letters, digits and `-`, 1 to {ID_BYTES_MAX}", shown(&descriptor.id)));
    }
    if semver::Version::parse(&descriptor.version).is_err() {
        found.push(format!("version {:?} is not a semantic version such as 1.2.3", shown(&descriptor.version)));
    }
    if descriptor.events.is_empty() {
        found.push("asks for no events".to_owned());
    }
    for event in distinct(&descriptor.events, "event", &mut found) {
        if !whole(event) && TypeId::by_name(event) == TypeId::CUSTOM {
            found.push(format!("event {:?} is not known; others come as {CUSTOM:?}", shown(event)));
        }
    }
    for field in distinct(&descriptor.fields, "field", &mut found) {
        match FieldId::by_name(field) {
            None => found.push(format!("field {:?} is not known", shown(field))),
            Some(FieldId::DATA) if !descriptor.events.iter().any(|event| whole(event)) => {
                found.push(format!("field \"data\" is for rules that ask for {CUSTOM:?} events or evidence"));
            }
            Some(_) => {}
        }
    }
    if descriptor.capabilities.len() > CAPABILITIES_MAX {
        found.push(format!("{} capabilities, {CAPABILITIES_MAX} allowed", descriptor.capabilities.len()));
        return found;
    }
    for capability in distinct(&descriptor.capabilities, "capability", &mut found) {
        if let Some(problem) = capability_problem(capability) {
            found.push(format!("capability {:?}: {problem}", shown(capability)));
        }
    }
    found
}

fn capability_problem(capability: &str) -> Option<String> {
    let Some((class, kind)) = capability.split_once(':') else {
        return Some("a class and a kind with `:` between".to_owned());
    };
    if !["finding", "update", "command", "derive", "incident"].contains(&class) {
        return Some("the class is `finding`, `update`, `command`, `derive` or `incident`".to_owned());
    }
    // Causes have names as `N1`.
    let lower = kind.to_ascii_lowercase();
    let kind = if class == "incident" { &lower } else { kind };
    if !is_word(kind, KIND_BYTES_MAX, |c| matches!(c, b'-' | b'.' | b'_')) {
        return Some(format!("the kind has lower case letters, digits, `-`, `.` and `_`, 1 to {KIND_BYTES_MAX}"));
    }
    if class == "derive" && RESERVED.iter().any(|reserved| kind.starts_with(reserved)) {
        return Some("events of this type are written by the engine alone".to_owned());
    }
    None
}

/// The names, each once; a name that stands there twice is a problem: pieces and triggers are counted by position.
fn distinct<'a>(names: &'a [String], what: &str, found: &mut Vec<String>) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names.iter().take(CAPABILITIES_MAX) {
        if seen.contains(&name.as_str()) {
            found.push(format!("{what} {:?} stands there twice", shown(name)));
        } else {
            seen.push(name);
        }
    }
    seen
}

fn is_word(text: &str, bytes_max: usize, also: impl Fn(u8) -> bool) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also(c))
}

/// A name out of a component, cut to what a message can hold.
fn shown(name: &str) -> String {
    name.chars().take(KIND_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use tillwatch_core::rules::Scope;

    use super::*;

    fn good() -> Descriptor {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Descriptor {
            id: "till-rule".to_owned(),
            version: "1.0.0-rc.1".to_owned(),
            key: Scope::Payment,
            state_version: 1,
            events: list(&["pos.payment.authorize", "custom"]),
            fields: list(&["amount", "data"]),
            capabilities: list(&["finding:not-printed", "derive:tillwatch.unresolved"]),
        }
    }

    fn problem_of(change: impl FnOnce(&mut Descriptor)) -> String {
        let mut descriptor = good();
        change(&mut descriptor);
        problems(&descriptor).join("; ")
    }

    #[test]
    fn a_good_descriptor_has_no_problems() {
        assert_eq!(problems(&good()), Vec::<String>::new());
        let text = String::from;
        let evidence = |d: &mut Descriptor| {
            d.events = vec![text("pos.evidence.sign")];
            d.capabilities.push(text("derive:pos.evidence.sign"));
        };
        assert_eq!(problem_of(evidence), "");
    }

    #[test]
    fn each_bad_part_is_named() {
        let text = String::from;
        assert!(problem_of(|d| d.id = text("Till Rule")).contains("id \"Till Rule\""));
        assert!(problem_of(|d| d.id = "x".repeat(65)).contains("1 to 64"));
        assert!(problem_of(|d| d.version = text("1.0")).contains("semantic version"));
        assert!(problem_of(|d| d.events.clear()).contains("no events"));
        assert!(problem_of(|d| d.events.push(text("pos.nothing"))).contains("event \"pos.nothing\" is not known"));
        assert!(problem_of(|d| d.events.push(text("custom"))).contains("event \"custom\" stands there twice"));
        assert!(problem_of(|d| d.fields.push(text("colour"))).contains("field \"colour\" is not known"));
        assert!(problem_of(|d| d.events.truncate(1)).contains("field \"data\" is for rules"));
        assert!(problem_of(|d| d.capabilities.push(text("finding"))).contains("with `:` between"));
        assert!(problem_of(|d| d.capabilities.push(text("delete:x"))).contains("the class is"));
        assert!(problem_of(|d| d.capabilities.push(text("finding:X"))).contains("the kind has"));
        assert!(problem_of(|d| d.capabilities.push(text("derive:pos.finding.raised"))).contains("by the engine alone"));
        let many = |d: &mut Descriptor| d.capabilities = (0..257).map(|i| format!("finding:k{i}")).collect();
        assert!(problem_of(many).contains("257 capabilities, 256 allowed"));
    }
}
