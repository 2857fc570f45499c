//! Fuzzing guided by coverage, with the stable compiler that builds everything else.
//!
//! Owns how the targets of `tests/fuzz` are built (LLVM's coverage counters in our own crates, libFuzzer), run and counted, and where
//! inputs are kept: the committed corpus is read, what a run adds stays in the target directory until `--minimise`. Owns no target. No
//! sanitizer, which only a nightly compiler has: our code has no `unsafe` but in one place.

use crate::process::{last_words, print, quietly, run as run_shown, say};
use crate::release::cargo;
use crate::system;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// What the program of a target is called before the target's name.
const PREFIX: &str = "fuzz-";

/// One input may take so long; more is a finding.
const INPUT_SECONDS_MAX: u32 = 20;

/// Resident memory of a target; more is a finding.
const MEMORY_MIB_MAX: u32 = 2048;

/// Reading the corpora and ending, beside the time asked for.
const SPARE: Duration = Duration::from_mins(3);

/// What the committed corpus of one target may take.
const CORPUS_BYTES_MAX: u64 = 45 << 10;

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// How long each target runs.
    pub seconds: u32,
    /// Rewrite the committed corpora afterwards.
    pub minimise: bool,
    /// This target alone.
    pub target: Option<String>,
}

/// Builds and runs the targets, as many at a time as there are processors, and returns whether nothing was found.
///
/// # Errors
/// Where they cannot be built or started.
pub fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let fuzz = Fuzz::new(workspace);
    let targets = fuzz.targets(options.target.as_deref())?;
    system::provision_build(&workspace.logs())?;
    fuzz.build(workspace, &targets)?;
    let waiting = Mutex::new(targets.clone());
    let verdicts = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("invariant: no runner panics").pop();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let verdict = fuzz.run(&target, options.seconds);
                    verdicts.lock().expect("invariant: no runner panics").push((target, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("invariant: no runner panics");
    verdicts.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut found = 0;
    for (target, verdict) in &verdicts {
        match verdict {
            Ok(inputs) => print(&format!("{target}: {inputs} inputs, nothing found")),
            Err(error) => {
                found += 1;
                say(&format!("error: {target}: {error:#}"));
                say(&format!("once it is mended, keep the input as tests/fuzz/found/{target}/<what-it-was>"));
            }
        }
    }
    if options.minimise && found == 0 {
        targets.iter().try_for_each(|target| fuzz.minimise(target))?;
    }
    print(&format!("{} targets, {found} with findings", verdicts.len()));
    Ok(found == 0)
}

/// Where everything is.
struct Fuzz {
    /// `tests/fuzz`
    source: PathBuf,
    /// Where programs are built.
    release: PathBuf,
    /// What is found.
    work: PathBuf,
}

impl Fuzz {
    fn new(workspace: &Workspace) -> Self {
        Self {
            source: workspace.root().join("tests").join("fuzz"),
            release: workspace.target().join("release").join("examples"),
            work: workspace.target().join("fuzz"),
        }
    }

    /// The names of all targets, or the one asked for.
    fn targets(&self, only: Option<&str>) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in list(&self.source.join("examples"))? {
            names.extend(entry.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        match only {
            None => Ok(names),
            Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
            Some(name) => bail!("no target is called {name}; there are: {}", names.join(", ")),
        }
    }

    /// Features are those of the whole workspace, so that no dependency is compiled again.
    fn build(&self, workspace: &Workspace, targets: &[String]) -> Result<()> {
        let mut command = cargo(workspace, "build");
        command.args(["--workspace", "--features", "tillwatch-fuzz/libfuzzer"]);
        for target in targets {
            command.args(["--example", &format!("{PREFIX}{target}")]);
        }
        command.env("RUSTC_WORKSPACE_WRAPPER", self.source.join("rustc.sh"));
        run_shown(&mut command)
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(self.release.join(format!("{PREFIX}{target}")));
        command.current_dir(&self.source);
        command
    }

    /// Runs one target; gives how many inputs it was fed.
    fn run(&self, target: &str, seconds: u32) -> Result<u64> {
        let (new, found) = (self.work.join("corpus").join(target), self.work.join("found"));
        for folder in [&new, &found] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut command = self.command(target);
        command.arg(format!("-artifact_prefix={}/{target}-", found.display()));
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.args(["-print_final_stats=1", "-verbosity=1"]).arg(&new);
        let kept: Vec<PathBuf> = ["corpus", "found"]
            .map(|kind| self.source.join(kind).join(target))
            .into_iter()
            .filter(|kept| kept.is_dir())
            .collect();
        command.args(&kept);
        let log = self.work.join(format!("{target}.log"));
        let limit = Duration::from_secs(seconds.into()) + SPARE;
        // What was found says more than the way there, and the log's end is what is shown.
        command.env("RUST_BACKTRACE", "0");
        let ended = quietly(&format!("fuzzing {target}"), &mut command, &log, limit);
        let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let said = String::from_utf8_lossy(&said);
        ended.with_context(|| finding(&said))?;
        let inputs = executed(&said);
        let committed = kept.iter().map(|folder| Ok(list(folder)?.len() as u64)).sum::<Result<u64>>()?;
        match inputs {
            Some(inputs) if inputs > committed => Ok(inputs),
            _ => bail!("it ended without trying anything new; its log is {}", log.display()),
        }
    }

    /// The committed corpus becomes the fewest, smallest inputs that reach what was reached, as far as they fit.
    fn minimise(&self, target: &str) -> Result<()> {
        let kept = self.source.join("corpus").join(target);
        let merged = self.work.join("merged").join(target);
        for folder in [&kept, &merged] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        list(&merged)?.iter().try_for_each(fs::remove_file)?;
        let mut command = self.command(target);
        command.arg("-merge=1").args([&merged, &kept, &self.work.join("corpus").join(target)]);
        quietly(&format!("minimising {target}"), &mut command, &self.work.join(format!("{target}-merge.log")), SPARE)?;
        let mut inputs = Vec::new();
        for path in list(&merged)? {
            inputs.push((fs::metadata(&path)?.len(), path));
        }
        inputs.sort();
        list(&kept)?.iter().try_for_each(fs::remove_file)?;
        let mut room = CORPUS_BYTES_MAX;
        for (bytes, path) in inputs {
            let (Some(rest), Some(name)) = (room.checked_sub(bytes), path.file_name()) else { break };
            fs::copy(&path, kept.join(name))?;
            room = rest;
        }
        Ok(())
    }
}

/// The files of a folder, by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// How many inputs a run was fed, by the statistics at the end of its log.
fn executed(log: &str) -> Option<u64> {
    log.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?.trim().parse().ok()
}

/// What a log tells of a finding, to be had where the log is not: the panic, and the input.
fn finding(log: &str) -> String {
    let input = log.lines().rev().find(|line| line.starts_with("Base64: "));
    last_words(log).into_iter().chain(input).collect::<Vec<_>>().join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::{executed, finding};

    #[test]
    fn a_finding_is_told_with_its_input() {
        let log = "#7 NEW\nthread '<unnamed>' panicked at decode.rs:200:5:\na card number\nnote: more\nBase64: AAE=\nstat::x: 1\n";
        assert_eq!(finding(log), "thread '<unnamed>' panicked at decode.rs:200:5:\n  a card number\n  Base64: AAE=");
        assert_eq!(finding("ended"), "");
    }

    #[test]
    fn a_run_says_how_much_it_tried() {
        let log =
            "#2 INITED\nDone 12 runs in 1 second(s)\nstat::number_of_executed_units: 12345\nstat::peak_rss_mb: 40\n";
        assert_eq!(executed(log), Some(12_345));
        assert_eq!(executed("==1== ERROR: libFuzzer: deadly signal"), None);
    }
}
