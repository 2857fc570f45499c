//! The clock and the memory of the machine that measures, and its name.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;

/// The moment.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "it measures wall-clock time")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time by the wall clock, ms since 1970: brokers stamp records with it.
///
/// # Panics
/// Where the clock stands before 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a broker's clock is the wall clock")]
pub fn wall_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    since.as_secs_f64() * 1e3
}

/// How much time of one core something took on this thread: what other programs take of the machine is not in it.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = ThreadTime::now();
    let result = work();
    (result, began.elapsed())
}

/// Where `cargo xtask components` puts them, seen from a program in `target/release`.
///
/// # Panics
/// Where they are not: they have not been built.
#[must_use]
pub fn components() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let target = program.ancestors().nth(2).expect("the program is in target/release");
    let folder = target.join("components");
    assert!(folder.exists(), "{} is not there: run `cargo xtask components`", folder.display());
    folder
}

/// The binary `tillwatch`, beside this program.
///
/// # Panics
/// Where it is not: it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::current_exe().expect("a running program has a path").with_file_name("tillwatch");
    assert!(path.exists(), "{} is not there: run `cargo xtask build`", path.display());
    path
}

/// Bytes of memory that this process has resident, as the kernel counts.
///
/// # Panics
/// Where `/proc` is not mounted.
#[must_use]
pub fn resident_bytes() -> u64 {
    resident_bytes_of("self")
}

/// The same of another process.
///
/// # Panics
/// Where there is no such process.
#[must_use]
pub fn resident_bytes_of(process: &str) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells VmRSS");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kilobytes * 1_024
}

/// Processor, cores and system, for the head of a table.
#[must_use]
pub fn name() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, {} {}", std::env::consts::OS, kernel.trim())
}
