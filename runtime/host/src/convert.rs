//! From the generated types to the contract's, by moving. Visits and verdicts are not among them, see `lists`.

use tillwatch_wit::contract as c;

use crate::bindings as b;
use crate::bindings::tillwatch::rule::types as w;

pub(crate) fn descriptor(descriptor: b::Descriptor) -> c::Descriptor {
    let key = match descriptor.key {
        w::Scope::Payment => c::Scope::Payment,
        w::Scope::Terminal => c::Scope::Terminal,
        w::Scope::Site => c::Scope::Site,
        w::Scope::Acquirer => c::Scope::Acquirer,
        w::Scope::Host => c::Scope::Host,
        w::Scope::Version => c::Scope::Version,
        w::Scope::Operator => c::Scope::Operator,
        w::Scope::Region => c::Scope::Region,
    };
    c::Descriptor {
        id: descriptor.id,
        version: descriptor.version,
        key,
        state_version: descriptor.state_version,
        events: descriptor.events,
        fields: descriptor.fields,
        capabilities: descriptor.capabilities,
    }
}

pub(crate) fn action(action: w::Action) -> c::Action {
    match action {
        w::Action::Raise(finding) => c::Action::Raise(raise(finding)),
        w::Action::Update(updated) => c::Action::Update(c::Updated {
            finding: updated.finding,
            severity: updated.severity.map(severity),
            evidence: evidence(updated.evidence),
            details: details(updated.details),
        }),
        w::Action::Clear(cleared) => c::Action::Clear(c::Cleared {
            kind: cleared.kind,
            scope: cleared.scope,
            resolution: cleared.resolution,
            after_ms: cleared.after_ms,
        }),
        w::Action::Command(sent) => c::Action::Command(command(sent)),
        w::Action::Cancel(cancelled) => c::Action::Cancel(c::Cancelled {
            kind: cancelled.kind,
            target: cancelled.target,
            txn: cancelled.txn,
            rail: cancelled.rail,
            chain: cancelled.chain,
            attempt: cancelled.attempt,
            reason: cancelled.reason,
        }),
        w::Action::Derive(derived) => {
            c::Action::Derive(c::Derived { event: derived.event, details: details(derived.details) })
        }
        w::Action::Tell(told) => c::Action::Tell(c::Told {
            finding: told.finding,
            kind: told.kind,
            scope: told.scope,
            severity: told.severity.map(severity),
            evidence: evidence(told.evidence),
            details: details(told.details),
        }),
        w::Action::Incident(said) => c::Action::Incident(Box::new(incident(said))),
    }
}

fn incident(incident: w::Incident) -> c::Incident {
    let report = |report: w::Report| c::Report {
        ended: report.ended,
        markdown_en: report.markdown_en,
        markdown_zh: report.markdown_zh,
    };
    c::Incident {
        turn: match incident.turn {
            w::Turn::Opened => c::Turn::Opened,
            w::Turn::Updated => c::Turn::Updated,
            w::Turn::Resolved => c::Turn::Resolved,
        },
        scope: incident.scope,
        cause: incident.cause,
        opened_as: incident.opened_as,
        confidence: incident.confidence,
        runner_up: incident.runner_up,
        generation: incident.generation,
        severity: severity(incident.severity),
        evidence: evidence(incident.evidence),
        findings: incident.findings,
        payments: incident.payments,
        money: incident.money,
        first_at: incident.first_at,
        opened_at: incident.opened_at,
        resolved_at: incident.resolved_at,
        inhibits: incident.inhibits,
        inhibited_by: incident.inhibited_by,
        maintenance: incident.maintenance,
        text_en: incident.text_en,
        text_zh: incident.text_zh,
        remedy_en: incident.remedy_en,
        remedy_zh: incident.remedy_zh,
        runbook: incident.runbook,
        report: incident.report.map(report),
    }
}

fn raise(finding: w::Finding) -> c::Finding {
    c::Finding {
        kind: finding.kind,
        severity: severity(finding.severity),
        generation: finding.generation,
        scope: finding.scope,
        deadline: finding.deadline,
        amount: finding.amount,
        currency: finding.currency,
        broke_at: finding.broke_at,
        evidence: evidence(finding.evidence),
        details: details(finding.details),
    }
}

fn command(command: w::Command) -> c::Command {
    c::Command {
        kind: command.kind,
        target: command.target,
        txn: command.txn,
        rail: command.rail,
        finding: command.finding,
        cause: command.cause,
        evidence: evidence(command.evidence),
        not_before: command.not_before,
        expires_at: command.expires_at,
        preconditions: command.preconditions,
        chain: command.chain,
        attempt: command.attempt,
        max_attempts: command.max_attempts,
        details: details(command.details),
    }
}

fn severity(severity: w::Severity) -> c::Severity {
    match severity {
        w::Severity::Info => c::Severity::Info,
        w::Severity::Warning => c::Severity::Warning,
        w::Severity::Critical => c::Severity::Critical,
    }
}

fn evidence(evidence: Vec<w::Evidence>) -> Vec<c::Evidence> {
    evidence.into_iter().map(|item| c::Evidence { event: item.event, id: item.id, time: item.time }).collect()
}

fn details(details: Vec<(String, w::Value)>) -> c::Details {
    let value = |value| match value {
        w::Value::Text(text) => c::Value::Text(text),
        w::Value::Integer(integer) => c::Value::Integer(integer),
        w::Value::Number(number) => c::Value::Number(number),
        w::Value::Flag(flag) => c::Value::Flag(flag),
    };
    details.into_iter().map(|(name, given)| (name, value(given))).collect()
}
