//! A deployment on a Kafka, with topics of its own, as its operators and its readers see it.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;
use tillwatch_it::machine::kafka;

use super::feed::{Send, WINDOWS, now};
use super::process::{Member, run, tillwatch};

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 3;

/// How often a reader polls, [`POLL`] each, before a test says that nothing came.
const POLLS_MAX: usize = 900;

/// The longest that one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// The brokers have acknowledged everything by then.
const FLUSH_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Deployment {
    folder: TempDir,
    name: String,
    producer: BaseProducer,
    reader: BaseConsumer,
}

impl Deployment {
    /// Names of its own; no topics yet.
    pub(crate) fn named(test: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let unique = folder.path().file_name().expect("it has a name").to_string_lossy();
        let name = format!("{test}-{}", unique.trim_start_matches('.'));
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", kafka()).set("linger.ms", "1");
        let producer = client.create().expect("a producer can be made");
        client.set("isolation.level", "read_committed").set("group.id", format!("{name}-reader"));
        client.set("enable.auto.commit", "false");
        let reader = client.create().expect("a consumer can be made");
        let deployment = Self { folder, name, producer, reader };
        deployment.configure("");
        deployment
    }

    /// With topics, made as an operator makes them.
    pub(crate) fn new(test: &str) -> Self {
        let mut deployment = Self::named(test);
        let mut command = tillwatch(["topics", "create", "--config"]);
        command.arg(deployment.config());
        let ended = run(command, b"");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.text().lines().count(), 8, "{}", ended.text());
        deployment.read();
        deployment
    }

    /// Writes the configuration, with these lines at its end.
    pub(crate) fn configure(&self, more: &str) {
        let name = &self.name;
        let text = format!(
            "[log]\nkind = \"kafka\"\nworkers = 1\n\
             [kafka]\nbrokers = [\"{}\"]\ngroup = \"{name}\"\npartitions = {PARTITIONS}\nreplication = 1\nmin_insync = 1\nsession_ms = 6000\n\
             [topics]\nevents = \"{name}.pos.events\"\nchangelog = \"{name}.changelog\"\nfindings = \"{name}.pos.findings\"\n\
             commands = \"{name}.pos.commands\"\nevidence = \"{name}.pos.evidence\"\nincidents = \"{name}.pos.incidents\"\n\
             dead_letters = \"{name}.pos.dead-letters\"\nshadow = \"{name}.pos.shadow\"\n\
             [engine]\nlateness_ms = 200\ntick_every_ms = 200\n\
             [output]\nmode = \"structured\"\nformat = \"json\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{WINDOWS}{more}",
            kafka()
        );
        std::fs::write(self.config(), text).expect("the configuration can be written");
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("tillwatch.toml")
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Makes one of its topics, as somebody else might.
    pub(crate) fn make(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", kafka()).create().expect("a client can be made");
        let topic = self.topic(name);
        let topics = [NewTopic::new(&topic, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new().operation_timeout(Some(FLUSH_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        let made = runtime.block_on(admin.create_topics(&topics, &options)).expect("the broker answers");
        made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
    }

    /// Starts a member of the group under its own name.
    pub(crate) fn member(&self, instance: &str) -> Member {
        self.member_with(instance, &[])
    }

    /// As [`Deployment::member`], with these variables in its environment.
    pub(crate) fn member_with(&self, instance: &str, environment: &[(&str, &str)]) -> Member {
        let mut command = tillwatch(["run", "--config"]);
        command.arg(self.config()).env("TILLWATCH_KAFKA__INSTANCE", instance).envs(environment.iter().copied());
        Member::start(command)
    }

    /// How many records the input has, over all partitions.
    pub(crate) fn records(&self) -> i64 {
        let topic = self.topic("pos.events");
        let end = |partition| self.reader.fetch_watermarks(&topic, partition, FLUSH_MAX).expect("the broker answers").1;
        (0..PARTITIONS).map(end).sum()
    }

    /// Sends a record; to the partition of its key where none is given.
    pub(crate) fn send(&self, partition: Option<i32>, key: &str, value: Option<&[u8]>) {
        let topic = self.topic("pos.events");
        let header = rdkafka::message::Header { key: "content-type", value: Some("application/cloudevents+json") };
        let headers = rdkafka::message::OwnedHeaders::new().insert(header);
        let mut record = BaseRecord::<str, [u8]>::to(&topic).key(key).headers(headers);
        record.partition = partition;
        record.payload = value;
        self.producer.send(record).unwrap_or_else(|(error, _)| panic!("{error}"));
    }

    /// Sends each event of the feed at its time, and between them sees what comes out; `each` is asked after every one.
    pub(crate) fn play(&self, feed: &[Send], said: &mut Vec<Value>, mut each: impl FnMut(usize)) {
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

    pub(crate) fn flush(&self) {
        self.producer.flush(FLUSH_MAX).expect("every record is acknowledged");
    }

    /// Reads what comes out from the beginning on, as a reader who must not see what is not committed.
    fn read(&mut self) {
        let mut list = TopicPartitionList::new();
        for topic in ["pos.findings", "pos.commands", "pos.dead-letters"] {
            for partition in 0..PARTITIONS {
                list.add_partition_offset(&self.topic(topic), partition, Offset::Beginning).expect("it can be read");
            }
        }
        self.reader.assign(&list).expect("it can be read");
    }

    fn poll(&self, wait: Duration, said: &mut Vec<Value>) {
        if let Some(message) = self.reader.poll(wait) {
            let message = message.expect("the broker answers");
            let mut output: Value =
                serde_json::from_slice(message.payload().expect("an output has a payload")).expect("JSON");
            output["topic"] = message.topic().into();
            said.push(output);
        }
    }

    /// Reads on until it is enough.
    pub(crate) fn until(&self, what: &str, said: &mut Vec<Value>, enough: impl Fn(&[Value]) -> bool) {
        for _ in 0..POLLS_MAX {
            if enough(said) {
                return;
            }
            self.poll(POLL, said);
        }
        panic!("{what}: it never came among {} outputs", said.len());
    }
}
