//! What finding causes and incidents costs, with a simulated fleet of 10,000 terminals at 1,000 sites behind 20 hosts, one of them overloaded: the
//! evidence that the first stage sends, what each rule of diagnosis adds to an event, and the second stage's work, lag and memory. All rules as
//! components: `cargo xtask bench --only incidents`.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use tillwatch::{
    config::{Config, Environment},
    rules,
    simulate::{Faults, Fleet, Options as Shape},
    wiring,
};
use tillwatch_bench::{
    figure::{Figure, Reach, Teller, percentile},
    machine::{components, now, resident_bytes, timed},
    traffic::{Records, Shape as Payments, Step},
};
use tillwatch_core::{
    Instant,
    cloudevents::{Decoder, Encoding, encode},
    log::{Changes, RawRecord, Topic},
    output::{Data, Output},
    partition::{Body, Partition, Record},
    rules::{Answer, Batch, Descriptor, Rules, Stalled},
    stage::{Passed, Stage},
};
use tillwatch_host::{Host, Loaded};
use tillwatch_it::cases::native::NativeRules;

/// Which watermark of the first stage the second sees next: it is told one a second.
const SLICE_MS: Instant = 1_000;

/// The rules of diagnosis.
const DIAGNOSIS: [&str; 4] = ["diagnose-network", "diagnose-hardware", "diagnose-software", "diagnose-human"];

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Terminals
    #[arg(long, default_value_t = 10_000)]
    terminals: u32,
    /// Sites that they are at
    #[arg(long, default_value_t = 1_000)]
    sites: u32,
    /// Regions that the sites are in; an incident's cohorts meet in one
    #[arg(long, default_value_t = 4)]
    regions: u32,
    /// Rules compiled into this program in place of components: for a profiler
    #[arg(long)]
    native: bool,
    /// Only all rules together, and what a visit to each takes: for a profiler
    #[arg(long)]
    together: bool,
    /// The payments of the latency bench, so many a second, in place of the fleet; with `--together`
    #[arg(long, requires = "together")]
    payments_per_s: Option<u64>,
    /// Seconds of the fleet's day
    #[arg(long, default_value_t = 240)]
    seconds: u32,
}

impl Options {
    fn fleet(&self) -> Fleet {
        let fault = "N4@host:A01/H1,from=90s,for=90s,strength=100".parse().expect("a fault as flags write it");
        let shape = Shape {
            seed: 5,
            terminals: self.terminals,
            sites: self.sites,
            regions: self.regions,
            acquirers: 10,
            hosts: 2,
            versions: 3,
            payments_per_hour: 75.0,
            busy_hours: false,
            faults: Faults::none(),
            inject: vec![fault],
            ..Shape::default()
        };
        Fleet::new(shape).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Rules, and the time that each takes.
struct Watched {
    rules: Box<dyn Rules>,
    /// By rule, with its visits.
    taken: Vec<(Duration, usize)>,
}

impl Watched {
    fn new(rules: Box<dyn Rules>) -> Self {
        let taken = vec![(Duration::ZERO, 0); rules.descriptors().len()];
        Self { rules, taken }
    }

    fn ns_per_visit(&self) -> impl Iterator<Item = (String, f64, usize)> {
        let of = |(rule, (taken, visits)): (&Descriptor, &(Duration, usize))| {
            (rule.id.clone(), taken.as_nanos() as f64 / *visits as f64, *visits)
        };
        self.rules.descriptors().iter().zip(&self.taken).map(of)
    }
}

impl Rules for Watched {
    fn descriptors(&self) -> &[Descriptor] {
        self.rules.descriptors()
    }

    fn process(&mut self, rule: usize, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        let began = now();
        let result = self.rules.process(rule, batch, answer);
        let (taken, visits) = &mut self.taken[rule];
        *taken += began.elapsed();
        *visits += batch.visits.len();
        result
    }

    fn migrate(&mut self, rule: usize, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        self.rules.migrate(rule, version, state)
    }
}

/// One partition of a stage with its rules.
struct Running {
    partition: Partition,
    rules: Watched,
    records: Vec<Record>,
    changes: Changes,
    taken: Duration,
    written: u64,
}

impl Running {
    fn new(options: &Options, config: &Config, loaded: &[Arc<Loaded>], stage: Stage) -> Self {
        let loaded = rules::of_stage(loaded, stage);
        let rules: Box<dyn Rules> = if options.native {
            let ids: Vec<&str> = loaded.iter().map(|rule| rule.descriptor().id.as_str()).collect();
            Box::new(NativeRules::built_in(&ids))
        } else {
            Box::new(Host::new(&loaded).unwrap_or_else(|error| panic!("{error}")))
        };
        let mut rules = Watched::new(rules);
        let settings = wiring::settings_of(config, stage);
        let mut partition = Partition::new(0, settings, rules.descriptors()).expect("the rules fit together");
        partition.resume(None, &mut rules).expect("there is nothing to migrate");
        Self { partition, rules, records: Vec::new(), changes: Changes::default(), taken: Duration::ZERO, written: 0 }
    }

    /// What has come so far: order, rules, state, timers, outputs and changes.
    fn step(&mut self, out: &mut Vec<Output>) -> Duration {
        let ((), took) = timed(|| {
            self.partition.step(&mut self.records, &mut self.rules, out).expect("no stall");
            self.partition.changes(&mut self.changes);
        });
        self.written += self.changes.len() as u64;
        self.changes.clear();
        self.taken += took;
        assert_eq!(self.partition.counters().faults, 0, "no visit faults");
        took
    }
}

/// What a stage did.
struct Done {
    events: u64,
    taken: Duration,
    visits: u64,
    calls: u64,
    written: u64,
    rules: Watched,
}

impl Done {
    fn ns_per_event(&self) -> f64 {
        self.taken.as_nanos() as f64 / self.events as f64
    }
}

/// Where events come from.
enum Source {
    Fleet { fleet: Box<Fleet>, start: Instant, decoder: Box<Decoder>, next: u64 },
    Payments { records: Box<Records>, each_second: usize },
}

impl Source {
    fn new(options: &Options, config: &Config) -> Self {
        if let Some(payments_per_s) = options.payments_per_s {
            let shape = Payments { payments_per_s, ..Payments::default() };
            let each_second = usize::try_from(payments_per_s).expect("a number of payments") * Step::ALL.len();
            return Self::Payments { records: Box::new(Records::new(shape)), each_second };
        }
        let settings = wiring::settings(config);
        let decoder = Box::new(Decoder::new(&settings.topic, &settings.limits));
        let fleet = options.fleet();
        let start = fleet.due().expect("a fleet has something to do");
        Self::Fleet { fleet: Box::new(fleet), start, decoder, next: 0 }
    }

    /// The events of a second, counted from 1; how many there are.
    fn fill(&mut self, second: Instant, records: &mut Vec<Record>) -> u64 {
        match self {
            Self::Fleet { fleet, start, decoder, next } => {
                while let Some(emitted) = fleet.next(*start + second * SLICE_MS) {
                    records.push(decoder.decode_line(*next, emitted.line.as_bytes()));
                    *next += 1;
                }
            }
            Self::Payments { records: source, each_second } => source.fill(*each_second, records),
        }
        records.len() as u64
    }
}

/// Runs the events through the first stage, a second at a time; `told` gets the evidence of each with the watermark.
fn first(
    options: &Options,
    config: &Config,
    loaded: &[Arc<Loaded>],
    mut told: impl FnMut(Vec<Output>, Instant),
) -> Done {
    let mut running = Running::new(options, config, loaded, Stage::First);
    let mut source = Source::new(options, config);
    let mut events = 0;
    for second in 1..=Instant::from(options.seconds) {
        events += source.fill(second, &mut running.records);
        let mut out = Vec::new();
        running.step(&mut out);
        out.retain(|output| output.data.topic() == Topic::Evidence);
        told(out, running.partition.watermark());
    }
    let counters = running.partition.counters();
    Done {
        events,
        taken: running.taken,
        visits: counters.visits,
        calls: counters.calls,
        written: running.written,
        rules: running.rules,
    }
}

/// The evidence as records of the second stage's log.
fn read_back(out: &[Output], decoder: &mut Decoder, ingest: Instant, next: &mut i64, records: &mut Vec<Record>) {
    for output in out {
        let message = encode(output, Encoding::default());
        let headers: Vec<(&str, &[u8])> =
            message.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let (key, value) = (Some(message.key.as_bytes()), Some(&message.value[..]));
        records.push(decoder.decode(0, RawRecord { offset: *next, ingest, key, value, headers: &headers }));
        *next += 1;
    }
}

fn main() {
    let options = Options::parse();
    let folder = components().to_string_lossy().into_owned();
    let environment = Environment::new([(rules::COMPONENTS.to_owned(), folder)]);
    let config = Config::default();
    let loaded = rules::load(&config, &environment).unwrap_or_else(|error| panic!("{error}"));
    let some = |ids: &[&str]| -> Vec<Arc<Loaded>> {
        loaded.iter().filter(|rule| ids.contains(&rule.descriptor().id.as_str())).cloned().collect()
    };
    let tell = |name: String, value: f64, unit: &str, how: &str| {
        let (unit, how) = (unit.to_owned(), how.to_owned());
        options.teller.tell(&Figure { name, value, unit, reach: Reach::Nothing, how });
    };

    if !options.together {
        let plain = first(&options, &config, &some(&["correlate-payment"]), |_, _| {});
        for id in DIAGNOSIS {
            let with = first(&options, &config, &some(&["correlate-payment", id]), |_, _| {});
            let more = with.ns_per_event() - plain.ns_per_event();
            tell(format!("{id}-ns-per-event"), more, "ns", "beside correlate-payment, all events, telemetry included");
        }
    }

    let before = resident_bytes();
    let mut later = Running::new(&options, &config, &loaded, Stage::Second);
    let settings = wiring::settings_of(&config, Stage::Second);
    let mut decoder = Decoder::of(Stage::Second, &settings.topic, &settings.limits);
    let (mut next, mut evidence, mut waits, mut opened, mut told, mut grown) = (0, 0_u64, Vec::new(), 0, 0_u64, 0);
    let all = first(&options, &config, &loaded, |out, at| {
        evidence += out.len() as u64;
        read_back(&out, &mut decoder, at, &mut next, &mut later.records);
        later.records.push(Record { offset: next, ingest: at, body: Body::Passed(Passed { input: 0, inputs: 1, at }) });
        next += 1;
        let mut said = Vec::new();
        waits.push(later.step(&mut said).as_secs_f64() * 1e3);
        for output in &said {
            told += u64::from(matches!(output.data, Data::Told(_)));
            opened += u64::from(output.data.event_type() == "pos.incident.opened");
        }
        grown = grown.max(later.partition.gauges().keys);
    });
    let how = "every built-in rule of the first stage";
    tell("first-stage-ns-per-event".to_owned(), all.ns_per_event(), "ns", how);
    tell("first-stage-visits-per-call".to_owned(), all.visits as f64 / all.calls as f64, "visits", how);
    if options.together {
        for (rule, ns, visits) in all.rules.ns_per_visit().chain(later.rules.ns_per_visit()) {
            tell(format!("{rule}-ns-per-visit"), ns, "ns", &format!("by the clock, {visits} visits"));
        }
    }
    let written = all.written as f64 / all.events as f64;
    tell("first-stage-changes-per-event".to_owned(), written, "records", "of the changelog, at one commit a second");
    assert!(
        options.payments_per_s.is_some() || opened > 0 && told > 0,
        "the overloaded host is found: {opened} incidents, {told} payments told"
    );
    waits.sort_by(f64::total_cmp);
    tell("evidence-per-1000-events".to_owned(), evidence as f64 * 1e3 / all.events as f64, "records", "all rules");
    let per_evidence = later.taken.as_nanos() as f64 / evidence as f64;
    tell("second-stage-ns-per-evidence".to_owned(), per_evidence, "ns", "rule incident as a component");
    let how = "work for a second's evidence of the whole fleet, on one core";
    tell("second-stage-lag-p50-ms".to_owned(), percentile(&waits, 50), "ms", how);
    tell("second-stage-lag-max-ms".to_owned(), percentile(&waits, 100), "ms", how);
    let how = format!("whole process, first stage and fleet included, after {} events; {grown} regions", all.events);
    let memory = resident_bytes().saturating_sub(before) as f64 / f64::from(1 << 20);
    tell("both-stages-memory-mb".to_owned(), memory, "MB", &how);
    let how = format!("one host, whose terminals are in {grown} regions: an incident in each");
    tell("incidents-opened".to_owned(), f64::from(u32::try_from(opened).unwrap_or(u32::MAX)), "incidents", &how);
}
