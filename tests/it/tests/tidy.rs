//! The house rules that a compiler does not hold: which crate may depend on which, what the core may depend on, how large a file may
//! be, what stands at the top.
//!
//! Each test names every offence, so that one run is enough to mend them all.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tillwatch_it::machine::root;

/// A longer file holds more than one concept. Files of tests alone are longer where a promise has many cases.
const FILE_LINES_MAX: usize = 600;

/// A crate's documentation says what it owns and what it does not.
const CRATE_DOC_LINES: std::ops::RangeInclusive<usize> = 3..=15;

/// All that the core may depend on: nothing that does I/O, reads a clock, logs or is asynchronous.
const CORE: [&str; 11] = [
    "base64",
    "ciborium",
    "ciborium-ll",
    "jiff",
    "memchr",
    "postcard",
    "prefetch-index",
    "serde",
    "serde_json",
    "tillwatch-wit",
    "xxhash-rust",
];

/// What stands at the top of the repository, beside Git's own folder and cargo's `target`.
const TOP: [&str; 16] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "README.zh-CN.md",
    "clippy.toml",
    "components",
    "deny.toml",
    "docs",
    "infra",
    "runtime",
    "rustfmt.toml",
    "tests",
    "wit",
];

/// The members of the workspace that one in this folder may depend on; none where the folder is unknown.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    match folder {
        "wit" | "infra/xtask" => Some(&[]),
        "components/sdk" | "runtime/core" => Some(&["tillwatch-wit"]),
        "runtime/host" => Some(&["tillwatch-core", "tillwatch-wit"]),
        "runtime/kafka" | "runtime/embedded" => Some(&["tillwatch-core"]),
        "runtime/edge" => {
            Some(&["tillwatch-core", "tillwatch-embedded", "tillwatch-host", "tillwatch-kafka", "tillwatch-wit"])
        }
        "tests/fuzz" => Some(&["tillwatch-core", "tillwatch-embedded", "tillwatch-host"]),
        _ if folder.starts_with("components/") || folder.starts_with("tests/fixtures/") => {
            Some(&["tillwatch-sdk", "tillwatch-wit"])
        }
        _ => None,
    }
}

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo can read the workspace")
}

fn folder(metadata: &Metadata, package: &Package) -> String {
    let folder = package.manifest_path.parent().expect("a manifest is in a folder");
    folder.strip_prefix(&metadata.workspace_root).expect("a member is in the workspace").to_string()
}

/// Every file of the repository with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() && !["target", ".git", "node_modules"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let members: BTreeSet<_> = metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let mut offences = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = folder(&metadata, package);
        if ["tests/bench", "tests/fault", "tests/it", "tests/score"].contains(&folder.as_str()) {
            continue;
        }
        let Some(allowed) = allowed(&folder) else {
            offences.push(format!("{folder}: a new crate; say in this test what it may depend on"));
            continue;
        };
        let wrong = package.dependencies.iter().map(|dependency| &dependency.name);
        let wrong = wrong.filter(|name| members.contains(*name) && !allowed.contains(&name.as_str()));
        offences.extend(wrong.map(|name| format!("{folder} depends on {name}; it may depend on {allowed:?}")));
    }
    none(&offences);
}

#[test]
fn the_core_depends_on_nothing_new() {
    let metadata = metadata();
    let core =
        metadata.packages.iter().find(|package| package.name.as_str() == "tillwatch-core").expect("there is a core");
    let dependencies = core.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    let names: BTreeSet<_> = dependencies.map(|dependency| dependency.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(CORE));
}

#[test]
fn every_member_has_the_lints_of_the_workspace() {
    let metadata = metadata();
    let offences = metadata.workspace_packages().into_iter().filter_map(|package| {
        let manifest: toml::Table = read(package.manifest_path.as_std_path()).parse().expect("cargo has read it");
        let has = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        (has != Some(true)).then(|| format!("{}: no `[lints] workspace = true`", package.manifest_path))
    });
    none(&offences.collect::<Vec<_>>());
}

#[test]
fn no_build_script_runs_a_program() {
    let metadata = metadata();
    let targets = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
    let scripts = targets.filter(|target| target.kind.contains(&TargetKind::CustomBuild));
    let offences = scripts.filter(|target| read(target.src_path.as_std_path()).contains("process::"));
    let told = offences.map(|target| format!("{}: that is for `cargo xtask`", target.src_path));
    none(&told.collect::<Vec<_>>());
}

/// Files that hold tests alone.
fn of_tests(path: &Path) -> bool {
    let path = path.strip_prefix(root()).expect("a file of the repository");
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

#[test]
fn the_core_and_the_rules_touch_nothing() {
    const WORLD: [&str; 9] = [
        "std::fs",
        "std::net",
        "std::io",
        "std::thread::",
        "std::time",
        "std::env",
        "std::process",
        "std::collections::Hash",
        "async fn",
    ];
    let pure = ["wit/src", "runtime/core/src", "components"].map(|folder| root().join(folder));
    let mut offences = Vec::new();
    for path in
        files(&[".rs"]).into_iter().filter(|path| pure.iter().any(|folder| path.starts_with(folder)) && !of_tests(path))
    {
        for (number, line) in read(&path).lines().enumerate() {
            if let Some(word) = WORLD.iter().find(|word| line.contains(**word)) {
                offences.push(format!("{}:{}: {word} in code that must be pure", path.display(), number + 1));
            }
        }
    }
    none(&offences);
}

#[test]
fn files_fit_a_head() {
    let sources = files(&[".rs", ".ts", ".tsx"]).into_iter().filter(|path| !of_tests(path));
    let offences = sources.filter_map(|path| {
        let lines = read(&path).lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines; split it by concept", path.display()))
    });
    none(&offences.collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not hold them.
    let words = [["TO", "DO"], ["FIX", "ME"], ["#[ign", "ore"]].map(|parts| parts.concat());
    let mut offences = Vec::new();
    for path in files(&[".rs", ".toml", ".wit", ".sh", ".ts", ".tsx"]) {
        for (number, line) in read(&path).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                offences.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    none(&offences);
}

#[test]
fn every_crate_says_what_it_owns() {
    let metadata = metadata();
    let mut offences = Vec::new();
    for target in metadata.workspace_packages().into_iter().flat_map(|package| &package.targets) {
        let of_interest = [TargetKind::Lib, TargetKind::CDyLib, TargetKind::RLib];
        if !target.kind.iter().any(|kind| of_interest.contains(kind)) {
            continue;
        }
        let lines = read(target.src_path.as_std_path()).lines().take_while(|line| line.starts_with("//!")).count();
        if !CRATE_DOC_LINES.contains(&lines) {
            offences.push(format!("{}: {lines} lines of module documentation at its head", target.src_path));
        }
    }
    none(&offences);
}

#[test]
fn the_top_holds_only_what_belongs_there() {
    let entries = std::fs::read_dir(root()).expect("the workspace can be read");
    let names = entries.map(|entry| entry.expect("can be read").file_name().to_string_lossy().into_owned());
    let names: BTreeSet<_> = names.filter(|name| name != ".git" && name != "target").collect();
    assert_eq!(names, TOP.iter().map(|name| (*name).to_owned()).collect());
}
