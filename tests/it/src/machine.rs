//! Where a test finds the workspace, what was built from it, and a Kafka.
//!
//! `cargo xtask test` tells all of it by environment variables. Without them, what `cargo xtask build` made is taken from beside the
//! test's own program. Something that is not there fails the test and says what to run: a test that cannot run must not look as if
//! it had passed.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let folder = variable("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").to_owned());
    let lock = |folder: &&Path| folder.join("Cargo.lock").is_file();
    Path::new(&folder).ancestors().find(lock).expect("a folder above this package has the Cargo.lock").to_owned()
}

/// The folder of the built components, `<name>.wasm` each.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn components() -> PathBuf {
    there(variable("TILLWATCH_COMPONENTS").map_or_else(|| profile().join("../components"), PathBuf::from), "components")
}

/// The binary `tillwatch`.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn binary() -> PathBuf {
    there(variable("TILLWATCH_BIN").map_or_else(|| profile().join("tillwatch"), PathBuf::from), "build")
}

/// The bootstrap servers of a Kafka. A test that asks for it has `on_kafka` in its name, so that it can be left out by name where
/// there is none.
///
/// # Panics
/// Where none is named.
#[must_use]
pub fn kafka() -> String {
    variable("TILLWATCH_KAFKA").expect(
        "TILLWATCH_KAFKA=host:port is not set: run `cargo xtask test`, which starts a broker, or `cargo xtask kafka start` and \
         name the address that it prints",
    )
}

/// `target/release`: test programs are in `deps` below it.
fn profile() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    program.ancestors().nth(2).expect("a test program is two folders deep").to_owned()
}

fn there(path: PathBuf, task: &str) -> PathBuf {
    assert!(path.exists(), "{} is not there: run `cargo xtask {task}`", path.display());
    path
}

#[allow(clippy::disallowed_methods, reason = "the one place where the tests read the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
