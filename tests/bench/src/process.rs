//! Programs that a measurement runs beside itself: killed when dropped, their words in a file that is shown where they fail.
//!
//! Owns `tillwatch run` with its configuration and HTTP address ([`Member`]), and the Java programs of the peers ([`Peers`]).

use std::{
    fmt::Write as _,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    broker::Topics,
    engine::RULE,
    machine::{binary, now},
};
use anyhow::{Context as _, Result, bail};
use tillwatch::config::BUILT_IN;

/// How often a program is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// A running program.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to `log`.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error where it has ended, with its last words.
    ///
    /// # Errors
    /// See above.
    pub fn lives(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended by itself: {status}; {}", xtask::process::tail(&self.log)),
        }
    }

    /// SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// Where it withstands.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and gives its standard output.
///
/// # Errors
/// Where it does not end well; with what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// `tillwatch run` with a configuration of its own.
pub struct Member {
    config: PathBuf,
    log: PathBuf,
    address: String,
    agent: ureq::Agent,
    process: Option<Process>,
}

impl Member {
    /// Writes the configuration into `folder`: these lines, and an HTTP port that is free. Starts nothing yet.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn new(folder: &Path, config: &str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut text = config.to_owned();
        writeln!(text, "[http]\nlisten = \"127.0.0.1:{port}\"")?;
        writeln!(text, "[components]\ncache = \"{}\"", folder.join("cache").display())?;
        let path = folder.join("tillwatch.toml");
        std::fs::write(&path, text)?;
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ASK_MAX));
        Ok(Self {
            config: path,
            log: folder.join("tillwatch.log"),
            address: format!("http://127.0.0.1:{port}"),
            agent: config.build().into(),
            process: None,
        })
    }

    /// `tillwatch topics create` with its configuration, in which topics are named as [`topics`] does.
    ///
    /// # Errors
    /// What it says.
    pub fn create_topics(&self, brokers: &str, name: &str) -> Result<Topics> {
        run(Command::new(binary()).args(["topics", "create", "--config"]).arg(&self.config))?;
        Ok(Topics::of(brokers, TOPICS.map(|(_, topic)| format!("{name}.{topic}"))))
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(&mut self) -> Result<&mut Process> {
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(&self.config);
        Ok(self.process.insert(Process::start(command, self.log.clone())?))
    }

    /// kill -9.
    ///
    /// # Errors
    /// Where it withstands.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it has not been started.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it was started").id()
    }

    /// An error where it has ended.
    ///
    /// # Errors
    /// See above.
    pub fn lives(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::lives)
    }

    /// Waits until `/readyz` says that every partition is restored.
    ///
    /// # Errors
    /// Where it ends, or is not in time.
    pub fn ready(&mut self, wait: Duration) -> Result<()> {
        self.until("it is ready", wait, |member| member.get("/readyz").is_some_and(|(status, _)| status == 200))
    }

    /// Waits until a metric, over all its labels that contain `label`, has reached a value.
    ///
    /// # Errors
    /// Where it ends, or is not in time.
    pub fn reaches(&mut self, metric: &str, label: &str, value: u64, wait: Duration) -> Result<()> {
        self.until(metric, wait, |member| member.metric(metric, label).is_some_and(|now| now >= value))
    }

    /// The sum of a metric over all its labels that contain `label`; none where it does not answer.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> Option<u64> {
        let (_, text) = self.get("/metrics").filter(|(status, _)| *status == 200)?;
        let lines = text.lines().filter(|line| {
            let (found, labels) = line.split_once([' ', '{']).unwrap_or_default();
            found == name && labels.contains(label)
        });
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut response = self.agent.get(format!("{}{path}", self.address)).call().ok()?;
        Some((response.status().as_u16(), response.body_mut().read_to_string().ok()?))
    }

    fn until(&mut self, what: &str, wait: Duration, mut come: impl FnMut(&Self) -> bool) -> Result<()> {
        let began = now();
        while !come(self) {
            self.lives()?;
            if began.elapsed() > wait {
                bail!("{what}: not after {} s; {}", wait.as_secs(), xtask::process::tail(&self.log));
            }
            pause(ASK_EVERY);
        }
        Ok(())
    }
}

/// The topics of a deployment, by their key in the configuration.
const TOPICS: [(&str, &str); 9] = [
    ("events", "pos.events"),
    ("changelog", "changelog"),
    ("second_changelog", "changelog.second"),
    ("findings", "pos.findings"),
    ("commands", "pos.commands"),
    ("evidence", "pos.evidence"),
    ("incidents", "pos.incidents"),
    ("dead_letters", "pos.dead-letters"),
    ("shadow", "pos.shadow"),
];

/// The section of a configuration that gives a deployment topics of its own, `name` before each.
#[must_use]
pub fn topics(name: &str) -> String {
    let lines = TOPICS.map(|(key, topic)| format!("{key} = \"{name}.{topic}\"\n"));
    format!("[topics]\n{}", lines.concat())
}

/// The sections of a configuration that have every other built-in rule run beside [`RULE`], or none.
#[must_use]
pub fn others(run: bool) -> String {
    let others = BUILT_IN.iter().filter(|rule| **rule != RULE);
    others.map(|rule| format!("[rules.{rule}]\nenabled = {run}\n")).collect()
}

/// One request to a member takes no longer.
const ASK_MAX: Duration = Duration::from_secs(10);

/// Lets a moment pass before a program is asked again.
#[allow(clippy::disallowed_methods, reason = "another program's progress can only be asked for again and again")]
pub fn pause(wait: Duration) {
    std::thread::sleep(wait);
}

/// The Java programs, as `cargo xtask bench` has compiled them.
#[derive(Clone, Debug)]
pub struct Peers {
    folder: PathBuf,
}

impl Peers {
    /// In `target/bench`.
    ///
    /// # Errors
    /// Where they are not there.
    pub fn find() -> Result<Self> {
        let folder = xtask::workspace::Workspace::find()?.target().join("bench");
        if !folder.join("flink/classes").exists() || !folder.join("streams/classes").exists() {
            bail!("the Java programs are not in {}: `cargo xtask bench` compiles them", folder.display());
        }
        Ok(Self { folder })
    }

    /// A Java program of `flink` or `streams`.
    #[must_use]
    pub fn java(&self, peer: &str, class: &str) -> Command {
        let folder = self.folder.join(peer);
        let mut command = Command::new("java");
        command.args(java_options());
        command.arg("-cp").arg(format!("{}:{}", folder.join("classes").display(), folder.join("lib/*").display()));
        command.arg(format!("tillwatch.bench.{class}"));
        command
    }
}

/// What every Java program gets: memory enough, and what Flink's start scripts open of Java.
fn java_options() -> [&'static str; 5] {
    [
        "-Xmx2g",
        "--add-opens=java.base/java.util=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--add-opens=java.base/java.time=ALL-UNNAMED",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    ]
}
