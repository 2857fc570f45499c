//! What goes out: findings, commands, cancellations, derived events and dead letters, typed; `cloudevents::encode` makes records of them.
//!
//! Ids are hashes of the input, never random, so that replays and restarts give the same.

mod second;

use serde::{Serialize, Serializer, ser::SerializeMap};
use tillwatch_wit::{
    contract::{Details, Evidence, Instant, Severity, Value},
    ids,
    table::{FieldId, Kind},
};

pub use self::second::{Incident, Report, Told};
use crate::log::{PartitionId, Topic};

/// 128 bits of a hash, in letters (see `tillwatch_wit::ids`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Id(String);

impl Id {
    /// The hash of the parts, each with its length, so that no two lists of parts collide by concatenation.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(ids::hash(parts))
    }

    /// The id of a finding: stable over its generations.
    #[must_use]
    pub fn finding(rule: &str, kind: &str, scope: &str, txn: &str) -> Self {
        Self(ids::finding(rule, kind, scope, txn))
    }

    /// The id of a command, the idempotency key at its target. A command about no payment has its target in place of the transaction.
    #[must_use]
    pub fn command(rail: &str, txn: &str, kind: &str, chain: u32, attempt: u32) -> Self {
        Self(ids::command(rail, txn, kind, chain, attempt))
    }

    /// The id of an incident.
    #[must_use]
    pub fn incident(scope: &str, cause: &str, generation: u32) -> Self {
        Self(ids::incident(scope, cause, generation))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id read back from a snapshot.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }
}

/// One output of a step, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// CloudEvents id.
    pub id: Id,
    /// CloudEvents source: `/tillwatch/<rule>`, or `/tillwatch/engine`.
    pub source: String,
    /// CloudEvents time: when it was decided.
    pub time: Instant,
    /// CloudEvents subject: the transaction key, where it is about a payment.
    pub subject: Option<String>,
    /// Key of the record: scope, terminal or acquirer.
    pub key: String,
    /// What it says.
    pub data: Data,
}

/// What an output says.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `pos.finding.raised`
    Raised(Finding),
    /// `pos.finding.updated`
    Updated(Finding),
    /// `pos.finding.cleared`
    Cleared(Finding, Resolution),
    /// `pos.command`
    Command(Command),
    /// `pos.command.cancelled`
    Cancelled(Cancelled),
    /// A derived event of a type that begins with `pos.evidence`.
    Evidence(Derived),
    /// `pos.finding.updated` of the second stage.
    Told(Told),
    /// `pos.incident.opened`, `.updated` or `.resolved`
    Incident(Box<Incident>),
    /// `pos.dead-letter`
    DeadLetter(DeadLetter),
}

impl Data {
    /// Its CloudEvents type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        match self {
            Self::Raised(_) => "pos.finding.raised",
            Self::Updated(_) | Self::Told(_) => "pos.finding.updated",
            Self::Cleared(..) => "pos.finding.cleared",
            Self::Command(_) => "pos.command",
            Self::Cancelled(_) => "pos.command.cancelled",
            Self::Evidence(derived) => &derived.event,
            Self::Incident(incident) => incident.event_type(),
            Self::DeadLetter(_) => "pos.dead-letter",
        }
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::Raised(_) | Self::Updated(_) | Self::Cleared(..) | Self::Told(_) => Topic::Findings,
            Self::Incident(_) => Topic::Incidents,
            Self::Command(_) | Self::Cancelled(_) => Topic::Commands,
            Self::Evidence(_) => Topic::Evidence,
            Self::DeadLetter(_) => Topic::DeadLetters,
        }
    }
}

/// A text in the two languages that operators read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// A finding with all that is known of it; the field names are those of `docs/spec/events.md`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Finding {
    pub finding: Id,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broke_at: Option<String>,
    pub rule: String,
    pub rule_version: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_instant")]
    pub deadline: Option<Instant>,
    #[serde(serialize_with = "instant")]
    pub opened_at: Instant,
    #[serde(serialize_with = "severity")]
    pub severity: Severity,
    pub generation: u32,
    pub text: Text,
    pub runbook: String,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "details")]
    pub details: Details,
}

/// How a finding ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Resolution {
    pub resolution: String,
    /// Null for a timer and for `superseded`.
    pub cleared_by: Option<String>,
    pub after_ms: u64,
}

/// What a command may do by itself (`docs/spec/domain.md`, section 4). Class D does not exist as commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Class {
    /// Automatic: read-only or idempotent.
    A,
    /// Automatic with guards; held while the feed is blind.
    B,
    /// A person approves; held while the feed is blind.
    C,
}

/// Why a command is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Reason {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(serialize_with = "evidence")]
    pub evidence: Vec<Evidence>,
}

/// A command; the field names are those of `docs/spec/events.md`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md documents every field")]
pub struct Command {
    pub command: Id,
    pub kind: String,
    pub class: Class,
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    #[serde(serialize_with = "instant")]
    pub not_before: Instant,
    #[serde(serialize_with = "instant")]
    pub expires_at: Instant,
    pub preconditions: Vec<String>,
    pub attempt: u32,
    pub max_attempts: u32,
    pub reason: Reason,
    pub requires_approval: bool,
    pub dry_run: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "details")]
    pub details: Details,
}

/// A command taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "docs/spec/events.md and payment.md document every field")]
pub struct Cancelled {
    pub command: Id,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    pub reason: String,
    /// Null where a timer cancelled it.
    pub cleared_by: Option<String>,
}

/// A derived event that leaves the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Its type.
    pub event: String,
    /// Its fields.
    pub details: Details,
}

impl Serialize for Derived {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        details(&self.details, serializer)
    }
}

/// What could not be read or processed: its bytes and the reason. Card numbers in it are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Topic it came from.
    pub topic: String,
    /// Partition it came from.
    pub partition: PartitionId,
    /// Offset it came from; none for a timer's visit.
    pub offset: Option<i64>,
    /// A heading of `docs/runbook.md`.
    pub code: String,
    /// For a person: what is wrong, where.
    pub reason: String,
    /// The rule whose visit it was; none where the record could not be read.
    pub rule: Option<String>,
    /// The rule's key of that visit.
    pub visit_key: Option<String>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record's payload; none for a tombstone or a timer's visit.
    pub bytes: Option<Vec<u8>>,
}

/// Bytes: a byte string in CBOR, base64 text in JSON.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            use base64::Engine as _;
            serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(self.0))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

impl Serialize for DeadLetter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("topic", &self.topic)?;
        map.serialize_entry("partition", &self.partition)?;
        if let Some(offset) = self.offset {
            map.serialize_entry("offset", &offset)?;
        }
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("reason", &self.reason)?;
        if let Some(rule) = &self.rule {
            map.serialize_entry("rule", rule)?;
        }
        if let Some(key) = &self.visit_key {
            map.serialize_entry("visit_key", key)?;
        }
        if let Some(key) = &self.key {
            map.serialize_entry("key", &Bytes(key))?;
        }
        if !self.headers.is_empty() {
            let headers: Vec<(&str, Bytes<'_>)> =
                self.headers.iter().map(|(name, value)| (name.as_str(), Bytes(value))).collect();
            map.serialize_entry("headers", &headers)?;
        }
        if let Some(bytes) = &self.bytes {
            map.serialize_entry("bytes", &Bytes(bytes))?;
        }
        map.end()
    }
}

/// An instant as RFC 3339 in UTC with milliseconds, as it stands in every output.
#[must_use]
pub fn rfc3339(instant: Instant) -> String {
    jiff::Timestamp::from_millisecond(instant)
        .map_or_else(|_| format!("invalid instant {instant}"), |timestamp| format!("{timestamp:.3}"))
}

fn instant<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn optional_instant<S: Serializer>(at: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => instant(at, serializer),
        None => serializer.serialize_none(),
    }
}

fn severity<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.name())
}

fn evidence<S: Serializer>(evidence: &[Evidence], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        r#type: &'a str,
        id: &'a str,
        time: String,
    }
    serializer.collect_seq(evidence.iter().map(|row| Row { r#type: &row.event, id: &row.id, time: rfc3339(row.time) }))
}

/// Whether the field table says that a detail of that name is an instant.
fn is_instant(name: &str) -> bool {
    FieldId::by_name(name).is_some_and(|id| id.field().kind == Kind::Instant)
}

fn details<S: Serializer>(details: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(details.len()))?;
    for (name, value) in details {
        match value {
            Value::Text(text) => map.serialize_entry(name, text)?,
            Value::Integer(at) if is_instant(name) => map.serialize_entry(name, &rfc3339(*at))?,
            Value::Integer(integer) => map.serialize_entry(name, integer)?,
            Value::Number(number) => map.serialize_entry(name, number)?,
            Value::Flag(flag) => map.serialize_entry(name, flag)?,
        }
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_parts_do_not_run_together() {
        assert_eq!(Id::of(&[b"a", b"bc"]), Id::of(&[b"a", b"bc"]));
        assert_ne!(Id::of(&[b"a", b"bc"]), Id::of(&[b"ab", b"c"]));
        assert_eq!(Id::of(&[b"a"]).as_str().len(), 32);
    }

    #[test]
    fn details_that_the_table_calls_instants_are_written_as_such() {
        let derived = Derived {
            event: "pos.evidence.x".to_owned(),
            details: vec![("gives_up_at".to_owned(), Value::Integer(0)), ("n".to_owned(), Value::Integer(0))],
        };
        let json = serde_json::to_string(&derived).expect("serialises");
        assert_eq!(json, r#"{"gives_up_at":"1970-01-01T00:00:00.000Z","n":0}"#);
    }

    #[test]
    fn instants_are_written_with_milliseconds() {
        assert_eq!(rfc3339(1_763_804_401_250), "2025-11-22T09:40:01.250Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }
}
