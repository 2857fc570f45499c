//! The end of a transaction is asked for and nobody answers: what became of it is found out, and is one of two.

use std::time::Duration;

use tillwatch_core::log::{Commit, Committed, Log as _, LogError, Message, Polled, Position, Topic};
use tillwatch_fault::brokers::Brokers;
use tillwatch_fault::proxy::{Proxy, Trap};
use tillwatch_kafka::admin::{self, Wanted};
use tillwatch_kafka::{Config, KafkaLog, read};

/// How often a log is polled or asked, before a test says that nothing came.
const TRIES_MAX: usize = 300;

/// The longest that one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// A broker that clients reach by the proxy alone.
fn start() -> (Proxy, Brokers) {
    let proxy = Proxy::listen();
    let brokers = Brokers::behind(&proxy.address().to_string());
    let bootstrap = brokers.cluster.bootstrap();
    let port = bootstrap.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("host:port");
    proxy.to(port);
    (proxy, brokers)
}

fn topics(proxy: &Proxy, name: &str) -> Config {
    let mut config = Config::new(vec![proxy.address()], name, "w0");
    config.input = format!("{name}.events");
    config.changelog = format!("{name}.changelog");
    let outputs = &mut config.outputs;
    for topic in [
        &mut outputs.findings,
        &mut outputs.commands,
        &mut outputs.evidence,
        &mut outputs.incidents,
        &mut outputs.dead_letters,
        &mut outputs.shadow,
    ] {
        *topic = format!("{name}.{topic}");
    }
    config.timeouts.transaction_ms = 2_000;
    // However long the broker is away, the worker keeps its partition: what is asked here is what became of its commit.
    config.timeouts.session_ms = 120_000;
    let wanted = Wanted { partitions: 1, replication: 1, min_insync: 1 };
    admin::create(&config, &wanted).expect("topics can be made");
    config
}

/// Waits for the first assignment and starts all of it.
fn join(config: &Config) -> KafkaLog {
    let mut log = KafkaLog::connect(config).expect("the broker answers");
    for _ in 0..TRIES_MAX {
        match log.poll(POLL, 100, &mut |_, _| {}).expect("polled") {
            Polled::Assigned(partitions) => {
                for partition in partitions {
                    let position = log.restore(partition, &mut |_, _| {}, &mut |_| {}).expect("restored");
                    log.start(partition, position.map(|position| position.low)).expect("started");
                }
                return log;
            }
            other => assert_eq!(other, Polled::Records),
        }
    }
    panic!("nothing was assigned in {TRIES_MAX} polls");
}

fn commit(number: i64) -> Commit {
    let position =
        Position { low: number, ingest_low: 1, high: number, ingest_high: 1, floor: i64::MIN, floor_from: 0 };
    let text = number.to_string();
    let message = Message {
        topic: Topic::Findings,
        key: "payment:x".to_owned(),
        headers: vec![("ce_type", "pos.finding.raised".to_owned())],
        value: text.clone().into_bytes(),
    };
    let changes = [("last", Some(text))].into_iter().collect();
    Commit { partition: 0, position, messages: vec![message], changes, passed: None }
}

/// What the log has committed, asked for until it answers, as the driver does.
fn position(log: &mut KafkaLog) -> i64 {
    let mut last: Option<LogError> = None;
    for _ in 0..TRIES_MAX {
        match log.position(0) {
            Ok(position) => return position.expect("something was committed").high,
            Err(error) => {
                assert!(error.retry, "{error}");
                last = Some(error);
            }
        }
        // Waits and stays in the group; what goes wrong meanwhile is the connection that was cut.
        drop(log.poll(POLL, 0, &mut |_, _| {}));
    }
    panic!("the position was never told: {last:?}");
}

fn findings(config: &Config) -> Vec<String> {
    let mut said = Vec::new();
    let mut each = |_, record: tillwatch_core::log::RawRecord<'_>| {
        said.push(String::from_utf8(record.value.unwrap_or_default().to_vec()).expect("text"));
    };
    read::read_range(config, &config.outputs.findings, None, None, &mut each).expect("read");
    said
}

/// Commits twice, the second time into a trap that shuts everything until the outcome is unknown, and once more; `meanwhile` runs while it is
/// shut, `found` when the position is known again. Returns whether the second commit was found to be made.
fn trapped(
    (proxy, times): (&Proxy, u32),
    config: &Config,
    trap: Trap,
    meanwhile: impl FnOnce(),
    found: impl FnOnce(),
) -> bool {
    let mut log = join(config);
    assert_eq!(log.commit(&[commit(1)]), Ok(Committed::Done));
    proxy.set(trap);
    let outcome = log.commit(&[commit(2)]);
    assert!(matches!(outcome, Ok(Committed::Unknown { .. })), "{outcome:?}");
    proxy.sprung(times);
    meanwhile();
    proxy.open();
    let high = position(&mut log);
    assert!([1, 2].contains(&high), "{high}");
    found();
    let expected: &[&str] = if high == 2 { &["1", "2"] } else { &["1"] };
    assert_eq!(findings(config), expected, "readers see what the position says");
    if high == 1 {
        assert_eq!(log.commit(&[commit(2)]), Ok(Committed::Done), "it is made again");
    }
    assert_eq!(log.commit(&[commit(3)]), Ok(Committed::Done));
    log.close().expect("closed");
    let mut log = join(config);
    assert_eq!(position(&mut log), 3);
    assert_eq!(findings(config), ["1", "2", "3"]);
    log.close().expect("closed");
    high == 2
}

#[test]
fn a_commit_that_nobody_answers_is_made_or_not_and_found_out_on_kafka() {
    let (proxy, mut brokers) = start();
    let mut times = 0;
    let mut next = || {
        times += 1;
        times
    };
    let config = topics(&proxy, "before");
    assert!(!trapped((&proxy, next()), &config, Trap::Before, || {}, || {}), "the broker was never asked");

    let config = topics(&proxy, "after");
    assert!(trapped((&proxy, next()), &config, Trap::After, || {}, || {}), "the broker had done it");

    // The request comes when its producer has been replaced: it must not end what the successor has begun.
    let config = topics(&proxy, "late");
    assert!(!trapped((&proxy, next()), &config, Trap::Late, || {}, || proxy.release()), "it was too late");

    let config = topics(&proxy, "killed-before");
    assert!(!trapped((&proxy, next()), &config, Trap::Before, || brokers.kill(), || {}), "the broker was never asked");

    let config = topics(&proxy, "killed-after");
    assert!(trapped((&proxy, next()), &config, Trap::After, || brokers.kill(), || {}), "the broker had done it");
    brokers.remove();
}

#[test]
fn a_connection_that_is_cut_once_costs_nothing_on_kafka() {
    let (proxy, brokers) = start();
    for (times, trap) in (1..).zip([Trap::Before, Trap::After]) {
        let config = topics(&proxy, &format!("{trap:?}").to_lowercase());
        let mut log = join(&config);
        assert_eq!(log.commit(&[commit(1)]), Ok(Committed::Done));
        proxy.set(trap);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                proxy.sprung(times);
                proxy.open();
            });
            assert_eq!(log.commit(&[commit(2)]), Ok(Committed::Done), "librdkafka asks again");
        });
        assert_eq!(findings(&config), ["1", "2"]);
        log.close().expect("closed");
    }
    brokers.remove();
}
