//! A finding of a rule's own that stands until it is over: raised once, updated when the verdict changes, cleared once.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use tillwatch_wit::{
    contract::{Cleared, Evidence, Finding, Severity, Updated},
    ids,
};

use crate::{Out, cause::Verdict};

/// What a finding is about: a word and an id, as in `terminal:T0000123`. It is put together only where something is said.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The scope's word.
    pub word: &'static str,
    /// The id.
    pub id: &'a str,
}

impl<'a> About<'a> {
    /// A terminal.
    #[must_use]
    pub fn terminal(id: &'a str) -> Self {
        Self { word: "terminal", id }
    }

    /// An operator.
    #[must_use]
    pub fn operator(id: &'a str) -> Self {
        Self { word: "operator", id }
    }
}

impl Display for About<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.word, self.id)
    }
}

/// What a standing finding is.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// The rule's id.
    pub rule: &'static str,
    /// The finding's kind.
    pub kind: &'static str,
    /// What it is about.
    pub scope: About<'a>,
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
        let About { word, id } = kind.scope;
        let (en, zh) = words(word);
        let details = verdict.details((&format!("{en}{id}"), &format!("{zh}{id}")));
        match &self.said {
            None => {
                self.times = self.times.saturating_add(1);
                out.raise(Finding {
                    scope: Some(kind.scope.to_string()),
                    generation: self.times,
                    evidence,
                    details,
                    ..Finding::new(kind.kind, kind.severity)
                });
            }
            Some((cause, percent)) if cause != verdict.cause || *percent < verdict.percent => {
                let finding = ids::finding(kind.rule, kind.kind, &kind.scope.to_string(), "");
                out.update(Updated { finding, severity: Some(kind.severity), evidence, details });
            }
            Some(_) => return,
        }
        self.said = Some((verdict.cause.to_owned(), verdict.percent));
    }

    /// It is over, if it stood.
    pub fn over(&mut self, kind: Kind<'_>, resolution: &str, out: &mut Out<'_>) {
        if self.said.take().is_some() {
            out.clear(Cleared { scope: Some(kind.scope.to_string()), ..Cleared::new(kind.kind, resolution) });
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
