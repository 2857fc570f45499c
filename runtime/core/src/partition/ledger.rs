//! The ledger of open findings: what each said when it was raised and what became known since, so that updates and clearings are whole
//! findings. Bounded by `findings_max`; only open findings are in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tillwatch_wit::contract::{Details, Evidence, Severity, Value};

use crate::output::{Finding, Id, Text};

/// Terminal and finding id: findings of distinct terminals never meet, so that results do not depend on how terminals share partitions.
type Key = (String, String);

/// Open findings of a partition.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: BTreeMap<Key, Finding>,
    changed: BTreeMap<Key, ()>,
    undo: Vec<(Key, Option<Finding>)>,
    /// Open findings by rule.
    held: BTreeMap<String, usize>,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn get(&self, terminal: &str, finding: &str) -> Option<&Finding> {
        self.open.get(&(terminal.to_owned(), finding.to_owned()))
    }

    /// Puts a finding in or takes it out; can be taken back until [`Ledger::settle`].
    pub(super) fn set(&mut self, terminal: &str, finding: &Id, value: Option<Finding>) {
        let key = (terminal.to_owned(), finding.as_str().to_owned());
        let old = self.put(key.clone(), value);
        self.changed.insert(key.clone(), ());
        self.undo.push((key, old));
    }

    /// Where [`Ledger::take_back_to`] goes back to.
    pub(super) fn mark(&self) -> usize {
        self.undo.len()
    }

    pub(super) fn take_back(&mut self) {
        self.take_back_to(0);
    }

    pub(super) fn take_back_to(&mut self, mark: usize) {
        while self.undo.len() > mark
            && let Some((key, old)) = self.undo.pop()
        {
            self.put(key, old);
        }
    }

    /// Open findings of one rule.
    pub(super) fn held_by(&self, rule: &str) -> usize {
        self.held.get(rule).copied().unwrap_or(0)
    }

    /// Puts a finding in or takes it out; gives what was there.
    fn put(&mut self, key: Key, value: Option<Finding>) -> Option<Finding> {
        if let Some(value) = &value {
            *self.held.entry(value.rule.clone()).or_default() += 1;
        }
        let old = match value {
            Some(value) => self.open.insert(key, value),
            None => self.open.remove(&key),
        };
        if let Some(old) = &old
            && let Some(held) = self.held.get_mut(&old.rule)
        {
            *held -= 1;
        }
        old
    }

    pub(super) fn settle(&mut self) {
        self.undo.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.open.iter().map(|((terminal, _), finding)| (terminal.as_str(), finding))
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn drain_changes(&mut self, each: &mut dyn FnMut(&str, &str, Option<&Finding>)) {
        for (key, ()) in std::mem::take(&mut self.changed) {
            each(&key.0, &key.1, self.open.get(&key));
        }
    }

    pub(super) fn load(&mut self, terminal: &str, finding: &str, value: Option<Finding>) {
        self.put((terminal.to_owned(), finding.to_owned()), value);
    }
}

/// A finding as the changelog has it.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    finding: String,
    kind: String,
    scope: String,
    cause: Option<String>,
    confidence: Option<f64>,
    runner_up: Option<String>,
    evidence: StoredEvidence,
    txn: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    broke_at: Option<String>,
    rule: String,
    rule_version: String,
    deadline: Option<i64>,
    opened_at: i64,
    severity: u8,
    generation: u32,
    text: (String, String),
    runbook: String,
    details: StoredDetails,
}

/// Evidence rows as the changelog has them.
pub(super) type StoredEvidence = Vec<(String, String, i64)>;

/// Details as the changelog has them.
pub(super) type StoredDetails = Vec<(String, StoredValue)>;

#[derive(Serialize, Deserialize)]
pub(super) enum StoredValue {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

impl From<&Finding> for Stored {
    fn from(finding: &Finding) -> Self {
        Self {
            finding: finding.finding.as_str().to_owned(),
            kind: finding.kind.clone(),
            scope: finding.scope.clone(),
            cause: finding.cause.clone(),
            confidence: finding.confidence,
            runner_up: finding.runner_up.clone(),
            evidence: store_evidence(&finding.evidence),
            txn: finding.txn.clone(),
            amount: finding.amount,
            currency: finding.currency.clone(),
            broke_at: finding.broke_at.clone(),
            rule: finding.rule.clone(),
            rule_version: finding.rule_version.clone(),
            deadline: finding.deadline,
            opened_at: finding.opened_at,
            severity: finding.severity as u8,
            generation: finding.generation,
            text: (finding.text.en.clone(), finding.text.zh.clone()),
            runbook: finding.runbook.clone(),
            details: store_details(&finding.details),
        }
    }
}

impl From<Stored> for Finding {
    fn from(stored: Stored) -> Self {
        Self {
            finding: Id::from_text(stored.finding),
            kind: stored.kind,
            scope: stored.scope,
            cause: stored.cause,
            confidence: stored.confidence,
            runner_up: stored.runner_up,
            evidence: load_evidence(stored.evidence),
            txn: stored.txn,
            amount: stored.amount,
            currency: stored.currency,
            broke_at: stored.broke_at,
            rule: stored.rule,
            rule_version: stored.rule_version,
            deadline: stored.deadline,
            opened_at: stored.opened_at,
            severity: match stored.severity {
                0 => Severity::Info,
                1 => Severity::Warning,
                _ => Severity::Critical,
            },
            generation: stored.generation,
            text: Text { en: stored.text.0, zh: stored.text.1 },
            runbook: stored.runbook,
            details: load_details(stored.details),
        }
    }
}

pub(super) fn store_evidence(evidence: &[Evidence]) -> StoredEvidence {
    evidence.iter().map(|row| (row.event.clone(), row.id.clone(), row.time)).collect()
}

pub(super) fn load_evidence(stored: StoredEvidence) -> Vec<Evidence> {
    stored.into_iter().map(|(event, id, time)| Evidence { event, id, time }).collect()
}

pub(super) fn store_details(details: &[(String, Value)]) -> StoredDetails {
    let value = |value: &Value| match value {
        Value::Text(text) => StoredValue::Text(text.clone()),
        Value::Integer(integer) => StoredValue::Integer(*integer),
        Value::Number(number) => StoredValue::Number(*number),
        Value::Flag(flag) => StoredValue::Flag(*flag),
    };
    details.iter().map(|(name, item)| (name.clone(), value(item))).collect()
}

pub(super) fn load_details(stored: StoredDetails) -> Details {
    let value = |value| match value {
        StoredValue::Text(text) => Value::Text(text),
        StoredValue::Integer(integer) => Value::Integer(integer),
        StoredValue::Number(number) => Value::Number(number),
        StoredValue::Flag(flag) => Value::Flag(flag),
    };
    stored.into_iter().map(|(name, item)| (name, value(item))).collect()
}
