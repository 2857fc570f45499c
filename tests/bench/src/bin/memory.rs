//! How many bytes of memory an open payment takes, all included, by the growth of what the process has resident:
//! `cargo xtask bench --only memory`. Each payment is authorized and approved by its host, so it has a state, a wake-up
//! and two remembered events. How long an event takes when so many are open is told beside.

use clap::Parser;
use tillwatch_bench::{
    engine::{Bench, RULE, STEP_RECORDS},
    figure::{Figure, Reach, Teller},
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

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Open payments
    #[arg(default_values_t = [10_000, 100_000, 1_000_000, 4_000_000])]
    payments: Vec<usize>,
    /// Terminals that they are at
    #[arg(long, default_value_t = 200_000)]
    terminals: u64,
}

fn main() {
    let options = Options::parse();
    let _warm = open(WARM, options.terminals);
    // All of them stay: what one gives back the next would take, and it would not be counted.
    let mut kept = Vec::new();
    for &payments in &options.payments {
        let before = resident_bytes();
        let mut bench = open(payments, options.terminals);
        let grown = resident_bytes().saturating_sub(before);
        let keys = bench.partition().gauges().keys;
        // By now as many events are handed out as come: on the way there the first ones only wait for the watermark.
        let events = (payments / 5).next_multiple_of(STEP_RECORDS);
        let nanoseconds = bench.run(events).as_nanos() as f64 / events as f64;
        let reach = if payments == 1_000_000 { Reach::AtMost(400.0) } else { Reach::Nothing };
        let tell = |name: String, value, unit: &str, reach, how: String| {
            options.teller.tell(&Figure { name, value, unit: unit.to_owned(), reach, how });
        };
        let how = format!("resident memory grew by {} MB for {keys}", grown >> 20);
        tell(format!("memory-per-open-payment-{payments}"), grown as f64 / keys as f64, "bytes", reach, how);
        let how = format!("mean of the next {events} events, rule as plain Rust");
        tell(format!("growth-ns-per-event-{payments}"), nanoseconds, "ns", Reach::Nothing, how);
        kept.push(bench);
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
