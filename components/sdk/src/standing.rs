//! A finding of a rule's own that stands until it is over: raised once, updated when the verdict changes, cleared once.

use serde::{Deserialize, Serialize};
use tillwatch_wit::{
    contract::{Cleared, Evidence, Finding, Severity, Updated},
    ids,
};

use crate::{Out, cause::Verdict};

/// What a standing finding is.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// The rule's id.
    pub rule: &'static str,
    /// The finding's kind.
    pub kind: &'static str,
    /// What it is about, as in `terminal:T0000123`.
    pub scope: &'a str,
    /// How bad.
    pub severity: Severity,
}

/// Whether a finding stands, and how often it did. Part of the rule's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What was last said: cause and percent; none: it does not stand.
    said: Option<(String, u8)>,
    times: u32,
}

impl Standing {
    /// Whether it stands.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.said.is_some()
    }

    /// Says so: raises it, or tells of another verdict than the last. A verdict of the same cause that is less sure is not told: what was once
    /// seen was seen.
    pub fn say(&mut self, kind: Kind<'_>, verdict: &Verdict, evidence: Vec<Evidence>, out: &mut Out<'_>) {
        let (word, id) = kind.scope.split_once(':').unwrap_or(("", kind.scope));
        let (en, zh) = words(word);
        let details = verdict.details((&format!("{en}{id}"), &format!("{zh}{id}")));
        match &self.said {
            None => {
                self.times = self.times.saturating_add(1);
                out.raise(Finding {
                    scope: Some(kind.scope.to_owned()),
                    generation: self.times,
                    evidence,
                    details,
                    ..Finding::new(kind.kind, kind.severity)
                });
            }
            Some((cause, percent)) if cause != verdict.cause || *percent < verdict.percent => {
                let finding = ids::finding(kind.rule, kind.kind, kind.scope, "");
                out.update(Updated { finding, severity: Some(kind.severity), evidence, details });
            }
            Some(_) => return,
        }
        self.said = Some((verdict.cause.to_owned(), verdict.percent));
    }

    /// It is over, if it stood.
    pub fn over(&mut self, kind: Kind<'_>, resolution: &str, out: &mut Out<'_>) {
        if self.said.take().is_some() {
            out.clear(Cleared { scope: Some(kind.scope.to_owned()), ..Cleared::new(kind.kind, resolution) });
        }
    }
}

/// What a scope is called in a text, with the space behind it.
fn words(scope: &str) -> (&'static str, &'static str) {
    match scope {
        "terminal" => ("Terminal ", "终端 "),
        "operator" => ("Operator ", "操作员 "),
        _ => ("", ""),
    }
}
