//! One machine without Kafka: events by HTTP into the embedded log, kill -9, SIGTERM, and every time the same set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tillwatch_core::log::RawRecord;
use tillwatch_embedded::Store;

use super::feed::{WINDOWS, feed, now, silent};
use super::process::{Member, tillwatch};
use super::verdict::{Outputs, assert_plenty, assert_same, export, found, lines, once, replayed};

/// Partitions of the input.
const PARTITIONS: i32 = 2;

/// Records of one read.
const READ_MAX: usize = 1_000;

/// Events of one request: nearly as they would come one by one, and not a sync of the disk for each.
const BATCH: usize = 20;

/// Ticks after which every partition has been silent for long enough: 5 s of both.
const TICKS: u64 = 50;

/// How often a condition is looked at, [`PAUSE`] apart, before the test says that it never came.
const LOOKS_MAX: usize = 600;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The bearer token of these tests.
const TOKEN: &str = "open sesame";

/// The terminals that fall silent at the end: enough for one in each partition.
const SILENT: [&str; 6] = ["SILENT0", "SILENT1", "SILENT2", "SILENT3", "SILENT4", "SILENT5"];

struct Machine {
    folder: TempDir,
    agent: ureq::Agent,
}

/// A process on the machine's log.
struct Running {
    member: Member,
    address: String,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("token"), TOKEN).expect("the token can be written");
        let text = format!(
            "[log]\nkind = \"embedded\"\nworkers = 2\n[embedded]\npath = \"{}\"\npartitions = {PARTITIONS}\n\
             [engine]\nlateness_ms = 200\ntick_every_ms = 200\n[output]\nmode = \"structured\"\nformat = \"json\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n{WINDOWS}",
            at("log"),
            at("token"),
        );
        std::fs::write(at("tillwatch.toml"), text).expect("the configuration can be written");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { folder, agent }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("tillwatch.toml")
    }

    /// Starts a process and waits until it says that it is ready.
    fn start(&self) -> Running {
        let mut command = tillwatch(["run", "--config"]);
        command.arg(self.config());
        let member = Member::start(command);
        let line = member.says("http listens");
        let (_, address) = line.split_once("127.0.0.1:").expect("it says where");
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        let running = Running { member, address: format!("http://127.0.0.1:{port}") };
        running.waits("it is ready", || self.get(&running, "/readyz").0 == 200);
        running
    }

    fn get(&self, running: &Running, path: &str) -> (u16, String) {
        let mut response = self.agent.get(format!("{}{path}", running.address)).call().expect("it answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }

    fn post(&self, running: &Running, token: &str, body: &str) -> (u16, String) {
        let request = self.agent.post(format!("{}/events", running.address));
        let request = request.header("authorization", format!("Bearer {token}"));
        let sent = request.header("content-type", "application/cloudevents-batch+json").send(body);
        let mut response = sent.expect("it answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }

    fn post_all(&self, running: &Running, events: &[String]) {
        let (status, text) = self.post(running, TOKEN, &format!("[{}]", events.join(",")));
        assert_eq!((status, text), (200, format!("{{\"taken\":{}}}\n", events.len())));
    }

    /// One of its counters.
    fn counter(&self, running: &Running, name: &str) -> u64 {
        let (status, text) = self.get(running, "/metrics");
        assert_eq!(status, 200);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a whole number")
    }

    /// What it has said so far, as it lies in the log; no process may run.
    fn said(&self) -> Outputs {
        let options = tillwatch_embedded::Options::new(PARTITIONS, Arc::new(now));
        let store = Store::open(&self.folder.path().join("log"), options).expect("nobody else has it open");
        let mut said = Vec::new();
        for topic in ["pos.findings", "pos.commands"] {
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

impl Running {
    fn waits(&self, what: &str, mut come: impl FnMut() -> bool) {
        for _ in 0..LOOKS_MAX {
            if come() {
                return;
            }
            self.member.lives(PAUSE);
        }
        panic!("{what}: it never came");
    }
}

#[test]
fn a_machine_that_is_killed_and_stopped_says_what_a_replay_of_its_export_says() {
    let machine = Machine::new();
    let mut running = machine.start();
    let feed = feed(3);
    let batches: Vec<_> = feed.chunks(BATCH).collect();
    let start = now();
    for (index, batch) in batches.iter().enumerate() {
        let last = batch.last().expect("a batch is not empty");
        if let Ok(wait @ 1..) = u64::try_from(start + last.after - now()) {
            running.member.lives(Duration::from_millis(wait));
        }
        let events: Vec<String> = batch.iter().map(|send| send.text(start)).collect();
        machine.post_all(&running, &events);
        if index == batches.len() / 3 {
            running.member.kill();
            running = machine.start();
            // Whoever sent does not know whether it was taken, and sends again.
            machine.post_all(&running, &events);
        } else if index == batches.len() * 2 / 3 {
            running.member.stop();
            running = machine.start();
        }
    }
    for terminal in SILENT {
        machine.post_all(&running, &silent(terminal, now()));
    }
    let ticks = machine.counter(&running, "tillwatch_ticks_total");
    running.waits("ticks of a silent log", || machine.counter(&running, "tillwatch_ticks_total") > ticks + TICKS);
    running.member.stop();

    let said = machine.said();
    let expected = replayed(&machine.config(), &export(&machine.config(), None));
    let reached = SILENT.map(|terminal| found(&said, terminal).unwrap_or_else(|| panic!("{terminal} was not found")));
    assert_same(&said, &expected, reached.into_iter().min().expect("there are terminals"));
    assert_plenty(&said);
}

#[test]
fn events_are_taken_with_the_token_alone_and_refused_whole() {
    let machine = Machine::new();
    let running = machine.start();
    assert_eq!(machine.get(&running, "/healthz"), (200, "ok\n".to_owned()));
    let events = silent("T1", now());
    let good = format!("[{}]", events.join(","));
    let (status, text) = machine.post(&running, "guess", &good);
    assert_eq!(status, 401, "{text}");
    let (status, text) = machine.post(&running, TOKEN, &format!("[{},{{\"id\":7}}]", events.join(",")));
    assert!(status == 400 && text.starts_with("event 2 of the batch: "), "{status} {text}");
    assert_eq!(machine.counter(&running, "tillwatch_ingest_events_total"), 0);
    assert_eq!(machine.post(&running, TOKEN, &good), (200, "{\"taken\":2}\n".to_owned()));
    assert_eq!(machine.counter(&running, "tillwatch_ingest_events_total"), 2);
    running.member.stop();
    let kept = lines(&export(&machine.config(), None)).filter(|line| line["type"] != "tillwatch.tick").count();
    assert_eq!(kept, 2, "what was refused is not in the log");
}
