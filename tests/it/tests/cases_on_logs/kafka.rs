//! On a real Apache Kafka: topics and a group of its own for each case, all topics made in one request.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tillwatch::{
    clock::Virtual,
    config::{Config, LogKind},
    wiring,
};
use tillwatch_core::log::{LogError, RawRecord};
use tillwatch_it::{
    cases::{
        Case, Engine, check_abreast,
        logged::{self, Written},
    },
    machine::kafka,
};
use tillwatch_kafka::{KafkaLog, read::read_range};

use super::{ENGINES, cases, components, end};

/// The broker has made all topics, or acknowledged all records, by then.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// How often something that may be tried again is tried, [`PAUSE`] apart: a broker leads a partition only some time after it was made.
const TRIES_MAX: usize = 600;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

struct Kafka {
    partitions: u32,
    /// What the names of all topics begin with.
    prefix: String,
    producer: BaseProducer,
    /// Sees what is committed.
    stable: BaseConsumer,
    /// Sees everything.
    all: BaseConsumer,
}

impl Kafka {
    fn new(partitions: u32, prefix: &str) -> Self {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", kafka()).set("linger.ms", "5");
        let producer = client.create().expect("a producer can be made");
        let reader = |isolation: &str| {
            let mut client = ClientConfig::new();
            client.set("bootstrap.servers", kafka()).set("isolation.level", isolation);
            client.create().expect("a reader can be made")
        };
        let (stable, all) = (reader("read_committed"), reader("read_uncommitted"));
        Self { partitions, prefix: prefix.to_owned(), producer, stable, all }
    }

    /// The configuration of a case, with its own names.
    fn config(&self, case: &Case) -> Config {
        let mut config = logged::config(case, LogKind::Kafka, self.partitions);
        let name = |topic: &str| format!("{}.{}.{topic}", self.prefix, case.name);
        config.kafka.brokers = vec![kafka()];
        config.kafka.group = name("group");
        config.kafka.instance = "case".to_owned();
        config.topics.events = name("events");
        config.topics.changelog = name("changelog");
        let topics = &mut config.topics;
        for topic in [
            &mut topics.findings,
            &mut topics.commands,
            &mut topics.evidence,
            &mut topics.incidents,
            &mut topics.dead_letters,
            &mut topics.shadow,
        ] {
            *topic = name(logged::OUTPUTS);
        }
        config
    }

    fn make_topics(&self, cases: &[Case]) {
        let configs: Vec<Config> = cases.iter().map(|case| self.config(case)).collect();
        let partitions = i32::try_from(self.partitions).expect("few partitions");
        let far = i64::MAX.to_string();
        let topics: Vec<NewTopic<'_>> = configs
            .iter()
            .flat_map(|config| {
                // Cases have the times of their own day, which may be long ago or yet to come.
                let make = |name, partitions: i32| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
                let events = make(&config.topics.events, partitions)
                    .set("retention.ms", "-1")
                    .set("message.timestamp.after.max.ms", &far);
                let changelog = make(&config.topics.changelog, partitions).set("cleanup.policy", "compact");
                [events, changelog, make(&config.topics.findings, 1)]
            })
            .collect();
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", kafka()).create().expect("a client can be made");
        let options =
            AdminOptions::new().request_timeout(Some(ANSWER_TIME_MAX)).operation_timeout(Some(ANSWER_TIME_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        let made = runtime.block_on(admin.create_topics(&topics, &options)).expect("the broker answers");
        made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
    }

    /// The result of something that may not work at once.
    fn persist<T>(&self, mut attempt: impl FnMut() -> Result<T, LogError>) -> T {
        for _ in 0..TRIES_MAX {
            match attempt() {
                Ok(done) => return done,
                Err(error) if error.retry => self.producer.poll(PAUSE),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("not in {TRIES_MAX} tries: {}", attempt().err().map_or_else(String::new, |error| error.to_string()));
    }

    /// Waits until the last stable offset of a topic's only partition is its end: the broker acknowledges a commit before it has marked the
    /// partitions, and until then no reader of committed records sees it.
    fn settle(&self, topic: &str) {
        let end = |reader: &BaseConsumer| match reader.fetch_watermarks(topic, 0, ANSWER_TIME_MAX) {
            Ok((_, end)) => Some(end),
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition)) => None,
            Err(error) => panic!("{topic}: {error}"),
        };
        for _ in 0..TRIES_MAX {
            let all = end(&self.all);
            if all.is_some() && end(&self.stable) >= all {
                return;
            }
            self.producer.poll(PAUSE);
        }
        panic!("transactions in {topic} are still open after {TRIES_MAX} looks");
    }

    fn send(&self, topic: &str, written: &[Written]) {
        for record in written {
            let headers = record
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
            let mut sent = BaseRecord::<str, [u8]>::to(topic).partition(record.partition).payload(&record.value);
            sent.key = record.key.as_deref();
            sent = sent.headers(headers).timestamp(record.ingest);
            while let Err((error, back)) = self.producer.send(sent) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
                self.producer.poll(PAUSE);
                sent = back;
            }
        }
        self.producer.flush(ANSWER_TIME_MAX).expect("every record is acknowledged");
    }
}

impl Engine for Kafka {
    fn name(&self) -> String {
        format!("Kafka, {} partitions", self.partitions)
    }

    fn ordered(&self) -> bool {
        self.partitions == 1
    }

    fn run(&mut self, case: &Case) -> Vec<String> {
        let config = self.config(case);
        let written = logged::written(case, self.partitions);
        self.send(&config.topics.events, &written);
        let client = wiring::kafka(&config, 0).expect("no secrets are asked for");
        let log = self.persist(|| KafkaLog::connect(&client));
        let rules = components().rules(&case.setup);
        logged::drive(log, rules, &config, &Virtual::new(end(&written)), &written);
        self.settle(&config.topics.findings);
        self.persist(|| {
            let mut out = Vec::new();
            let take = &mut |_, record: RawRecord<'_>| out.extend(logged::line(&record));
            read_range(&client, &config.topics.findings, None, None, take).map(|_| out)
        })
    }
}

fn check(partitions: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let unique = folder.path().file_name().expect("it has a name").to_string_lossy();
    let prefix = format!("cases-{}", unique.trim_start_matches('.'));
    Kafka::new(partitions, &prefix).make_topics(cases());
    check_abreast(cases(), ENGINES, || Kafka::new(partitions, &prefix));
}

#[test]
fn every_case_in_one_partition_gives_what_it_expects_on_kafka() {
    check(1);
}

#[test]
fn every_case_spread_over_three_partitions_gives_what_it_expects_on_kafka() {
    check(3);
}
