//! A worker is killed in the middle of a transaction; its successor goes on from what was committed, at once.
//!
//! Without the standard harness: the worker that is killed is this program again.

mod support;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use support::{at, commit, committed, fill, joined, topics, until};
use tillwatch_core::log::{Committed, Log as _};
use tillwatch_kafka::Config;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--worker") {
        return worker(&arguments[place + 1], &arguments[place + 2]);
    }
    let test = Trial::test("on_kafka::killed_in_the_middle_of_a_transaction", || {
        killed_in_the_middle_of_a_transaction();
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit();
}

fn config(broker: &str, unique: &str) -> Config {
    let mut config = Config::new(vec![broker.to_owned()], unique, "w0");
    config.input = format!("{unique}.events");
    config.changelog = format!("{unique}.changelog");
    config.outputs.findings = format!("{unique}.findings");
    config.outputs.commands = format!("{unique}.commands");
    config.outputs.evidence = format!("{unique}.evidence");
    config.outputs.incidents = format!("{unique}.incidents");
    config.outputs.dead_letters = format!("{unique}.dead-letters");
    config.outputs.shadow = format!("{unique}.shadow");
    // Both far longer than this test may take: nobody waits for them.
    config.timeouts.session_ms = 300_000;
    config.timeouts.transaction_ms = 600_000;
    config
}

fn killed_in_the_middle_of_a_transaction() {
    let made = topics("killed", "w0", 2);
    let config = config(&made.brokers[0], &made.group);
    fill(&config, 0, 100);
    let mut worker = Command::new(std::env::current_exe().expect("this program"))
        .args(["--worker", &made.brokers[0], &made.group])
        .stdout(Stdio::piped())
        .spawn()
        .expect("worker");
    let said = BufReader::new(worker.stdout.take().expect("piped")).lines().next();
    let said = said.expect("a line").expect("text");
    worker.kill().expect("killed");
    worker.wait().expect("dead");
    assert_eq!(said, "in a transaction");

    let (mut log, mut restored) = joined(&config);
    restored.sort_by_key(|(partition, _)| *partition);
    assert_eq!(restored.len(), 2);
    for (partition, restored) in &restored {
        assert_eq!(restored.position, Some(at(1)));
        assert_eq!(restored.changes.len(), 1, "partition {partition}");
    }
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.len() == 98);
    assert!(seen.iter().all(|record| record.offset >= 1));
    assert_eq!(committed(&config, &config.outputs.findings), ["kept-0", "kept-1"]);
    log.close().expect("closed");
}

/// Commits once, then opens a transaction, says so, and never ends it.
fn worker(broker: &str, unique: &str) {
    let config = config(broker, unique);
    let (mut log, restored) = joined(&config);
    let mut owned: Vec<i32> = restored.into_iter().map(|(partition, _)| partition).collect();
    owned.sort_unstable();
    assert_eq!(owned, [0, 1]);
    let commits = [commit(0, 1, "kept-0"), commit(1, 1, "kept-1")];
    assert_eq!(log.commit(&commits), Ok(Committed::Done));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("transactional.id", config.transactional_id())
        .set("transaction.timeout.ms", "600000")
        .create()
        .expect("producer");
    let wait = Duration::from_secs(10);
    producer.init_transactions(wait).expect("initialised");
    producer.begin_transaction().expect("begun");
    for topic in [&config.changelog, &config.outputs.findings] {
        producer.send(BaseRecord::to(topic).partition(0).key("lost").payload("lost")).expect("sent");
    }
    producer.flush(wait).expect("written");
    writeln!(std::io::stdout(), "in a transaction").expect("heard");
    loop {
        log.poll(Duration::from_secs(1), 100, &mut |_, _| {}).expect("polled");
    }
}
