//! Every case of `tests/cases`: the same outputs, whatever the rules are made of and however the records come.

use std::sync::OnceLock;

use tillwatch_it::{
    cases::{Case, Components, InProcess, Setup, Way, check, native::NativeRules},
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
fn what_rules_ignore_changes_nothing() {
    let make = Box::new(|setup: &_| Box::new(NativeRules::thorough(setup)) as _);
    check(cases(), &mut InProcess { of: "thorough", way: Way::Batches(0), make }, false);
}

#[test]
fn batches_do_not_matter() {
    [1, 2, 7, 64].into_iter().for_each(|size| native(Way::Batches(size)));
}

#[test]
fn crashes_do_not_matter() {
    native(Way::Crashing(1));
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

#[test]
fn components_do_what_native_rules_do() {
    let cache = tempfile::tempdir().expect("a folder");
    let mut components = Components::new(cache.path());
    for way in [Way::Batches(64), Way::Crashing(1), Way::Spread(3)] {
        let make = Box::new(|setup: &Setup| Box::new(components.rules(setup)) as _);
        check(cases(), &mut InProcess { of: "components", way, make }, false);
    }
}
