//! What a visit of `correlate-payment` costs as a component and as plain Rust, 64 visits a call:
//! `cargo xtask components && cargo run --release -p tillwatch-it --example boundary`.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(clippy::disallowed_methods, reason = "it measures wall-clock time")]

use std::time::Instant;

use tillwatch_core::rules::{Answer, Batch, Rules, Verdicts};
use tillwatch_correlate_payment::CorrelatePayment;
use tillwatch_host::{Engine, Host, Limits, Loader, RuleConfig};
use tillwatch_it::machine;
use tillwatch_it::visits::Visits;
use tillwatch_sdk::native::{Component, Native};

const VISITS: usize = 64;
const BATCHES: usize = 500;
const ROUNDS: usize = 20;

fn main() {
    let mut native = Native::<CorrelatePayment>::with_settings("{}").expect("takes its defaults");
    let config = RuleConfig {
        id: "correlate-payment".to_owned(),
        path: machine::components().join("correlate-payment.wasm"),
        settings: "{}".to_owned(),
        limits: Limits::default(),
        grants: None,
    };
    let started = Instant::now();
    let loader = Loader::new(Engine::new().expect("an engine"), None);
    let loaded = loader.load(&config).unwrap_or_else(|error| panic!("{error}"));
    println!("compiled and loaded in {} ms", started.elapsed().as_millis());
    let mut host = Host::new(&[loaded]).expect("starts");

    let mut visits = Visits::new(native.describe(), 4_000, 1);
    let (mut answer, mut verdicts) = (Answer::default(), Verdicts::default());
    let (mut batches, mut actions) = (Vec::new(), 0);
    for _ in 0..BATCHES {
        let mut batch = Batch::default();
        visits.fill(VISITS, &mut batch);
        native.process(&batch, &mut verdicts);
        visits.keep(&verdicts);
        actions += verdicts.actions.len();
        batches.push(batch);
    }
    println!("{} of 100 visits act", actions * 100 / (BATCHES * VISITS));
    let bytes: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
    println!("{} bytes a visit", bytes / (BATCHES * VISITS));
    report("native", || {
        for batch in &batches {
            native.process(batch, &mut verdicts);
        }
    });
    report("component", || {
        for batch in &batches {
            answer.reset();
            host.process(0, batch, &mut answer).expect("no stall");
        }
    });
    println!("fuel a visit {}", host.counters()[0].fuel / host.counters()[0].visits);
}

/// The best of some rounds: what the machine can do when nothing else wants it.
fn report(name: &str, mut round: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        round();
        started.elapsed()
    });
    let best = best.min().expect("some rounds").as_nanos() / (BATCHES * VISITS) as u128;
    println!("{name}: {best} ns a visit");
}
