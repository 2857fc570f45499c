//! The jars of Apache Kafka, fetched by Maven as `infra/kafka/pom.xml` says.
//!
//! Owns the folder that they are in. Fetches again only when that file has changed.

use crate::process::{quietly, say};
use crate::system::provision_kafka;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Some 45 files, 40 MB.
const FETCH_TIME_MAX: Duration = Duration::from_mins(10);

/// Makes sure that Java, Maven and the jars are there, and returns the jars' folder.
///
/// # Errors
/// Where one of them is not there and cannot be had.
pub fn install(workspace: &Workspace) -> Result<PathBuf> {
    provision_kafka(&workspace.logs())?;
    let pom = workspace.root().join("infra/kafka/pom.xml");
    let wanted = std::fs::read_to_string(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let folder = workspace.target().join("kafka").join("lib");
    let fetched = folder.join("fetched-by-pom.xml");
    if std::fs::read_to_string(&fetched).is_ok_and(|text| text == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new("mvn");
    command.args(["--batch-mode", "--quiet", "--file"]).arg(&pom).arg("dependency:copy-dependencies");
    command.arg(format!("-DoutputDirectory={}", folder.display()));
    let log = workspace.logs().join("maven.log");
    let label = "fetching Apache Kafka by Maven";
    if let Err(error) = quietly(label, &mut command, &log, FETCH_TIME_MAX) {
        say(&format!("trying once more, what came is kept: {error}"));
        quietly(label, &mut command, &log, FETCH_TIME_MAX).context("Maven's repository must be reachable")?;
    }
    std::fs::write(&fetched, wanted).with_context(|| format!("cannot write {}", fetched.display()))?;
    Ok(folder)
}
