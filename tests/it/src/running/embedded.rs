//! One machine without Kafka: a folder with an embedded log, a process on it, events by HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tillwatch_core::log::RawRecord;
use tillwatch_embedded::Store;

use super::feed::{WINDOWS, now, silent};
use super::process::{Member, tillwatch};
use super::verdict::{Outputs, assert_same, export, found, once, replayed};

/// Partitions of the input.
const PARTITIONS: i32 = 2;

/// Records of one read.
const READ_MAX: usize = 1_000;

/// Ticks after which every partition has been silent for long enough: 5 s of both.
const TICKS: u64 = 50;

/// How often a condition is looked at, [`PAUSE`] apart, before the test says that it never came.
const LOOKS_MAX: usize = 600;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The bearer token.
pub const TOKEN: &str = "open sesame";

/// The terminals that fall silent at the end: enough for one in each partition.
const SILENT: [&str; 6] = ["SILENT0", "SILENT1", "SILENT2", "SILENT3", "SILENT4", "SILENT5"];

/// A folder with a configuration and a log.
pub struct Machine {
    folder: TempDir,
    log: PathBuf,
    agent: ureq::Agent,
}

/// A process on the machine's log.
pub struct Running {
    /// The process.
    pub member: Member,
    address: String,
}

impl Machine {
    /// A folder of its own with the log in it.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let log = folder.path().join("log");
        Self::at(folder, log)
    }

    /// The log is in another place than the rest.
    #[must_use]
    pub fn on(log: &Path) -> Self {
        Self::at(tempfile::tempdir().expect("a folder can be made"), log.to_owned())
    }

    fn at(folder: TempDir, log: PathBuf) -> Self {
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("token"), TOKEN).expect("the token can be written");
        let text = format!(
            "[log]\nkind = \"embedded\"\nworkers = 2\n[embedded]\npath = \"{}\"\npartitions = {PARTITIONS}\n\
             [engine]\nlateness_ms = 200\ntick_every_ms = 200\n[output]\nmode = \"structured\"\nformat = \"json\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n{WINDOWS}",
            log.display(),
            at("token"),
        );
        std::fs::write(at("tillwatch.toml"), text).expect("the configuration can be written");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { folder, log, agent }
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("tillwatch.toml")
    }

    /// Starts a process.
    #[must_use]
    pub fn launch(&self) -> Member {
        let mut command = tillwatch(["run", "--config"]);
        command.arg(self.config());
        Member::start(command)
    }

    /// Starts a process and waits until it says that it is ready.
    #[must_use]
    pub fn start(&self) -> Running {
        let member = self.launch();
        let line = member.says("http listens");
        let (_, address) = line.split_once("127.0.0.1:").expect("it says where");
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        let running = Running { member, address: format!("http://127.0.0.1:{port}") };
        running.waits("it is ready", || self.get(&running, "/readyz").0 == 200);
        running
    }

    /// What GET answers: status and text.
    #[must_use]
    pub fn get(&self, running: &Running, path: &str) -> (u16, String) {
        let mut response = self.agent.get(format!("{}{path}", running.address)).call().expect("it answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }

    /// What POST /events answers to this body: status and text.
    #[must_use]
    pub fn post(&self, running: &Running, token: &str, body: &str) -> (u16, String) {
        let request = self.agent.post(format!("{}/events", running.address));
        let request = request.header("authorization", format!("Bearer {token}"));
        let sent = request.header("content-type", "application/cloudevents-batch+json").send(body);
        let mut response = sent.expect("it answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }

    /// Posts events that must all be taken.
    pub fn post_all(&self, running: &Running, events: &[String]) {
        let (status, text) = self.post(running, TOKEN, &format!("[{}]", events.join(",")));
        assert_eq!((status, text), (200, format!("{{\"taken\":{}}}\n", events.len())));
    }

    /// One of its counters.
    #[must_use]
    pub fn counter(&self, running: &Running, name: &str) -> u64 {
        let (status, text) = self.get(running, "/metrics");
        assert_eq!(status, 200);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a whole number")
    }

    /// The last payments: approved, and then nothing ever comes. Ends the process when every partition has been silent for long enough, and
    /// holds what was said against what the log's export replays to.
    #[must_use]
    pub fn judge(&self, running: Running) -> Outputs {
        for terminal in SILENT {
            self.post_all(&running, &silent(terminal, now()));
        }
        let ticks = self.counter(&running, "tillwatch_ticks_total");
        running.waits("ticks of a silent log", || self.counter(&running, "tillwatch_ticks_total") > ticks + TICKS);
        running.member.stop();
        let said = self.said();
        let expected = replayed(&self.config(), &export(&self.config(), None));
        let reached =
            SILENT.map(|terminal| found(said.values(), terminal).unwrap_or_else(|| panic!("{terminal} was not found")));
        assert_same(&said, &expected, reached.into_iter().min().expect("there are terminals"));
        said
    }

    /// What it has said so far, as it lies in the log; no process may run.
    #[must_use]
    pub fn said(&self) -> Outputs {
        let options = tillwatch_embedded::Options::new(PARTITIONS, Arc::new(now));
        let store = Store::open(&self.log, options).expect("nobody else has it open");
        let mut said = Vec::new();
        for topic in ["pos.findings", "pos.commands", "pos.incidents"] {
            let end = store.end_offset(topic, 0).expect("the log can be read");
            let mut next = 0;
            while next < end {
                let keep = &mut |raw: RawRecord<'_>| {
                    said.push(serde_json::from_slice(raw.value.expect("an output has a payload")).expect("JSON"));
                };
                next = store.read(topic, 0, next, READ_MAX, keep).expect("the log can be read");
            }
        }
        once(said)
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Running {
    /// Looks until it has come; the process must live.
    pub fn waits(&self, what: &str, mut come: impl FnMut() -> bool) {
        for _ in 0..LOOKS_MAX {
            if come() {
                return;
            }
            self.member.lives(PAUSE);
        }
        panic!("{what}: it never came");
    }
}
