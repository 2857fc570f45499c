//! A Kafka of a test's own, to be killed.

use std::path::PathBuf;

use tempfile::TempDir;
use xtask::kafka::{Cluster, Options, install};
use xtask::workspace::Workspace;

/// Brokers in a folder that goes with them.
pub struct Brokers {
    /// To kill, terminate and restart.
    pub cluster: Cluster,
    folder: Folder,
}

/// Goes with the brokers, but not where a test fails: what they wrote says why.
struct Folder(TempDir);

impl Drop for Folder {
    #[allow(clippy::print_stderr, reason = "it is read by whoever reads the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("what the brokers wrote stays in {}", self.0.path().display());
        }
    }
}

impl Brokers {
    /// Starts one broker that tells clients to connect to `address`; it talks to itself on another port.
    ///
    /// # Panics
    /// Where Kafka cannot be had or does not start.
    #[must_use]
    pub fn behind(address: &str) -> Self {
        Self::with(|dir| Options { advertised: Some(address.to_owned()), ..Options::new(dir) })
    }

    /// Starts three brokers that keep three replicas of everything, as in production.
    ///
    /// # Panics
    /// As [`Brokers::behind`].
    #[must_use]
    pub fn three() -> Self {
        Self::with(|dir| Options { brokers: 3, ..Options::new(dir) })
    }

    /// Starts one broker that also serves with TLS, passwords and rights.
    ///
    /// # Panics
    /// As [`Brokers::behind`].
    #[must_use]
    pub fn secured() -> Self {
        Self::with(|dir| Options { secured: true, ..Options::new(dir) })
    }

    fn with(options: impl FnOnce(PathBuf) -> Options) -> Self {
        let workspace = Workspace::find().expect("the workspace can be read");
        let folder = tempfile::tempdir().expect("a folder can be made");
        let dir = folder.path().join("brokers");
        let jars = install(&workspace).expect("Kafka can be had");
        let cluster = Cluster::start(&jars, &options(dir)).expect("it starts");
        Self { cluster, folder: Folder(folder) }
    }

    /// Kills the first broker and starts it again.
    ///
    /// # Panics
    /// Where it does not come up again.
    pub fn kill(&mut self) {
        self.cluster.kill(0).expect("it can be killed");
        self.cluster.restart(0).expect("it comes back");
    }

    /// Ends the first broker in order and starts it again.
    ///
    /// # Panics
    /// Where it does not come up again.
    pub fn terminate(&mut self) {
        self.cluster.terminate(0).expect("it ends in order");
        self.cluster.restart(0).expect("it comes back");
    }

    /// Ends them for good.
    ///
    /// # Panics
    /// Where they withstand.
    pub fn remove(self) {
        self.cluster.remove().expect("they can be removed");
        drop(self.folder);
    }
}
