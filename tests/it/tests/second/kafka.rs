//! Both stages on a real Apache Kafka: the first runs to its end, then the second, from two partitions of evidence.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tillwatch::{
    clock::Virtual,
    config::{Config, LogKind},
    wiring,
};
use tillwatch_core::{
    log::{LogError, RawRecord, Tick},
    stage::Stage,
};
use tillwatch_it::{cases::logged::drive_until, machine::kafka};
use tillwatch_kafka::{KafkaLog, read::read_range};

use super::scene::{self, END, Scene};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
const TRIES_MAX: usize = 600;
const PAUSE: Duration = Duration::from_millis(100);

fn make(config: &Config) {
    let far = i64::MAX.to_string();
    let topic = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topics = &config.topics;
    let events = topic(&topics.events, 3).set("retention.ms", "-1").set("message.timestamp.after.max.ms", &far);
    let mut all = vec![
        events,
        topic(&topics.changelog, 3).set("cleanup.policy", "compact"),
        topic(&topics.evidence, 2),
        topic(&topics.second_changelog, 2).set("cleanup.policy", "compact"),
    ];
    for name in [&topics.findings, &topics.commands, &topics.incidents, &topics.dead_letters, &topics.shadow] {
        all.push(topic(name, 1));
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka()).create().expect("a client can be made");
    let options = AdminOptions::new().request_timeout(Some(ANSWER_TIME_MAX)).operation_timeout(Some(ANSWER_TIME_MAX));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let made = runtime.block_on(admin.create_topics(&all, &options)).expect("the broker answers");
    made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
}

/// The result of something that may not work at once.
fn persist<T>(producer: &BaseProducer, mut attempt: impl FnMut() -> Result<T, LogError>) -> T {
    for _ in 0..TRIES_MAX {
        match attempt() {
            Ok(done) => return done,
            Err(error) if error.retry => producer.poll(PAUSE),
            Err(error) => panic!("{error}"),
        };
    }
    panic!("not in {TRIES_MAX} tries");
}

/// Says which record is the last of so many.
fn count(mut left: usize) -> impl FnMut(i32, i64) -> bool {
    move |_, _| {
        left -= 1;
        left == 0
    }
}

#[test]
fn both_stages_give_what_a_replay_gives_on_kafka() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().expect("a folder");
    let unique = folder.path().file_name().expect("it has a name").to_string_lossy().into_owned();
    let unique = unique.trim_start_matches('.').to_owned();
    let mut config = scene::config(LogKind::Kafka);
    config.kafka.brokers = vec![kafka()];
    config.kafka.group = format!("second-{unique}");
    config.kafka.instance = "second".to_owned();
    let topics = &mut config.topics;
    for name in [
        &mut topics.events,
        &mut topics.changelog,
        &mut topics.second_changelog,
        &mut topics.findings,
        &mut topics.commands,
        &mut topics.evidence,
        &mut topics.incidents,
        &mut topics.dead_letters,
        &mut topics.shadow,
    ] {
        *name = format!("{unique}.{name}");
    }
    make(&config);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka()).create().expect("a producer can be made");
    for line in &scene.0 {
        let headers =
            OwnedHeaders::new().insert(Header { key: "content-type", value: Some("application/cloudevents+json") });
        let record = BaseRecord::to(&config.topics.events)
            .partition(scene::partition(&line.till))
            .key(&line.till)
            .payload(&line.text)
            .headers(headers)
            .timestamp(line.ingest);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
    }
    for partition in 0..3 {
        let headers = Tick { blind: None }
            .headers()
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&config.topics.events).partition(partition).payload(&[][..]).headers(headers).timestamp(END);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
    }
    producer.flush(ANSWER_TIME_MAX).expect("every record is acknowledged");

    let clock = Virtual::new(END);
    let client = |stage| wiring::kafka_of(&config, stage, 0).expect("no secrets are asked for");
    let committed = |topic: &str| {
        persist(&producer, || {
            let mut names = Vec::new();
            let take = &mut |_, record: RawRecord<'_>| names.push(scene::name(&record));
            read_range(&client(Stage::First), topic, None, None, take).map(|_| names)
        })
    };
    let log = persist(&producer, || KafkaLog::connect(&client(Stage::First)));
    let shared = scene::shared(&config, Stage::First);
    drive_until(log, scene::rules(Stage::First), shared, &clock, count(scene.0.len() + 3));

    // A commit is acknowledged before its partitions are marked: then every partition has as many watermarks as the other.
    let evidence = (0..TRIES_MAX)
        .map(|_| {
            producer.poll(PAUSE);
            committed(&config.topics.evidence)
        })
        .find(|names| {
            let told = names.iter().filter(|(_, name)| name == "pos.evidence.census").count();
            told == scene.0.iter().filter(|line| line.text.contains("pos.payment.authorize")).count()
                && names.iter().filter(|(_, name)| name == "tillwatch.watermark").count() % 2 == 0
        })
        .expect("all of it is marked in the end");
    let log = persist(&producer, || KafkaLog::connect(&client(Stage::Second)));
    let shared = scene::shared(&config, Stage::Second);
    drive_until(log, scene::rules(Stage::Second), shared, &clock, count(evidence.len()));

    let expected = scene::expected(&scene);
    let read = || {
        let topics = &config.topics;
        let mut names: Vec<(String, String)> =
            [&topics.findings, &topics.commands, &topics.incidents, &topics.dead_letters]
                .into_iter()
                .flat_map(|topic| committed(topic))
                .collect();
        names.sort();
        names
    };
    let names = (0..TRIES_MAX)
        .map(|_| {
            producer.poll(PAUSE);
            read()
        })
        .find(|names| names.len() >= expected.len())
        .unwrap_or_else(read);
    assert_eq!(names, expected);
}
