//! What was said of one scenario against what was done in it. Pure.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tillwatch::clock::parse_rfc3339;
use tillwatch::simulate::{Injected, Truth};
use tillwatch_core::Instant;

/// How long after a fault's end what is said may still be about it, ms.
const AFTER_MS: Instant = 5 * 60_000;

/// The kinds of finding that a payment's truth speaks of.
pub const KINDS: [&str; 10] = [
    "slow-answer",
    "no-answer",
    "approved-undelivered",
    "not-shown",
    "not-printed",
    "unsynced",
    "late-approval",
    "reversal-missing",
    "reversal-unanswered",
    "unresolved",
];

/// A cause that was said of a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// When.
    pub at: Instant,
    /// Of which finding.
    pub finding: String,
    /// The finding's scope.
    pub scope: String,
    /// The cause.
    pub cause: String,
    /// 0 to 1.
    pub confidence: f64,
    /// The incident that the finding is part of.
    pub incident: Option<String>,
}

/// An incident as it was last said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields of events.md")]
pub struct Incident {
    pub at: Instant,
    pub scope: String,
    pub cause: String,
    /// When that was first said of it.
    pub named_at: Instant,
    pub confidence: f64,
    /// A wider one explains it.
    pub inhibited: bool,
    pub maintenance: bool,
}

/// All that was said in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Events that went in.
    pub events: u64,
    /// Evidence records that came out.
    pub evidence: u64,
    /// When, which kind, of which payment.
    pub raised: Vec<(Instant, String, String)>,
    /// Causes, in order.
    pub said: Vec<Said>,
    /// By id.
    pub incidents: BTreeMap<String, Incident>,
    /// Scopes that were seen together.
    pub cohorts: BTreeSet<Vec<String>>,
}

/// One kind of payment finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Payments that ought to have it.
    pub expected: u64,
    /// Those of them that had.
    pub found: u64,
    /// Payments that had it and ought not.
    pub wrong: u64,
}

/// What was said about one injected fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// What was injected.
    pub cause: String,
    /// Where.
    pub scope: String,
    /// Too weak to be named.
    pub near_miss: bool,
    /// The cause named in the end; none: nothing was said.
    pub named: Option<String>,
    /// How sure.
    pub confidence: f64,
    /// From its beginning to the first finding, ms.
    pub found_ms: Option<i64>,
    /// From its beginning to the first time that its cause was said, ms.
    pub named_ms: Option<i64>,
    /// Incidents about it that no wider one explains, in the region that has most of them: a region knows nothing of others.
    pub incidents: usize,
}

/// One scenario, judged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Judged {
    /// Its seed.
    pub seed: u64,
    /// Its faults.
    pub name: String,
    /// Events that went in.
    pub events: u64,
    /// Evidence records that came out.
    pub evidence: u64,
    /// Payments.
    pub payments: u64,
    /// Those that nothing befell.
    pub good: u64,
    /// Good ones with a finding.
    pub alarms: u64,
    /// By kind of finding.
    pub kinds: BTreeMap<&'static str, Hits>,
    /// The injected ones.
    pub faults: Vec<Fault>,
    /// Of each finding of a struck payment with a cause: how sure, and whether right.
    pub claims: Vec<(f64, bool)>,
    /// Incidents without a payment that anything befell.
    pub strays: usize,
    /// All incidents, in order.
    pub opened: Vec<Incident>,
}

/// Compares.
#[must_use]
pub fn judge(seed: u64, name: &str, seen: &Seen, injected: &[Injected], truths: &[Truth]) -> Judged {
    let by_txn: BTreeMap<&str, &Truth> = truths.iter().map(|truth| (truth.txn.as_str(), truth)).collect();
    let mut judged = Judged {
        seed,
        name: name.to_owned(),
        events: seen.events,
        evidence: seen.evidence,
        payments: truths.len() as u64,
        ..Judged::default()
    };
    payments(seen, truths, &mut judged);
    let last: BTreeMap<&str, &Said> = seen.said.iter().map(|said| (said.finding.as_str(), said)).collect();
    for said in last.values().filter(|said| said.cause != "undetermined") {
        let cause = truth_of(said, &by_txn).filter(|truth| truth.blame.is_some()).and_then(|truth| truth.cause);
        judged.claims.extend(cause.map(|cause| (said.confidence, cause.name() == said.cause)));
    }
    let blames = blames(seen, &by_txn);
    let befallen =
        |said: &&Said| truth_of(said, &by_txn).is_some_and(|truth| truth.fault.is_some() || truth.blame.is_some());
    let with_one: BTreeSet<&str> =
        seen.said.iter().filter(befallen).filter_map(|said| said.incident.as_deref()).collect();
    // What was announced is on record whether a payment was stuck in it or not.
    let stray = |(id, one): &(&String, &Incident)| !one.maintenance && !with_one.contains(id.as_str());
    judged.strays = seen.incidents.iter().filter(stray).count();
    judged.opened = seen.incidents.values().cloned().collect();
    judged.opened.sort_by(|one, other| (one.at, &one.scope).cmp(&(other.at, &other.scope)));
    let regions = regions(seen, &by_txn);
    let all = injected.iter();
    judged.faults = all.map(|fault| one(fault, injected, seen, &by_txn, &last, (&blames, &regions))).collect();
    judged
}

fn payments(seen: &Seen, truths: &[Truth], judged: &mut Judged) {
    let raised: BTreeSet<(&str, &str)> =
        seen.raised.iter().map(|(_, kind, txn)| (txn.as_str(), kind.as_str())).collect();
    for truth in truths {
        let had = |kind: &str| raised.contains(&(truth.txn.as_str(), kind));
        let mut wrong = false;
        for kind in KINDS {
            let hits = judged.kinds.entry(kind).or_default();
            if truth.expect.contains(&kind) || truth.with_ledger.contains(&kind) {
                hits.expected += 1;
                hits.found += u64::from(had(kind));
            } else if had(kind) && !truth.may.contains(&kind) {
                hits.wrong += 1;
                wrong = true;
            }
        }
        if truth.fault.is_none() && truth.blame.is_none() && truth.expect.is_empty() {
            judged.good += 1;
            judged.alarms += u64::from(wrong);
        }
    }
}

/// The truth of the payment that something was said of.
fn truth_of<'a>(said: &Said, by_txn: &BTreeMap<&str, &'a Truth>) -> Option<&'a Truth> {
    by_txn.get(said.scope.strip_prefix("payment:")?).copied()
}

/// The fault that most struck payments of an incident blame.
fn blames<'a>(seen: &'a Seen, by_txn: &BTreeMap<&str, &Truth>) -> BTreeMap<&'a str, usize> {
    let mut counts: BTreeMap<&str, BTreeMap<usize, BTreeSet<&str>>> = BTreeMap::new();
    for said in &seen.said {
        let Some((id, truth)) = said.incident.as_deref().zip(truth_of(said, by_txn)) else { continue };
        if let Some(blame) = truth.blame {
            counts.entry(id).or_default().entry(blame).or_default().insert(&truth.txn);
        }
    }
    let most = |faults: BTreeMap<usize, BTreeSet<&str>>| {
        faults
            .into_iter()
            .max_by_key(|(number, txns)| (txns.len(), std::cmp::Reverse(*number)))
            .map(|(number, _)| number)
    };
    counts.into_iter().filter_map(|(id, faults)| most(faults).map(|number| (id, number))).collect()
}

/// The region of each incident: that of the terminals of its payments.
fn regions<'a>(seen: &'a Seen, by_txn: &BTreeMap<&str, &'a Truth>) -> BTreeMap<&'a str, &'a str> {
    let named = |cohort: &'a Vec<String>, word: &str| cohort.iter().find_map(|scope| scope.strip_prefix(word));
    let of_terminals: BTreeMap<&str, &str> =
        seen.cohorts.iter().filter_map(|cohort| named(cohort, "terminal:").zip(named(cohort, "region:"))).collect();
    let of_incident = |said: &'a Said| {
        let region = of_terminals.get(truth_of(said, by_txn)?.terminal.as_str())?;
        Some((said.incident.as_deref()?, *region))
    };
    seen.said.iter().filter_map(of_incident).collect()
}

fn instant(text: &str) -> Instant {
    parse_rfc3339(text).unwrap_or(0)
}

/// Whether something was said in a fault's place and time.
fn there(fault: &Injected, seen: &Seen, said: &Said) -> bool {
    let parts: Vec<&str> = fault.scope.split('+').collect();
    let holds = |cohort: &&Vec<String>| parts.iter().all(|part| cohort.iter().any(|known| known == part));
    let about = |cohort: &Vec<String>| cohort.contains(&said.scope);
    (instant(&fault.from)..instant(&fault.until) + AFTER_MS).contains(&said.at)
        && seen.cohorts.iter().filter(holds).any(about)
}

fn one(
    fault: &Injected,
    injected: &[Injected],
    seen: &Seen,
    by_txn: &BTreeMap<&str, &Truth>,
    last: &BTreeMap<&str, &Said>,
    (blames, regions): (&BTreeMap<&str, usize>, &BTreeMap<&str, &str>),
) -> Fault {
    let from = instant(&fault.from);
    let struck = |txn: &str| by_txn.get(txn).is_some_and(|truth| truth.blame == Some(fault.injected));
    // A finding of no payment is about the fault where it is said in its place and time, and does not name another one of that place and time.
    let another = |said: &Said| {
        let named = |other: &&Injected| other.cause != fault.cause && other.cause.name() == said.cause;
        injected.iter().filter(named).any(|other| there(other, seen, said))
    };
    let about = |said: &Said| match said.scope.strip_prefix("payment:") {
        Some(txn) => struck(txn),
        None => there(fault, seen, said) && !another(said),
    };
    let ids = || blames.iter().filter(|(_, number)| **number == fault.injected).map(|(id, _)| *id);
    let mine: Vec<&Incident> = ids().filter_map(|id| seen.incidents.get(id)).collect();
    let mut by_region: BTreeMap<Option<&&str>, usize> = BTreeMap::new();
    for id in ids().filter(|id| seen.incidents.get(*id).is_some_and(|one| !one.inhibited)) {
        *by_region.entry(regions.get(id)).or_default() += 1;
    }
    let (of_payments, of_others): (Vec<&Said>, Vec<&Said>) =
        last.values().copied().filter(|said| about(said)).partition(|said| said.scope.starts_with("payment:"));
    let first_incident = mine.iter().filter(|one| !one.inhibited).min_by_key(|one| one.at);
    let verdict = first_incident
        .map(|one| (one.cause.clone(), one.confidence))
        .or_else(|| most_said(&of_others))
        .or_else(|| most_said(&of_payments));
    let payments = seen.raised.iter().filter(|(_, _, txn)| struck(txn)).map(|(at, ..)| *at);
    let others = seen.said.iter().filter(|said| about(said));
    let found = payments.chain(others.clone().map(|said| said.at)).min();
    let right = others.filter(|said| said.cause == fault.cause.name()).map(|said| said.at);
    let named = right.chain(mine.iter().filter(|one| one.cause == fault.cause.name()).map(|one| one.named_at)).min();
    let (named_in_the_end, confidence) = verdict.map_or((None, 0.0), |(cause, sure)| (Some(cause), sure));
    Fault {
        cause: fault.cause.name().to_owned(),
        scope: fault.scope.clone(),
        near_miss: fault.near_miss,
        named: named_in_the_end.or_else(|| found.map(|_| "undetermined".to_owned())),
        confidence,
        found_ms: found.map(|at| at - from),
        named_ms: named.map(|at| at - from),
        incidents: by_region.into_values().max().unwrap_or(0),
    }
}

/// The cause that most findings have in the end, and the mean of how sure they are.
fn most_said(said: &[&Said]) -> Option<(String, f64)> {
    let mut by_cause: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for one in said {
        by_cause.entry(&one.cause).or_default().push(one.confidence);
    }
    let (cause, sure) = by_cause.into_iter().max_by_key(|(_, sure)| sure.len())?;
    #[allow(clippy::cast_precision_loss, reason = "a count of findings")]
    let mean = sure.iter().sum::<f64>() / sure.len() as f64;
    Some((cause.to_owned(), mean))
}

#[cfg(test)]
mod tests;
