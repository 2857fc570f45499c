//! The engine's own findings: `feed-blind`, `clock-skew`, `rule-quarantined`; and what blindness does to commands.

use std::collections::BTreeMap;

use tillwatch_wit::contract::{Details, Evidence, Instant, Severity, Value};

use super::{
    Partition,
    moment::{Class, Place},
    order::{Placed, Source},
    watch::Skew,
};
use crate::{
    log::{Blind, Tick},
    output::{self, Class as CommandClass, Data, Finding, Id, Output, Resolution},
    words,
};

/// Stands as the rule of the engine's own findings.
const ENGINE: &str = "engine";

impl Partition {
    fn own(&self, at: Instant, key: String, data: Data) -> Output {
        Output { id: Id::of(&[]), source: format!("/tillwatch/{ENGINE}"), time: at, subject: None, key, data }
    }

    fn raise_own(
        &mut self,
        (kind, terminal, scope): (&str, &str, String),
        severity: Severity,
        at: Instant,
        evidence: Vec<Evidence>,
        details: Details,
    ) -> Option<Output> {
        let id = Id::finding(ENGINE, kind, &scope, "");
        if self.ledger.get(terminal, id.as_str()).is_some() {
            return None;
        }
        let finding = Finding {
            generation: self.watch.generation(id.as_str()),
            finding: id,
            text: words::finding_text(kind, &scope, None, None, None),
            runbook: words::runbook(kind),
            kind: kind.to_owned(),
            scope,
            cause: None,
            confidence: None,
            runner_up: None,
            evidence,
            txn: None,
            amount: None,
            currency: None,
            broke_at: None,
            rule: ENGINE.to_owned(),
            rule_version: env!("CARGO_PKG_VERSION").to_owned(),
            deadline: None,
            opened_at: at,
            severity,
            details,
        };
        self.ledger.set(terminal, &finding.finding.clone(), Some(finding.clone()));
        Some(self.own(at, finding.scope.clone(), Data::Raised(finding)))
    }

    fn clear_own(
        &mut self,
        (kind, terminal, scope): (&str, &str, String),
        at: Instant,
        by: Option<String>,
        details: Details,
    ) -> Option<Output> {
        let id = Id::finding(ENGINE, kind, &scope, "");
        let mut finding = self.ledger.get(terminal, id.as_str())?.clone();
        finding.details.extend(details);
        self.ledger.set(terminal, &id, None);
        let after_ms = u64::try_from(at - finding.opened_at).unwrap_or(0);
        let resolution = Resolution { resolution: "mended".to_owned(), cleared_by: by, after_ms };
        Some(self.own(at, finding.scope.clone(), Data::Cleared(finding, resolution)))
    }

    fn partition_scope(&self) -> String {
        format!("partition:{}/{}", self.settings.topic, self.id)
    }

    /// The log said that the feed is blind, or whole again. Nothing is pending.
    pub(super) fn sight(&mut self, at: Instant, by: Source, tick: Tick) {
        let Some(blind) = tick.blind else { return };
        if matches!(blind, Blind::Input(_) | Blind::Inputs) {
            return self.sight_of_inputs(at, by, blind);
        }
        let was = self.watch.sight.log.clone();
        if !self.watch.log_sight(blind) {
            return;
        }
        let scope = self.partition_scope();
        let reason = self.watch.sight.log.clone().or(was).unwrap_or_default();
        let details = vec![("why".to_owned(), Value::Text(reason))];
        let own = match blind {
            Blind::Broker | Blind::Lag => {
                self.raise_own(("feed-blind", "", scope), Severity::Critical, at, Vec::new(), details)
            }
            _ => self.clear_own(("feed-blind", "", scope), at, None, Vec::new()),
        };
        self.ledger.settle();
        self.emit_own(self.arrival(at, by), own);
    }

    /// Time goes on without a partition of the first stage, or waits for all of them again.
    fn sight_of_inputs(&mut self, at: Instant, by: Source, blind: Blind) {
        self.watch.leave_out(matches!(blind, Blind::Input(_)));
        let about = ("feed-blind", "", format!("{}/inputs", self.partition_scope()));
        let own = match blind {
            Blind::Input(input) => {
                let why = vec![
                    ("why".to_owned(), Value::from(blind.name())),
                    ("input".to_owned(), Value::Integer(i64::from(input))),
                ];
                self.raise_own(about, Severity::Critical, at, Vec::new(), why)
            }
            _ => self.clear_own(about, at, None, Vec::new()),
        };
        self.ledger.settle();
        self.emit_own(self.arrival(at, by), own);
    }

    fn arrival(&self, at: Instant, by: Source) -> Place {
        match by {
            Source::Record(offset) => Place::arrival(at, &self.settings.topic, self.id, offset),
            Source::Local(now) => Place::local(at, &self.settings.topic, self.id, now),
        }
    }

    /// A watched source is silent past its bound. Nothing is pending.
    pub(super) fn fall_silent(&mut self, at: Instant, prefix: &str) {
        self.watch.fall_silent(prefix);
        let details = vec![("why".to_owned(), Value::from("silent"))];
        let own =
            self.raise_own(("feed-blind", "", format!("source:{prefix}")), Severity::Critical, at, Vec::new(), details);
        self.ledger.settle();
        self.emit_own(self.timer_place(at, "feed-blind", prefix), own);
    }

    /// A quarantine is over. Nothing is pending.
    pub(super) fn release_rule(&mut self, at: Instant, rule: &str) {
        let skipped = self.watch.release(rule);
        let details = vec![("skipped".to_owned(), Value::Integer(i64::try_from(skipped).unwrap_or(i64::MAX)))];
        let own = self.clear_own(("rule-quarantined", "", format!("rule:{rule}")), at, None, details);
        self.ledger.settle();
        self.emit_own(self.timer_place(at, "rule-quarantined", rule), own);
    }

    fn timer_place(&self, at: Instant, kind: &str, about: &str) -> Place {
        Place {
            at,
            class: Class::Timer,
            first: String::new(),
            second: format!("{}/{}", self.settings.topic, self.id),
            rule: format!("{ENGINE}/{kind}/{about}"),
            twin: None,
            offset: 0,
        }
    }

    /// A rule faulted: counts it, and says so when that was one too many.
    pub(super) fn count_fault(&mut self, rule: &str, at: Instant) -> Option<Output> {
        self.counters.faults += 1;
        let until = self.watch.fault(rule, at, &self.settings.limits)?;
        let details = vec![
            ("until".to_owned(), Value::Text(output::rfc3339(until))),
            ("faults".to_owned(), Value::Integer(i64::from(self.settings.limits.faults_max))),
        ];
        self.raise_own(("rule-quarantined", "", format!("rule:{rule}")), Severity::Critical, at, Vec::new(), details)
    }

    /// Only a terminal's own word tells of its clock; gateways speak for many.
    #[inline]
    fn tells_time(&self, placed: &Placed) -> bool {
        self.watch.may_suspect(placed.delay, &self.settings.limits) && self.tells_of_its_clock(placed)
    }

    #[cold]
    fn tells_of_its_clock(&self, placed: &Placed) -> bool {
        let event = &placed.event;
        if event.time().is_none() {
            return false;
        }
        let terminal = event.key();
        let own = event.source().strip_suffix(terminal).is_some_and(|rest| rest.is_empty() || rest.ends_with("/t/"));
        own && self.watch.suspicious(terminal, placed.delay, &self.settings.limits)
    }

    /// Whether [`Partition::examine`] may change more than when a source was last heard.
    pub(super) fn speaks_up(&self, placed: &Placed) -> bool {
        (self.watch.blind() && self.watch.breaks_silence(placed.event.source())) || self.tells_time(placed)
    }

    /// What the engine itself has to say of an event before any rule sees it: its sender's clock, and a silence that it ends. Where it
    /// speaks up, nothing is pending.
    pub(super) fn examine(&mut self, placed: &Placed) -> Vec<Output> {
        let event = &placed.event;
        let mut own = Vec::new();
        if self.tells_time(placed) {
            own.extend(self.clock(placed));
            self.ledger.settle();
        }
        if self.watch.listens()
            && let Some(prefix) = self.watch.hear(event.source(), placed.at)
        {
            let by = Some(event.id().to_owned());
            own.extend(self.clear_own(("feed-blind", "", format!("source:{prefix}")), placed.at, by, Vec::new()));
            own.extend(self.let_go(placed.at));
            self.ledger.settle();
        }
        own
    }

    fn clock(&mut self, placed: &Placed) -> Option<Output> {
        let event = &placed.event;
        let terminal = event.key();
        let scope = format!("terminal:{terminal}");
        match self.watch.sample(terminal, placed.delay, placed.at, &self.settings.limits) {
            Skew::Unchanged => None,
            Skew::Raise => {
                let evidence = vec![Evidence {
                    event: event.type_name().to_owned(),
                    id: event.id().to_owned(),
                    time: placed.time,
                }];
                let details = vec![("fast_ms".to_owned(), Value::Integer(-placed.delay))];
                // Nobody need be woken: events of a wrong clock are placed close to their arrival.
                self.raise_own(("clock-skew", terminal, scope), Severity::Warning, placed.at, evidence, details)
            }
            Skew::Clear => {
                self.clear_own(("clock-skew", terminal, scope), placed.at, Some(event.id().to_owned()), Vec::new())
            }
        }
    }

    /// The held commands that are still of use, when the feed is whole again.
    fn let_go(&mut self, at: Instant) -> Vec<Output> {
        if self.watch.blind() {
            return Vec::new();
        }
        let held = self.watch.take_held();
        let before = held.len();
        let live: Vec<Output> = held
            .into_iter()
            .filter(|output| matches!(&output.data, Data::Command(command) if command.expires_at > at))
            .collect();
        self.counters.held_dropped += (before - live.len()) as u64;
        live
    }

    fn emit_own(&mut self, place: Place, own: Option<Output>) {
        let held = self.let_go(place.at);
        let mut outputs: Vec<Output> = own.into_iter().collect();
        for (ordinal, output) in outputs.iter_mut().enumerate() {
            output.id = place.id("", &output.source, ordinal);
        }
        outputs.extend(held);
        if !outputs.is_empty() {
            self.emitted.push((place, outputs));
        }
    }

    /// Puts a moment's outputs out in their order, with their ids; while the feed is blind, commands of class B and C are held back.
    pub(super) fn emit(&mut self, place: Place, terminal: &str, mut outputs: Vec<Output>) {
        outputs.sort_by_key(|output| match output.data {
            Data::Raised(_) | Data::Updated(_) | Data::Cleared(..) | Data::Told(_) => 0,
            Data::Cancelled(_) => 1,
            Data::Command(_) => 2,
            Data::Evidence(_) | Data::Incident(_) => 3,
            Data::DeadLetter(_) => 4,
        });
        let blind = self.watch.blind();
        let mut kept = Vec::with_capacity(outputs.len());
        let mut ordinals: BTreeMap<String, usize> = BTreeMap::new();
        for mut output in outputs {
            if output.id == Id::of(&[]) {
                let ordinal = ordinals.entry(output.source.clone()).or_default();
                output.id = place.id(terminal, &output.source, *ordinal);
                *ordinal += 1;
            }
            match &output.data {
                Data::Command(command) if blind && command.class != CommandClass::A => {
                    self.counters.held += 1;
                    self.watch.hold(output, &self.settings.limits);
                }
                Data::Cancelled(cancelled) if blind && self.unhold(&cancelled.command) => {}
                _ => kept.push(output),
            }
        }
        if !kept.is_empty() {
            self.emitted.push((place, kept));
        }
        self.counters.held_dropped += std::mem::take(&mut self.watch.held_dropped);
    }

    fn unhold(&mut self, id: &Id) -> bool {
        self.watch.unhold(|output| matches!(&output.data, Data::Command(command) if command.command == *id))
    }
}
