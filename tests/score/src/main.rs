//! The program behind `cargo xtask score`.

use anyhow::{Context as _, Result};
use clap::Parser;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tillwatch_score::judge::{Judged, judge};
use tillwatch_score::plan::{list, plan, range};
use tillwatch_score::run::Engine;
use tillwatch_score::{table, tally};
use xtask::process::{now, print, say};

/// Of the list, a dozen of all shapes.
const QUICK: (usize, usize) = (19, 12);

#[derive(Parser)]
struct Options {
    /// Folder with the built components
    #[arg(long)]
    components: PathBuf,
    /// A dozen scenarios of the list
    #[arg(long)]
    quick: bool,
    /// The list that nobody tunes on
    #[arg(long)]
    held_out: bool,
    /// These seeds and no list, as 1..50
    #[arg(long, value_name = "A..B", conflicts_with_all = ["held_out", "quick"])]
    seeds: Option<String>,
    /// Scenarios at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Write each scenario and the sums to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let seeds = seeds(&options)?;
    let engine = Engine::load(&options.components)?;
    let all = run(&engine, &seeds, options.jobs.max(1))?;
    let sums = tally::tally(&all);
    print(&table::table(&sums));
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "sums": sums, "scenarios": all }))?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn seeds(options: &Options) -> Result<Vec<u64>> {
    if let Some(seeds) = &options.seeds {
        return range(seeds);
    }
    let seeds = list(if options.held_out { include_str!("../held-out") } else { include_str!("../seeds") })?;
    let (step, count) = if options.quick { QUICK } else { (1, seeds.len()) };
    Ok(seeds.into_iter().step_by(step).take(count).collect())
}

/// All of them, in the order of the seeds, whatever the number of jobs.
fn run(engine: &Engine, seeds: &[u64], jobs: usize) -> Result<Vec<Judged>> {
    let (began, next) = (now(), AtomicUsize::new(0));
    let done: Mutex<Vec<Judged>> = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let plan = plan(*seed);
            let name = plan.name.clone();
            let ran = engine.run(plan).with_context(|| format!("seed {seed}, {name}"))?;
            let judged = judge(*seed, &name, &ran.seen, &ran.injected, &ran.truths);
            let mut done = done.lock().expect("invariant: no job panics with the lock");
            done.push(judged);
            say(&format!("{} of {}, {} s: seed {seed}, {name}", done.len(), seeds.len(), began.elapsed().as_secs()));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        jobs.into_iter().try_for_each(|job| job.join().expect("a job does not panic"))
    })?;
    let mut done = done.into_inner().expect("invariant: no job panics with the lock");
    done.sort_by_key(|judged| judged.seed);
    Ok(done)
}
