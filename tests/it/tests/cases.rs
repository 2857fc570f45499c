//! Every case of `tests/cases`: the same outputs, whatever the rules are made of and however the records come.

use std::{collections::HashMap, sync::Arc, sync::OnceLock};

use tillwatch_core::rules::Rules;
use tillwatch_host::{Cache, Engine, Host, Limits, Loaded, Loader, RuleConfig};
use tillwatch_it::{
    cases::{Case, InProcess, Setup, Way, check, native::NativeRules},
    machine,
};

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| Case::all(&machine::root().join("tests/cases")))
}

#[allow(clippy::disallowed_methods, reason = "how goldens are written is told by the environment")]
fn bless() -> bool {
    std::env::var_os("TILLWATCH_BLESS").is_some()
}

fn native(way: Way) {
    let make = Box::new(|setup: &_| Box::new(NativeRules::new(setup)) as _);
    check(cases(), &mut InProcess { of: "native", way, make }, bless() && way == Way::Batches(0));
}

#[test]
fn every_case_gives_what_it_expects() {
    native(Way::Batches(0));
}

#[test]
fn batches_do_not_matter() {
    [1, 2, 7, 64].into_iter().for_each(|size| native(Way::Batches(size)));
}

#[test]
fn crashes_do_not_matter() {
    native(Way::Crashing);
}

#[test]
fn arrival_within_the_lateness_does_not_matter() {
    (1..=5).for_each(|seed| native(Way::Shuffled(seed)));
}

#[test]
fn partitions_do_not_matter() {
    native(Way::Spread(1));
    native(Way::Spread(3));
}

/// The components as built, each compiled once and configured once for every settings that a case has.
struct Components {
    loader: Loader,
    loaded: HashMap<(String, String), Arc<Loaded>>,
}

impl Components {
    fn new(cache: &tempfile::TempDir) -> Self {
        let cache = Cache::open(cache.path().join("compiled")).expect("a folder for compiled components");
        let loader = Loader::new(Engine::new().expect("an engine"), Some(cache));
        Self { loader, loaded: HashMap::new() }
    }

    fn rules(&mut self, setup: &Setup) -> Box<dyn Rules> {
        let rules: Vec<Arc<Loaded>> = setup
            .rules()
            .into_iter()
            .map(|id| {
                let settings = setup.settings(&id);
                let known = self.loaded.entry((id.clone(), settings.clone()));
                let path = machine::components().join(format!("{id}.wasm"));
                let config = RuleConfig { id, path, settings, limits: Limits::default(), grants: None };
                let load = || self.loader.load(&config).unwrap_or_else(|error| panic!("{error}"));
                Arc::clone(known.or_insert_with(load))
            })
            .collect();
        Box::new(Host::new(&rules).expect("the rules start"))
    }
}

#[test]
fn components_do_what_native_rules_do() {
    let cache = tempfile::tempdir().expect("a folder");
    let mut components = Components::new(&cache);
    for way in [Way::Batches(64), Way::Crashing, Way::Spread(3)] {
        let make = Box::new(|setup: &Setup| components.rules(setup));
        check(cases(), &mut InProcess { of: "components", way, make }, false);
    }
}
