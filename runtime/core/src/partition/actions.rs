//! What a visit's actions come to: outputs, ledger entries and events for other rules. Checks all that a rule may get wrong; a wrong action
//! is a fault of the whole visit.

use tillwatch_wit::{
    contract::{
        Action, Cancelled, Cleared, Command, Derived, Details, Evidence, Finding, Instant, Scope, Updated, Value,
    },
    table::{FieldId, Kind, TypeId},
};

use super::{ledger::Ledger, routing::Routes};
use crate::{
    event::{Event, EventBuilder},
    output::{self, Class, Data, Id, Output, Reason, Resolution, Text},
    rules::Fault,
    words,
};

/// What one visit's actions are carried out with.
pub(super) struct Carry<'a> {
    pub(super) routes: &'a Routes,
    pub(super) rule: u16,
    pub(super) terminal: &'a str,
    /// The rule's key: a transaction key, or empty for rules keyed by terminal.
    pub(super) key: &'a str,
    pub(super) at: Instant,
    /// The event that the moment began with; none for a timer.
    pub(super) root: Option<&'a Event>,
    pub(super) root_time: Instant,
    pub(super) findings_max: usize,
    pub(super) dry_run: bool,
}

/// What they came to.
#[derive(Default)]
pub(super) struct Done {
    pub(super) outputs: Vec<Output>,
    pub(super) derived: Vec<Event>,
    pub(super) updates_dropped: u64,
}

pub(super) fn bad(reason: String) -> Fault {
    Fault { code: "bad-output", reason }
}

impl Carry<'_> {
    /// Carries out one action.
    pub(super) fn action(&self, action: Action, ledger: &mut Ledger, done: &mut Done) -> Result<(), Fault> {
        match action {
            Action::Raise(finding) => self.raise(finding, ledger, done),
            Action::Update(updated) => self.update(updated, ledger, done),
            Action::Clear(cleared) => self.clear(&cleared, ledger, done),
            Action::Command(command) => self.command(command, done),
            Action::Cancel(cancelled) => self.cancel(cancelled, done),
            Action::Derive(derived) => self.derive(derived, done),
            Action::Tell(told) => self.tell(told, done),
            Action::Incident(incident) => self.incident(*incident, done),
        }
    }

    pub(super) fn may(&self, verb: &str, object: &str) -> Result<(), Fault> {
        if self.routes.rules[self.rule as usize].may(verb, object) {
            return Ok(());
        }
        Err(bad(format!("the rule did not declare the capability {verb}:{object}")))
    }

    fn scope(&self, named: Option<String>) -> String {
        named.unwrap_or_else(|| match self.routes.rules[self.rule as usize].key {
            Scope::Payment => format!("payment:{}", self.key),
            Scope::Terminal => format!("terminal:{}", self.terminal),
            // Records of the second stage are keyed by scope.
            _ => self.terminal.to_owned(),
        })
    }

    pub(super) fn evidence(&self, mut named: Vec<Evidence>) -> Vec<Evidence> {
        if let Some(root) = self.root
            && !named.iter().any(|row| row.id == root.id() && row.event == root.type_name())
        {
            named.push(Evidence { event: root.type_name().to_owned(), id: root.id().to_owned(), time: self.root_time });
        }
        named
    }

    pub(super) fn push(&self, done: &mut Done, subject: Option<String>, key: String, data: Data) {
        let rule = &self.routes.rules[self.rule as usize].id;
        // The id follows when the moment's outputs are in their order.
        done.outputs.push(Output {
            id: Id::of(&[]),
            source: format!("/tillwatch/{rule}"),
            time: self.at,
            subject,
            key,
            data,
        });
    }

    fn raise(&self, raised: Finding, ledger: &mut Ledger, done: &mut Done) -> Result<(), Fault> {
        self.may("finding", &raised.kind)?;
        let rule = &self.routes.rules[self.rule as usize];
        let scope = self.scope(raised.scope);
        let txn = scope.strip_prefix("payment:").map(str::to_owned);
        let id = Id::finding(&rule.id, &raised.kind, &scope, txn.as_deref().unwrap_or(""));
        if ledger.get(self.terminal, id.as_str()).is_some() {
            return Err(bad(format!("{} is open already for {scope}", raised.kind)));
        }
        let held = ledger.held_by(&rule.id);
        if held >= self.findings_max {
            let reason = format!("{held} findings of the rule are open in this partition: raise findings_max");
            return Err(Fault { code: "findings-max", reason });
        }
        let why = text(&raised.details, "why");
        let mut finding = output::Finding {
            finding: id,
            text: words::finding_text(&raised.kind, &scope, raised.amount, raised.currency.as_deref(), why),
            runbook: words::runbook(&raised.kind),
            kind: raised.kind,
            scope,
            cause: None,
            confidence: None,
            runner_up: None,
            evidence: self.evidence(raised.evidence),
            txn,
            amount: raised.amount,
            currency: raised.currency,
            broke_at: raised.broke_at,
            rule: rule.id.clone(),
            rule_version: rule.version.clone(),
            deadline: raised.deadline,
            opened_at: self.at,
            severity: raised.severity,
            generation: raised.generation,
            details: Vec::new(),
        };
        merge(&mut finding, raised.details)?;
        self.announce("pos.finding.raised", &finding, None, done);
        ledger.set(self.terminal, &finding.finding.clone(), Some(finding.clone()));
        self.push(done, finding.txn.clone(), finding.scope.clone(), Data::Raised(finding));
        Ok(())
    }

    fn update(&self, updated: Updated, ledger: &mut Ledger, done: &mut Done) -> Result<(), Fault> {
        let Some(open) = ledger.get(self.terminal, &updated.finding) else {
            // It may have been cleared in this very moment; there is nothing left to tell.
            done.updates_dropped += 1;
            return Ok(());
        };
        self.may("update", &open.kind)?;
        let mut finding = open.clone();
        finding.severity = updated.severity.unwrap_or(finding.severity);
        for row in self.evidence(updated.evidence) {
            if !finding.evidence.contains(&row) {
                finding.evidence.push(row);
            }
        }
        merge(&mut finding, updated.details)?;
        self.announce("pos.finding.updated", &finding, None, done);
        ledger.set(self.terminal, &finding.finding.clone(), Some(finding.clone()));
        self.push(done, finding.txn.clone(), finding.scope.clone(), Data::Updated(finding));
        Ok(())
    }

    fn clear(&self, cleared: &Cleared, ledger: &mut Ledger, done: &mut Done) -> Result<(), Fault> {
        self.may("finding", &cleared.kind)?;
        let scope = self.scope(cleared.scope.clone());
        let txn = scope.strip_prefix("payment:").unwrap_or("");
        let id = Id::finding(&self.routes.rules[self.rule as usize].id, &cleared.kind, &scope, txn);
        let Some(finding) = ledger.get(self.terminal, id.as_str()).cloned() else {
            return Err(bad(format!("{} is not open for {scope}", cleared.kind)));
        };
        let by_event = cleared.resolution != "superseded" && cleared.resolution != "expired";
        let resolution = Resolution {
            resolution: cleared.resolution.clone(),
            cleared_by: self.root.filter(|_| by_event).map(|root| root.id().to_owned()),
            after_ms: cleared.after_ms,
        };
        ledger.set(self.terminal, &id, None);
        self.announce("pos.finding.cleared", &finding, Some(&resolution), done);
        self.push(done, finding.txn.clone(), finding.scope.clone(), Data::Cleared(finding, resolution));
        Ok(())
    }

    fn command(&self, command: Command, done: &mut Done) -> Result<(), Fault> {
        self.may("command", &command.kind)?;
        let class = words::command_class(&command.kind).ok_or_else(|| {
            bad(format!("{:?} is no command: docs/spec/domain.md section 4 lists them", command.kind))
        })?;
        let key = target(&command.target)?.to_owned();
        if command.expires_at <= command.not_before {
            return Err(bad(format!("{} would expire before it may be sent", command.kind)));
        }
        check_details(&command.details)?;
        let id = Id::command(
            command.rail.as_deref().unwrap_or(""),
            command.txn.as_deref().unwrap_or(&command.target),
            &command.kind,
            command.chain,
            command.attempt,
        );
        let subject = command.txn.clone();
        let evidence = self.evidence(command.evidence);
        let data = output::Command {
            command: id,
            kind: command.kind,
            class,
            target: command.target,
            txn: command.txn,
            not_before: command.not_before,
            expires_at: command.expires_at,
            preconditions: command.preconditions,
            attempt: command.attempt,
            max_attempts: command.max_attempts,
            reason: Reason { finding: command.finding, cause: command.cause, evidence },
            requires_approval: class == Class::C,
            dry_run: self.dry_run,
            details: command.details,
        };
        self.push(done, subject, key, Data::Command(data));
        Ok(())
    }

    fn cancel(&self, cancelled: Cancelled, done: &mut Done) -> Result<(), Fault> {
        self.may("command", &cancelled.kind)?;
        let key = target(&cancelled.target)?.to_owned();
        let id = Id::command(
            cancelled.rail.as_deref().unwrap_or(""),
            cancelled.txn.as_deref().unwrap_or(&cancelled.target),
            &cancelled.kind,
            cancelled.chain,
            cancelled.attempt,
        );
        let data = output::Cancelled {
            command: id,
            kind: cancelled.kind,
            txn: cancelled.txn.clone(),
            reason: cancelled.reason,
            cleared_by: self.root.map(|root| root.id().to_owned()),
        };
        self.push(done, cancelled.txn, key, Data::Cancelled(data));
        Ok(())
    }

    fn derive(&self, derived: Derived, done: &mut Done) -> Result<(), Fault> {
        self.may("derive", &derived.event)?;
        check_details(&derived.details)?;
        let mut event = self.event(&derived.event, text(&derived.details, "subject").unwrap_or(self.key));
        for (name, value) in &derived.details {
            if name != "subject" {
                field(&mut event, name, value)?;
            }
        }
        done.derived.push(event.build());
        if derived.event.starts_with("pos.evidence") {
            let key = text(&derived.details, "scope").map_or_else(|| self.scope(None), str::to_owned);
            self.push(
                done,
                None,
                key,
                Data::Evidence(output::Derived { event: derived.event, details: derived.details }),
            );
        }
        Ok(())
    }

    /// An event that the engine makes for rules of the same terminal.
    fn event(&self, event_type: &str, subject: &str) -> EventBuilder {
        let mut event = EventBuilder::new(&[]);
        let known = TypeId::by_name(event_type);
        event.set_type(known);
        if known == TypeId::CUSTOM {
            event.push(FieldId::TYPE, event_type.as_bytes());
        }
        event.push(FieldId::PARTITIONKEY, self.terminal.as_bytes());
        event.push(FieldId::SUBJECT, subject.as_bytes());
        event
    }

    fn announce(&self, name: &str, finding: &output::Finding, resolution: Option<&Resolution>, done: &mut Done) {
        if !self.routes.wanted(TypeId::by_name(name)) {
            return;
        }
        let mut event = self.event(name, finding.txn.as_deref().unwrap_or(""));
        let mut text = |field, value: Option<&str>| {
            if let Some(value) = value {
                event.push(field, value.as_bytes());
            }
        };
        text(FieldId::ID, Some(finding.finding.as_str()));
        text(FieldId::FINDING, Some(finding.finding.as_str()));
        text(FieldId::KIND, Some(&finding.kind));
        text(FieldId::SCOPE, Some(&finding.scope));
        text(FieldId::TXN, finding.txn.as_deref());
        text(FieldId::RULE, Some(&finding.rule));
        text(FieldId::SEVERITY, Some(finding.severity.name()));
        text(FieldId::BROKE_AT, finding.broke_at.as_deref());
        text(FieldId::CURRENCY, finding.currency.as_deref());
        text(FieldId::CAUSE, finding.cause.as_deref());
        text(FieldId::RUNNER_UP, finding.runner_up.as_deref());
        if let Some(resolution) = resolution {
            text(FieldId::RESOLUTION, Some(&resolution.resolution));
            text(FieldId::CLEARED_BY, resolution.cleared_by.as_deref());
            let after = i64::try_from(resolution.after_ms).unwrap_or(i64::MAX);
            event.push(FieldId::AFTER_MS, &after.to_le_bytes());
        }
        event.push(FieldId::GENERATION, &i64::from(finding.generation).to_le_bytes());
        event.push(FieldId::OPENED_AT, &finding.opened_at.to_le_bytes());
        for (field, value) in [(FieldId::DEADLINE, finding.deadline), (FieldId::AMOUNT, finding.amount)] {
            if let Some(value) = value {
                event.push(field, &value.to_le_bytes());
            }
        }
        if let Some(confidence) = finding.confidence {
            event.push(FieldId::CONFIDENCE, &confidence.to_le_bytes());
        }
        for (name, value) in &finding.details {
            // A detail of another type than the table's stays in the finding and is not handed on.
            let _ = field(&mut event, name, value);
        }
        done.derived.push(event.build());
    }
}

/// The id in a target, as `T1` in `terminal:T1`.
fn target(target: &str) -> Result<&str, Fault> {
    match target.split_once(':') {
        Some(("terminal" | "acquirer", id)) if !id.is_empty() => Ok(id),
        _ => Err(bad(format!("{target:?} is no target: terminal:<id> or acquirer:<id>"))),
    }
}

pub(super) fn check_details(details: &Details) -> Result<(), Fault> {
    for (name, value) in details {
        if let Value::Number(number) = value
            && !number.is_finite()
        {
            return Err(bad(format!("the detail {name:?} is {number}")));
        }
    }
    Ok(())
}

/// Puts details into a finding, those with fields of their own into them.
fn merge(finding: &mut output::Finding, details: Details) -> Result<(), Fault> {
    check_details(&details)?;
    for (name, value) in details {
        match (name.as_str(), value) {
            ("cause", Value::Text(text)) => finding.cause = Some(text),
            ("runner_up", Value::Text(text)) => finding.runner_up = Some(text),
            ("runbook", Value::Text(text)) => finding.runbook = text,
            ("text_en", Value::Text(text)) => finding.text = Text { en: text, zh: finding.text.zh.clone() },
            ("text_zh", Value::Text(text)) => finding.text = Text { zh: text, en: finding.text.en.clone() },
            ("confidence", Value::Number(number)) if (0.0..=1.0).contains(&number) => finding.confidence = Some(number),
            ("cause" | "runner_up" | "runbook" | "text_en" | "text_zh" | "confidence", value) => {
                return Err(bad(format!("the detail {name} cannot be {value:?}")));
            }
            (_, value) => match finding.details.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => finding.details.push((name, value)),
            },
        }
    }
    Ok(())
}

/// The text among details of that name.
fn text<'a>(details: &'a Details, name: &str) -> Option<&'a str> {
    details.iter().find_map(|(known, value)| match value {
        Value::Text(text) if known == name => Some(text.as_str()),
        _ => None,
    })
}

/// Puts a detail into an event as the table's field of that name; one that the table does not have is not handed on.
fn field(event: &mut EventBuilder, name: &str, value: &Value) -> Result<(), Fault> {
    let Some(id) = FieldId::by_name(name) else { return Ok(()) };
    match (id.field().kind, value) {
        (Kind::Text, Value::Text(text)) => event.push(id, text.as_bytes()),
        (Kind::Integer | Kind::Instant, Value::Integer(integer)) => event.push(id, &integer.to_le_bytes()),
        (Kind::Number, Value::Number(number)) => event.push(id, &number.to_le_bytes()),
        (Kind::Flag, Value::Flag(flag)) => event.push(id, &[u8::from(*flag)]),
        (kind, value) => return Err(bad(format!("the field {name} is {kind:?} and cannot be {value:?}"))),
    }
    Ok(())
}
