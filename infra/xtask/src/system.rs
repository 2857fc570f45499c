//! What the machine must have: C libraries, a C compiler, Java and Maven from its package manager, and room on its disk.
//!
//! Owns how to see whether a thing is there and how to get it where `apt-get` is. Elsewhere it says what to install.

use crate::process::{output, quietly, say, succeeds};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A package installation that takes longer has lost its mirror.
const APT_TIME_MAX: Duration = Duration::from_mins(10);

/// Something that the machine must have.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    there: fn() -> bool,
}

/// What building the workspace needs beside Rust: librdkafka is compiled from source.
const TO_BUILD: [Need; 4] = [
    Need { what: "a C compiler", packages: &["gcc", "g++", "libc6-dev"], there: || runs("cc") && runs("c++") },
    Need { what: "make", packages: &["make"], there: || runs("make") },
    Need { what: "pkg-config", packages: &["pkg-config"], there: || runs("pkg-config") },
    Need {
        what: "OpenSSL and zlib with their headers",
        packages: &["libssl-dev", "zlib1g-dev"],
        there: || succeeds(Command::new("pkg-config").args(["--exists", "openssl", "zlib"])),
    },
];

/// What Apache Kafka needs.
const FOR_KAFKA: [Need; 3] = [
    Need { what: "Java 17 or newer", packages: &["default-jre-headless"], there: || java_version() >= Some(17) },
    Need { what: "Maven", packages: &["maven"], there: || runs("mvn") },
    Need { what: "openssl", packages: &["openssl"], there: || succeeds(Command::new("openssl").arg("version")) },
];

/// What counting instructions needs.
const TO_COUNT: [Need; 1] = [Need { what: "valgrind", packages: &["valgrind"], there: || runs("valgrind") }];

/// What the programs of the peers need, beside Maven.
const FOR_PEERS: [Need; 1] =
    [Need { what: "a Java compiler", packages: &["default-jdk-headless"], there: || runs("javac") }];

/// Makes sure that the workspace can be compiled.
///
/// # Errors
/// Names what is missing and the packages to install.
pub fn provision_build(logs: &Path) -> Result<()> {
    provision(&TO_BUILD, logs)
}

/// Makes sure that Apache Kafka can be fetched and run.
///
/// # Errors
/// Names what is missing and the packages to install.
pub fn provision_kafka(logs: &Path) -> Result<()> {
    provision(&FOR_KAFKA, logs)
}

/// Makes sure that instructions can be counted.
///
/// # Errors
/// Names what is missing and the packages to install.
pub fn provision_valgrind(logs: &Path) -> Result<()> {
    provision(&TO_COUNT, logs)
}

/// Makes sure that Java programs can be compiled.
///
/// # Errors
/// Names what is missing and the packages to install.
pub fn provision_java_compiler(logs: &Path) -> Result<()> {
    provision(&FOR_PEERS, logs)
}

/// Installs Debian packages, by `sudo` where this user is not root.
///
/// # Errors
/// Where there is no `apt-get`, no right to use it, or it fails.
pub fn apt_install(packages: &[&str], logs: &Path) -> Result<()> {
    let Some(prefix) = apt() else {
        bail!("there is no apt-get that this user may run; install by hand: {}", packages.join(" "));
    };
    say(&format!("installing by apt-get: {}", packages.join(" ")));
    // One unreachable third-party source must not stop what the others have: the installation judges.
    if let Err(error) =
        quietly("apt-get update", apt_get(&prefix).arg("update"), &logs.join("apt-update.log"), APT_TIME_MAX)
    {
        say(&format!("apt-get update had failures, going on: {error}"));
    }
    let mut command = apt_get(&prefix);
    command.args(["install", "-y", "--no-install-recommends"]).args(packages);
    quietly("apt-get install", &mut command, &logs.join("apt-install.log"), APT_TIME_MAX)
}

/// Whether packages can be installed here.
#[must_use]
pub fn has_apt() -> bool {
    apt().is_some()
}

/// Below this a disk is taken for full, KiB: the largest program that is linked here, and something.
const DISK_FULL_KIB: u64 = 256 << 10;

/// Says so where the disk that holds a folder is full, or nearly so.
#[must_use]
pub fn full_disk(folder: &Path) -> Option<String> {
    full(free_kib(&output(Command::new("df").arg("-Pk").arg(folder))?)?, folder)
}

fn full(free_kib: u64, folder: &Path) -> Option<String> {
    (free_kib < DISK_FULL_KIB).then(|| {
        let (free, folder) = (free_kib >> 10, folder.display());
        format!("the disk of {folder} has {free} MiB left: make room, or name a folder on another disk in CARGO_TARGET_DIR, then again")
    })
}

/// The fourth word of the last line of `df -Pk`.
fn free_kib(text: &str) -> Option<u64> {
    text.lines().last()?.split_whitespace().nth(3)?.parse().ok()
}

fn provision(needs: &[Need], logs: &Path) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !(need.there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
    let packages: Vec<_> = missing.iter().flat_map(|need| need.packages).copied().collect();
    say(&format!("not on this machine: {names}"));
    apt_install(&packages, logs)?;
    match missing.iter().find(|need| !(need.there)()) {
        None => Ok(()),
        Some(need) => bail!("{} is not to be found after installing {}", need.what, need.packages.join(" ")),
    }
}

/// The words before `apt-get`: none for root, `sudo -n` for one who may.
fn apt() -> Option<Vec<&'static str>> {
    if !runs("apt-get") {
        return None;
    }
    if output(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Some(Vec::new());
    }
    succeeds(Command::new("sudo").args(["-n", "true"])).then(|| vec!["sudo", "-n"])
}

fn apt_get(prefix: &[&str]) -> Command {
    let mut words = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let mut command = Command::new(words.next().expect("invariant: three words at least"));
    command.args(words).args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

fn runs(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn java_version() -> Option<u32> {
    parse_java_version(&output(Command::new("java").arg("--version"))?)
}

/// The major version in the first line of `java --version`, as in `openjdk 17.0.15 2025-04-15`.
fn parse_java_version(text: &str) -> Option<u32> {
    let number = text.lines().next()?.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{DISK_FULL_KIB, free_kib, full, parse_java_version};
    use std::path::Path;

    #[test]
    fn a_full_disk_is_told_of() {
        let text =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263112772 19735556 74913684 21% /\n";
        assert_eq!(free_kib(text), Some(74_913_684));
        assert_eq!(free_kib("df: no such file"), None);
        assert_eq!(full(DISK_FULL_KIB, Path::new("/target")), None);
        let told = full(DISK_FULL_KIB - 1, Path::new("/target")).expect("it is nearly full");
        assert!(told.contains("/target has 255 MiB left") && told.contains("CARGO_TARGET_DIR"), "{told}");
    }

    #[test]
    fn java_versions_are_read() {
        assert_eq!(parse_java_version("openjdk 17.0.15 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(parse_java_version("openjdk 21-ea 2023-09-19"), Some(21));
        assert_eq!(parse_java_version("java 1.8.0_292"), Some(1));
        assert_eq!(parse_java_version("no java here"), None);
    }
}
