//! The brokers that other tests kill: what is killed comes back where it was, with what it had.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;
use xtask::kafka::{Cluster, Options, install};
use xtask::workspace::Workspace;

/// The brokers are on this machine: one that has not answered by then does not.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn create_topic(bootstrap: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().expect("a client can be made");
    let topic = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(ANSWER_TIME_MAX)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    for result in runtime.block_on(created).expect("the broker answers") {
        result.expect("the topic is created");
    }
}

fn partitions(bootstrap: &str, topic: &str) -> usize {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a client can be made");
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIME_MAX).expect("the broker answers");
    metadata.topics().iter().filter(|found| found.name() == topic).map(|found| found.partitions().len()).sum()
}

#[test]
fn a_broker_that_was_killed_comes_back_with_its_data_on_kafka() {
    let workspace = Workspace::find().expect("the workspace can be read");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let dir = folder.path().join("brokers");
    let options = Options::new(dir);
    let mut cluster = Cluster::start(&install(&workspace).expect("Kafka can be had"), &options).expect("it starts");
    let bootstrap = cluster.bootstrap();
    create_topic(&bootstrap, "pos.events");
    cluster.kill(0).expect("it can be killed");
    cluster.restart(0).expect("it comes back");
    assert_eq!(cluster.bootstrap(), bootstrap);
    assert_eq!(partitions(&bootstrap, "pos.events"), 3);
    cluster.terminate(0).expect("it ends in order");
    cluster.restart(0).expect("it comes back");
    assert_eq!(partitions(&bootstrap, "pos.events"), 3);
    cluster.remove().expect("it can be removed");
}
