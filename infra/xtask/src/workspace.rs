//! Where things are: the workspace as `cargo metadata` tells it, and the environment variables that this tool reads.
//!
//! Owns paths and the list of component packages. Builds nothing.

use anyhow::{Context, Result};
use cargo_metadata::{CrateType, Metadata, MetadataCommand, Package};
use std::path::PathBuf;

/// The workspace that this tool was built from.
pub struct Workspace {
    metadata: Metadata,
}

/// A package that is built into a WebAssembly component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The package's name, for cargo.
    pub package: String,
    /// The library target's name, which is that of the file cargo writes.
    pub library: String,
    /// Whether it is one of the product's own rules, which have a size limit, and not a guest of the tests.
    pub built_in: bool,
}

impl Component {
    /// The component's short name: the package's, without `tillwatch-`. Also the stem of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        self.package.strip_prefix("tillwatch-").unwrap_or(&self.package)
    }
}

impl Workspace {
    /// Asks cargo about the workspace of the package that runs (under `cargo run` and `cargo test`), else that holds this crate.
    ///
    /// # Errors
    /// Where cargo cannot be run or a manifest cannot be read.
    pub fn find() -> Result<Self> {
        let folder = env("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").to_owned());
        let metadata = MetadataCommand::new()
            .current_dir(&folder)
            .no_deps()
            .exec()
            .with_context(|| format!("cannot read the workspace around {folder}"))?;
        Ok(Self { metadata })
    }

    /// The folder of the workspace.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.metadata.workspace_root.clone().into()
    }

    /// Cargo's target directory, as `CARGO_TARGET_DIR` or the configuration has it.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.metadata.target_directory.clone().into()
    }

    /// Where built components are put, one `<name>.wasm` each.
    #[must_use]
    pub fn components_dir(&self) -> PathBuf {
        self.target().join("components")
    }

    /// Where the output of quiet steps is kept.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.target().join("xtask")
    }

    /// The release binary.
    #[must_use]
    pub fn binary(&self) -> PathBuf {
        self.target().join("release").join("tillwatch")
    }

    /// The names of all member packages.
    #[must_use]
    pub fn packages(&self) -> Vec<String> {
        self.metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect()
    }

    /// Every component of the workspace, by name: members under `components/` and `tests/fixtures/` with a `cdylib` crate type.
    #[must_use]
    pub fn components(&self) -> Vec<Component> {
        let mut found: Vec<_> =
            self.metadata.workspace_packages().into_iter().filter_map(|package| self.component(package)).collect();
        found.sort_by(|a, b| a.package.cmp(&b.package));
        found
    }

    fn component(&self, package: &Package) -> Option<Component> {
        let folder = package.manifest_path.strip_prefix(&self.metadata.workspace_root).ok()?;
        let built_in = folder.starts_with("components");
        if !built_in && !folder.starts_with("tests/fixtures") {
            return None;
        }
        let library = package.targets.iter().find(|target| target.crate_types.contains(&CrateType::CDyLib))?;
        Some(Component { package: package.name.to_string(), library: library.name.replace('-', "_"), built_in })
    }
}

/// Reads an environment variable; empty counts as absent.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place where the tool reads the environment")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether this is a CI run (`CI=true`), where nothing may be skipped.
#[must_use]
pub fn in_ci() -> bool {
    env("CI").is_some_and(|value| value != "false" && value != "0")
}
