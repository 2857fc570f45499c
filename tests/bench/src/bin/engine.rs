//! How many decoded events one core takes through the engine, with `correlate-payment` as a component and as plain Rust, in turns in one run:
//! `cargo xtask components && cargo run --release -p tillwatch-bench --bin engine`.

use clap::Parser;
use tillwatch_bench::{
    engine::{Bench, RULE, component},
    figure::{Figure, Reach, Teller, median},
    traffic::Shape,
};
use tillwatch_it::cases::native::NativeRules;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Events before the measurement, to fill windows and memories
    #[arg(long, default_value_t = 1_000_000)]
    warm: usize,
    /// Events of one round
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Rounds of each, in turns; the median is told
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

/// So many rules want the same events.
const RULES: [usize; 3] = [1, 4, 16];

fn main() {
    let options = Options::parse();
    let mut sandboxed = Bench::new(Shape::default(), component());
    let mut inside = Bench::new(Shape::default(), NativeRules::copies(RULE, "{}", 1));
    sandboxed.run(options.warm);
    inside.run(options.warm);
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        times.0.push(sandboxed.run(options.events).as_nanos() as f64 / options.events as f64);
        times.1.push(inside.run(options.events).as_nanos() as f64 / options.events as f64);
    }
    assert_eq!(sandboxed.raised, inside.raised, "both find the same");
    let (component, native) = (median(times.0), median(times.1));
    let tell = |name: &str, value: f64, unit: &str, reach, how: &str| {
        let (name, unit, how) = (name.to_owned(), unit.to_owned(), how.to_owned());
        options.teller.tell(&Figure { name, value, unit, reach, how });
    };
    let how = format!("median of {} rounds of {} events", options.rounds, options.events);
    tell("engine-events-per-s", 1e9 / component, "events/s", Reach::AtLeast(1e6), &how);
    tell("engine-native-events-per-s", 1e9 / native, "events/s", Reach::Nothing, "the same rule as plain Rust");
    tell(
        "engine-sandbox-ratio",
        component / native,
        "ratio",
        Reach::AtMost(2.0),
        "component against plain Rust, same run",
    );
    let mut single = f64::NAN;
    for rules in RULES {
        let mut bench = Bench::new(Shape::default(), NativeRules::copies(RULE, "{}", rules));
        bench.run(options.warm / rules);
        let events = options.events / rules;
        let times = (0..options.rounds).map(|_| bench.run(events).as_nanos() as f64 / events as f64);
        let each = median(times.collect()) / rules as f64;
        let how = format!(
            "{rules} rules as plain Rust that all want every event of payments, each with state and timers of its own"
        );
        tell(&format!("growth-rules-{rules}-ns-per-event-and-rule"), each, "ns", Reach::Nothing, &how);
        if rules == 1 {
            single = each;
        } else {
            let how = "an event's time per rule against that with one rule: linear, or better";
            tell(&format!("growth-rules-{rules}-ratio"), each / single, "ratio", Reach::AtMost(1.2), how);
        }
    }
}
