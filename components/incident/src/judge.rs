//! Why: the cause of what is stuck in a scope. Blast radius has chosen the scope; where the chain broke and what telemetry says choose the cause.
//!
//! Points are percent, whole numbers. An answer that nothing supports is `undetermined`.

use tillwatch_sdk::Instant;

use crate::{
    scan::Family,
    state::{Region, Seen, Waiting, word_of},
};

/// Points below which nothing is named.
const POINTS_MIN: i64 = 30;
/// Points that the best must have before the second.
const LEAD_MIN: i64 = 5;
/// What telemetry that is as strong as can be adds.
const SIGN_POINTS: i64 = 70;
/// Of that, for signs of scopes that only overlap with the one in question.
const OVERLAP_PERCENT: i64 = 60;
/// Announced maintenance is sure but for what else may have broken meanwhile, percent.
const ANNOUNCED: u8 = 95;
/// Nothing is surer, percent.
const SURE_MAX: i64 = 95;
/// Events that an answer names.
const EVIDENCE_MAX: usize = 8;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The cause.
    pub cause: &'static str,
    /// How sure, percent.
    pub percent: u8,
    /// What else it may be.
    pub runner_up: Option<&'static str>,
    /// Events that say so: type, id, time.
    pub evidence: Vec<(String, String, Instant)>,
}

/// What a place alone says: word of the scope, where it broke, causes with points.
type Place = (&'static str, Family, &'static [(&'static str, i64)]);

const PLACES: &[Place] = &[
    ("terminal", Family::Way, &[("H4", 20), ("N3", 15), ("N2", 10), ("S4", 10)]),
    ("site", Family::Way, &[("N3", 30), ("N1", 22), ("N2", 22)]),
    ("host", Family::Way, &[("N4", 45), ("N2", 15), ("S3", 10)]),
    ("acquirer", Family::Way, &[("N4", 40), ("S3", 15), ("N2", 10)]),
    ("version", Family::Way, &[("S3", 35), ("S1", 30), ("S4", 15)]),
    ("operator", Family::Way, &[("P4", 20), ("H4", 10)]),
    ("region", Family::Way, &[("N4", 20), ("maintenance", 15)]),
    ("terminal", Family::Terminal, &[("H4", 45), ("S1", 15), ("S4", 15)]),
    ("site", Family::Terminal, &[("S4", 20), ("S1", 20)]),
    ("host", Family::Terminal, &[("S3", 30), ("S1", 20)]),
    ("version", Family::Terminal, &[("S1", 45), ("S4", 20), ("S3", 15)]),
    ("operator", Family::Terminal, &[("P4", 15)]),
    ("terminal", Family::Printing, &[("H1", 50), ("H4", 10)]),
    ("site", Family::Printing, &[("H1", 35), ("S1", 10)]),
    ("version", Family::Printing, &[("S1", 40), ("H1", 10)]),
    ("operator", Family::Printing, &[("P4", 20), ("H1", 15)]),
    ("terminal", Family::Ledger, &[("S2", 45)]),
    ("site", Family::Ledger, &[("S2", 55)]),
    ("host", Family::Ledger, &[("S2", 50)]),
    ("acquirer", Family::Ledger, &[("S2", 50)]),
    ("version", Family::Ledger, &[("S1", 35), ("S2", 30)]),
    ("region", Family::Ledger, &[("S2", 50)]),
    ("terminal", Family::Operator, &[("P4", 55)]),
    ("operator", Family::Operator, &[("P4", 60), ("P1", 15)]),
    ("site", Family::Operator, &[("P4", 45), ("P1", 20)]),
];

/// Causes with points.
type Points = Vec<(&'static str, i64)>;

fn entry<'a>(points: &'a mut Points, cause: &'static str) -> &'a mut i64 {
    let index = points.iter().position(|(known, _)| *known == cause).unwrap_or_else(|| {
        points.push((cause, 0));
        points.len() - 1
    });
    &mut points[index].1
}

/// Decides.
#[must_use]
pub fn judge(region: &Region, scope: &str, family: Family, members: &[&Waiting], now: Instant) -> Verdict {
    if announced(region, scope, members, now) {
        return Verdict { cause: "maintenance", percent: ANNOUNCED, runner_up: None, evidence: Vec::new() };
    }
    let mut points: Points = Vec::new();
    let place = PLACES.iter().find(|(word, at, _)| *word == word_of(scope) && *at == family);
    for (cause, prior) in place.map_or(&[][..], |(.., causes)| causes) {
        *entry(&mut points, known(cause)) += prior;
    }
    let signs = signs(region, scope, members);
    let mut strongest: Points = Vec::new();
    for (cause, said, _) in &signs {
        let most = entry(&mut strongest, cause);
        *most = (*most).max(*said);
    }
    for (cause, said) in strongest {
        *entry(&mut points, cause) += said;
    }
    for (cause, heard) in hints(members) {
        let most = entry(&mut points, cause);
        *most = (*most).max(heard);
    }
    let mut ranked = points;
    ranked.sort_unstable_by_key(|(cause, points)| (-points, *cause));
    let (best, top) = ranked.first().copied().unwrap_or(("undetermined", 0));
    let (second, next) = ranked.get(1).copied().map_or((None, 0), |(cause, points)| (Some(cause), points));
    let top = top.min(100);
    let next = next.min(top);
    let sure = (top * (100 + top - next) / 200).clamp(5, SURE_MAX);
    let sure = u8::try_from(sure).expect("invariant: it is clamped to 5 to 95");
    if top < POINTS_MIN || top - next < LEAD_MIN {
        let runner_up = (best != "undetermined").then_some(best);
        return Verdict { cause: "undetermined", percent: 100 - sure.max(50), runner_up, evidence: Vec::new() };
    }
    let events = signs.iter().filter(|(cause, ..)| *cause == best).filter_map(|(.., seen)| seen.event.clone());
    let evidence = events.take(EVIDENCE_MAX).collect();
    Verdict { cause: best, percent: sure, runner_up: second.filter(|_| next > 0), evidence }
}

/// Whether what is stuck is what was announced, or most of it.
fn announced(region: &Region, scope: &str, members: &[&Waiting], now: Instant) -> bool {
    let open = || region.notices.iter().filter(|notice| notice.from <= now && now < notice.until);
    let covered = members.iter().filter(|member| open().any(|notice| member.cohorts.within(&notice.about))).count();
    open().any(|notice| notice.about == scope) || (!members.is_empty() && covered * 2 > members.len())
}

/// What telemetry of the scope, and of scopes that its members are part of, says for each cause, in points.
fn signs<'a>(region: &'a Region, scope: &str, members: &[&Waiting]) -> Vec<(&'static str, i64, &'a Seen)> {
    let mut found = Vec::new();
    for ((cause, about), seen) in &region.signs {
        let Some(cause) = tillwatch_sdk::cause::CAUSES.iter().find(|known| known.id == *cause).map(|known| known.id)
        else {
            continue;
        };
        let covered = members.iter().filter(|member| member.cohorts.within(about)).count();
        let share = if about == scope {
            100
        } else if covered > 0 {
            let [covered, all] = [covered, members.len()].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
            OVERLAP_PERCENT * covered / all
        } else {
            0
        };
        let speaks = i64::from(seen.percent) * i64::from(enough(cause, seen));
        let points = SIGN_POINTS * share * speaks / 10_000;
        if points > 0 {
            found.push((cause, points, seen));
        }
    }
    found
}

/// Whether so many of all observations say it that it means something (docs/spec/domain.md, section 3).
fn enough(cause: &str, seen: &Seen) -> bool {
    let of_percent = |percent: i64| seen.count * 100 > seen.of * percent;
    seen.count > 0
        && match cause {
            "N1" => of_percent(5),
            "N2" => seen.count >= 3,
            "N4" => of_percent(10),
            _ => of_percent(20),
        }
}

/// What rules of the terminals have found, where most of the members have it.
fn hints(members: &[&Waiting]) -> Points {
    let mut sums: Points = Vec::new();
    for member in members.iter().filter(|member| !member.cause.is_empty() && member.cause != "undetermined") {
        if let Some(cause) = tillwatch_sdk::cause::CAUSES.iter().find(|known| known.id == member.cause) {
            *entry(&mut sums, cause.id) += i64::from(member.percent);
        }
    }
    let count = i64::try_from(members.len().max(1)).unwrap_or(i64::MAX);
    sums.into_iter().map(|(cause, sum)| (cause, sum / count)).collect()
}

fn known(cause: &str) -> &'static str {
    tillwatch_sdk::cause::by_id(cause).id
}
