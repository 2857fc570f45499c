//! Instructions of one event in the core, counted by valgrind's callgrind: a regression shows on a machine whose clock tells nothing.
//!
//! Owns the committed baseline and how far a count may be above it. The count depends on the compiler, so the baseline names its own, and
//! another compiler is told loudly: its count is no verdict.

use crate::process::{output, print, quietly, say};
use crate::workspace::Workspace;
use crate::{release, system};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How far above the baseline a count may be, parts of a hundred.
const ABOVE_PERCENT_MAX: u64 = 5;

/// Counting takes half a minute; one that takes longer hangs.
const COUNT_TIME_MAX: Duration = Duration::from_mins(5);

/// What is counted: the engine's part of the program, without the making of its events.
const COUNTED: &str = "--toggle-collect=*Bench*take*";

/// A count and the compiler whose code was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Count {
    compiler: String,
    instructions: u64,
}

impl Count {
    fn read(text: &str) -> Result<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.map(str::to_owned).with_context(|| format!("no line `{name}: …`"))
        };
        Ok(Self { compiler: value("compiler")?, instructions: value("instructions")?.parse()? })
    }

    fn written(&self) -> String {
        format!("compiler: {}\ninstructions: {}\n", self.compiler, self.instructions)
    }
}

/// Counts, and compares with the baseline; with `write` the count becomes it. Whether it is no more than the baseline allows.
///
/// # Errors
/// Where valgrind cannot be had, the program cannot be built or counted, or there is no baseline.
pub fn run(workspace: &Workspace, write: bool) -> Result<bool> {
    system::provision_valgrind(&workspace.logs())?;
    // Features are those of the whole workspace, so that no dependency is compiled again.
    crate::process::run(release::cargo(workspace, "build").args(["--workspace", "--bin", "core"]))?;
    let program = workspace.target().join("release").join("core");
    let compiler = output(Command::new("rustc").arg("--version")).context("rustc does not tell its version")?;
    let count = Count { compiler, instructions: count(&program, &workspace.logs())? };
    let path = baseline(workspace);
    if write {
        std::fs::write(&path, count.written()).with_context(|| format!("cannot write {}", path.display()))?;
        print(&format!("{} instructions are the baseline now", count.instructions));
        return Ok(true);
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{}: make it by `cargo xtask instructions --write`", path.display()))?;
    let known = Count::read(&text).with_context(|| path.display().to_string())?;
    print(&told(&known, &count));
    if known.compiler != count.compiler {
        say(&format!(
            "NO VERDICT: the baseline is of {}, this is {}; build with that one, or `cargo xtask instructions --write`",
            known.compiler, count.compiler
        ));
        return Ok(true);
    }
    Ok(is_allowed(&known, &count))
}

fn baseline(workspace: &Workspace) -> PathBuf {
    workspace.root().join("tests").join("bench").join("instructions.txt")
}

fn count(program: &Path, logs: &Path) -> Result<u64> {
    let log = logs.join("callgrind.log");
    let profile = format!("--callgrind-out-file={}", logs.join("callgrind.out").display());
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", COUNTED, &profile]).arg(program);
    quietly("counting instructions", &mut command, &log, COUNT_TIME_MAX)?;
    let text = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
    match collected(&text) {
        Some(0) | None => bail!("callgrind counted nothing: see {}", log.display()),
        Some(instructions) => Ok(instructions),
    }
}

/// The number in a line like `==6391== Collected : 1001743253`.
fn collected(log: &str) -> Option<u64> {
    log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn is_allowed(known: &Count, count: &Count) -> bool {
    count.instructions * 100 <= known.instructions * (100 + ABOVE_PERCENT_MAX)
}

fn told(known: &Count, count: &Count) -> String {
    let change = (count.instructions as f64 / known.instructions as f64 - 1.0) * 100.0;
    let verdict = if is_allowed(known, count) { "allowed" } else { "TOO MANY" };
    format!(
        "{} instructions, baseline {}: {change:+.1} %, {ABOVE_PERCENT_MAX} % above are allowed: {verdict}",
        count.instructions, known.instructions
    )
}

#[cfg(test)]
mod tests {
    use super::{Count, collected, is_allowed};

    fn count(instructions: u64) -> Count {
        Count { compiler: "rustc 1.95.0".to_owned(), instructions }
    }

    #[test]
    fn a_baseline_reads_back() {
        let known = count(17);
        assert_eq!(Count::read(&known.written()).expect("reads"), known);
        assert!(Count::read("instructions: 17").is_err(), "without a compiler it is no baseline");
    }

    #[test]
    fn five_percent_above_are_allowed_and_no_more() {
        assert!(is_allowed(&count(1_000), &count(1_050)) && is_allowed(&count(1_000), &count(10)));
        assert!(!is_allowed(&count(1_000), &count(1_051)));
    }

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 1001743253\n==1== \n"), Some(1_001_743_253));
        assert_eq!(collected("==1== no such line"), None);
    }
}
