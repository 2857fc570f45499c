//! The core alone, the rule as plain Rust, for a profiler that counts instructions: few events, no figure.
//! `valgrind --tool=callgrind --toggle-collect='*Bench*take*' target/release/core`.

use clap::Parser;
use tillwatch_bench::{
    engine::{Bench, RULE},
    traffic::Shape,
};
use tillwatch_it::cases::native::NativeRules;

#[derive(Parser)]
struct Options {
    /// Events
    #[arg(long, default_value_t = 50_000)]
    events: usize,
    /// New payments a second: how many are kept at a time
    #[arg(long, default_value_t = 200)]
    payments_per_s: u64,
}

fn main() {
    let options = Options::parse();
    let shape = Shape { payments_per_s: options.payments_per_s, ..Shape::default() };
    let mut bench = Bench::new(shape, NativeRules::copies(RULE, "{}", 1));
    bench.run(options.events);
}
