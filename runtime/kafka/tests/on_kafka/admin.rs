//! Topics, and what is said when something about them is wrong.

use crate::support::{fill, joined, names, topics, wanted};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use tillwatch_core::log::{Log as _, Polled};
use tillwatch_kafka::{
    Config, KafkaLog,
    admin::{self, Problem},
    read,
};

fn create(config: &Config, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", config.brokers.join(",")).create().expect("admin client");
    let topic = settings
        .iter()
        .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |topic, (key, value)| topic.set(key, value));
    let made = pollster::block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("asked");
    assert_eq!(made, [Ok(name.to_owned())]);
}

#[test]
fn created_topics_are_right_and_creating_again_changes_nothing() {
    let config = names("topics", "w0");
    let missing = admin::check(&config, None);
    assert_eq!(missing.len(), 8);
    assert!(missing.iter().all(|problem| problem.code() == "topic-missing" && problem.fatal()), "{missing:?}");
    let error = KafkaLog::connect(&config).err().expect("no topics, no worker");
    assert_eq!((error.code, error.retry), ("topic-missing", false), "{error}");
    assert!(error.what.contains(&config.input) && error.what.contains(&config.changelog), "{error}");

    let mut made = admin::create(&config, &wanted(3)).expect("created");
    made.sort();
    assert_eq!(made.len(), 8);
    assert_eq!(admin::check(&config, Some(&wanted(3))), []);
    assert_eq!(admin::create(&config, &wanted(3)), Ok(Vec::new()));
    let more = admin::check(&config, Some(&wanted(5)));
    assert_eq!(more.len(), 7, "the changelog follows the input: {more:?}");
    assert!(more.iter().all(|problem| problem.code() == "topic-partitions" && !problem.fatal()));
}

#[test]
fn a_changelog_that_does_not_fit_the_input_is_named_with_what_to_do() {
    let config = names("unfit", "w0");
    create(&config, &config.input, 3, &[("message.timestamp.type", "LogAppendTime")]);
    create(&config, &config.changelog, 2, &[]);
    let problems = admin::create(&config, &wanted(3)).expect_err("two things are wrong");
    let fatal: Vec<&Problem> = problems.iter().filter(|problem| problem.fatal()).collect();
    assert_eq!(fatal.len(), 2, "{problems:?}");
    assert_eq!(*fatal[0], Problem::Partitions { topic: config.changelog.clone(), want: 3, have: 2, fatal: true });
    assert!(matches!(fatal[1], Problem::Setting { key: "cleanup.policy", .. }), "{fatal:?}");
    assert!(fatal[1].to_string().contains("--add-config cleanup.policy=compact"), "{}", fatal[1]);
    let error = KafkaLog::connect(&config).err().expect("no worker on such topics");
    assert_eq!((error.code, error.retry), ("topic-partitions", false), "{error}");
}

#[test]
fn an_input_with_the_senders_timestamps_is_refused_unless_they_are_wanted() {
    let mut config = names("timestamps", "w0");
    create(&config, &config.input, 1, &[]);
    let problems = admin::create(&config, &wanted(1)).expect_err("the timestamp type is wrong");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].to_string().contains("message.timestamp.type=CreateTime, not LogAppendTime"),
        "{}",
        problems[0]
    );
    fill(&config, 0, 1);
    let (mut log, _) = joined(&config);
    let error = (0..100)
        .find_map(|_| log.poll(std::time::Duration::from_millis(100), 1, &mut |_, _| panic!("handed out")).err())
        .expect("refused");
    assert_eq!((error.code, error.retry), ("topic-settings", false), "{error}");
    log.close().expect("closed");

    config.recorded_timestamps = true;
    assert_eq!(admin::check(&config, None), []);
    let (mut log, _) = joined(&config);
    let mut seen = Vec::new();
    let polled = crate::support::until(&mut log, &mut seen, |_, seen| seen.len() == 1);
    assert_eq!(polled, Polled::Records);
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let mut config = Config::new(vec!["127.0.0.1:1".to_owned()], "g", "w0");
    config.timeouts.request_ms = 500;
    let error = KafkaLog::connect(&config).err().expect("nobody there");
    assert_eq!((error.code, error.retry), ("broker-unreachable", true), "{error}");
    assert!(error.what.contains("127.0.0.1:1"), "{error}");
    let problems = admin::check(&config, None);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code(), "broker-unreachable");
}

#[test]
fn a_range_of_time_is_read_and_no_more() {
    let config = topics("range", "w0", 2);
    fill(&config, 0, 100);
    let mut all = Vec::new();
    let count = read::read_range(&config, &config.input, None, None, &mut |partition, record| {
        all.push((partition, record.offset, record.ingest));
    });
    assert_eq!(count, Ok(100));
    let from = all.iter().map(|(.., at)| *at).max().expect("records");
    let latest = all.iter().filter(|(.., at)| *at == from).count() as u64;
    assert_eq!(read::read_range(&config, &config.input, Some(from), None, &mut |_, _| {}), Ok(latest));
    assert_eq!(read::read_range(&config, &config.input, None, Some(from), &mut |_, _| {}), Ok(100 - latest));
    assert_eq!(read::read_range(&config, &config.input, Some(from + 1), None, &mut |_, _| {}), Ok(0));
    let error = read::read_range(&config, "no-such-topic", None, None, &mut |_, _| {}).expect_err("missing");
    assert_eq!(error.code, "topic-missing");

    let mut reader = read::Reader::open(&config, &config.input).expect("opened");
    let mut read = 0;
    while read < 100 {
        read += reader.poll(std::time::Duration::from_millis(100), &mut |_, _| {}).expect("read");
    }
    fill(&config, 100, 1);
    while read < 101 {
        read += reader.poll(std::time::Duration::from_millis(100), &mut |_, _| {}).expect("read");
    }
}

#[test]
fn a_session_that_the_broker_does_not_allow_is_told() {
    let mut config = topics("session", "w0", 1);
    config.timeouts.session_ms = 1_000;
    let mut log = KafkaLog::connect(&config).expect("connected");
    let error = (0..100)
        .find_map(|_| log.poll(std::time::Duration::from_millis(100), 1, &mut |_, _| {}).err())
        .expect("the group refuses it");
    assert_eq!((error.code, error.retry), ("kafka-config", false), "{error}");
    assert!(error.what.contains("timeouts.session_ms"), "{error}");
}
