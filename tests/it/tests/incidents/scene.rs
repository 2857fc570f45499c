//! A fleet's events through both stages, and what was said of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::Value;
use tillwatch::{
    config::{Config, Environment},
    replay::{Options as Replay, Second, Until, replay_both},
    rules,
    simulate::{Faults, Fleet, Inject, Options},
    wiring,
};
use tillwatch_core::{Instant, cloudevents::encode_line, log::Topic, stage::Stage};
use tillwatch_host::{Host, Loaded};
use tillwatch_it::{cases::brief::instant, machine};

const MINUTE: Instant = 60_000;

/// How long customers come.
const LENGTH_MS: Instant = 15 * MINUTE;

/// How long it goes on after the last of them: what runs comes to its end, and the quiet period is over.
const REST_MS: Instant = 8 * MINUTE;

/// Sixty tills at twelve sites of one region, two acquirers with two hosts, nothing that goes wrong by itself.
pub(crate) fn fleet(seed: u64) -> Options {
    Options {
        seed,
        terminals: 60,
        sites: 12,
        regions: 1,
        acquirers: 2,
        hosts: 2,
        payments_per_hour: 75.0,
        busy_hours: false,
        faults: Faults::none(),
        ..Options::default()
    }
}

/// Everything that was put out, and how many events it came of.
pub(crate) struct Ran {
    pub(crate) events: usize,
    lines: Vec<Value>,
}

pub(crate) fn time(line: &Value) -> Instant {
    line["time"].as_str().and_then(instant).expect("an output has a time")
}

impl Ran {
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["type"].as_str().is_some_and(|of| of.starts_with(name)))
    }

    pub(crate) fn incidents(&self) -> impl Iterator<Item = &Value> {
        self.of("pos.incident.")
    }

    /// Every incident as it was said last.
    pub(crate) fn opened(&self) -> impl Iterator<Item = &Value> {
        let last: BTreeMap<&str, &Value> =
            self.incidents().map(|line| (line["data"]["incident"].as_str().expect("an id"), &line["data"])).collect();
        last.into_values()
    }

    /// What the second stage said of a finding.
    pub(crate) fn told<'a>(&'a self, finding: &'a str) -> impl Iterator<Item = &'a Value> {
        self.of("pos.finding.updated")
            .filter(move |line| line["source"] == "/tillwatch/incident" && line["data"]["finding"] == finding)
    }

    /// All that was said of a finding, for messages.
    pub(crate) fn of_finding(&self, finding: &str) -> Vec<String> {
        let about = self.of("pos.finding.").filter(|line| line["data"]["finding"] == finding);
        about.map(ToString::to_string).collect()
    }

    /// Findings of these kinds that were open for at least so long.
    pub(crate) fn findings_open_for(&self, ms: Instant, kinds: &[&str]) -> Vec<&str> {
        let id = |line: &Value| line["data"]["finding"].as_str().expect("an id").to_owned();
        let cleared: BTreeMap<String, Instant> =
            self.of("pos.finding.cleared").map(|line| (id(line), time(line))).collect();
        let wanted = |line: &&Value| kinds.iter().any(|kind| line["data"]["kind"] == *kind);
        let open = |line: &&Value| cleared.get(&id(line)).is_none_or(|over| over - time(line) >= ms);
        let raised = self.of("pos.finding.raised").filter(wanted).filter(open);
        raised.map(|line| line["data"]["finding"].as_str().expect("an id")).collect()
    }
}

/// The defaults, and their rules as they are built.
fn engine() -> &'static (Config, Vec<Arc<Loaded>>) {
    static ENGINE: OnceLock<(Config, Vec<Arc<Loaded>>)> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let folder = machine::components().to_string_lossy().into_owned();
        let environment = Environment::new([(rules::COMPONENTS.to_owned(), folder)]);
        let config = Config::default();
        let loaded = rules::load(&config, &environment).unwrap_or_else(|error| panic!("{error}"));
        (config, loaded)
    })
}

/// Runs a fleet with these faults.
pub(crate) fn ran(options: Options, faults: &[&str]) -> Ran {
    let inject: Vec<Inject> = faults.iter().map(|fault| fault.parse().expect("a fault")).collect();
    let stop_at = options.start + LENGTH_MS;
    let mut fleet = Fleet::new(Options { inject, ..options }).expect("a fleet can be made");
    let (mut input, mut events) = (Vec::new(), 0);
    fleet.play(stop_at, stop_at + REST_MS, |record| {
        input.extend_from_slice(record.line.as_bytes());
        input.push(b'\n');
        events += 1;
    });
    let (config, loaded) = engine();
    let host = |stage| Host::new(&rules::of_stage(loaded, stage)).expect("the rules start");
    let (mut first, mut later) = (host(Stage::First), host(Stage::Second));
    let settings = wiring::settings_of(config, Stage::Second);
    let second = Second { settings: &settings, rules: &mut later };
    let replay = Replay { until: Until::At(stop_at + REST_MS), ..Replay::default() };
    let mut lines = Vec::new();
    replay_both(input.as_slice(), &wiring::settings(config), &mut first, Some(second), &replay, &mut |output| {
        // By its topic: findings and incidents name evidence too, as what they rest on.
        if output.data.topic() != Topic::Evidence {
            let line = encode_line(output, output.data.topic().name());
            lines.push(serde_json::from_str(&line).expect("an output is JSON"));
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    Ran { events, lines }
}
