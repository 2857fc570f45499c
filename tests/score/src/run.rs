//! One scenario through the whole engine on a virtual clock.

use crate::judge::{Said, Seen};
use crate::plan::{DURATION_MS, Plan};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::sync::Arc;
use tillwatch::config::{self, Config, Environment};
use tillwatch::replay::{Options, Second, Until, replay_both};
use tillwatch::simulate::{Fleet, Injected, Truth};
use tillwatch::{rules, wiring};
use tillwatch_core::Instant;
use tillwatch_core::output::{Data, Finding, Output};
use tillwatch_core::stage::Stage;
use tillwatch_host::{Host, Loaded};
use tillwatch_wit::contract::{Details, Turn, Value};

/// How long a simulation goes on after its last customer, for what runs to come to its end, ms.
const REST_MS: Instant = 15 * 60_000;

/// The configuration of every run: the defaults, with an order system, since only where one is expected can it lack something.
const CONFIG: &str = r#"
[rules.correlate-payment.settings.defaults]
expects = ["display", "receipt", "ledger"]
"#;

/// The rules, loaded once for all runs.
pub struct Engine {
    config: Config,
    loaded: Vec<Arc<Loaded>>,
}

/// What was done and what was said of it.
pub struct Ran {
    /// The faults.
    pub injected: Vec<Injected>,
    /// The payments.
    pub truths: Vec<Truth>,
    /// What was said.
    pub seen: Seen,
}

impl Engine {
    /// With the components in this folder.
    ///
    /// # Errors
    /// One is missing or cannot run.
    pub fn load(components: &Path) -> Result<Self> {
        let folder = components.to_str().context("the folder of the components is no UTF-8")?;
        let environment = Environment::new([(rules::COMPONENTS.to_owned(), folder.to_owned())]);
        let config = config::parse(CONFIG, "score", &environment)?;
        let loaded = rules::load(&config, &environment)?;
        Ok(Self { config, loaded })
    }

    /// Runs a scenario.
    ///
    /// # Errors
    /// No fleet can be made of it, or the engine fails.
    pub fn run(&self, plan: Plan) -> Result<Ran> {
        let (lines, injected, truths) = simulate(plan)?;
        let of = |stage| rules::of_stage(&self.loaded, stage);
        let mut first = Host::new(&of(Stage::First))?;
        let mut later = Host::new(&of(Stage::Second))?;
        let settings = wiring::settings(&self.config);
        let later_settings = wiring::settings_of(&self.config, Stage::Second);
        let second = Some(Second { settings: &later_settings, rules: &mut later });
        let mut seen = Seen::default();
        let options = Options { until: Until::End, ..Options::default() };
        let summary = replay_both(lines.as_slice(), &settings, &mut first, second, &options, &mut |output| {
            hear(output, &mut seen);
            Ok(())
        })?;
        seen.events = summary.lines;
        Ok(Ran { injected, truths, seen })
    }
}

/// The events of a fleet with their truth.
fn simulate(plan: Plan) -> Result<(Vec<u8>, Vec<Injected>, Vec<Truth>)> {
    let stop_at = plan.options.start + DURATION_MS;
    let mut fleet = Fleet::new(plan.options)?;
    let (injected, mut lines) = (fleet.injected(), Vec::new());
    fleet.play(stop_at, stop_at + REST_MS, |record| {
        lines.extend_from_slice(record.line.as_bytes());
        lines.push(b'\n');
    });
    Ok((lines, injected, fleet.truths()))
}

/// Takes of an output what counts.
fn hear(output: &Output, seen: &mut Seen) {
    match &output.data {
        Data::Raised(finding) => {
            if let Some(txn) = &finding.txn {
                seen.raised.push((output.time, finding.kind.clone(), txn.clone()));
            }
            seen.said.extend(of_a_finding(output.time, finding));
        }
        Data::Updated(finding) => seen.said.extend(of_a_finding(output.time, finding)),
        Data::Told(told) => seen.said.extend(told.cause.as_ref().map(|cause| Said {
            at: output.time,
            finding: told.finding.clone(),
            scope: told.scope.clone(),
            cause: cause.clone(),
            confidence: told.confidence.unwrap_or(0.0),
            incident: text(&told.details, "incident"),
        })),
        Data::Incident(incident) => {
            let id = incident.incident.as_str().to_owned();
            let known = seen.incidents.entry(id).or_default();
            if known.cause != incident.cause {
                known.cause.clone_from(&incident.cause);
                known.named_at = output.time;
            }
            known.confidence = incident.confidence;
            known.scope.clone_from(&incident.scope);
            known.inhibited = incident.inhibited_by.is_some();
            known.maintenance = incident.maintenance;
            if incident.turn == Turn::Opened {
                known.at = output.time;
            }
        }
        Data::Evidence(derived) => {
            seen.evidence += 1;
            let fields = ["region", "site", "terminal", "acquirer", "app_version", "operator"];
            let cohorts = fields.iter().filter_map(|field| {
                let word = if *field == "app_version" { "version" } else { field };
                text(&derived.details, field).map(|id| format!("{word}:{id}"))
            });
            let host = text(&derived.details, "acquirer").zip(text(&derived.details, "host"));
            seen.cohorts
                .insert(cohorts.chain(host.map(|(acquirer, host)| format!("host:{acquirer}/{host}"))).collect());
        }
        _ => {}
    }
}

fn of_a_finding(at: Instant, finding: &Finding) -> Option<Said> {
    finding.cause.as_ref().map(|cause| Said {
        at,
        finding: finding.finding.as_str().to_owned(),
        scope: finding.scope.clone(),
        cause: cause.clone(),
        confidence: finding.confidence.unwrap_or(0.0),
        incident: None,
    })
}

fn text(details: &Details, name: &str) -> Option<String> {
    details.iter().find_map(|(key, value)| match value {
        Value::Text(text) if key == name => Some(text.clone()),
        _ => None,
    })
}
