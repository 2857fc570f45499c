//! The WebAssembly side of [`export!`](crate::export): generated bindings, and conversions between them and the contract's plain types.
//!
//! The byte lists of a batch are taken as they are; only the short fixed parts of visits and verdicts, and actions, which are rare, are
//! converted.
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
    });
}

pub use wit_bindgen;

use bindings::tillwatch::rule::types as wit;

/// Visits every key of a batch.
pub fn process<R: Rule>(rule: &R, batch: bindings::Batch) -> bindings::Verdicts {
    // States change little: their new size is about that of all pieces at most.
    let mut states = Vec::with_capacity(batch.bytes.len());
    let mut actions = Vec::new();
    let visits = batch.visits.iter().map(|visit| contract::Visit {
        at: visit.at,
        time: visit.time,
        late: visit.late,
        trigger: match visit.trigger {
            wit::Trigger::Timer => contract::Trigger::Timer,
            wit::Trigger::Event(index) => contract::Trigger::Event(index),
        },
    });
    let verdicts =
        crate::run(rule, visits, &batch.ends, &batch.bytes, &mut states, &mut actions).map(verdict).collect();
    let actions = actions.into_iter().map(|(visit, item)| (visit, action(item))).collect();
    bindings::Verdicts { verdicts, states, actions }
}

/// A descriptor of the bindings.
pub fn descriptor(from: contract::Descriptor) -> bindings::Descriptor {
    use contract::Scope;
    bindings::Descriptor {
        id: from.id,
        version: from.version,
        key: match from.key {
            Scope::Payment => wit::Scope::Payment,
            Scope::Terminal => wit::Scope::Terminal,
            Scope::Site => wit::Scope::Site,
            Scope::Acquirer => wit::Scope::Acquirer,
            Scope::Host => wit::Scope::Host,
            Scope::Version => wit::Scope::Version,
            Scope::Operator => wit::Scope::Operator,
            Scope::Region => wit::Scope::Region,
        },
        state_version: from.state_version,
        events: from.events,
        fields: from.fields,
        capabilities: from.capabilities,
    }
}

fn verdict(from: contract::Verdict) -> wit::Verdict {
    wit::Verdict {
        state: match from.state {
            contract::Change::Keep => wit::Change::Keep,
            contract::Change::Put(length) => wit::Change::Put(length),
            contract::Change::Clear => wit::Change::Clear,
            contract::Change::Fail(reason) => wit::Change::Fail(reason),
        },
        wake: match from.wake {
            contract::Wake::Keep => wit::Wake::Keep,
            contract::Wake::At(instant) => wit::Wake::At(instant),
            contract::Wake::Never => wit::Wake::Never,
        },
    }
}

fn severity(from: contract::Severity) -> wit::Severity {
    match from {
        contract::Severity::Info => wit::Severity::Info,
        contract::Severity::Warning => wit::Severity::Warning,
        contract::Severity::Critical => wit::Severity::Critical,
    }
}

fn details(from: contract::Details) -> Vec<(String, wit::Value)> {
    from.into_iter()
        .map(|(name, value)| {
            let value = match value {
                contract::Value::Text(text) => wit::Value::Text(text),
                contract::Value::Integer(integer) => wit::Value::Integer(integer),
                contract::Value::Number(number) => wit::Value::Number(number),
                contract::Value::Flag(flag) => wit::Value::Flag(flag),
            };
            (name, value)
        })
        .collect()
}

fn evidence(from: Vec<contract::Evidence>) -> Vec<wit::Evidence> {
    from.into_iter().map(|row| wit::Evidence { event: row.event, id: row.id, time: row.time }).collect()
}

fn action(from: contract::Action) -> wit::Action {
    match from {
        contract::Action::Raise(from) => wit::Action::Raise(wit::Finding {
            kind: from.kind,
            severity: severity(from.severity),
            generation: from.generation,
            scope: from.scope,
            deadline: from.deadline,
            amount: from.amount,
            currency: from.currency,
            broke_at: from.broke_at,
            evidence: evidence(from.evidence),
            details: details(from.details),
        }),
        contract::Action::Update(from) => wit::Action::Update(wit::Updated {
            finding: from.finding,
            severity: from.severity.map(severity),
            evidence: evidence(from.evidence),
            details: details(from.details),
        }),
        contract::Action::Clear(from) => wit::Action::Clear(wit::Cleared {
            kind: from.kind,
            scope: from.scope,
            resolution: from.resolution,
            after_ms: from.after_ms,
        }),
        contract::Action::Command(from) => wit::Action::Command(command(from)),
        contract::Action::Cancel(from) => wit::Action::Cancel(wit::Cancelled {
            kind: from.kind,
            target: from.target,
            txn: from.txn,
            rail: from.rail,
            chain: from.chain,
            attempt: from.attempt,
            reason: from.reason,
        }),
        contract::Action::Derive(from) => {
            wit::Action::Derive(wit::Derived { event: from.event, details: details(from.details) })
        }
        contract::Action::Tell(from) => wit::Action::Tell(wit::Told {
            finding: from.finding,
            kind: from.kind,
            scope: from.scope,
            severity: from.severity.map(severity),
            evidence: evidence(from.evidence),
            details: details(from.details),
        }),
        contract::Action::Incident(from) => wit::Action::Incident(incident(*from)),
    }
}

fn incident(from: contract::Incident) -> wit::Incident {
    wit::Incident {
        turn: match from.turn {
            contract::Turn::Opened => wit::Turn::Opened,
            contract::Turn::Updated => wit::Turn::Updated,
            contract::Turn::Resolved => wit::Turn::Resolved,
        },
        scope: from.scope,
        cause: from.cause,
        opened_as: from.opened_as,
        confidence: from.confidence,
        runner_up: from.runner_up,
        generation: from.generation,
        severity: severity(from.severity),
        evidence: evidence(from.evidence),
        findings: from.findings,
        payments: from.payments,
        money: from.money,
        first_at: from.first_at,
        opened_at: from.opened_at,
        resolved_at: from.resolved_at,
        inhibits: from.inhibits,
        inhibited_by: from.inhibited_by,
        maintenance: from.maintenance,
        text_en: from.text_en,
        text_zh: from.text_zh,
        remedy_en: from.remedy_en,
        remedy_zh: from.remedy_zh,
        runbook: from.runbook,
        report: from.report.map(|from| wit::Report {
            ended: from.ended,
            markdown_en: from.markdown_en,
            markdown_zh: from.markdown_zh,
        }),
    }
}

fn command(from: contract::Command) -> wit::Command {
    wit::Command {
        kind: from.kind,
        target: from.target,
        txn: from.txn,
        rail: from.rail,
        finding: from.finding,
        cause: from.cause,
        evidence: evidence(from.evidence),
        not_before: from.not_before,
        expires_at: from.expires_at,
        preconditions: from.preconditions,
        chain: from.chain,
        attempt: from.attempt,
        max_attempts: from.max_attempts,
        details: details(from.details),
    }
}
