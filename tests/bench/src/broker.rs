//! A Kafka as the measurements use it: topics, traffic put into them, how far a group has come, and what a reader of committed records sees.
//!
//! Owns no process and no figure. The topics of a measurement have a name of their own and are removed with [`Topics`].

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    message::{BorrowedMessage, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use tillwatch_kafka::{look, take_in};

use crate::{
    machine::now,
    process::pause,
    traffic::{Bytes, Row, Shape, bytes},
};

/// Partitions of every topic: as many as a small edge has.
pub const PARTITIONS: i32 = 4;

/// A broker on this machine answers by then.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What a broker answers until it is clear who coordinates a group.
const NO_COORDINATOR: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::NotCoordinator,
    RDKafkaErrorCode::CoordinatorNotAvailable,
    RDKafkaErrorCode::CoordinatorLoadInProgress,
];
/// How often that is asked again, and after how long.
const COORDINATOR_TRIES: u32 = 100;
const COORDINATOR_WAIT: Duration = Duration::from_millis(100);

/// What all clients of the measurements share.
#[must_use]
pub fn client(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("compression.type", "lz4").set("fetch.wait.max.ms", "10");
    client.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    client
}

/// Topics of one measurement, removed at its end.
pub struct Topics {
    brokers: String,
    names: Vec<String>,
}

impl Topics {
    /// Makes topics with these settings; what of the same name is there must have been removed.
    ///
    /// # Errors
    /// What the broker says.
    pub fn make(brokers: &str, names: &[&str], settings: &[(&str, &str)]) -> Result<Self> {
        let new = |name| {
            let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
            settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        };
        let topics: Vec<NewTopic<'_>> = names.iter().map(|name| new(name)).collect();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX));
        let made = pollster::block_on(admin(brokers)?.create_topics(&topics, &options))?;
        for result in made {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} cannot be made: {code}"))?;
        }
        Ok(Self { brokers: brokers.to_owned(), names: names.iter().map(|name| (*name).to_owned()).collect() })
    }

    /// Topics that somebody else makes, removed at the end.
    #[must_use]
    pub fn of(brokers: &str, names: impl IntoIterator<Item = String>) -> Self {
        Self { brokers: brokers.to_owned(), names: names.into_iter().collect() }
    }

    /// Removes these, too, at the end.
    #[must_use]
    pub fn with(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.names.extend(names);
        self
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        let Ok(admin) = admin(&self.brokers) else { return };
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX));
        // A broker that does not answer at the end has nothing to do with what was measured.
        let _ = pollster::block_on(admin.delete_topics(&names, &options));
    }
}

fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>> {
    client(brokers).create().context("a Kafka client cannot be made")
}

/// Puts events into a topic.
pub struct Feeder {
    producer: BaseProducer,
    topic: String,
}

impl Feeder {
    /// An idempotent producer that batches for `linger_ms`.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new(brokers: &str, topic: &str, linger_ms: u32) -> Result<Self> {
        let mut client = client(brokers);
        client.set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        client.set("linger.ms", linger_ms.to_string()).set("queue.buffering.max.messages", "1000000");
        Ok(Self { producer: client.create().context("a Kafka producer cannot be made")?, topic: topic.to_owned() })
    }

    /// Sends an event to the partition of its terminal; waits while the queue is full.
    ///
    /// # Errors
    /// What the client says.
    pub fn send(&self, row: Row, shape: Shape) -> Result<()> {
        let Bytes { ingest, key, headers, value } = bytes(row, shape);
        let all = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        });
        let mut record = BaseRecord::to(&self.topic).key(&key).payload(&value).headers(all).timestamp(ingest);
        loop {
            let Err((error, back)) = self.producer.send(record) else { break };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                bail!("producing to {}: {error}", self.topic);
            }
            record = back;
            look(&self.producer);
        }
        Ok(())
    }

    /// Serves the client between sends.
    pub fn serve(&self) {
        take_in(&self.producer);
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// Where it is not in time.
    pub fn flush(&self) -> Result<()> {
        let began = now();
        while self.producer.in_flight_count() > 0 {
            look(&self.producer);
            if began.elapsed() > ANSWER_MAX {
                bail!("{} has not taken {} records", self.topic, self.producer.in_flight_count());
            }
        }
        Ok(())
    }
}

/// How far a consumer group has come on a topic, as anyone can see.
pub struct Progress {
    consumer: BaseConsumer,
    topic: String,
    list: TopicPartitionList,
}

impl Progress {
    /// Of this group.
    ///
    /// # Errors
    /// Where a client cannot be made.
    pub fn new(brokers: &str, group: &str, topic: &str) -> Result<Self> {
        let mut client = client(brokers);
        // A reader of committed records would wait for transactions that are being committed.
        client.set("group.id", group).set("isolation.level", "read_uncommitted");
        let mut list = TopicPartitionList::new();
        (0..PARTITIONS).for_each(|partition| {
            list.add_partition(topic, partition);
        });
        Ok(Self {
            consumer: client.create().context("a Kafka consumer cannot be made")?,
            topic: topic.to_owned(),
            list,
        })
    }

    /// Records that are done, over all partitions.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub fn done(&self) -> Result<i64> {
        Ok(self.offsets()?.into_iter().map(|(_, offset)| offset).sum())
    }

    /// What share of the partition that is furthest behind is done, in percent.
    ///
    /// # Errors
    /// As [`Progress::done`].
    pub fn least_percent(&self) -> Result<i64> {
        let mut least = 100;
        for (partition, offset) in self.offsets()? {
            let (_, end) = self.consumer.fetch_watermarks(&self.topic, partition, ANSWER_MAX)?;
            least = least.min(offset * 100 / end.max(1));
        }
        Ok(least)
    }

    fn offsets(&self) -> Result<Vec<(i32, i64)>> {
        let committed = self.committed()?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        Ok(committed.elements().into_iter().map(|element| (element.partition(), offset(element.offset()))).collect())
    }

    /// A broker that has just begun does not know yet who coordinates a group.
    fn committed(&self) -> Result<TopicPartitionList> {
        for _ in 0..COORDINATOR_TRIES {
            match self.consumer.committed_offsets(self.list.clone(), ANSWER_MAX) {
                Err(error) if error.rdkafka_error_code().is_some_and(|code| NO_COORDINATOR.contains(&code)) => {
                    pause(COORDINATOR_WAIT);
                }
                committed => return Ok(committed?),
            }
        }
        bail!("no broker says that it coordinates the group")
    }
}

/// Reads a topic's committed records from its beginning.
pub struct Reader {
    consumer: BaseConsumer,
}

impl Reader {
    /// Of every partition.
    ///
    /// # Errors
    /// Where a client cannot be made.
    pub fn new(brokers: &str, topic: &str) -> Result<Self> {
        let mut client = client(brokers);
        client.set("group.id", format!("{topic}-reader")).set("isolation.level", "read_committed");
        client.set("enable.partition.eof", "true");
        let consumer: BaseConsumer = client.create().context("a Kafka consumer cannot be made")?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(Self { consumer })
    }

    /// The next record; none where nothing came in `wait`.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub fn next(&self, wait: Duration) -> Result<Option<BorrowedMessage<'_>>> {
        let began = now();
        loop {
            match self.consumer.poll(wait.saturating_sub(began.elapsed())) {
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            }
        }
    }

    /// Calls `each` with all records that are there.
    ///
    /// # Errors
    /// Where the broker does not answer, or not in time.
    pub fn all(&self, mut each: impl FnMut(&BorrowedMessage<'_>)) -> Result<()> {
        let began = now();
        let mut ended = 0;
        while ended < PARTITIONS {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => each(&message),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(error.into()),
                None if began.elapsed() > ANSWER_MAX => bail!("a topic's end never came"),
                None => {}
            }
        }
        Ok(())
    }
}

/// A record's header as text.
#[must_use]
pub fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    use rdkafka::message::Headers as _;
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
