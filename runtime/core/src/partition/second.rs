//! Actions that rules of the second stage alone can take: what they say of findings of the first, and incidents.

use tillwatch_wit::contract::{self, Details, Value};

use super::actions::{Carry, Done, bad, check_details};
use crate::{
    output::{self, Data, Id, Report, Text},
    rules::Fault,
};

impl Carry<'_> {
    /// More is known about a finding of the first stage.
    pub(super) fn tell(&self, told: contract::Told, done: &mut Done) -> Result<(), Fault> {
        self.may("update", &told.kind)?;
        check_details(&told.details)?;
        let rule = &self.routes.rules[self.rule as usize];
        let mut said = output::Told {
            txn: told.scope.strip_prefix("payment:").map(str::to_owned),
            finding: told.finding,
            kind: told.kind,
            scope: told.scope,
            cause: None,
            confidence: None,
            runner_up: None,
            evidence: self.evidence(told.evidence),
            rule: rule.id.clone(),
            rule_version: rule.version.clone(),
            severity: told.severity,
            text: None,
            runbook: None,
            details: Vec::new(),
        };
        place(&mut said, told.details)?;
        self.push(done, said.txn.clone(), said.scope.clone(), Data::Told(said));
        Ok(())
    }

    /// An incident opens, changes or ends. The rule keeps what is open: the core does not second it.
    pub(super) fn incident(&self, incident: contract::Incident, done: &mut Done) -> Result<(), Fault> {
        self.may("incident", &incident.cause)?;
        if !(0.0..=1.0).contains(&incident.confidence) {
            return Err(bad(format!("an incident's confidence cannot be {}", incident.confidence)));
        }
        // Its name is that of the cause that it was opened with, which the rule had to declare as well.
        let opened_as = incident.opened_as.as_deref().unwrap_or(&incident.cause);
        self.may("incident", opened_as)?;
        let rule = &self.routes.rules[self.rule as usize];
        let report = |report: contract::Report| Report {
            ended: report.ended,
            markdown: Text { en: report.markdown_en, zh: report.markdown_zh },
        };
        let said = output::Incident {
            turn: incident.turn,
            incident: Id::incident(&incident.scope, opened_as, incident.generation),
            generation: incident.generation,
            scope: incident.scope,
            cause: incident.cause,
            opened_as: incident.opened_as,
            confidence: incident.confidence,
            runner_up: incident.runner_up,
            severity: incident.severity,
            evidence: self.evidence(incident.evidence),
            findings: incident.findings,
            payments: incident.payments,
            money_at_risk: incident.money,
            first_at: incident.first_at,
            opened_at: incident.opened_at,
            resolved_at: incident.resolved_at,
            inhibits: incident.inhibits,
            inhibited_by: incident.inhibited_by,
            maintenance: incident.maintenance,
            rule: rule.id.clone(),
            rule_version: rule.version.clone(),
            text: Text { en: incident.text_en, zh: incident.text_zh },
            remedy: Text { en: incident.remedy_en, zh: incident.remedy_zh },
            runbook: incident.runbook,
            report: incident.report.map(report),
        };
        self.push(done, None, said.scope.clone(), Data::Incident(Box::new(said)));
        Ok(())
    }
}

/// Puts details with fields of their own into them.
fn place(said: &mut output::Told, details: Details) -> Result<(), Fault> {
    let text = |said: &mut output::Told, en: Option<String>, zh: Option<String>| {
        let old = said.text.take().unwrap_or(Text { en: String::new(), zh: String::new() });
        said.text = Some(Text { en: en.unwrap_or(old.en), zh: zh.unwrap_or(old.zh) });
    };
    for (name, value) in details {
        match (name.as_str(), value) {
            ("cause", Value::Text(cause)) => said.cause = Some(cause),
            ("runner_up", Value::Text(other)) => said.runner_up = Some(other),
            ("runbook", Value::Text(heading)) => said.runbook = Some(heading),
            ("text_en", Value::Text(en)) => text(said, Some(en), None),
            ("text_zh", Value::Text(zh)) => text(said, None, Some(zh)),
            ("confidence", Value::Number(number)) if (0.0..=1.0).contains(&number) => said.confidence = Some(number),
            ("cause" | "runner_up" | "runbook" | "text_en" | "text_zh" | "confidence", value) => {
                return Err(bad(format!("the detail {name} cannot be {value:?}")));
            }
            (_, value) => said.details.push((name, value)),
        }
    }
    Ok(())
}
