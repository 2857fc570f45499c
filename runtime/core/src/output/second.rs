//! What the second stage says: incidents, and the causes of findings that the first has raised.

use serde::{Serialize, Serializer, ser::SerializeMap};
use tillwatch_wit::contract::{Details, Evidence, Instant, Severity, Turn};

use super::{Id, Text, details, evidence, instant, optional_instant, severity};

/// What became known about a finding of the first stage; the record holds nothing else of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Told {
    pub finding: String,
    pub kind: String,
    pub scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<String>,
    #[serde(serialize_with = "evidence")]
    pub evidence: Vec<Evidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    pub rule: String,
    pub rule_version: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_severity")]
    pub severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "details")]
    pub details: Details,
}

/// An incident; the field names are those of `docs/spec/events.md`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Incident {
    #[serde(skip)]
    pub turn: Turn,
    pub incident: Id,
    pub generation: u32,
    pub scope: String,
    pub cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_as: Option<String>,
    pub confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<String>,
    #[serde(serialize_with = "severity")]
    pub severity: Severity,
    #[serde(serialize_with = "evidence")]
    pub evidence: Vec<Evidence>,
    pub findings: u64,
    pub payments: u64,
    #[serde(serialize_with = "counts")]
    pub money_at_risk: Vec<(String, i64)>,
    #[serde(serialize_with = "instant")]
    pub first_at: Instant,
    #[serde(serialize_with = "instant")]
    pub opened_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_instant")]
    pub resolved_at: Option<Instant>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inhibits: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibited_by: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub maintenance: bool,
    pub rule: String,
    pub rule_version: String,
    pub text: Text,
    pub remedy: Text,
    pub runbook: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// An incident as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Report {
    #[serde(serialize_with = "counts")]
    pub ended: Vec<(String, u64)>,
    pub markdown: Text,
}

impl Incident {
    /// Its CloudEvents type.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self.turn {
            Turn::Opened => "pos.incident.opened",
            Turn::Updated => "pos.incident.updated",
            Turn::Resolved => "pos.incident.resolved",
        }
    }
}

fn counts<S: Serializer, N: Serialize>(counts: &[(String, N)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(counts.len()))?;
    for (name, count) in counts {
        map.serialize_entry(name, count)?;
    }
    map.end()
}

fn optional_severity<S: Serializer>(of: &Option<Severity>, serializer: S) -> Result<S::Ok, S::Error> {
    match of {
        Some(of) => severity(of, serializer),
        None => serializer.serialize_none(),
    }
}
