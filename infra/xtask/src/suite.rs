//! The whole test suite in one command.
//!
//! Owns the order (provide, build, start Kafka once, run everything), the environment that tests read, and the closing count. What
//! cannot run is named and counted as skipped, and where nothing may be skipped (`CI=true`) that is a failure.

use crate::kafka::{self, Cluster};
use crate::process::{print, say};
use crate::workspace::{Workspace, env, in_ci};
use crate::{release, system};
use anyhow::{Context, Result, bail};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

/// The address of a Kafka to use, for this tool and for the tests.
pub const KAFKA: &str = "TILLWATCH_KAFKA";

/// What the name of every test that needs Kafka contains, be it the function's or a module's.
pub const NEEDS_KAFKA: &str = "on_kafka";

/// Where proptest takes its seed from.
const SEED: &str = "PROPTEST_RNG_SEED";

/// The seed of property tests in CI, so that one commit has one verdict. Elsewhere each run draws another, and so looks further.
const SEED_IN_CI: u64 = 20_261_125;

/// Which tests to run.
#[derive(Debug, Default)]
pub struct Options {
    /// One package alone, with or without `tillwatch-`.
    pub only: Option<String>,
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// The seed of property tests; none: the fixed one in CI, another in every run elsewhere.
    pub seed: Option<u64>,
}

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Ran and held.
    pub passed: u64,
    /// Ran and did not hold.
    pub failed: u64,
    /// Did not run.
    pub skipped: u64,
}

/// Runs the tests, prints `N passed, N failed, N skipped` as the last line and returns whether that is a success.
///
/// # Errors
/// Where the tests cannot be built or started.
pub fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let package = options.only.as_deref().map(|name| package(workspace, name)).transpose()?;
    system::provision_build(&workspace.logs())?;
    release::build_all(workspace)?;
    let kafka = Kafka::provide(workspace);
    let seed = options.seed.unwrap_or_else(|| if in_ci() { SEED_IN_CI } else { any_seed() });
    say(&format!("property tests have the seed {seed}"));
    let (count, ended_well) = run_cargo(workspace, package.as_deref(), options.filter.as_deref(), seed, &kafka)?;
    kafka.end(ended_well)?;
    let verdict = verdict(count, ended_well, in_ci());
    if let Err(error) = &verdict {
        say(&format!("error: {error}"));
        say(&format!("property tests had the seed {seed}; the same again: cargo xtask test --seed {seed}"));
    }
    print(&format!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped));
    Ok(verdict.is_ok())
}

/// The broker of this run.
enum Kafka {
    /// Somebody else's, at this address.
    Given(String),
    /// Started here.
    Own(Cluster),
    /// There is none.
    Missing,
}

impl Kafka {
    fn provide(workspace: &Workspace) -> Self {
        if let Some(address) = env(KAFKA) {
            say(&format!("using the Kafka at {address}, as {KAFKA} says"));
            return Self::Given(address);
        }
        match Self::start(workspace) {
            Ok(cluster) => Self::Own(cluster),
            Err(error) => {
                say(&format!(
                    "SKIPPED: every test that needs Kafka (its name contains `{NEEDS_KAFKA}`), for there is none: {error:#}\n\
                     Install Java 17 and Maven, or name a running broker in {KAFKA}=host:port."
                ));
                Self::Missing
            }
        }
    }

    fn start(workspace: &Workspace) -> Result<Cluster> {
        let jars = kafka::install(workspace)?;
        let clusters = workspace.target().join("kafka");
        sweep(&clusters)?;
        let dir = clusters.join(format!("test-{}", std::process::id()));
        Cluster::start(&jars, &kafka::Options::new(dir))
    }

    fn address(&self) -> Option<String> {
        match self {
            Self::Given(address) => Some(address.clone()),
            Self::Own(cluster) => Some(cluster.bootstrap()),
            Self::Missing => None,
        }
    }

    /// The broker's log stays where a test has failed.
    fn end(self, ended_well: bool) -> Result<()> {
        match self {
            Self::Own(cluster) if ended_well => cluster.remove(),
            Self::Own(_) | Self::Given(_) | Self::Missing => Ok(()),
        }
    }
}

/// Ends and removes what an earlier run left behind by being killed.
fn sweep(clusters: &Path) -> Result<()> {
    for entry in std::fs::read_dir(clusters)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("test-") else { continue };
        if Path::new("/proc/self").exists() && !Path::new("/proc").join(pid).exists() {
            kafka::stop(&entry.path())?;
            std::fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {name}"))?;
        }
    }
    Ok(())
}

fn run_cargo(
    workspace: &Workspace,
    package: Option<&str>,
    filter: Option<&str>,
    seed: u64,
    kafka: &Kafka,
) -> Result<(Count, bool)> {
    let mut command = release::cargo(workspace, "test");
    command.arg("--no-fail-fast");
    match package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    command.arg("--").args(filter);
    command.env(SEED, seed.to_string());
    command.env("TILLWATCH_COMPONENTS", workspace.components_dir()).env("TILLWATCH_BIN", workspace.binary());
    match kafka.address() {
        Some(address) => command.env(KAFKA, address),
        None => command.args(["--skip", NEEDS_KAFKA]),
    };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().expect("invariant: standard output is piped");
    let mut count = Count::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        print(&line);
        // Without a filter of the user's, what is filtered out was skipped for want of Kafka.
        count.add(&line, filter.is_none());
    }
    Ok((count, child.wait()?.success()))
}

/// Another in every run: the standard library's hashers are seeded by the operating system.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Count {
    /// Adds what a line like `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.1s` says.
    fn add(&mut self, line: &str, filtered_are_skipped: bool) {
        let Some((_, rest)) = line.split_once("test result: ") else { return };
        let words: Vec<_> = rest.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                "filtered" if filtered_are_skipped => self.skipped += number,
                _ => {}
            }
        }
    }
}

fn verdict(count: Count, ended_well: bool, nothing_may_be_skipped: bool) -> Result<()> {
    if count.failed > 0 {
        bail!("tests failed: {}", count.failed);
    }
    if !ended_well {
        bail!("cargo test failed without a failed test: something did not compile, or a test program died");
    }
    if count.passed == 0 {
        bail!("no test ran");
    }
    if nothing_may_be_skipped && count.skipped > 0 {
        bail!("tests skipped: {}, and with CI=true none may be", count.skipped);
    }
    Ok(())
}

fn package(workspace: &Workspace, name: &str) -> Result<String> {
    let packages = workspace.packages();
    let whole = format!("tillwatch-{name}");
    match packages.iter().find(|package| *package == name || **package == whole) {
        Some(package) => Ok(package.clone()),
        None => bail!("no package is called {name}; there are: {}", packages.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, verdict};

    const MIXED: &str =
        "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.05s";

    fn count(lines: &[&str], filtered_are_skipped: bool) -> Count {
        let mut count = Count::default();
        lines.iter().for_each(|line| count.add(line, filtered_are_skipped));
        count
    }

    #[test]
    fn the_results_of_all_test_programs_are_added() {
        let lines =
            [MIXED, "test a::b ... ok", "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"];
        assert_eq!(count(&lines, false), Count { passed: 17, failed: 1, skipped: 2 });
        assert_eq!(count(&lines, true), Count { passed: 17, failed: 1, skipped: 5 });
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        let line =
            "test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(count(&[line], false), Count { passed: 5, failed: 0, skipped: 1 });
    }

    #[test]
    fn only_tests_that_ran_and_held_are_a_success() {
        let of = |passed, failed, skipped| Count { passed, failed, skipped };
        assert!(verdict(of(3, 0, 0), true, true).is_ok());
        assert!(verdict(of(3, 0, 1), true, false).is_ok());
        for (count, ended_well, ci, told) in [
            (of(3, 0, 1), true, true, "tests skipped: 1, and with CI=true none may be"),
            (of(3, 2, 0), false, false, "tests failed: 2"),
            (of(3, 0, 0), false, false, "cargo test failed without a failed test"),
            (of(0, 0, 0), true, false, "no test ran"),
        ] {
            let error = verdict(count, ended_well, ci).expect_err("not a success").to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
