//! What becomes of an incident: it is opened, gets payments and a cause, explains narrower ones. Owns no decision and says nothing.

use tillwatch_sdk::Instant;

use crate::{
    judge::{MAINTENANCE, Verdict},
    members::Members,
    queue::Queue,
    scan::{self, Family},
    state::{Open, Region, Waiting, entry, word_of},
};

/// Percent below which an incident may be explained by a wider one of another cause.
const DOUBTFUL: u8 = 95;

/// One without anything in it yet.
pub(crate) fn opened(region: &mut Region, scope: String, family: Family, verdict: Verdict, now: Instant) -> Open {
    let mut open = Open {
        generation: region.next_generation(&scope, verdict.cause),
        scope,
        family,
        cause: String::new(),
        percent: 0,
        runner_up: None,
        findings: 0,
        payments: 0,
        money: Vec::new(),
        evidence: Vec::new(),
        first_at: now,
        opened_at: now,
        joined_at: now,
        said_at: now,
        changed: false,
        maintenance: false,
        members: Members::default(),
        ended: Vec::new(),
        shared: Vec::new(),
        inhibits: Vec::new(),
        inhibited_by: None,
        renamed: false,
        undecided: Queue::default(),
        announced: 0,
        until: 0,
        mended: Vec::new(),
        begun: 0,
        since: (0, 0),
    };
    decided(&mut open, verdict);
    open
}

/// Its cause is this.
pub(crate) fn decided(open: &mut Open, verdict: Verdict) {
    open.maintenance = verdict.cause == MAINTENANCE.cause;
    verdict.cause.clone_into(&mut open.cause);
    open.percent = verdict.percent;
    open.runner_up = verdict.runner_up.map(str::to_owned);
    open.evidence = verdict.evidence;
}

/// Whether a narrower incident has no cause of its own to show beside a wider one.
fn explained(open: &Open, wider: &Open) -> bool {
    open.cause == wider.cause || open.percent < DOUBTFUL
}

/// A wider incident explains narrower ones: those whose every member is part of it, and that have no cause of their own to show.
pub(crate) fn inhibit(region: &mut Region, wider: &mut Open) {
    let id = wider.id();
    for open in &mut region.incidents {
        let narrower = scan::rank(&open.scope) < scan::rank(&wider.scope);
        if narrower && explained(open, wider) && open.inhibited_by.is_none() && open.shared.contains(&wider.scope) {
            open.inhibited_by = Some(id.clone());
            open.changed = true;
            wider.inhibits.push(open.id());
        }
    }
}

/// What has got a cause of its own is not explained by the wider one any more.
pub(crate) fn stand_up(region: &mut Region, open: &mut Open) {
    let id = open.id();
    for wider in &mut region.incidents {
        if open.inhibited_by.as_ref() == Some(&wider.id()) && !explained(open, wider) {
            open.inhibited_by = None;
            wider.inhibits.retain(|known| *known != id);
            wider.changed = true;
        }
    }
}

/// Whether findings of a kind follow another one of the same payment.
pub(crate) fn follows(kind: &str) -> bool {
    matches!(kind, "reversal-missing" | "reversal-unanswered" | "unresolved")
}

/// Whether one more says that it goes on: not where so few have been stuck since that customers who walk away would be as many.
fn goes_on(open: &mut Open, joined: &Waiting) -> bool {
    let (begun, stuck) = &mut open.since;
    if follows(joined.kind()) {
        return true;
    }
    *stuck += 1;
    let goes_on = open.maintenance || *stuck * 100 > begun.saturating_mul(scan::USUAL_PERCENT as u64);
    if goes_on {
        open.begun = open.begun.saturating_add(*begun);
        open.since = (0, 0);
    }
    goes_on
}

/// A payment becomes part of an incident.
pub(crate) fn add(open: &mut Open, joined: Waiting, now: Instant, room: bool) {
    open.findings += 1;
    if !follows(joined.kind()) {
        open.payments += 1;
        if joined.amount > 0
            && (open.money.len() < 8 || open.money.iter().any(|(currency, _)| currency == joined.currency()))
        {
            let sum = entry(&mut open.money, joined.currency().to_owned());
            *sum = sum.saturating_add(joined.amount);
        }
    }
    if goes_on(open, &joined) {
        open.joined_at = now;
    }
    open.changed = true;
    open.shared.retain(|scope| joined.within(scope) && word_of(scope) != word_of(&open.scope));
    if room {
        open.members.add(joined.finding());
    }
    if open.cause == "undetermined" {
        open.undecided.push(joined);
    }
}
