//! One partition with its rules, as it is measured: records already decoded go in, outputs and changes come out as for a commit.

use std::time::Duration;

use tillwatch_core::{
    log::Changes,
    output::{Data, Finding, Output},
    partition::{Partition, Record, Settings},
    rules::Rules,
};
use tillwatch_host::{Engine, Host, Limits, Loader, RuleConfig};

use crate::{
    machine::{components, timed},
    traffic::{Records, Shape},
};

/// Records of one step; `commit.records_max` of the config.
pub const STEP_RECORDS: usize = 10_000;

/// The rule that is measured.
pub const RULE: &str = "correlate-payment";

/// The built component of [`RULE`] on wasmtime.
///
/// # Panics
/// Where it has not been built: `cargo xtask components`.
#[must_use]
pub fn component() -> Host {
    let config = RuleConfig {
        id: RULE.to_owned(),
        path: components().join(format!("{RULE}.wasm")),
        settings: "{}".to_owned(),
        limits: Limits::default(),
        grants: None,
    };
    let loader = Loader::new(Engine::new().expect("an engine"), None);
    let loaded = loader.load(&config).unwrap_or_else(|error| panic!("{error}"));
    Host::new(&[loaded]).unwrap_or_else(|error| panic!("{error}"))
}

/// An engine under traffic.
pub struct Bench<R> {
    records: Records,
    partition: Partition,
    /// The rules.
    pub rules: R,
    step: Vec<Record>,
    outputs: Vec<Output>,
    changes: Changes,
    /// Findings raised so far.
    pub raised: u64,
}

impl<R: Rules> Bench<R> {
    /// An empty partition before the first event.
    ///
    /// # Panics
    /// Where the rules cannot run together.
    #[must_use]
    pub fn new(shape: Shape, rules: R) -> Self {
        let settings = Settings { topic: "pos.events".to_owned(), ..Settings::default() };
        let partition = Partition::new(0, settings.into(), rules.descriptors()).expect("the rules fit together");
        Self {
            records: Records::new(shape),
            partition,
            rules,
            step: Vec::new(),
            outputs: Vec::new(),
            changes: Changes::default(),
            raised: 0,
        }
    }

    /// Takes in so many events; gives the time that the engine took: order, rules, state, timers, outputs and changes, but not the making of
    /// the events.
    ///
    /// # Panics
    /// Where a rule stalls or a visit faults: then it is not what should be measured.
    pub fn run(&mut self, events: usize) -> Duration {
        self.run_with(events, |_| {})
    }

    /// The same; `raised` sees every finding raised.
    ///
    /// # Panics
    /// As [`Bench::run`].
    pub fn run_with(&mut self, events: usize, mut raised: impl FnMut(&Finding)) -> Duration {
        let mut taken = Duration::ZERO;
        for _ in 0..events.div_ceil(STEP_RECORDS) {
            self.records.fill(STEP_RECORDS, &mut self.step);
            let ((), took) = timed(|| self.take());
            taken += took;
            for output in self.outputs.drain(..) {
                if let Data::Raised(finding) = &output.data {
                    self.raised += 1;
                    raised(finding);
                }
            }
            self.changes.clear();
        }
        assert_eq!(self.partition.counters().faults, 0, "no visit faults");
        taken
    }

    /// What is measured: one function, so that a profiler can be told to count this alone.
    #[inline(never)]
    fn take(&mut self) {
        self.partition.step(&mut self.step, &mut self.rules, &mut self.outputs).expect("no stall");
        self.partition.changes(&mut self.changes);
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }
}
