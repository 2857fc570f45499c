//! A deployment on a Kafka, with topics of its own, as its operators and its readers see it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;
use tillwatch_core::stage::WATERMARK;

use super::feed::{Send, WINDOWS, instant, now, silent};
use super::process::{Member, run, tillwatch};
use super::verdict::{COMPARED, Outputs, PLACE, assert_same, export, found, lines, once, replayed};
use crate::machine::kafka;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 3;

/// Lets no outage make a feed blind. Each partition has a finding of its own for that, and a replay of them all together has one partition:
/// where brokers or members are away for long, what they say of it cannot be compared.
/// For the same reason no partition of the first stage is left out of the second.
pub const SIGHTED: &str = "[feed]\nunreachable_ms_max = 600000\nlag_ms_max = 600000\n[stages]\nidle_ms_max = 3600000\n";

/// How often a reader polls, [`POLL`] each, before a test says that nothing came.
const POLLS_MAX: usize = 900;

/// The longest that one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// What a reader hears of a broker that is away.
const AWAY: [RDKafkaErrorCode; 3] =
    [RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::OperationTimedOut];

/// The brokers have acknowledged everything by then.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// A deployment: a folder with its configuration, topics of its own, and what sends to it and reads from it.
pub struct Deployment {
    folder: TempDir,
    name: String,
    brokers: String,
    /// How many brokers keep each record, and how many must have it before it counts.
    replicas: (u16, u16),
    /// Lines of the configuration's `[kafka]`: how its members reach the brokers.
    access: String,
    producer: BaseProducer,
    reader: BaseConsumer,
}

impl Deployment {
    /// Names of its own on the broker that all tests share; no topics yet.
    #[must_use]
    pub fn named(test: &str) -> Self {
        Self::at(&kafka(), test)
    }

    /// Names of its own on these brokers; no topics yet.
    #[must_use]
    pub fn at(brokers: &str, test: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let unique = folder.path().file_name().expect("it has a name").to_string_lossy();
        let name = format!("{test}-{}", unique.trim_start_matches('.'));
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("linger.ms", "1");
        let producer = client.create().expect("a producer can be made");
        let reader = consumer(brokers, &format!("{name}-reader"));
        let access = format!("brokers = [\"{}\"]", brokers.replace(',', "\", \""));
        let deployment = Self { folder, name, brokers: brokers.to_owned(), replicas: (1, 1), access, producer, reader };
        deployment.configure(WINDOWS);
        deployment
    }

    /// Its records are kept by three brokers, as in production; to be configured.
    #[must_use]
    pub fn replicated(self) -> Self {
        Self { replicas: (3, 2), ..self }
    }

    /// On the broker that all tests share, with topics.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let deployment = Self::named(test);
        deployment.create();
        deployment.read();
        deployment
    }

    /// Makes its topics, as an operator makes them.
    pub fn create(&self) {
        let mut command = tillwatch(["topics", "create", "--config"]);
        command.arg(self.config());
        let ended = run(command, b"");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.text().lines().count(), 9, "{}", ended.text());
    }

    /// Writes the configuration, with these lines at its end: [`WINDOWS`] where a feed is played, nothing for windows as they are.
    pub fn configure(&self, more: &str) {
        let (name, (replicas, in_sync)) = (&self.name, self.replicas);
        let text = format!(
            "[log]\nkind = \"kafka\"\nworkers = 1\n\
             [kafka]\n{}\ngroup = \"{name}\"\npartitions = {PARTITIONS}\nreplication = {replicas}\nmin_insync = {in_sync}\nsession_ms = 6000\n\
             [topics]\nevents = \"{name}.pos.events\"\nchangelog = \"{name}.changelog\"\n\
             second_changelog = \"{name}.changelog.second\"\nfindings = \"{name}.pos.findings\"\n\
             commands = \"{name}.pos.commands\"\nevidence = \"{name}.pos.evidence\"\nincidents = \"{name}.pos.incidents\"\n\
             dead_letters = \"{name}.pos.dead-letters\"\nshadow = \"{name}.pos.shadow\"\n\
             [engine]\nlateness_ms = 200\ntick_every_ms = 200\n\
             [output]\nmode = \"structured\"\nformat = \"json\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{more}",
            self.access
        );
        std::fs::write(self.config(), text).expect("the configuration can be written");
    }

    /// Lets its members reach the brokers by these lines of `[kafka]`, and writes the configuration; who sends and reads here goes on as before.
    pub fn access(&mut self, lines: &str, more: &str) {
        lines.clone_into(&mut self.access);
        self.configure(more);
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("tillwatch.toml")
    }

    /// Its name: the group's, and the beginning of every topic's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole name of one of its topics.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Makes one of its topics, as somebody else might.
    pub fn make(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("a client can be made");
        let topic = self.topic(name);
        let topics = [NewTopic::new(&topic, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new().operation_timeout(Some(FLUSH_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        let made = runtime.block_on(admin.create_topics(&topics, &options)).expect("the broker answers");
        made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
    }

    /// Starts a member of the group under its own name.
    #[must_use]
    pub fn member(&self, instance: &str) -> Member {
        self.member_with(instance, &[])
    }

    /// As [`Deployment::member`], with these variables in its environment.
    #[must_use]
    pub fn member_with(&self, instance: &str, environment: &[(&str, &str)]) -> Member {
        let mut command = tillwatch(["run", "--config"]);
        command.arg(self.config()).env("TILLWATCH_KAFKA__INSTANCE", instance).envs(environment.iter().copied());
        Member::start(command)
    }

    /// How many records the input has, over all partitions.
    ///
    /// # Panics
    /// Where the broker does not answer.
    #[must_use]
    pub fn records(&self) -> i64 {
        let topic = self.topic("pos.events");
        let end = |partition| self.reader.fetch_watermarks(&topic, partition, FLUSH_MAX).expect("the broker answers").1;
        (0..PARTITIONS).map(end).sum()
    }

    /// Sends a record; to the partition of its key where none is given.
    pub fn send(&self, partition: Option<i32>, key: &str, value: Option<&[u8]>) {
        let topic = self.topic("pos.events");
        let header = rdkafka::message::Header { key: "content-type", value: Some("application/cloudevents+json") };
        let headers = rdkafka::message::OwnedHeaders::new().insert(header);
        let mut record = BaseRecord::<str, [u8]>::to(&topic).key(key).headers(headers);
        record.partition = partition;
        record.payload = value;
        self.producer.send(record).unwrap_or_else(|(error, _)| panic!("{error}"));
    }

    /// Writes a record into its changelog that Tillwatch has not written.
    pub fn spoil(&self, partition: i32, key: &[u8], value: &[u8]) {
        let topic = self.topic("changelog");
        let record = BaseRecord::<[u8], [u8]>::to(&topic).partition(partition).key(key).payload(value);
        self.producer.send(record).unwrap_or_else(|(error, _)| panic!("{error}"));
        self.flush();
    }

    /// Sends each event of the feed at its time, and between them sees what comes out; `each` is asked after every one.
    pub fn play(&self, feed: &[Send], said: &mut Vec<Value>, mut each: impl FnMut(usize)) {
        let start = now();
        for (index, send) in feed.iter().enumerate() {
            while let Ok(wait @ 1..) = u64::try_from(start + send.after - now()) {
                self.poll(Duration::from_millis(wait).min(POLL), said);
            }
            self.send(None, &send.key, Some(send.text(start).as_bytes()));
            each(index);
        }
        self.flush();
    }

    /// Waits until everything that was sent is acknowledged.
    pub fn flush(&self) {
        self.producer.flush(FLUSH_MAX).expect("every record is acknowledged");
    }

    /// How many records its input holds; none while the brokers do not answer.
    #[must_use]
    pub fn inputs(&self) -> Option<i64> {
        let topic = self.topic("pos.events");
        (0..PARTITIONS)
            .map(|partition| self.reader.fetch_watermarks(&topic, partition, POLL).ok().map(|(begin, end)| end - begin))
            .sum()
    }

    /// The last payment of every partition: approved, and then nothing ever comes. Waits until each was found although nothing else is sent,
    /// and so until every partition has come past everything that was sent before.
    pub fn fall_silent(&self, said: &mut Vec<Value>) {
        let terminals: Vec<String> = (0..PARTITIONS).map(|partition| format!("SILENT{partition}")).collect();
        for (partition, terminal) in (0..).zip(&terminals) {
            for event in silent(terminal, now()) {
                self.send(Some(partition), terminal, Some(event.as_bytes()));
            }
        }
        self.flush();
        self.until("the finding of silence in every partition", said, |said| {
            terminals.iter().all(|terminal| found(said, terminal).is_some())
        });
        let until = terminals.iter().filter_map(|terminal| found(&*said, terminal)).min();
        self.second_stage(until.expect("there are partitions"), said);
        // What is there by now is all there is of the time before.
        let there = COMPARED.map(|topic| {
            let topic = self.topic(topic);
            let records = lines(&export(&self.config(), Some(&topic))).count();
            (topic, records)
        });
        self.until("what the topics hold", said, |said| {
            let read = |topic: &str| said.iter().filter(|output| output["topic"] == topic).count();
            there.iter().all(|(topic, records)| read(topic) >= *records)
        });
    }

    /// Waits until the second stage has committed everything before `until`; goes on reading meanwhile.
    fn second_stage(&self, until: i64, said: &mut Vec<Value>) {
        let evidence = consumer(&self.brokers, &format!("{}-evidence", self.name));
        let group = consumer(&self.brokers, &format!("{}-second", self.name));
        self.assign(&evidence, &["pos.evidence"]);
        // By partition and input: the record with which the input came past it.
        let mut passed = BTreeMap::new();
        for _ in 0..POLLS_MAX {
            while self.poll(Duration::ZERO, said) {}
            for message in std::iter::from_fn(|| evidence.poll(POLL)) {
                let message = message.expect("the broker answers");
                if let Some((input, watermark)) = watermark(&message)
                    && watermark >= until
                {
                    passed.entry((message.partition(), input)).or_insert(message.offset());
                }
                if self.has_passed(&passed, &group) {
                    return;
                }
            }
        }
        panic!("the second stage never came past {until}: {passed:?};{}", self.positions());
    }

    /// Whether the group of the second stage has committed what these records, one from each input to each partition, let it hand out.
    fn has_passed(&self, passed: &BTreeMap<(i32, i32), i64>, group: &BaseConsumer) -> bool {
        let all = usize::try_from(PARTITIONS * PARTITIONS).expect("a few");
        let committed = |partition| self.committed(group, "pos.evidence", partition).and_then(Offset::to_raw);
        passed.len() == all && passed.iter().all(|((partition, _), offset)| committed(*partition) > Some(*offset))
    }

    /// Lets a consumer read topics from their beginning.
    fn assign(&self, consumer: &BaseConsumer, topics: &[&str]) {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..PARTITIONS {
                list.add_partition_offset(&self.topic(topic), partition, Offset::Beginning).expect("it can be read");
            }
        }
        consumer.assign(&list).expect("it can be read");
    }

    /// What a group has committed of one partition; none where the broker does not say, as while a commit is on its way.
    fn committed(&self, group: &BaseConsumer, topic: &str, partition: i32) -> Option<Offset> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic(topic), partition);
        let offsets = group.committed_offsets(list, FLUSH_MAX).ok()?;
        offsets.elements().first().map(|place| place.offset())
    }

    /// Holds what readers saw against what the log's export replays to, up to where every partition has come. [`Deployment::fall_silent`]
    /// comes before it.
    pub fn judge(&self, said: Vec<Value>) -> Outputs {
        let said = once(said);
        let expected = replayed(&self.config(), &export(&self.config(), None));
        let reached =
            (0..PARTITIONS).map(|partition| found(said.values(), &format!("SILENT{partition}")).expect("waited for"));
        assert_same(&said, &expected, reached.min().expect("there are partitions"));
        said
    }

    /// Reads what comes out from the beginning on, as a reader who must not see what is not committed.
    pub fn read(&self) {
        self.assign(&self.reader, &COMPARED);
    }

    /// Waits for one output; whether something came.
    fn poll(&self, wait: Duration, said: &mut Vec<Value>) -> bool {
        let polled = self.reader.poll(wait);
        let came = polled.is_some();
        if let Some(message) = polled {
            let message = match message {
                // A broker that was restarted: the reader connects again by itself.
                Err(error) if error.rdkafka_error_code().is_some_and(|code| AWAY.contains(&code)) => return came,
                message => message.expect("the broker answers"),
            };
            let mut output: Value =
                serde_json::from_slice(message.payload().expect("an output has a payload")).expect("JSON");
            output["topic"] = message.topic().into();
            output[PLACE] = format!("{}/{}", message.partition(), message.offset()).into();
            said.push(output);
        }
        came
    }

    /// Reads on until it is enough.
    pub fn until(&self, what: &str, said: &mut Vec<Value>, enough: impl Fn(&[Value]) -> bool) {
        for _ in 0..POLLS_MAX {
            if enough(said) {
                return;
            }
            // Then all that is there.
            let mut came = self.poll(POLL, said);
            while came {
                came = self.poll(Duration::ZERO, said);
            }
        }
        panic!("{what}: it never came among {} outputs;{}", said.len(), self.positions());
    }

    /// Per partition how far the group has come in the input, and how far a reader may read in what comes out.
    fn positions(&self) -> String {
        let mut text = String::new();
        let group = consumer(&self.brokers, &self.name);
        for partition in 0..PARTITIONS {
            let topic = self.topic("pos.events");
            let end = self.reader.fetch_watermarks(&topic, partition, FLUSH_MAX).map(|(_, end)| end);
            let come = self.committed(&group, "pos.events", partition);
            let _ = write!(text, " partition {partition}: {come:?} of {end:?} read,");
            for output in COMPARED {
                let stable =
                    self.reader.fetch_watermarks(&self.topic(output), partition, FLUSH_MAX).map(|(_, end)| end);
                let _ = write!(text, " {output} up to {stable:?}");
            }
        }
        let seen = self.reader.position().map(|list| format!("{:?}", list.elements()));
        let _ = write!(text, "; the reader is at {seen:?}");
        text
    }
}

/// A consumer that commits nothing, as one of this group.
fn consumer(brokers: &str, group: &str) -> BaseConsumer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
    client.set("isolation.level", "read_committed").create().expect("a consumer can be made")
}

/// Which partition of the first stage has come how far, where a record of the evidence says so.
fn watermark(message: &BorrowedMessage<'_>) -> Option<(i32, i64)> {
    let headers = message.headers()?;
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok().map(str::to_owned)
    };
    if text("ce_type")? != WATERMARK {
        return None;
    }
    Some((text("ce_input")?.parse().ok()?, instant(&text("ce_time")?.into())))
}
