//! Twelve tills of two regions; the host `h1` stops answering for a while. And a rule that tells the second stage of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tillwatch::{
    config::{Config, LogKind},
    driver::{Shared, Status},
    replay::{Options, Second, Until, replay_both},
    shutdown::Shutdown,
    telemetry::Metrics,
    wiring,
};
use tillwatch_core::{Instant, cloudevents::encode_line, output::rfc3339, stage::Stage};
use tillwatch_correlate_payment::CorrelatePayment;
use tillwatch_incident::IncidentRule;
use tillwatch_it::cases::native::NativeRules;
use tillwatch_sdk::{
    FieldId, Out, Rule, Scope, Visit,
    evidence::{CENSUS, Census, Cohorts, ENDED, Ended, STUCK, Stuck},
    native::{Component, Native},
};

pub(crate) const START: Instant = 1_795_339_800_000;
/// When time ends: every window is over by then.
pub(crate) const END: Instant = START + 600_000;

pub(crate) fn until() -> Until {
    Until::At(END)
}

/// An event of a till: who, when it was taken in, and the line.
pub(crate) struct Line {
    pub(crate) till: String,
    pub(crate) ingest: Instant,
    pub(crate) text: String,
}

/// The input.
pub(crate) struct Scene(pub(crate) Vec<Line>);

impl Scene {
    pub(crate) fn new() -> Self {
        let mut lines = Vec::new();
        for till in 0..12_i64 {
            for number in 0..4 {
                let at = START + number * 20_000 + till * 137;
                // Every second till is behind the host that is silent from the second payment on; its last answers come late: after what the
                // rule waits for telemetry that there is none of.
                let silent = till % 2 == 1 && till < 8 && number > 0;
                lines.push(line(till, number, at, "authorize", r#""amount":1250,"currency":"CNY""#));
                if silent {
                    let late = at + 140_000;
                    lines.push(line(till, number, late, "response", r#""leg":"terminal","outcome":"declined""#));
                    lines.push(line(till, number, late + 600, "display", r#""shown":"declined""#));
                    continue;
                }
                for (after, kind, data) in [
                    (900, "response", r#""leg":"terminal","outcome":"approved""#),
                    (1_200, "display", r#""shown":"approved""#),
                ] {
                    lines.push(line(till, number, at + after, kind, data));
                }
                lines.push(line(till, number, at + 3_000, "print", r#""state":"printed""#));
            }
        }
        lines.sort_by_key(|line| line.ingest);
        Self(lines)
    }
}

fn line(till: i64, number: i64, at: Instant, kind: &str, data: &str) -> Line {
    let (region, site, terminal) = (format!("R{}", till % 12 / 8), format!("S{}", till / 3), format!("T{till}"));
    let name = if kind == "print" { "pos.print.result".to_owned() } else { format!("pos.payment.{kind}") };
    let common = format!(
        r#""region":"{region}","site":"{site}","terminal":"{terminal}","acquirer":"A01","operator":"o{till}","rail":"card","app_version":"v1""#
    );
    let text = format!(
        r#"{{"specversion":"1.0","id":"{terminal}-{number}-{kind}","source":"/r/{region}/s/{site}/t/{terminal}","type":"{name}","subject":"A01:M1:{terminal}:1:{number}","time":"{}","ingesttime":"{}","partitionkey":"{terminal}","datacontenttype":"application/json","data":{{{common},{data}}}}}"#,
        rfc3339(at),
        rfc3339(at + 40),
    );
    Line { till: terminal, ingest: at + 40, text }
}

/// Tells the second stage what its terminal has, each at once.
struct Teller;

/// What is known of the terminal.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Company {
    region: String,
    site: String,
    operator: String,
}

impl Rule for Teller {
    const ID: &'static str = "teller";
    const VERSION: &'static str = "1.0.0";
    const KEY: Scope = Scope::Terminal;
    const EVENTS: &'static [&'static str] = &["pos.payment.authorize", "pos.finding.raised", "pos.finding.cleared"];
    const FIELDS: &'static [FieldId] = &[
        FieldId::REGION,
        FieldId::SITE,
        FieldId::OPERATOR,
        FieldId::FINDING,
        FieldId::KIND,
        FieldId::TXN,
        FieldId::AMOUNT,
        FieldId::CURRENCY,
        FieldId::RESOLUTION,
    ];
    const CAPABILITIES: &'static [&'static str] =
        &["derive:pos.evidence.census", "derive:pos.evidence.stuck", "derive:pos.evidence.ended"];
    type Settings = ();
    type State = Company;

    fn new((): ()) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Company>, out: &mut Out<'_>) {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        if visit.event() == Self::EVENTS[0] {
            *state = Some(Company {
                region: text(visit.region()),
                site: text(visit.site()),
                operator: text(visit.operator()),
            });
        }
        let Some(company) = state else { return };
        let odd = visit.key().trim_start_matches('T').parse::<u32>().is_ok_and(|till| till % 2 == 1);
        let cohorts = Cohorts {
            region: company.region.clone(),
            site: company.site.clone(),
            terminal: visit.key().to_owned(),
            acquirer: "A01".to_owned(),
            host: if odd { "h1" } else { "h2" }.to_owned(),
            app_version: "v1".to_owned(),
            operator: company.operator.clone(),
        };
        let (kind, finding) = (text(visit.kind()), text(visit.finding()));
        let derived = match visit.event() {
            "pos.payment.authorize" => Census { cohorts, payments: 1, from: visit.at(), until: visit.at() }.derived(),
            "pos.finding.cleared" => {
                Ended { cohorts, finding, kind, resolution: text(visit.resolution()), after_ms: 0 }.derived()
            }
            _ if kind == "slow-answer" => return,
            _ => Stuck {
                cohorts,
                finding,
                kind,
                txn: text(visit.txn()),
                amount: visit.amount().unwrap_or(0),
                currency: text(visit.currency()),
                ..Stuck::default()
            }
            .derived(),
        };
        assert!([CENSUS, STUCK, ENDED].contains(&derived.event.as_str()));
        out.derive(derived);
    }

    fn on_wake(&self, _: &Visit<'_>, _: &mut Option<Company>, _: &mut Out<'_>) {}
}

/// The rules of a stage.
pub(crate) fn rules(stage: Stage) -> NativeRules {
    let rules: Vec<Box<dyn Component>> = match stage {
        Stage::First => vec![
            Box::new(Native::<CorrelatePayment>::new().expect("it has defaults")),
            Box::new(Native::<Teller>::new().expect("it has defaults")),
        ],
        Stage::Second => {
            let settings = r#"{"quiet_ms": 60000}"#;
            vec![Box::new(Native::<IncidentRule>::with_settings(settings).expect("they are in range"))]
        }
    };
    NativeRules::of(rules)
}

/// A deployment: recorded timestamps, three partitions, a commit after every poll, and no ticks but those in the records.
pub(crate) fn config(kind: LogKind) -> Config {
    let mut config = Config::default();
    config.log.kind = kind;
    config.kafka.recorded_timestamps = true;
    config.embedded.partitions = 3;
    config.commit.every_ms = 0;
    config.commit.records_max = 16;
    config.engine.tick_every_ms = u32::MAX;
    config.feed.unreachable_ms_max = u32::MAX;
    config
}

/// What the workers of a stage share.
pub(crate) fn shared(config: &Config, stage: Stage) -> Shared {
    let mut options = wiring::options(config);
    options.watermark_every = (stage == Stage::First).then_some(std::time::Duration::ZERO);
    Shared {
        settings: wiring::settings_of(config, stage),
        encoding: wiring::encoding(config),
        options,
        metrics: Arc::new(Metrics::new()),
        status: Arc::new(Status::new(1)),
        shutdown: Shutdown::new(),
    }
}

/// The input partition of a till.
pub(crate) fn partition(till: &str) -> i32 {
    till.trim_start_matches('T').parse::<i32>().expect("a number") % 3
}

/// Everything that a replay puts out.
pub(crate) fn replayed(scene: &Scene, options: &Options) -> Vec<String> {
    let config = Config::default();
    let text: String = scene.0.iter().map(|line| format!("{}\n", line.text)).collect();
    let settings = wiring::settings_of(&config, Stage::Second);
    let mut later = rules(Stage::Second);
    let second = Second { settings: &settings, rules: &mut later };
    let mut out = Vec::new();
    let first = wiring::settings(&config);
    replay_both(text.as_bytes(), &first, &mut rules(Stage::First), Some(second), options, &mut |output| {
        out.push(encode_line(output, output.data.topic().name()));
        Ok(())
    })
    .expect("it runs to its end");
    out
}

/// Ids and types of what a replay puts out into the topics of findings and incidents, in the order of ids.
pub(crate) fn expected(scene: &Scene) -> Vec<(String, String)> {
    let out = replayed(scene, &Options { until: until(), ..Options::default() });
    let mut names: Vec<(String, String)> = out
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|line| line["topic"] != "pos.evidence")
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("id"), text("type"))
        })
        .collect();
    names.sort();
    assert!(names.len() > 30, "{}", names.len());
    names
}

/// The same of a record of an output topic, in binary mode.
pub(crate) fn name(record: &tillwatch_core::log::RawRecord<'_>) -> (String, String) {
    let header = |wanted: &str| {
        let value = record.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        String::from_utf8(value.unwrap_or_default().to_vec()).expect("text")
    };
    (header("ce_id"), header("ce_type"))
}
