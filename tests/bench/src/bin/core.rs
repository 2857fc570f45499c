//! The core alone, the rule as plain Rust, for a profiler that counts instructions: few events, no figure.
//! `valgrind --tool=callgrind --toggle-collect='*Bench*take*' target/release/core`.

use tillwatch_bench::{
    engine::{Bench, RULE},
    traffic::Shape,
};
use tillwatch_it::cases::native::NativeRules;

fn main() {
    let mut bench = Bench::new(Shape { payments_per_s: 200, ..Shape::default() }, NativeRules::copies(RULE, "{}", 1));
    bench.run(50_000);
}
