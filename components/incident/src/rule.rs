//! The rule: what it hears of a region, when it decides, and what it says.

use tillwatch_sdk::{
    Details, Evidence, FieldId, Incident, Instant, Out, Rule, Scope, Severity, Told, Turn, Value, Visit, cause,
    evidence::{self, Census, Ended, Notice, Sign, Stuck},
    ids,
};

use crate::{
    judge::{MAINTENANCE, Verdict, announced, belongs, fits, judge},
    life::{add, decided, follows, inhibit, opened, stand_up},
    peers::BLOCK,
    scan::{self, Family},
    settings::{Planned, Settings},
    state::{
        Announced, Cohort, ENDED_MAX, Gathering, INCIDENTS_MAX, MEMBERS_MAX, Open, Region, WAITING_MAX, Waiting, entry,
        word_of,
    },
    upkeep, words,
};

/// How often a decision that is put off is thought over, ms.
const AGAIN_MS: i64 = 5_000;
/// Where too few payments are begun to tell that it is well, an incident is over after so many quiet times.
const QUIETS_MAX: i64 = 5;
/// Strength of a block's sign from which on a rule has a finding of it.
const HELP_FOUND: f64 = 0.4;
/// How sure it is that an operator needs training who needs more help than peers, percent.
const ABOVE_PEERS: u8 = 85;

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
    const STATE_VERSION: u32 = 5;
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
                    region.signs.add(&sign, at);
                }
            }
            evidence::NOTICE => {
                let Some(notice) = evidence::read::<Notice>(visit, out) else { return };
                region.notice(&notice);
                upkeep::heard(&mut region, &notice, at);
            }
            evidence::ENDED => {
                let Some(ended) = evidence::read::<Ended>(visit, out) else { return };
                ends(&mut region, &ended);
            }
            _ => {
                let Some(stuck) = evidence::read::<Stuck>(visit, out) else { return };
                if known(&stuck.kind) && region.stuck(&stuck, at) {
                    let last = region.waiting.len() - 1;
                    self.join(&mut region, last, at, out);
                    region.make_room();
                    if region.waiting.len() >= WAITING_MAX {
                        self.decide(&mut region, at, true, out);
                    }
                }
            }
        }
        self.wake(&region, at, out);
        *state = Some(region).filter(|region| !region.is_empty());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Region>, out: &mut Out<'_>) {
        let Some(mut region) = state.take() else { return };
        let at = visit.at();
        region.forget(at, self.settings.sign_ms);
        self.decide(&mut region, at, false, out);
        self.think_again(&mut region, at, out);
        self.go_on(&mut region, at, out);
        self.wake(&region, at, out);
        *state = Some(region).filter(|region| !region.is_empty());
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
    if let Some(index) = region.waiting.iter().position(|waiting| waiting.is(&ended.finding)) {
        region.waiting.remove(index);
    }
    for open in &mut region.incidents {
        if open.members.remove(&ended.finding) {
            let told = |how: &str| open.ended.iter().any(|(known, _)| known == how);
            let fits = ended.resolution.len() <= 32 && (open.ended.len() < ENDED_MAX || told(&ended.resolution));
            let how = if fits { ended.resolution.as_str() } else { "other" };
            *entry(&mut open.ended, how.to_owned()) += 1;
            if how == "mended" && known(&ended.kind) {
                *entry(&mut open.mended, ended.kind.clone()) += 1;
            }
            open.changed = true;
        }
    }
}

impl IncidentRule {
    fn wake(&self, region: &Region, now: Instant, out: &mut Out<'_>) {
        let Settings { gather_ms, alone_ms, update_every_ms, quiet_ms, .. } = self.settings;
        let unsure = region.waiting.since().any(|at| now - at >= gather_ms && now - at < alone_ms)
            || region.incidents.iter().any(|open| !open.undecided.is_empty());
        let waiting = region.waiting.since().flat_map(|at| [at + gather_ms, at + alone_ms]);
        // By the clock and not from here on: evidence that comes all the time would put it off for ever.
        let waiting = waiting.chain(unsure.then_some((now.div_euclid(AGAIN_MS) + 1) * AGAIN_MS));
        let waiting = waiting.chain(region.gathering.as_ref().map(|gathering| gathering.since + upkeep::GATHER_MS));
        let incidents = region.incidents.iter().flat_map(|open| {
            let update = open.changed.then_some((open.said_at + update_every_ms).max(now + 1));
            let end = if open.is_well() {
                (open.joined_at + quiet_ms).max(now + 1)
            } else {
                open.joined_at + QUIETS_MAX * quiet_ms
            };
            let end = if open.lasts(now) { end.max(open.until) } else { end };
            [Some(end), update].into_iter().flatten()
        });
        match waiting.chain(incidents).filter(|at| *at > now).min() {
            Some(at) => out.wake_at(at),
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

    /// A payment that waits belongs to an open incident, if it does: the narrowest one. To one of maintenance wherever it is stuck, and only
    /// while that lasts: what is stuck after its end wakes somebody. Whether it does.
    fn join(&self, region: &mut Region, index: usize, now: Instant, out: &mut Out<'_>) -> bool {
        let waiting = &region.waiting[index];
        let family = Family::of(waiting.kind());
        let silent =
            [&self.planned, &region.notices].into_iter().any(|windows| announced(windows, "", &[waiting], now));
        let fits = |open: &&mut Open| {
            let counts = if open.maintenance {
                // What was stuck in it may have more to say when it is over.
                silent || open.covers(now) || follows(waiting.kind()) && !open.lasts(now)
            } else {
                open.family == family
            };
            counts && waiting.within(&open.scope)
        };
        let rank = |open: &&mut Open| (!open.maintenance, scan::rank(&open.scope));
        let room = region.incidents.iter().map(|open| open.members.len()).sum::<usize>() < MEMBERS_MAX;
        let Some(open) = region.incidents.iter_mut().filter(fits).min_by_key(rank) else { return false };
        let joined = region.waiting.remove(index);
        tell(&joined, open, out);
        add(open, joined, now, room);
        true
    }

    /// Opens what was announced, when what comes together has come, with what is stuck in it already.
    fn announce(&self, region: &mut Region, now: Instant, full: bool, out: &mut Out<'_>) {
        let due = |gathering: &mut Gathering| full || now - gathering.since >= upkeep::GATHER_MS;
        let Some(gathering) = region.gathering.take_if(due) else { return };
        let known = region.incidents.len();
        for (scope, announced) in upkeep::scopes(&gathering, region, self.settings.terminals_min as u64) {
            let of_it = |open: &&mut Open| open.maintenance && open.scope == scope;
            if let Some(open) = region.incidents.iter_mut().find(of_it) {
                open.announced = open.announced.saturating_add(announced);
                open.until = open.until.max(gathering.until);
            } else if region.incidents.len() < INCIDENTS_MAX {
                let mut open = opened(region, scope, Family::Way, MAINTENANCE, now);
                open.first_at = gathering.since;
                open.shared.extend(upkeep::home(region).map(str::to_owned));
                (open.announced, open.until) = (announced, gathering.until);
                inhibit(region, &mut open);
                region.incidents.push(open);
            }
        }
        let mut index = 0;
        while index < region.waiting.len() {
            if !self.join(region, index, now, out) {
                index += 1;
            }
        }
        for open in &mut region.incidents[known..] {
            open.changed = false;
            out.incident(self.said(open, Turn::Opened, now));
        }
    }

    /// Looks for the cause of what was opened without one, as often as it may be updated: its payments are told it, and its name stays.
    fn think_again(&self, region: &mut Region, now: Instant, out: &mut Out<'_>) {
        for index in 0..region.incidents.len() {
            let open = &region.incidents[index];
            if open.undecided.is_empty() || now - open.said_at < self.settings.update_every_ms {
                continue;
            }
            let members: Vec<&Waiting> = open.undecided.iter().collect();
            let verdict = self.verdict(region, &open.scope, open.family, &members, now);
            if verdict.cause == "undetermined" {
                continue;
            }
            let mut open = region.incidents.remove(index);
            decided(&mut open, verdict);
            open.renamed = true;
            std::mem::take(&mut open.undecided).iter().for_each(|member| tell(member, &open, out));
            stand_up(region, &mut open);
            inhibit(region, &mut open);
            open.changed = false;
            open.said_at = now;
            out.incident(self.said(&open, Turn::Updated, now));
            region.incidents.insert(index, open);
        }
    }

    /// Judges what has waited for long enough; all of it where there is no more room.
    fn decide(&self, region: &mut Region, now: Instant, full: bool, out: &mut Out<'_>) {
        self.announce(region, now, full, out);
        for family in Family::ALL {
            while self.open_one(region, family, now, full, out) {}
        }
        for index in 0..region.waiting.len() {
            let waiting = &region.waiting[index];
            if waiting.told || (!full && now - waiting.at < self.settings.alone_ms) {
                continue;
            }
            let scope = waiting.scopes().next().unwrap_or_default().to_owned();
            // What a rule of the terminal has found stays, and is true of all findings of the payment.
            if waiting.cause().is_empty() || waiting.cause() == "undetermined" {
                let of_it: Vec<&Waiting> = region.waiting.iter().filter(|other| other.txn() == waiting.txn()).collect();
                let verdict = self.verdict(region, &scope, Family::of(waiting.kind()), &of_it, now);
                out.tell(told(waiting, &verdict, None));
            }
            region.waiting[index].told = true;
        }
        if full {
            // The oldest have found no company.
            let gone = region.waiting.len().saturating_sub(WAITING_MAX / 2);
            region.waiting.drain(..gone);
        }
    }

    /// Opens the incident that explains most of a family, if there is one.
    fn open_one(&self, region: &mut Region, family: Family, now: Instant, full: bool, out: &mut Out<'_>) -> bool {
        let counts = |waiting: &&Waiting| Family::of(waiting.kind()) == family && !region.is_customers(waiting.txn());
        let stuck: Vec<&Waiting> = region.waiting.iter().filter(counts).collect();
        let oldest = stuck.iter().map(|waiting| now - waiting.at).max().unwrap_or(0);
        if stuck.is_empty() || region.incidents.len() >= INCIDENTS_MAX || (!full && oldest < self.settings.gather_ms) {
            return false;
        }
        let Some(found) = scan::best(region, &stuck, &self.settings) else { return false };
        let within = |scope: &str| stuck.iter().copied().filter(|waiting| waiting.within(scope)).collect();
        let mut scope = found.scope;
        let mut members: Vec<&Waiting> = within(&scope);
        let mut verdict = self.verdict(region, &scope, family, &members, now);
        if let Some(wider) = wider(region, &scope, family, verdict.cause, &members) {
            let all: Vec<&Waiting> = within(&wider);
            let of_all = self.verdict(region, &wider, family, &all, now);
            if of_all.cause == verdict.cause {
                (scope, members, verdict) = (wider, all, of_all);
            }
        }
        // What was announced is one incident with all of its announcements, which still come.
        let early = verdict.cause == MAINTENANCE.cause && region.gathering.is_some();
        if early || !verdict.clear && !full && oldest < self.settings.alone_ms {
            return false;
        }
        // Nothing says why, and so few are stuck on any day.
        if verdict.cause == "undetermined" && !scan::unusual(found.stuck, region.payments.begun(&scope)) {
            return false;
        }
        let picked: Vec<bool> = {
            let is_member = |waiting: &Waiting| members.iter().any(|member| std::ptr::eq(*member, waiting));
            region.waiting.iter().map(is_member).collect()
        };
        let mut picked = picked.into_iter();
        let members: Vec<Waiting> = region.waiting.extract_if(.., |_| picked.next() == Some(true)).collect();
        let mut open = opened(region, scope, family, verdict, now);
        open.first_at = members.iter().map(|member| member.at).min().unwrap_or(now);
        open.begun = region.payments.begun(&open.scope) as u64;
        open.shared = members.first().map(|first| first.scopes().map(str::to_owned).collect()).unwrap_or_default();
        let mut room = MEMBERS_MAX.saturating_sub(region.members());
        for joined in members {
            tell(&joined, &open, out);
            add(&mut open, joined, now, room > 0);
            room = room.saturating_sub(1);
        }
        inhibit(region, &mut open);
        open.changed = false;
        out.incident(self.said(&open, Turn::Opened, now));
        region.incidents.push(open);
        region.make_room();
        true
    }

    /// Updates what has changed, and ends what is quiet.
    fn go_on(&self, region: &mut Region, now: Instant, out: &mut Out<'_>) {
        let (mut incidents, quiet_ms) = (std::mem::take(&mut region.incidents), self.settings.quiet_ms);
        incidents.retain_mut(|open| {
            let quiet_ms = if open.is_well() { quiet_ms } else { QUIETS_MAX * quiet_ms };
            if now - open.joined_at >= quiet_ms && !open.lasts(now) {
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
            opened_as: open.renamed.then(|| open.opened_as().to_owned()),
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

/// The wider scope that what is stuck here shares, and whose fault it may be rather: one that such a cause belongs to, or a host or an acquirer with
/// an open incident of the same cause. One host fails after the other, and each by itself stands out.
fn wider(region: &Region, scope: &str, family: Family, cause: &str, members: &[&Waiting]) -> Option<String> {
    let of_all = |wide: &&str| members.iter().all(|member| member.within(wide));
    let beside = |wide: &str| {
        let shares = |open: &Open| open.shared.iter().any(|scope| scope == wide);
        let same = |open: &&Open| open.family == family && open.cause == cause && shares(open);
        region.incidents.iter().any(|open| same(&open))
    };
    let may_be = |wide: &&str| {
        let with_others =
            matches!(word_of(wide), "host" | "acquirer") && scan::rank(wide) > scan::rank(scope) && beside(wide);
        fits(cause, wide, family) && (with_others || belongs(cause, scope, wide))
    };
    members.first()?.scopes().filter(may_be).find(of_all).map(str::to_owned)
}

fn tell(joined: &Waiting, open: &Open, out: &mut Out<'_>) {
    let verdict = Verdict {
        cause: cause::by_id(&open.cause).id,
        percent: open.percent,
        clear: true,
        runner_up: open.runner_up.as_deref().map(|cause| cause::by_id(cause).id),
        evidence: open.evidence.clone(),
    };
    out.tell(told(joined, &verdict, Some(open.id())));
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
        finding: waiting.finding().to_owned(),
        kind: waiting.kind().to_owned(),
        scope: format!("payment:{}", waiting.txn()),
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
