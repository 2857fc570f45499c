//! What a rule's answer must keep to: the shape of a whole call, and what one visit may do and say.
//!
//! Owns no wasm. A broken shape cannot be put down to one visit; everything else is a fault of the visit that did it.

use tillwatch_core::rules::{Action, Change, Details, Evidence, Fault, Incident, Value, Verdict};

use crate::limits::Limits;
use crate::lists::Verdicts;

/// Bytes of a fault's reason; longer ones are cut.
const REASON_BYTES_MAX: usize = 512;

// What an entry of a list counts beside its texts: about what the host allocates for it, but fixed, since a verdict must not depend on
// the layout of Rust's types.
const ACTION_BYTES: usize = 128;
const DETAIL_BYTES: usize = 32;
const EVIDENCE_BYTES: usize = 32;
const TEXT_BYTES: usize = 16;

/// A fault with its reason on one line, bounded.
pub(crate) fn fault(code: &'static str, reason: &str) -> Fault {
    let mut line = String::with_capacity(reason.len().min(REASON_BYTES_MAX));
    for character in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + character.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        line.push(character);
    }
    Fault { code, reason: line.trim().to_owned() }
}

/// Whether an answer has the shape that the contract asks for; what is wrong, if not.
pub(crate) fn shape(answer: &Verdicts, visits: usize) -> Result<(), String> {
    let verdicts = &answer.verdicts.0;
    if verdicts.len() != visits {
        return Err(format!("{} verdicts for {visits} visits", verdicts.len()));
    }
    let put: u64 =
        verdicts.iter().map(|verdict| if let Change::Put(bytes) = verdict.state { u64::from(bytes) } else { 0 }).sum();
    if put != answer.states.len() as u64 {
        return Err(format!("the states have {} bytes, the verdicts say {put}", answer.states.len()));
    }
    if !answer.actions.is_sorted_by_key(|(visit, _)| *visit) {
        return Err("actions are not in the order of their visits".to_owned());
    }
    match answer.actions.last() {
        Some((visit, _)) if *visit as usize >= visits => Err(format!("an action for visit {visit} of {visits}")),
        _ => Ok(()),
    }
}

/// What a rule has declared and was granted.
pub(crate) struct Capabilities {
    declared: Vec<(String, String)>,
}

impl Capabilities {
    /// From checked capabilities, `class:kind`.
    pub(crate) fn new(capabilities: &[String]) -> Self {
        let split = |text: &String| {
            let (class, kind) = text.split_once(':').expect("invariant: capabilities were checked at load");
            (class.to_owned(), kind.to_owned())
        };
        Self { declared: capabilities.iter().map(split).collect() }
    }

    fn has(&self, class: &str, kind: &str) -> bool {
        self.declared.iter().any(|(c, k)| c == class && k == kind)
    }

    /// The capability that an action needs and the rule lacks. The kind of an updated finding only the core knows.
    fn lacking(&self, action: &Action) -> Option<String> {
        let (class, kind) = match action {
            Action::Raise(finding) => ("finding", &finding.kind),
            Action::Clear(cleared) => ("finding", &cleared.kind),
            Action::Command(command) => ("command", &command.kind),
            Action::Cancel(cancelled) => ("command", &cancelled.kind),
            Action::Derive(derived) => ("derive", &derived.event),
            Action::Tell(told) => ("update", &told.kind),
            Action::Incident(incident) => ("incident", &incident.cause),
            Action::Update(_) => {
                let none = !self.declared.iter().any(|(class, _)| class == "update");
                return none.then(|| "update:<kind>".to_owned());
            }
        };
        (!self.has(class, kind)).then(|| format!("{class}:{kind}"))
    }
}

/// Whether one visit may do what it did.
pub(crate) fn actions(actions: &[(u32, Action)], limits: &Limits, capabilities: &Capabilities) -> Result<(), Fault> {
    if actions.len() > limits.actions_max {
        return Err(fault("bad-output", &format!("{} actions, {} allowed", actions.len(), limits.actions_max)));
    }
    for (_, action) in actions {
        if let Some(capability) = capabilities.lacking(action) {
            return Err(fault("bad-output", &format!("does what it has not declared: {capability}")));
        }
        if let Action::Incident(incident) = action
            && !(0.0..=1.0).contains(&incident.confidence)
        {
            return Err(fault("bad-output", "an incident's confidence is not between 0 and 1"));
        }
        for (name, value) in action_details(action) {
            if matches!(value, Value::Number(number) if !number.is_finite()) {
                return Err(fault("bad-output", &format!("detail {name:?} is not a finite number")));
            }
        }
    }
    Ok(())
}

/// Whether an answer has nothing but states that are kept as they are, as most have: no visit of it has to be looked at alone.
pub(crate) fn is_plain(answer: &Verdicts, limits: &Limits) -> bool {
    let plain = |verdict: &Verdict| match verdict.state {
        Change::Put(bytes) => fits(bytes as usize, limits),
        Change::Keep | Change::Clear => true,
        Change::Fail(_) => false,
    };
    answer.actions.is_empty() && answer.states.len() <= limits.output_bytes_max && answer.verdicts.0.iter().all(plain)
}

fn fits(state_bytes: usize, limits: &Limits) -> bool {
    state_bytes <= limits.state_bytes_max
}

/// Whether one visit's state may be kept.
pub(crate) fn state(bytes: usize, limits: &Limits) -> Result<(), Fault> {
    if fits(bytes, limits) {
        return Ok(());
    }
    Err(fault("state-max", &format!("a state of {bytes} bytes, {} allowed", limits.state_bytes_max)))
}

/// What an action counts towards `Limits::output_bytes_max`.
pub(crate) fn action_bytes(action: &Action) -> usize {
    let texts = match action {
        Action::Raise(f) => {
            f.kind.len() + optional(&[&f.scope, &f.currency, &f.broke_at]) + evidence_bytes(&f.evidence)
        }
        Action::Update(u) => u.finding.len() + evidence_bytes(&u.evidence),
        Action::Clear(c) => c.kind.len() + optional(&[&c.scope]) + c.resolution.len(),
        Action::Command(c) => {
            let preconditions: usize = c.preconditions.iter().map(|text| TEXT_BYTES + text.len()).sum();
            let texts = optional(&[&c.txn, &c.rail, &c.finding, &c.cause]);
            c.kind.len() + c.target.len() + texts + preconditions + evidence_bytes(&c.evidence)
        }
        Action::Cancel(c) => c.kind.len() + c.target.len() + optional(&[&c.txn, &c.rail]) + c.reason.len(),
        Action::Derive(d) => d.event.len(),
        Action::Tell(t) => t.finding.len() + t.kind.len() + t.scope.len() + evidence_bytes(&t.evidence),
        Action::Incident(incident) => incident_bytes(incident),
    };
    let details: usize = action_details(action)
        .iter()
        .map(|(name, value)| DETAIL_BYTES + name.len() + if let Value::Text(text) = value { text.len() } else { 0 })
        .sum();
    ACTION_BYTES + texts + details
}

fn incident_bytes(incident: &Incident) -> usize {
    let texts = [
        &incident.scope,
        &incident.cause,
        &incident.text_en,
        &incident.text_zh,
        &incident.remedy_en,
        &incident.remedy_zh,
        &incident.runbook,
    ];
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    let counts = |names: usize, bytes: usize| names * DETAIL_BYTES + bytes;
    let money = counts(incident.money.len(), incident.money.iter().map(|(name, _)| name.len()).sum());
    let inhibits: usize = incident.inhibits.iter().map(|id| TEXT_BYTES + id.len()).sum();
    let report = incident.report.as_ref().map_or(0, |report| {
        let ended = counts(report.ended.len(), report.ended.iter().map(|(name, _)| name.len()).sum());
        report.markdown_en.len() + report.markdown_zh.len() + ended
    });
    let optional = optional(&[&incident.opened_as, &incident.runner_up, &incident.inhibited_by]);
    texts + money + inhibits + report + optional + evidence_bytes(&incident.evidence)
}

fn action_details(action: &Action) -> &Details {
    static NONE: Details = Vec::new();
    match action {
        Action::Raise(finding) => &finding.details,
        Action::Update(updated) => &updated.details,
        Action::Command(command) => &command.details,
        Action::Derive(derived) => &derived.details,
        Action::Tell(told) => &told.details,
        Action::Clear(_) | Action::Cancel(_) | Action::Incident(_) => &NONE,
    }
}

fn optional(texts: &[&Option<String>]) -> usize {
    texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum()
}

fn evidence_bytes(evidence: &[Evidence]) -> usize {
    evidence.iter().map(|item| EVIDENCE_BYTES + item.event.len() + item.id.len()).sum()
}

#[cfg(test)]
mod tests {
    use tillwatch_core::rules::Wake;

    use super::*;
    use crate::{bindings::tillwatch::rule::types as w, lists::VerdictList};

    #[test]
    fn a_reason_is_one_bounded_line() {
        let made = fault("trap", &format!("a\nb\u{7}c{}", "é".repeat(1000)));
        assert!(made.reason.starts_with("a b c"));
        assert!(made.reason.len() <= REASON_BYTES_MAX && made.reason.len() > REASON_BYTES_MAX - 2);
    }

    #[test]
    fn plain_is_what_no_visit_has_to_be_looked_at_for() {
        let limits = Limits { state_bytes_max: 4, output_bytes_max: 6, ..Limits::default() };
        let plain = |changes: Vec<Change>, states: usize| {
            let verdicts = changes.into_iter().map(|state| Verdict { state, wake: Wake::Keep }).collect();
            is_plain(
                &Verdicts { verdicts: VerdictList(verdicts), states: vec![0; states], actions: Vec::new() },
                &limits,
            )
        };
        assert!(plain(vec![Change::Put(4), Change::Keep, Change::Clear, Change::Put(2)], 6));
        assert!(!plain(vec![Change::Put(5)], 5), "a state is too large");
        assert!(!plain(vec![Change::Put(4), Change::Put(3)], 7), "all of them are");
        assert!(!plain(vec![Change::Keep, Change::Fail("no".to_owned())], 0));
        let derived = w::Action::Derive(w::Derived { event: String::new(), details: Vec::new() });
        let actions = vec![(0, derived)];
        assert!(!is_plain(&Verdicts { verdicts: VerdictList(Vec::new()), states: Vec::new(), actions }, &limits));
    }
}
