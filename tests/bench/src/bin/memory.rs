//! How many bytes of memory an open payment takes, all included, by the growth of what the process has resident:
//! `cargo xtask bench --only memory`. Each payment is authorized and approved by its host, so it has a state, a wake-up
//! and two remembered events. Then how long an event takes with so many payments in memory under ordinary traffic.

use clap::Parser;
use tillwatch_bench::{
    engine::{Bench, RULE, STEP_RECORDS},
    figure::{Figure, Reach, Teller, median},
    machine::resident_bytes,
    traffic::Shape,
};
use tillwatch_it::cases::native::NativeRules;

/// Payments that make the process grow to its working size before it is measured.
const WARM: usize = 2_000;

/// New payments a second: so few that the events that wait for the watermark are none of what is measured.
const PAYMENTS_PER_S: u64 = 20_000;

/// The terminal has so long that the first payment is still open when the last begins.
const PATIENT: &str = r#"{"defaults":{"delivery_ms":3600000,"terminal_ms":3600000}}"#;

/// Events of one round, of each size.
const EVENTS: usize = 20_000;

/// How long an ended payment is remembered, s (`t_late` in docs/spec/payment.md).
const REMEMBERED_S: u64 = 600;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Open payments, or payments in memory
    #[arg(default_values_t = [10_000, 100_000, 1_000_000, 4_000_000])]
    payments: Vec<usize>,
    /// Rounds of measuring an event's time; the median is told
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Terminals that they are at
    #[arg(long, default_value_t = 200_000)]
    terminals: u64,
}

impl Options {
    fn tell(&self, name: String, value: f64, unit: &str, reach: Reach, how: String) {
        self.teller.tell(&Figure { name, value, unit: unit.to_owned(), reach, how });
    }
}

fn main() {
    let options = Options::parse();
    let _warm = open(WARM, options.terminals);
    // All of them stay: what one gives back the next would take, and it would not be counted.
    let mut kept = Vec::new();
    for &payments in &options.payments {
        let before = resident_bytes();
        let bench = open(payments, options.terminals);
        let grown = resident_bytes().saturating_sub(before);
        let keys = bench.partition().gauges().keys;
        let reach = if payments == 1_000_000 { Reach::AtMost(400.0) } else { Reach::Nothing };
        let how = format!("resident memory grew by {} MB for {keys}", grown >> 20);
        let name = format!("memory-per-open-payment-{payments}");
        options.tell(name, grown as f64 / keys as f64, "bytes", reach, how);
        kept.push(bench);
    }
    drop(kept);
    growth(&options);
}

/// How long an event takes with so many payments in memory: those under way, and those that ended within ten minutes, as many as come.
fn growth(options: &Options) {
    let mut all: Vec<_> = options.payments.iter().map(|payments| steady(*payments, options.terminals)).collect();
    let mut times = vec![Vec::new(); all.len()];
    // In turns, so that a slow moment of the machine is one of all.
    for _ in 0..options.rounds {
        for (bench, times) in all.iter_mut().zip(&mut times) {
            // The others have left nothing of it in the processor's caches.
            bench.run(STEP_RECORDS);
            times.push(bench.run(EVENTS).as_nanos() as f64 / EVENTS as f64);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    for ((payments, bench), median) in options.payments.iter().zip(&all).zip(&medians) {
        let keys = bench.partition().gauges().keys;
        let how = format!("median of {} rounds in turns, {keys} in memory, rule as plain Rust", options.rounds);
        options.tell(format!("growth-ns-per-event-{payments}"), *median, "ns", Reach::Nothing, how);
    }
    for (payments, median) in options.payments.iter().zip(&medians).skip(1) {
        let how = format!("an event's time against that with {}", options.payments[0]);
        options.tell(format!("growth-ratio-{payments}"), median / medians[0], "ratio", Reach::AtMost(1.2), how);
    }
}

/// An engine under ordinary traffic that has so many payments in memory, and forgets as many as come.
fn steady(payments: usize, terminals: u64) -> Bench<NativeRules> {
    let payments_per_s = (payments as u64).div_ceil(REMEMBERED_S);
    let shape = Shape { payments_per_s, terminals, ..Shape::default() };
    let mut bench = Bench::new(shape, NativeRules::copies(RULE, "{}", 1));
    loop {
        let before = bench.partition().gauges().keys;
        bench.run((payments / 10).next_multiple_of(STEP_RECORDS));
        if before >= payments && bench.partition().gauges().keys <= before + before / 100 {
            return bench;
        }
    }
}

/// An engine with so many open payments.
fn open(payments: usize, terminals: u64) -> Bench<NativeRules> {
    let shape = Shape { payments_per_s: PAYMENTS_PER_S, terminals, steps: 2 };
    let mut bench = Bench::new(shape, NativeRules::copies(RULE, PATIENT, 1));
    while bench.partition().gauges().keys < payments {
        bench.run(STEP_RECORDS);
    }
    bench
}
