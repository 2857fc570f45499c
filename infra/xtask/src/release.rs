//! The product as it is run from a checkout.
//!
//! Owns the release build of the binary and the folder beside it in which the binary finds its built-in components, whatever the
//! working directory. How it looks for them is the binary's own business.

use crate::components;
use crate::process::{run, say};
use crate::wasm::Choice;
use crate::workspace::{Workspace, env};
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Builds the binary and the components, and puts the built-in ones where the binary finds them.
///
/// # Errors
/// Where something does not compile or a file cannot be put in place.
pub fn build(workspace: &Workspace) -> Result<()> {
    build_with(workspace, &["--package", "tillwatch"])
}

/// The same with everything else in the workspace, tests too: one set of features for the binary and for its tests.
///
/// # Errors
/// As [`build`].
pub fn build_all(workspace: &Workspace) -> Result<()> {
    build_with(workspace, &["--workspace", "--all-targets"])
}

/// The binary and every other program of the workspace, without the tests: with examples among them cargo takes the features that it takes for
/// tests, and builds no dependency a second time.
///
/// # Errors
/// As [`build`].
pub fn build_programs(workspace: &Workspace) -> Result<()> {
    build_with(workspace, &["--workspace", "--bins", "--examples"])
}

/// Builds, then becomes `tillwatch demo` with these arguments.
///
/// # Errors
/// Where the build fails or the binary cannot be started; else this does not return.
pub fn demo(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    build(workspace)?;
    let error = Command::new(workspace.binary()).arg("demo").args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", workspace.binary().display()))
}

/// A cargo command at the root of the workspace.
#[must_use]
pub fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = Command::new(env("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    command.current_dir(workspace.root()).args([subcommand, "--release"]);
    command
}

fn build_with(workspace: &Workspace, what: &[&str]) -> Result<()> {
    let built = components::build(workspace, None, Choice::Auto)?;
    run(cargo(workspace, "build").args(what))?;
    strip(&workspace.binary())?;
    let folder = workspace.target().join("release").join("components");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for one in built.iter().filter(|one| one.component.built_in) {
        components::put(&one.path, &folder, one.component.name())?;
    }
    say(&format!("built {} with its components in {}", workspace.binary().display(), folder.display()));
    Ok(())
}

/// Takes the line tables out of the binary. Panics still name file and line, and the names of functions stay for backtraces; cargo's
/// own copy in `deps` keeps everything.
fn strip(binary: &Path) -> Result<()> {
    let part = binary.with_extension("part");
    run(Command::new("strip").arg("-S").arg("-o").arg(&part).arg(binary))?;
    std::fs::rename(&part, binary).with_context(|| format!("cannot write {}", binary.display()))
}
