//! The WebAssembly side of [`export!`](crate::export): generated bindings, which read and write the contract's plain types as they are.
#![allow(missing_docs, reason = "generated, and documented in rule.wit")]

use tillwatch_wit::contract;

use crate::Rule;

#[allow(unsafe_code, unreachable_pub, clippy::all, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/rule.wit",
        world: "rule",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "tillwatch_sdk::guest::bindings",
        runtime_path: "::tillwatch_sdk::guest::wit_bindgen::rt",
        with: {
            "tillwatch:rule/types@0.1.0/scope": tillwatch_wit::contract::Scope,
            "tillwatch:rule/types@0.1.0/descriptor": tillwatch_wit::contract::Descriptor,
            "tillwatch:rule/types@0.1.0/trigger": tillwatch_wit::contract::Trigger,
            "tillwatch:rule/types@0.1.0/visit": tillwatch_wit::contract::Visit,
            "tillwatch:rule/types@0.1.0/change": tillwatch_wit::contract::Change,
            "tillwatch:rule/types@0.1.0/wake": tillwatch_wit::contract::Wake,
            "tillwatch:rule/types@0.1.0/verdict": tillwatch_wit::contract::Verdict,
            "tillwatch:rule/types@0.1.0/severity": tillwatch_wit::contract::Severity,
            "tillwatch:rule/types@0.1.0/evidence": tillwatch_wit::contract::Evidence,
            "tillwatch:rule/types@0.1.0/value": tillwatch_wit::contract::Value,
            "tillwatch:rule/types@0.1.0/finding": tillwatch_wit::contract::Finding,
            "tillwatch:rule/types@0.1.0/updated": tillwatch_wit::contract::Updated,
            "tillwatch:rule/types@0.1.0/cleared": tillwatch_wit::contract::Cleared,
            "tillwatch:rule/types@0.1.0/command": tillwatch_wit::contract::Command,
            "tillwatch:rule/types@0.1.0/cancelled": tillwatch_wit::contract::Cancelled,
            "tillwatch:rule/types@0.1.0/derived": tillwatch_wit::contract::Derived,
            "tillwatch:rule/types@0.1.0/told": tillwatch_wit::contract::Told,
            "tillwatch:rule/types@0.1.0/turn": tillwatch_wit::contract::Turn,
            "tillwatch:rule/types@0.1.0/incident": tillwatch_wit::contract::Incident,
            "tillwatch:rule/types@0.1.0/report": tillwatch_wit::contract::Report,
        },
    });
}

pub use wit_bindgen;

use bindings::tillwatch::rule::types as wit;

/// Visits every key of a batch.
pub fn process<R: Rule>(rule: &R, batch: bindings::Batch) -> bindings::Verdicts {
    // States change little: their new size is about that of all pieces at most.
    let mut states = Vec::with_capacity(batch.bytes.len());
    let mut actions = Vec::new();
    let visits = batch.visits.iter().copied();
    let verdicts = crate::run(rule, visits, &batch.ends, &batch.bytes, &mut states, &mut actions).collect();
    let actions = actions.into_iter().map(|(visit, item)| (visit, action(item))).collect();
    bindings::Verdicts { verdicts, states, actions }
}

/// An action of the bindings, in which an incident is not apart.
fn action(from: contract::Action) -> wit::Action {
    use contract::Action;
    match from {
        Action::Raise(finding) => wit::Action::Raise(finding),
        Action::Update(updated) => wit::Action::Update(updated),
        Action::Clear(cleared) => wit::Action::Clear(cleared),
        Action::Command(command) => wit::Action::Command(command),
        Action::Cancel(cancelled) => wit::Action::Cancel(cancelled),
        Action::Derive(derived) => wit::Action::Derive(derived),
        Action::Tell(told) => wit::Action::Tell(told),
        Action::Incident(incident) => wit::Action::Incident(*incident),
    }
}
