//! The jars of Apache Kafka, as `infra/kafka/pom.xml` names them.

use crate::jars;
use crate::system::provision_kafka;
use crate::workspace::Workspace;
use anyhow::Result;
use std::path::PathBuf;

/// Makes sure that Java, Maven and the jars are there, and returns the jars' folder.
///
/// # Errors
/// Where one of them is not there and cannot be had.
pub fn install(workspace: &Workspace) -> Result<PathBuf> {
    provision_kafka(&workspace.logs())?;
    let folder = workspace.target().join("kafka").join("lib");
    jars::fetch(workspace, &workspace.root().join("infra/kafka/pom.xml"), &folder, "Apache Kafka")?;
    Ok(folder)
}
