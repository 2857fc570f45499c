//! A rule answers the same as a component and as plain Rust, and what it ignores would have changed nothing.

use std::sync::LazyLock;

use tillwatch_compensate::Compensate;
use tillwatch_core::rules::{Answer, Batch, Rules, Verdicts};
use tillwatch_correlate_payment::CorrelatePayment;
use tillwatch_diagnose_hardware::DiagnoseHardware;
use tillwatch_diagnose_human::DiagnoseHuman;
use tillwatch_diagnose_network::DiagnoseNetwork;
use tillwatch_diagnose_software::DiagnoseSoftware;
use tillwatch_host::{Engine, Host, Limits, Loader, RuleConfig};
use tillwatch_incident::IncidentRule;
use tillwatch_it::machine;
use tillwatch_it::visits::Visits;
use tillwatch_sdk::Rule;
use tillwatch_sdk::native::{Component, Native, Thorough};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().expect("an engine"));

/// As built, with the default settings.
fn host<R: Rule>() -> Host {
    let config = RuleConfig {
        id: R::ID.to_owned(),
        path: machine::components().join(format!("{}.wasm", R::ID)),
        settings: "{}".to_owned(),
        limits: Limits::default(),
        grants: None,
    };
    let loaded = Loader::new(ENGINE.clone(), None).load(&config).unwrap_or_else(|error| panic!("{error}"));
    Host::new(&[loaded]).expect("starts")
}

fn answers_the_same<R: Rule>() {
    let mut wasm = host::<R>();
    let mut native = Native::<R>::with_settings("{}").expect("takes its defaults");
    let mut thorough = Native::<Thorough<R>>::with_settings("{}").expect("takes its defaults");
    let mut looked = Verdicts::default();
    assert_eq!(wasm.descriptors(), [native.describe()]);
    let (mut batch, mut answer, mut verdicts) = (Batch::default(), Answer::default(), Verdicts::default());
    let (mut actions, mut states) = (0, 0);
    for seed in 0..8 {
        let mut visits = Visits::new(native.describe(), 40, seed);
        for call in 0..200 {
            visits.fill([1, 7, 40][call % 3], &mut batch);
            answer.reset();
            wasm.process(0, &batch, &mut answer).expect("no stall");
            native.process(&batch, &mut verdicts);
            assert_eq!(answer.faults, [], "seed {seed}, call {call}");
            assert_eq!(answer.verdicts, verdicts, "seed {seed}, call {call}");
            thorough.process(&batch, &mut looked);
            assert_eq!(looked.actions, verdicts.actions, "seed {seed}, call {call}");
            let mut other = visits.clone();
            other.keep(&looked);
            visits.keep(&verdicts);
            assert_eq!(other.kept(), visits.kept(), "seed {seed}, call {call}");
            actions += verdicts.actions.len();
            states += verdicts.states.len();
        }
    }
    assert!(actions >= 10 && states > 10_000, "the visits reach what the rule does: {actions} actions, {states} bytes");
    assert_eq!(wasm.counters()[0].reruns, 0);
}

#[test]
fn correlate_payment() {
    answers_the_same::<CorrelatePayment>();
}

#[test]
fn compensate() {
    answers_the_same::<Compensate>();
}

#[test]
fn diagnose_network() {
    answers_the_same::<DiagnoseNetwork>();
}

#[test]
fn diagnose_hardware() {
    answers_the_same::<DiagnoseHardware>();
}

#[test]
fn diagnose_software() {
    answers_the_same::<DiagnoseSoftware>();
}

#[test]
fn diagnose_human() {
    answers_the_same::<DiagnoseHuman>();
}

#[test]
fn incident() {
    answers_the_same::<IncidentRule>();
}
