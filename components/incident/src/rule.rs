//! The rule: what it hears of a region, when it decides, and what it says.

use tillwatch_sdk::{
    Details, Evidence, FieldId, Incident, Instant, Out, Rule, Scope, Severity, Told, Turn, Value, Visit, cause,
    evidence::{self, Census, Ended, Notice, Sign, Stuck},
    ids,
};

use crate::{
    judge::{MAINTENANCE, Verdict, announced, judge},
    peers::BLOCK,
    scan::{self, Family},
    settings::{Planned, Settings},
    state::{
        Announced, Cohort, INCIDENTS_MAX, MEMBERS_MAX, Open, Region, WAITING_MAX, Waiting, entry, member, word_of,
    },
    words,
};

/// How often a decision that is put off is thought over, ms.
const AGAIN_MS: i64 = 5_000;
/// Strength of a block's sign from which on a rule has a finding of it.
const HELP_FOUND: f64 = 0.4;
/// How sure it is that an operator needs training who needs more help than peers, percent.
const ABOVE_PEERS: u8 = 85;
/// Percent below which an incident may be explained by a wider one of another cause.
const DOUBTFUL: u8 = 86;

/// Finds incidents.
#[derive(Debug)]
pub struct IncidentRule {
    settings: Settings,
    /// What the settings plan.
    planned: Vec<Announced>,
}

impl Rule for IncidentRule {
    const ID: &'static str = "incident";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Region;
    const EVENTS: &'static [&'static str] =
        &[evidence::CENSUS, evidence::STUCK, evidence::ENDED, evidence::SIGN, evidence::NOTICE];
    const FIELDS: &'static [FieldId] = &[FieldId::DATA];
    const CAPABILITIES: &'static [&'static str] = &[
        "incident:N1",
        "incident:N2",
        "incident:N3",
        "incident:N4",
        "incident:H1",
        "incident:H2",
        "incident:H3",
        "incident:H4",
        "incident:S1",
        "incident:S2",
        "incident:S3",
        "incident:S4",
        "incident:P1",
        "incident:P2",
        "incident:P3",
        "incident:P4",
        "incident:maintenance",
        "incident:customer",
        "incident:undetermined",
        "update:no-answer",
        "update:approved-undelivered",
        "update:not-shown",
        "update:not-printed",
        "update:unsynced",
        "update:late-approval",
        "update:reversal-missing",
        "update:reversal-unanswered",
        "update:double-charge-risk",
        "update:double-charge",
        "update:unresolved",
        "update:operator-help",
    ];

    type Settings = Settings;
    type State = Region;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { planned: settings.planned(), settings })
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Region>, out: &mut Out<'_>) {
        let mut region = state.take().unwrap_or_default();
        let at = visit.at();
        match visit.event() {
            evidence::CENSUS => {
                let Some(census) = evidence::read::<Census>(visit, out) else { return };
                region.count(&Cohort::of(&census.cohorts), at, census.payments);
            }
            evidence::SIGN => {
                let Some(sign) = evidence::read::<Sign>(visit, out) else { return };
                if sign.cause == "P1" && sign.what == BLOCK {
                    compare(&mut region, &sign, out);
                } else {
                    region.sign(&sign, at);
                }
            }
            evidence::NOTICE => {
                let Some(notice) = evidence::read::<Notice>(visit, out) else { return };
                region.notice(&notice);
            }
            evidence::ENDED => {
                let Some(ended) = evidence::read::<Ended>(visit, out) else { return };
                ends(&mut region, &ended);
            }
            _ => {
                let Some(stuck) = evidence::read::<Stuck>(visit, out) else { return };
                if known(&stuck.kind) && region.stuck(&stuck, at) {
                    self.join(&mut region, at, out);
                    if region.waiting.len() >= WAITING_MAX {
                        self.decide(&mut region, at, true, out);
                    }
                }
            }
        }
        self.wake(&region, at, out);
        *state = Some(region).filter(|region| *region != Region::default());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Region>, out: &mut Out<'_>) {
        let Some(mut region) = state.take() else { return };
        let at = visit.at();
        region.forget(at, self.settings.sign_ms);
        self.decide(&mut region, at, false, out);
        self.go_on(&mut region, at, out);
        self.wake(&region, at, out);
        *state = Some(region).filter(|region| *region != Region::default());
    }
}

/// A block of an operator's payments: where their rule has a finding of it, that is told whether peers do better.
fn compare(region: &mut Region, sign: &Sign, out: &mut Out<'_>) {
    let Some(above) = region.peers.block(sign.count, sign.of) else { return };
    if sign.strength < HELP_FOUND {
        return;
    }
    let (cause, percent) = if above { ("P1", ABOVE_PEERS) } else { ("undetermined", 50) };
    let verdict = Verdict { cause, percent, clear: true, runner_up: Some("H4"), evidence: Vec::new() };
    out.tell(Told {
        finding: ids::finding("diagnose-human", "operator-help", &sign.about, ""),
        kind: "operator-help".to_owned(),
        scope: sign.about.clone(),
        severity: None,
        evidence: Vec::new(),
        details: details(&verdict),
    });
}

/// Whether a kind of finding is one about a payment that is stuck.
fn known(kind: &str) -> bool {
    IncidentRule::CAPABILITIES.iter().any(|may| may.strip_prefix("update:") == Some(kind))
}

/// A finding is over.
fn ends(region: &mut Region, ended: &Ended) {
    region.waiting.retain(|waiting| waiting.finding != ended.finding);
    for open in &mut region.incidents {
        let gone = member(&ended.finding);
        if let Some(index) = open.members.iter().position(|known| *known == gone) {
            open.members.swap_remove(index);
            let how = if ended.resolution.len() > 32 { "other" } else { &ended.resolution };
            *entry(&mut open.ended, how.to_owned()) += 1;
            open.changed = true;
        }
    }
}

impl IncidentRule {
    fn wake(&self, region: &Region, now: Instant, out: &mut Out<'_>) {
        let Settings { gather_ms, alone_ms, update_every_ms, quiet_ms, .. } = self.settings;
        let unsure = region.waiting.iter().any(|waiting| now - waiting.at >= gather_ms && now - waiting.at < alone_ms);
        let waiting = region.waiting.iter().flat_map(|waiting| [waiting.at + gather_ms, waiting.at + alone_ms]);
        let waiting = waiting.chain(unsure.then_some(now + AGAIN_MS));
        let incidents = region.incidents.iter().flat_map(|open| {
            let update = open.changed.then_some(open.said_at + update_every_ms);
            [Some(open.joined_at + quiet_ms), update].into_iter().flatten()
        });
        match waiting.chain(incidents).filter(|at| *at > now).min() {
            Some(at) => out.wake_at(at),
            None if region.incidents.iter().any(|open| open.changed) => out.wake_at(now + 1),
            None => out.sleep(),
        }
    }

    /// Decides; what the configuration plans comes before all else.
    fn verdict(&self, region: &Region, scope: &str, family: Family, members: &[&Waiting], now: Instant) -> Verdict {
        if announced(&self.planned, scope, members, now) {
            MAINTENANCE
        } else {
            judge(region, scope, family, members, now)
        }
    }

    /// The payment that came last belongs to an open incident, if it does: the narrowest one. To one of maintenance only while that lasts:
    /// what is stuck after its end wakes somebody.
    fn join(&self, region: &mut Region, now: Instant, out: &mut Out<'_>) {
        let Some(last) = region.waiting.last() else { return };
        let family = Family::of(&last.kind);
        let silent = [&self.planned, &region.notices].into_iter().any(|windows| announced(windows, "", &[last], now));
        let fits = |open: &&mut Open| {
            open.family == family && last.cohorts.within(&open.scope) && (silent || !open.maintenance)
        };
        let rank = |open: &&mut Open| scan::rank(&open.scope);
        let room = region.incidents.iter().map(|open| open.members.len()).sum::<usize>() < MEMBERS_MAX;
        let Some(open) = region.incidents.iter_mut().filter(fits).min_by_key(rank) else { return };
        let Some(joined) = region.waiting.pop() else { return };
        tell(&joined, open, out);
        add(open, &joined, now, room);
    }

    /// Judges what has waited for long enough; all of it where there is no more room.
    fn decide(&self, region: &mut Region, now: Instant, full: bool, out: &mut Out<'_>) {
        for family in Family::ALL {
            while self.open_one(region, family, now, full, out) {}
        }
        for index in 0..region.waiting.len() {
            let waiting = &region.waiting[index];
            if waiting.told || (!full && now - waiting.at < self.settings.alone_ms) {
                continue;
            }
            let scope = waiting.cohorts.0[0].clone();
            // What a rule of the terminal has found stays.
            if waiting.cause.is_empty() || waiting.cause == "undetermined" {
                let verdict = self.verdict(region, &scope, Family::of(&waiting.kind), &[waiting], now);
                out.tell(told(waiting, &verdict, None));
            }
            region.waiting[index].told = true;
        }
        if full {
            // The oldest have found no company.
            let keep = region.waiting.len().min(WAITING_MAX / 2);
            region.waiting.drain(..region.waiting.len() - keep);
        }
    }

    /// Opens the incident that explains most of a family, if there is one.
    fn open_one(&self, region: &mut Region, family: Family, now: Instant, full: bool, out: &mut Out<'_>) -> bool {
        let stuck: Vec<&Waiting> =
            region.waiting.iter().filter(|waiting| Family::of(&waiting.kind) == family).collect();
        let oldest = stuck.iter().map(|waiting| now - waiting.at).max().unwrap_or(0);
        if stuck.is_empty() || region.incidents.len() >= INCIDENTS_MAX || (!full && oldest < self.settings.gather_ms) {
            return false;
        }
        let Some(found) = scan::best(region, &stuck, &self.settings) else { return false };
        let members: Vec<&Waiting> = stuck.into_iter().filter(|waiting| waiting.cohorts.within(&found.scope)).collect();
        let verdict = self.verdict(region, &found.scope, family, &members, now);
        if !verdict.clear && !full && oldest < self.settings.alone_ms {
            return false;
        }
        let members: Vec<Waiting> = members.into_iter().cloned().collect();
        region.waiting.retain(|waiting| !members.iter().any(|member| member.finding == waiting.finding));
        let mut open = Open {
            generation: region.next_generation(&found.scope, verdict.cause),
            scope: found.scope,
            family,
            cause: verdict.cause.to_owned(),
            percent: verdict.percent,
            runner_up: verdict.runner_up.map(str::to_owned),
            findings: 0,
            payments: 0,
            money: Vec::new(),
            evidence: verdict.evidence,
            first_at: members.iter().map(|member| member.at).min().unwrap_or(now),
            opened_at: now,
            joined_at: now,
            said_at: now,
            changed: false,
            maintenance: verdict.cause == "maintenance",
            members: Vec::new(),
            ended: Vec::new(),
            shared: members.first().map(|first| first.cohorts.0.clone()).unwrap_or_default(),
            inhibits: Vec::new(),
            inhibited_by: None,
        };
        let mut room = MEMBERS_MAX.saturating_sub(region.members());
        for joined in &members {
            tell(joined, &open, out);
            add(&mut open, joined, now, room > 0);
            room = room.saturating_sub(1);
        }
        inhibit(region, &mut open);
        open.changed = false;
        out.incident(self.said(&open, Turn::Opened, now));
        region.incidents.push(open);
        true
    }

    /// Updates what has changed, and ends what is quiet.
    fn go_on(&self, region: &mut Region, now: Instant, out: &mut Out<'_>) {
        let mut incidents = std::mem::take(&mut region.incidents);
        incidents.retain_mut(|open| {
            if now - open.joined_at >= self.settings.quiet_ms {
                out.incident(self.said(open, Turn::Resolved, now));
                return false;
            }
            if open.changed && now - open.said_at >= self.settings.update_every_ms {
                open.changed = false;
                open.said_at = now;
                out.incident(self.said(open, Turn::Updated, now));
            }
            true
        });
        region.incidents = incidents;
    }

    fn said(&self, open: &Open, turn: Turn, now: Instant) -> Incident {
        let words = cause::by_id(&open.cause);
        let covers = |(scope, from, until, _): &&Planned| {
            (*from..*until).contains(&open.opened_at) && (*scope == open.scope || open.shared.contains(scope))
        };
        let planned = self.settings.maintenance.iter().filter(|_| open.maintenance).find(covers);
        let reason = planned.map_or("", |(.., reason)| reason);
        let (text_en, text_zh) = words::text(open, reason);
        let over = turn == Turn::Resolved;
        let much = open.money.iter().any(|(_, amount)| *amount >= self.settings.critical_money);
        let severity = if open.maintenance {
            Severity::Info
        } else if much || open.payments >= self.settings.critical_payments {
            Severity::Critical
        } else {
            Severity::Warning
        };
        Incident {
            turn,
            scope: open.scope.clone(),
            cause: open.cause.clone(),
            confidence: f64::from(open.percent) / 100.0,
            runner_up: open.runner_up.clone(),
            generation: open.generation,
            severity,
            evidence: rows(&open.evidence),
            findings: open.findings,
            payments: open.payments,
            money: open.money.clone(),
            first_at: open.first_at,
            opened_at: open.opened_at,
            resolved_at: over.then_some(now),
            inhibits: open.inhibits.clone(),
            inhibited_by: open.inhibited_by.clone(),
            maintenance: open.maintenance,
            text_en,
            text_zh,
            remedy_en: words.remedy.0.to_owned(),
            remedy_zh: words.remedy.1.to_owned(),
            runbook: words.runbook.to_owned(),
            report: over.then(|| words::report(open, reason, now)),
        }
    }
}

/// A wider incident explains narrower ones: those whose every member is part of it, and that have no cause of their own to show.
fn inhibit(region: &mut Region, wider: &mut Open) {
    let id = ids::incident(&wider.scope, &wider.cause, wider.generation);
    for open in &mut region.incidents {
        let narrower = scan::rank(&open.scope) < scan::rank(&wider.scope);
        let explained = open.cause == wider.cause || open.percent < DOUBTFUL;
        if narrower && explained && open.inhibited_by.is_none() && open.shared.contains(&wider.scope) {
            open.inhibited_by = Some(id.clone());
            open.changed = true;
            wider.inhibits.push(ids::incident(&open.scope, &open.cause, open.generation));
        }
    }
}

/// A payment becomes part of an incident.
fn add(open: &mut Open, joined: &Waiting, now: Instant, room: bool) {
    open.findings += 1;
    // These kinds follow another one of the same payment.
    if !matches!(joined.kind.as_str(), "reversal-missing" | "reversal-unanswered" | "unresolved") {
        open.payments += 1;
        if joined.amount > 0
            && (open.money.len() < 8 || open.money.iter().any(|(currency, _)| *currency == joined.currency))
        {
            let sum = entry(&mut open.money, joined.currency.clone());
            *sum = sum.saturating_add(joined.amount);
        }
    }
    open.joined_at = now;
    open.changed = true;
    open.shared.retain(|scope| joined.cohorts.within(scope) && word_of(scope) != word_of(&open.scope));
    if room {
        open.members.push(member(&joined.finding));
    }
}

fn tell(joined: &Waiting, open: &Open, out: &mut Out<'_>) {
    let verdict = Verdict {
        cause: cause::by_id(&open.cause).id,
        percent: open.percent,
        clear: true,
        runner_up: open.runner_up.as_deref().map(|cause| cause::by_id(cause).id),
        evidence: open.evidence.clone(),
    };
    let id = ids::incident(&open.scope, &open.cause, open.generation);
    out.tell(told(joined, &verdict, Some(id)));
}

fn details(verdict: &Verdict) -> Details {
    let mut details = vec![
        ("cause".to_owned(), Value::from(verdict.cause)),
        ("confidence".to_owned(), Value::Number(f64::from(verdict.percent) / 100.0)),
    ];
    details.extend(verdict.runner_up.map(|cause| ("runner_up".to_owned(), Value::from(cause))));
    details.push(("runbook".to_owned(), Value::from(cause::by_id(verdict.cause).runbook)));
    details
}

fn told(waiting: &Waiting, verdict: &Verdict, incident: Option<String>) -> Told {
    let mut details = details(verdict);
    details.extend(incident.map(|id| ("incident".to_owned(), Value::from(id))));
    Told {
        finding: waiting.finding.clone(),
        kind: waiting.kind.clone(),
        scope: format!("payment:{}", waiting.txn),
        severity: None,
        evidence: rows(&verdict.evidence),
        details,
    }
}

fn rows(evidence: &[(String, String, Instant)]) -> Vec<Evidence> {
    let row =
        |(event, id, time): &(String, String, Instant)| Evidence { event: event.clone(), id: id.clone(), time: *time };
    evidence.iter().map(row).collect()
}
