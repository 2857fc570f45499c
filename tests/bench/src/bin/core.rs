//! The core alone, the rule as plain Rust, for a profiler that counts instructions: few events, no figure.
//! `valgrind --tool=callgrind --toggle-collect='*Bench*take*' target/release/core`.

use tillwatch_bench::{
    engine::{Bench, Inside},
    traffic::Shape,
};

fn main() {
    let mut bench = Bench::new(Shape { payments_per_s: 200, ..Shape::default() }, Inside::new(1));
    bench.run(50_000);
}
