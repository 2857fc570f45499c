//! Why: the cause of what is stuck in a scope. Blast radius has chosen the scope; where the chain broke and what telemetry says choose the cause.
//!
//! Points are percent, whole numbers. An answer that nothing supports is `undetermined`.

use tillwatch_sdk::Instant;

use crate::{
    scan::{Family, rank},
    signs::Of,
    state::{Announced, Region, Waiting, entry, word_of},
};

/// Points below which nothing is named.
const POINTS_MIN: i64 = 30;
/// Points that the best must have before the second.
const LEAD_MIN: i64 = 5;
/// Points and lead from which a decision is not put off for more to come in.
const CLEAR: (i64, i64) = (60, 25);
/// What telemetry that is as strong as can be adds.
const SIGN_POINTS: i64 = 70;
/// Of that, for signs of scopes that are wider than the one in question: they may have another fault.
const WIDER_PERCENT: i64 = 80;
/// Observations from which on telemetry without a fault speaks against one.
const WELL_MIN: i64 = 5;
/// Announced maintenance is sure but for what else may have broken meanwhile, percent.
const ANNOUNCED: u8 = 95;
/// Events that an answer names.
const EVIDENCE_MAX: usize = 8;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The cause.
    pub cause: &'static str,
    /// How sure, percent.
    pub percent: u8,
    /// More evidence would hardly change it.
    pub clear: bool,
    /// What else it may be.
    pub runner_up: Option<&'static str>,
    /// Events that say so: type, id, time.
    pub evidence: Vec<(String, String, Instant)>,
}

/// What was announced.
pub const MAINTENANCE: Verdict =
    Verdict { cause: "maintenance", percent: ANNOUNCED, clear: true, runner_up: None, evidence: Vec::new() };

/// What a place alone says: word of the scope, where it broke, causes with points.
type Place = (&'static str, Family, &'static [(&'static str, i64)]);

const PLACES: &[Place] = &[
    ("terminal", Family::Way, &[("H4", 20), ("N3", 15), ("N2", 10), ("S4", 10)]),
    ("site", Family::Way, &[("N3", 25), ("N1", 22), ("N2", 22), ("S4", 10)]),
    ("host", Family::Way, &[("N4", 45), ("N2", 15), ("S3", 10)]),
    ("acquirer", Family::Way, &[("N4", 40), ("S3", 15), ("N2", 10)]),
    ("version", Family::Way, &[("S3", 30), ("S1", 30), ("S4", 25)]),
    ("operator", Family::Way, &[("P4", 20), ("H4", 10)]),
    ("region", Family::Way, &[("N4", 20), ("maintenance", 15)]),
    ("terminal", Family::Terminal, &[("H4", 45), ("S1", 15)]),
    ("site", Family::Terminal, &[("S1", 30), ("H4", 10)]),
    ("host", Family::Terminal, &[("S1", 30)]),
    ("acquirer", Family::Terminal, &[("S1", 30)]),
    ("version", Family::Terminal, &[("S1", 45), ("H4", 15)]),
    ("region", Family::Terminal, &[("S1", 30)]),
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

/// The causes of which a fault may break the chain there: telemetry of others is about something else.
fn fitting(family: Family) -> &'static [&'static str] {
    match family {
        Family::Way => &["H3", "H4", "N1", "N2", "N3", "N4", "P4", "S1", "S3", "S4"],
        Family::Terminal => &["H3", "H4", "S1"],
        Family::Printing => &["H1", "H4", "S1"],
        Family::Ledger => &["S1", "S2"],
        Family::Operator => &["P1", "P4"],
    }
}

/// Whether a place may have a fault of this cause.
#[must_use]
pub fn fits(cause: &str, scope: &str, family: Family) -> bool {
    let here = PLACES.iter().find(|(word, at, _)| *word == word_of(scope) && *at == family);
    here.is_some_and(|(.., causes)| causes.iter().any(|(known, _)| *known == cause))
}

/// Whether a cause that was found at a scope belongs to another one: a site is not overloaded, its host is; what crashes when an answer is there
/// is the app, whosever answer it was.
#[must_use]
pub fn belongs(cause: &str, found: &str, wide: &str) -> bool {
    match cause {
        "N4" => matches!(word_of(found), "site" | "version") && matches!(word_of(wide), "host" | "acquirer"),
        "S1" | "S4" => matches!(word_of(found), "host" | "acquirer") && word_of(wide) == "version",
        _ => false,
    }
}

/// Whether a scope is too wide for a cause: devices and hands of several sites do not fail together.
fn too_wide(cause: &str, scope: &str) -> bool {
    cause.starts_with(['H', 'P']) && rank(scope) > rank("site:")
}

/// Causes with points.
type Points = Vec<(&'static str, i64)>;

/// Decides.
#[must_use]
pub fn judge(region: &Region, scope: &str, family: Family, members: &[&Waiting], now: Instant) -> Verdict {
    if announced(&region.notices, scope, members, now) {
        return MAINTENANCE;
    }
    let mut points: Points = Vec::new();
    let place = PLACES.iter().find(|(word, at, _)| *word == word_of(scope) && *at == family);
    for (cause, prior) in place.map_or(&[][..], |(.., causes)| causes) {
        *entry(&mut points, cause) += prior;
    }
    for cause in fitting(family).iter().filter(|cause| !too_wide(cause, scope)) {
        match telemetry(region, scope, members, cause) {
            Telemetry::Points(more) => *entry(&mut points, cause) += more,
            Telemetry::Well => *entry(&mut points, cause) = 0,
            Telemetry::Silent => {}
        }
    }
    for (cause, heard) in hints(members).into_iter().filter(|(cause, _)| !too_wide(cause, scope)) {
        let most = entry(&mut points, cause);
        *most = (*most).max(heard);
    }
    let (best, top) = most(&points, "").unwrap_or(("undetermined", 0));
    let (second, next) = most(&points, best).map_or((None, 0), |(cause, points)| (Some(cause), points));
    let (top, lead) = (top.min(100), (top.min(100) - next).max(0));
    if top < POINTS_MIN || lead < LEAD_MIN {
        let runner_up = (best != "undetermined").then_some(best);
        return Verdict { cause: "undetermined", percent: 50, clear: false, runner_up, evidence: Vec::new() };
    }
    let evidence = about(region, scope, members, best).filter_map(|(sign, _)| sign.event());
    Verdict {
        cause: best,
        percent: sure(top * (100 + lead) / 200),
        clear: top >= CLEAR.0 && lead >= CLEAR.1,
        runner_up: second.filter(|_| next > 0),
        evidence: evidence.take(EVIDENCE_MAX).collect(),
    }
}

/// The cause with the most points, but for one.
fn most(points: &[(&'static str, i64)], but: &str) -> Option<(&'static str, i64)> {
    points.iter().filter(|(cause, _)| *cause != but).min_by_key(|(cause, points)| (-points, *cause)).copied()
}

/// How often decisions from so many points on were right, percent: counted on the list of seeds that rules are tuned on, one more wrong and one
/// more right added to each row; what is said is at most that (docs/score.md).
const CALIBRATION: [(i64, u8); 5] = [(0, 75), (20, 78), (30, 90), (50, 95), (90, 97)];

/// Points of a decision as what they are worth, percent.
fn sure(points: i64) -> u8 {
    CALIBRATION.iter().rev().find(|(from, _)| points >= *from).map_or(0, |(_, percent)| *percent)
}

/// Whether what is stuck is what was announced, or most of it.
#[must_use]
pub fn announced(notices: &[Announced], scope: &str, members: &[&Waiting], now: Instant) -> bool {
    let open = || notices.iter().filter(|notice| notice.from <= now && now < notice.until);
    let covered = members.iter().filter(|member| open().any(|notice| member.within(&notice.about))).count();
    open().any(|notice| notice.about == scope) || (!members.is_empty() && covered * 2 > members.len())
}

/// What telemetry says of a cause.
enum Telemetry {
    /// It speaks for it.
    Points(i64),
    /// Enough was seen, and it was well.
    Well,
    /// Nothing.
    Silent,
}

/// The signs of a cause that are about the scope or places of its members, each with how many members it is about.
fn about<'a>(
    region: &'a Region,
    scope: &'a str,
    members: &'a [&Waiting],
    cause: &'a str,
) -> impl Iterator<Item = (Of<'a>, i64)> {
    region.signs.of(cause).filter_map(move |sign| {
        let inside = |member: &&&Waiting| sign.about == scope || member.within(sign.about);
        let count = members.iter().filter(inside).count();
        (count > 0).then(|| (sign, i64::try_from(count).unwrap_or(i64::MAX)))
    })
}

/// All signs of a cause are taken together: many places with little each are a cohort with much.
fn telemetry(region: &Region, scope: &str, members: &[&Waiting], cause: &str) -> Telemetry {
    let (mut count, mut of, mut seen_at, mut points) = (0, 0, 0, 0);
    for (sign, inside) in about(region, scope, members, cause) {
        let (some, all) = sign.seen.sums();
        (count, of, seen_at) = (count + some, of + all, seen_at + inside);
        // A till and whoever works there are one place.
        let wider = rank(sign.about) > rank(scope).max(1);
        let share = if wider { WIDER_PERCENT } else { 100 };
        if some > 0 {
            points += SIGN_POINTS * share * i64::from(sign.seen.percent) * inside;
        }
    }
    let all = i64::try_from(members.len()).unwrap_or(i64::MAX);
    if cause == "N3" {
        // A sample with a round trip is one of a line that is there.
        for (sign, inside) in about(region, scope, members, "N1") {
            (of, seen_at) = (of + sign.seen.sums().1, seen_at.max(inside));
        }
    }
    if enough(cause, count, of) {
        Telemetry::Points((points / all / 10_000).min(SIGN_POINTS))
    } else if matches!(cause, "N1" | "N3" | "N4") && of >= WELL_MIN && seen_at >= all {
        Telemetry::Well
    } else {
        Telemetry::Silent
    }
}

/// Whether so many of all observations say it that it means something (docs/spec/domain.md, section 3).
fn enough(cause: &str, count: i64, of: i64) -> bool {
    let (count_min, percent_min) = match cause {
        "N1" => (2, 5),
        "N2" | "S1" => (3, 0),
        "N3" => (2, 40),
        "N4" => (3, 10),
        "S3" => (5, 0),
        _ => (1, 20),
    };
    count >= count_min && count * 100 > of * percent_min
}

/// What rules of the terminals have found, where most of the members have it. Findings of one payment have one cause.
fn hints(members: &[&Waiting]) -> Points {
    let known = |member: &&&Waiting| !member.cause().is_empty() && member.cause() != "undetermined";
    let mut sums: Points = Vec::new();
    for member in members {
        let Some(hint) = members.iter().filter(known).find(|other| other.txn() == member.txn()) else { continue };
        if let Some(cause) = tillwatch_sdk::cause::CAUSES.iter().find(|known| known.id == hint.cause()) {
            *entry(&mut sums, cause.id) += i64::from(hint.percent);
        }
    }
    let count = i64::try_from(members.len().max(1)).unwrap_or(i64::MAX);
    sums.into_iter().map(|(cause, sum)| (cause, sum / count)).collect()
}
