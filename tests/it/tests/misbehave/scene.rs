//! A few minutes at a dozen tills, with the hostile rule and without it.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use tillwatch_core::{
    Instant,
    cloudevents::Decoder,
    limits::Limits,
    log::Tick,
    partition::{Body, Record, Settings},
};
use tillwatch_host::{Cache, Engine, Host, Limits as HostLimits, Loaded, Loader, RuleConfig};
use tillwatch_it::{
    cases::{BUILT_IN, Way},
    machine,
};

pub(crate) const TOPIC: &str = "pos.events";
/// 2026-11-22T09:30:00Z.
pub(crate) const START: Instant = 1_795_339_800_000;

/// Where the hostile rule stands among the others does not matter to them.
pub(crate) const PLACES: [usize; 2] = [0, 2];

/// Every way for records to come that keeps their order.
pub(crate) const WAYS: [Way; 7] = [
    Way::Batches(0),
    Way::Batches(1),
    Way::Batches(2),
    Way::Batches(7),
    Way::Batches(64),
    Way::Crashing(1),
    Way::Crashing(5),
];

/// Limits under which nothing takes long.
pub(crate) fn tight() -> HostLimits {
    HostLimits { fuel_per_visit: 20_000_000, memory_bytes_max: 8 << 20, ..HostLimits::default() }
}

fn loaded(id: &str, file: &str, limits: &HostLimits) -> Arc<Loaded> {
    static LOADER: LazyLock<(Loader, tempfile::TempDir)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(dir.path()).expect("a cache");
        (Loader::new(Engine::new().expect("an engine"), Some(cache)), dir)
    });
    let path = machine::components().join(format!("{file}.wasm"));
    let config =
        RuleConfig { id: id.to_owned(), path, settings: "{}".to_owned(), limits: limits.clone(), grants: None };
    LOADER.0.load(&config).unwrap_or_else(|error| panic!("{error}"))
}

/// The built-in rules with the hostile one at this place among them; none: without it.
pub(crate) fn rules(place: Option<usize>, limits: &HostLimits) -> Host {
    let mut rules: Vec<_> = BUILT_IN.iter().map(|id| loaded(id, id, &HostLimits::default())).collect();
    if let Some(place) = place {
        rules.insert(place, loaded("hostile", "fixture-hostile", limits));
    }
    Host::new(&rules).expect("the rules start")
}

/// Settings of the engine.
pub(crate) fn settings(limits: Limits) -> Arc<Settings> {
    Arc::new(Settings { limits, topic: TOPIC.to_owned(), ..Settings::default() })
}

/// Records in the making.
#[derive(Default)]
pub(crate) struct Script(Vec<Record>);

impl Script {
    /// A payment event of a terminal; what the subject begins with is what the hostile rule does.
    pub(crate) fn event(&mut self, at: i64, kind: &str, how: &str, terminal: usize, data: &Value) {
        let offset = self.0.len() as u64;
        let time = jiff::Timestamp::from_millisecond(START + at).expect("in this century").to_string();
        let line = json!({
            "specversion": "1.0", "id": format!("e{offset}"), "source": format!("/r/x/s/S1/t/T{terminal:04}"),
            "type": kind, "subject": subject(how, terminal), "time": time, "ingesttime": time,
            "partitionkey": format!("T{terminal:04}"), "datacontenttype": "application/json", "data": data,
        });
        let record = Decoder::new(TOPIC, &Limits::default()).decode_line(offset, line.to_string().as_bytes());
        assert!(matches!(record.body, Body::Event(_)), "{record:?}");
        self.0.push(record);
    }

    pub(crate) fn authorize(&mut self, at: i64, how: &str, terminal: usize) {
        let data = json!({"site": "S1", "rail": "card", "amount": 1280, "currency": "CNY"});
        self.event(at, "pos.payment.authorize", how, terminal, &data);
    }

    pub(crate) fn respond(&mut self, at: i64, how: &str, terminal: usize) {
        let data = json!({"leg": "host", "outcome": "approved", "site": "S1", "rail": "card"});
        self.event(at, "pos.payment.response", how, terminal, &data);
    }

    /// Time alone.
    pub(crate) fn tick(&mut self, at: i64) {
        let offset = i64::try_from(self.0.len()).expect("few records");
        self.0.push(Record { offset, ingest: START + at, body: Body::Tick(Tick { blind: None }) });
    }

    pub(crate) fn records(self) -> Vec<Record> {
        self.0
    }
}

/// The transaction key of a terminal's payment.
pub(crate) fn subject(how: &str, terminal: usize) -> String {
    format!("{how}#:M0000042:T{terminal:04}:000017:003021")
}

/// Twelve payments within a quarter of a second, so that they share calls; that of terminal 5 goes as `how` says, the others well. Answers come
/// too late, so findings are raised and cleared and commands sent and cancelled while the hostile rule is visited.
pub(crate) fn twelve(how: &str) -> Vec<Record> {
    let mut script = Script::default();
    let name = |terminal| if terminal == 5 { how } else { "well" };
    for terminal in 0..12_usize {
        script.authorize(i64::try_from(terminal).expect("few") * 20, name(terminal), terminal);
    }
    for at in (1..=60).map(|second| second * 1000) {
        script.tick(at);
    }
    for terminal in 0..12_usize {
        script.respond(61_000 + i64::try_from(terminal).expect("few") * 20, name(terminal), terminal);
    }
    for at in (62..=120).map(|second| second * 1000) {
        script.tick(at);
    }
    script.tick(3_600_000);
    script.records()
}

/// An output read back.
pub(crate) fn read(line: &str) -> Value {
    serde_json::from_str(line).expect("an output is JSON")
}

fn speaks(line: &Value, rule: &str) -> bool {
    line["source"] == format!("/tillwatch/{rule}")
}

/// What the rules that come with Tillwatch put out.
pub(crate) fn of_others(out: &[String]) -> Vec<&String> {
    out.iter().filter(|line| BUILT_IN.iter().any(|rule| speaks(&read(line), rule))).collect()
}

/// The hostile rule's dead letters.
pub(crate) fn dead(out: &[String]) -> Vec<Value> {
    let lines = out.iter().map(|line| read(line));
    lines.filter(|line| line["type"] == "pos.dead-letter" && line["data"]["rule"] == "hostile").collect()
}

/// What the hostile rule put out about payments of other tills than the fifth.
pub(crate) fn of_neighbours(out: &[String]) -> Vec<&String> {
    let neighbour = |line: &Value| {
        speaks(line, "hostile") && line["subject"].as_str().is_some_and(|subject| !subject.contains(":T0005:"))
    };
    out.iter().filter(|line| neighbour(&read(line))).collect()
}

/// The engine's own findings, in short.
pub(crate) fn of_engine(out: &[String]) -> Vec<String> {
    let lines = out.iter().map(|line| read(line)).filter(|line| speaks(line, "engine"));
    let short = |line: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let at = tillwatch_it::cases::brief::instant(&text(&line["time"])).expect("outputs have times") - START;
        format!("+{at} {} {} {}", text(&line["type"]), text(&line["data"]["kind"]), text(&line["data"]["scope"]))
    };
    lines.map(short).collect()
}
