//! A real Apache Kafka on this machine, for tests and for trying things: KRaft, plain Java, no container engine.
//!
//! Owns the brokers' processes and folders: start, kill, restart, stop, and whether each answers. Every node is broker and
//! controller, listens on the loopback only, and keeps its log beside its data. Knows nothing of topics or of Tillwatch.

mod config;
mod install;
mod probe;
mod secured;

pub use config::{Node, Options};
pub use install::install;
pub use secured::{Access, GUEST, USER};

use crate::process::{Spinner, now, output, pause, say, succeeds, tail};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker that does not answer after this has not come up.
const READY_TIME_MAX: Duration = Duration::from_secs(120);

/// A broker that still runs this long after SIGTERM is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// Formatting a node's storage takes two seconds; one that takes this long hangs.
const FORMAT_TIME_MAX: Duration = Duration::from_secs(60);

/// Brokers that this process has started. Dropped, they are killed and their folder stays; see [`Cluster::detach`] and
/// [`Cluster::remove`].
pub struct Cluster {
    dir: PathBuf,
    jars: PathBuf,
    nodes: Vec<Node>,
    processes: Vec<Option<Child>>,
    detached: bool,
}

impl Cluster {
    /// Starts new, empty brokers and returns when each says that all are there. What ran in the same folder before is killed and
    /// removed.
    ///
    /// # Errors
    /// Where a broker does not come up: its name and the end of its log.
    pub fn start(jars: &Path, options: &Options) -> Result<Self> {
        stop(&options.dir)?;
        if options.dir.exists() {
            std::fs::remove_dir_all(&options.dir).with_context(|| format!("cannot empty {}", options.dir.display()))?;
        }
        let nodes = config::nodes(options)?;
        let processes = nodes.iter().map(|_| None).collect();
        let mut cluster =
            Self { dir: options.dir.clone(), jars: jars.to_owned(), nodes, processes, detached: options.detached };
        let spinner = Spinner::start(&format!("starting Apache Kafka, brokers: {}", options.brokers));
        if options.secured {
            secured::prepare(&cluster.dir)?;
        }
        cluster.format(options)?;
        for index in 0..cluster.nodes.len() {
            cluster.spawn(index)?;
        }
        for index in 0..cluster.nodes.len() {
            cluster.wait_until_ready(index)?;
        }
        if options.secured {
            secured::allow(cluster.nodes[0].port)?;
        }
        drop(spinner);
        Ok(cluster)
    }

    /// The brokers' addresses, `host:port` with commas between, for a client's `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// What a client needs that comes with TLS and a password; none where the brokers do not want it.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        let addresses: Option<Vec<String>> = self.nodes.iter().map(Node::secure_address).collect();
        addresses.map(|addresses| Access::of(&self.dir, addresses.join(",")))
    }

    /// Ends a broker as a power cut would: SIGKILL. The first has index 0.
    ///
    /// # Errors
    /// Where the process cannot be killed.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        let Some(mut process) = self.processes[index].take() else { return Ok(()) };
        process.kill().and_then(|()| process.wait()).context("cannot kill a broker")?;
        Ok(())
    }

    /// Ends a broker in order: SIGTERM, and SIGKILL where it does not end within [`STOP_TIME_MAX`].
    ///
    /// # Errors
    /// Where the process can be neither ended nor killed.
    pub fn terminate(&mut self, index: usize) -> Result<()> {
        let Some(process) = &mut self.processes[index] else { return Ok(()) };
        signal("TERM", process.id());
        let began = now();
        while process.try_wait()?.is_none() {
            if began.elapsed() > STOP_TIME_MAX {
                return self.kill(index);
            }
            pause();
        }
        self.processes[index] = None;
        Ok(())
    }

    /// Starts a broker that was killed or terminated, on its old port with its old data, and waits until it serves.
    ///
    /// # Errors
    /// Where it runs already or does not come up.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        if self.processes[index].is_some() {
            bail!("{} runs already", self.nodes[index].name());
        }
        self.spawn(index)?;
        self.wait_until_ready(index)
    }

    /// Lets the brokers run on after this process; [`stop`] ends them.
    pub fn detach(mut self) {
        self.processes.clear();
    }

    /// Waits until a broker ends by itself or by a signal, then ends the others.
    ///
    /// # Errors
    /// Where a process cannot be waited for.
    pub fn wait(mut self) -> Result<()> {
        loop {
            for process in self.processes.iter_mut().flatten() {
                if process.try_wait()?.is_some() {
                    return (0..self.nodes.len()).try_for_each(|index| self.terminate(index));
                }
            }
            pause();
        }
    }

    /// Kills the brokers and removes their folder.
    ///
    /// # Errors
    /// Where a process or the folder withstands.
    pub fn remove(mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            self.kill(index)?;
        }
        std::fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn format(&self, options: &Options) -> Result<()> {
        let cluster = config::cluster_id();
        let mut running = Vec::new();
        for node in &self.nodes {
            let folder = node.folder(&self.dir);
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let file = folder.join("server.properties");
            let text = config::properties(node, &self.nodes, options);
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            let log = folder.join("format.log");
            let mut command = self.java(&log)?;
            command.args(["kafka.tools.StorageTool", "format", "-t", &cluster, "-c"]).arg(&file);
            if options.secured {
                command.args(secured::users());
            }
            running.push((command.spawn().context("cannot start java")?, log));
        }
        let began = now();
        for (mut process, log) in running {
            while process.try_wait()?.is_none() && began.elapsed() < FORMAT_TIME_MAX {
                pause();
            }
            if !process.try_wait()?.is_some_and(|status| status.success()) {
                process.kill().context("cannot kill the formatting of a node")?;
                bail!("Kafka could not format its storage\n{}", tail(&log));
            }
        }
        Ok(())
    }

    fn spawn(&mut self, index: usize) -> Result<()> {
        let folder = self.nodes[index].folder(&self.dir);
        let mut command = self.java(&folder.join("server.log"))?;
        command.arg("kafka.Kafka").arg(folder.join("server.properties"));
        if self.detached {
            command.process_group(0);
        }
        let process = command.spawn().context("cannot start java")?;
        std::fs::write(folder.join("pid"), process.id().to_string())?;
        self.processes[index] = Some(process);
        Ok(())
    }

    fn java(&self, log: &Path) -> Result<Command> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("java");
        command.args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true"]);
        command.args(["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp"]).arg(self.jars.join("*"));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(command)
    }

    /// A broker is ready when it lists every broker that runs, itself too: a fenced one is not listed.
    fn wait_until_ready(&mut self, index: usize) -> Result<()> {
        let running: Vec<_> = self.nodes.iter().zip(&self.processes).filter(|(_, process)| process.is_some()).collect();
        let ids: Vec<_> = running.iter().map(|(node, _)| i32::from(node.id)).collect();
        let began = now();
        loop {
            let node = &self.nodes[index];
            let log = node.folder(&self.dir).join("server.log");
            let process = self.processes[index].as_mut().expect("invariant: only a started broker is waited for");
            if let Some(status) = process.try_wait()? {
                self.processes[index] = None;
                bail!("Kafka's {} ended while starting: {status}\n{}", self.nodes[index].name(), tail(&log));
            }
            if probe::brokers(node.port).is_ok_and(|listed| ids.iter().all(|id| listed.contains(id))) {
                return Ok(());
            }
            if began.elapsed() > READY_TIME_MAX {
                bail!("Kafka's {} does not answer after {} s\n{}", node.name(), READY_TIME_MAX.as_secs(), tail(&log));
            }
            pause();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.processes.len() {
            if let Err(error) = self.kill(index) {
                say(&format!("a broker of {} may still run: {error:#}", self.dir.display()));
            }
        }
    }
}

/// Ends the brokers that were started in this folder, by whichever process. Returns how many ran.
///
/// # Errors
/// Where the folder cannot be read.
pub fn stop(dir: &Path) -> Result<usize> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(0) };
    let mut pids = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        let Ok(text) = std::fs::read_to_string(folder.join("pid")) else { continue };
        let pid = text.parse().with_context(|| format!("{} holds no process id", folder.join("pid").display()))?;
        if is_broker_of(pid, &folder) {
            signal("TERM", pid);
            pids.push((pid, folder));
        }
    }
    let began = now();
    for (pid, folder) in &pids {
        while is_broker_of(*pid, folder) {
            if began.elapsed() > STOP_TIME_MAX {
                signal("KILL", *pid);
            }
            pause();
        }
    }
    Ok(pids.len())
}

/// The pid may have gone to another program since: only one whose command line names the folder is a broker of it.
fn is_broker_of(pid: u32, folder: &Path) -> bool {
    let folder = folder.to_string_lossy();
    let line = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => output(Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()])).unwrap_or_default(),
    };
    line.contains(folder.as_ref())
}

fn signal(name: &str, pid: u32) {
    // A process that has ended meanwhile is what is wanted.
    let _ended_already = !succeeds(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]));
}
