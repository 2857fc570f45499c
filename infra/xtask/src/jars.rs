//! Jars, fetched by Maven as a `pom.xml` of the workspace says.
//!
//! Owns the folder that they are in. Fetches again only when that file has changed.

use crate::process::{quietly, say};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Some 50 files, 100 MB at most.
const FETCH_TIME_MAX: Duration = Duration::from_mins(10);

/// Makes sure that what `pom` names, with all it depends on, is in `folder`. Maven must be there.
///
/// # Errors
/// Where it cannot be had.
pub fn fetch(workspace: &Workspace, pom: &Path, folder: &Path, what: &str) -> Result<()> {
    let wanted = std::fs::read_to_string(pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let fetched = folder.join("fetched-by-pom.xml");
    if std::fs::read_to_string(&fetched).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new("mvn");
    command.args(["--batch-mode", "--quiet", "--file"]).arg(pom).arg("dependency:copy-dependencies");
    command.arg(format!("-DoutputDirectory={}", folder.display()));
    let log = workspace.logs().join("maven.log");
    let label = format!("fetching {what} by Maven");
    if let Err(error) = quietly(&label, &mut command, &log, FETCH_TIME_MAX) {
        say(&format!("trying once more, what came is kept: {error}"));
        quietly(&label, &mut command, &log, FETCH_TIME_MAX).context("Maven's repository must be reachable")?;
    }
    std::fs::write(&fetched, wanted).with_context(|| format!("cannot write {}", fetched.display()))
}
