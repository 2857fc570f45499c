//! Building the WebAssembly components.
//!
//! Owns which packages are built with which flags, where the files go and how large a built-in rule may be. Does not load or run
//! them.

use crate::process::{print, run, say};
use crate::wasm::{Choice, Toolchain};
use crate::workspace::{Component, Workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A built-in rule may have this many bytes at most: it is shipped to every edge, over thin lines.
pub const BUILT_IN_BYTES_MAX: u64 = 300_000;

/// A component that was built.
pub struct Built {
    /// Which.
    pub component: Component,
    /// Its file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Builds every component, or the one of that name, into [`Workspace::components_dir`].
///
/// # Errors
/// Where no compiler can be had, one does not compile, or a built-in one is too large.
pub fn build(workspace: &Workspace, only: Option<&str>, choice: Choice) -> Result<Vec<Built>> {
    let chosen = choose(workspace.components(), only)?;
    let toolchain = Toolchain::provision(choice, &workspace.logs())?;
    say(&format!("building components with {}", toolchain.describe()));
    let folder = workspace.components_dir();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut built = Vec::new();
    for component in chosen {
        built.push(build_one(workspace, toolchain, component, &folder)?);
    }
    check_sizes(&built)?;
    if only.is_none() {
        forget_others(&folder, &built)?;
    }
    Ok(built)
}

/// Removes components that are no more: whoever takes the folder would load them.
fn forget_others(folder: &Path, built: &[Built]) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") && built.iter().all(|one| one.path != path) {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Prints name, size and path of each, one a line.
pub fn report(built: &[Built]) {
    for Built { component, path, bytes } in built {
        print(&format!("{:<28} {bytes:>9} bytes  {}", component.name(), path.display()));
    }
}

fn choose(all: Vec<Component>, only: Option<&str>) -> Result<Vec<Component>> {
    let Some(only) = only else { return Ok(all) };
    let names = all.iter().map(Component::name).collect::<Vec<_>>().join(", ");
    match all.into_iter().find(|component| component.name() == only || component.package == only) {
        Some(component) => Ok(vec![component]),
        None => bail!("no component is called {only}; there are: {names}"),
    }
}

/// Built by `cargo rustc` with the one crate type: cargo does no link-time optimisation for a library that is also an `rlib`. Told to strip here too:
/// cargo forgets the profile's `strip` for a package that has a profile of its own, and the names of functions are a tenth of such a component.
fn build_one(workspace: &Workspace, toolchain: Toolchain, component: Component, folder: &Path) -> Result<Built> {
    let target = workspace.target().join(toolchain.folder());
    let mut command = toolchain.cargo("rustc")?;
    command.current_dir(workspace.root()).arg("--target-dir").arg(&target);
    command.args(["--quiet", "--profile", "component", "--lib", "--crate-type", "cdylib", "--package"]);
    run(command.arg(&component.package).args(["--", "-C", "strip=symbols"]))?;
    let made = target.join(crate::wasm::TARGET).join("component").join(format!("{}.wasm", component.library));
    let (path, bytes) = put(&made, folder, component.name())?;
    Ok(Built { component, path, bytes })
}

/// Copies a component into a folder under its name, by rename: a reader never meets half a file.
pub(crate) fn put(from: &Path, folder: &Path, name: &str) -> Result<(PathBuf, u64)> {
    let path = folder.join(format!("{name}.wasm"));
    let part = folder.join(format!(".{name}.{}.part", std::process::id()));
    let bytes = std::fs::copy(from, &part).with_context(|| format!("cannot copy {}", from.display()))?;
    std::fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, bytes))
}

fn check_sizes(built: &[Built]) -> Result<()> {
    let large: Vec<_> = built
        .iter()
        .filter(|one| one.component.built_in && one.bytes >= BUILT_IN_BYTES_MAX)
        .map(|one| format!("{} has {} bytes", one.component.name(), one.bytes))
        .collect();
    if large.is_empty() {
        return Ok(());
    }
    bail!("{}: a built-in rule must stay under {BUILT_IN_BYTES_MAX} bytes", large.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{BUILT_IN_BYTES_MAX, Built, check_sizes, choose, forget_others};
    use crate::workspace::Component;
    use std::path::PathBuf;

    fn component(package: &str, built_in: bool) -> Component {
        Component { package: package.to_owned(), library: package.replace('-', "_"), built_in }
    }

    fn built(built_in: bool, bytes: u64) -> Built {
        Built { component: component("tillwatch-compensate", built_in), path: PathBuf::new(), bytes }
    }

    #[test]
    fn only_built_in_rules_have_a_size_limit() {
        assert!(check_sizes(&[built(true, BUILT_IN_BYTES_MAX - 1), built(false, BUILT_IN_BYTES_MAX * 40)]).is_ok());
        let error = check_sizes(&[built(true, BUILT_IN_BYTES_MAX)]).expect_err("at the limit is too large");
        assert!(error.to_string().contains("compensate has 300000 bytes"), "{error}");
    }

    #[test]
    fn components_that_are_no_more_go_and_everything_else_stays() {
        let folder = std::env::temp_dir().join(format!("xtask-components-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let files = ["compensate.wasm", "gone.wasm", "compensate.cwasm", "notes.txt"].map(|name| folder.join(name));
        files.iter().for_each(|file| std::fs::write(file, "x").expect("it can be written"));
        let kept = Built { path: files[0].clone(), ..built(true, 1) };
        forget_others(&folder, &[kept]).expect("they can be removed");
        assert_eq!(files.each_ref().map(|file| file.exists()), [true, false, true, true]);
        std::fs::remove_dir_all(&folder).expect("it can be removed");
    }

    #[test]
    fn one_is_chosen_by_its_short_or_its_whole_name() {
        let all = || vec![component("tillwatch-compensate", true), component("fixture-spin", false)];
        assert_eq!(choose(all(), None).expect("all of them").len(), 2);
        assert_eq!(choose(all(), Some("compensate")).expect("is there")[0].package, "tillwatch-compensate");
        assert_eq!(choose(all(), Some("fixture-spin")).expect("is there")[0].name(), "fixture-spin");
        let error = choose(all(), Some("compensat")).expect_err("there is none of that name");
        assert_eq!(error.to_string(), "no component is called compensat; there are: compensate, fixture-spin");
    }
}
