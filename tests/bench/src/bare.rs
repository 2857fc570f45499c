//! Kafka to Kafka with nothing between: consumes, decodes, produces in transactions, commits every 100 ms. What the libraries and the broker can
//! do at best, against which an engine is measured.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    message::{BorrowedMessage, Headers as _},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tillwatch_core::{
    cloudevents::Decoder,
    limits::Limits,
    log::RawRecord,
    partition::{Body, Record},
};
use tillwatch_kafka::{look, take_in};

use crate::{
    broker::{ANSWER_MAX, client},
    machine::now,
    traffic::MISSING_EVERY,
};

/// `commit.every_ms` of the configuration.
const COMMIT_EVERY: Duration = Duration::from_millis(100);

/// What it produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A record for every event: its key and its payload.
    Each,
    /// As many as there are findings in the traffic.
    Findings,
}

/// Reads `input` as a member of `group` and writes to `to`, until it is killed.
///
/// # Errors
/// What Kafka says.
pub fn run(brokers: &str, group: &str, input: &str, to: &str, output: Output) -> Result<()> {
    let mut config = client(brokers);
    config.set("group.id", group).set("isolation.level", "read_committed").set("enable.auto.offset.store", "false");
    let consumer: BaseConsumer = config.create().context("a consumer cannot be made")?;
    let mut config = client(brokers);
    config.set("transactional.id", group).set("linger.ms", "1").set("queue.buffering.max.messages", "1000000");
    let producer: BaseProducer = config.create().context("a producer cannot be made")?;
    producer.init_transactions(ANSWER_MAX)?;
    consumer.subscribe(&[input])?;
    Loop { consumer, producer, decoder: Decoder::new(input, &Limits::default()), input, to, output, read: 0 }.run()
}

struct Loop<'a> {
    consumer: BaseConsumer,
    producer: BaseProducer,
    decoder: Decoder,
    input: &'a str,
    to: &'a str,
    output: Output,
    read: u64,
}

impl Loop<'_> {
    fn run(&mut self) -> Result<()> {
        loop {
            self.transaction()?;
        }
    }

    /// One transaction from its first record on; librdkafka sends while this thread goes on.
    fn transaction(&mut self) -> Result<()> {
        let mut next = std::collections::BTreeMap::new();
        let mut deadline = None;
        while deadline.is_none_or(|deadline| now() < deadline) {
            for _ in 0..256 {
                let Some(message) = self.consumer.poll(if next.is_empty() { COMMIT_EVERY } else { Duration::ZERO })
                else {
                    break;
                };
                let message = message?;
                if next.is_empty() {
                    self.producer.begin_transaction()?;
                    deadline = Some(now() + COMMIT_EVERY);
                }
                next.insert(message.partition(), message.offset() + 1);
                let record = decode(&mut self.decoder, &message);
                ensure!(matches!(record.body, Body::Event(_)), "offset {} is no event", message.offset());
                self.read += 1;
                if self.output == Output::Each || self.read.is_multiple_of(MISSING_EVERY * 5) {
                    send(&self.producer, self.to, &message)?;
                }
            }
            self.producer.poll(Duration::ZERO);
        }
        self.commit(&next)
    }

    fn commit(&self, next: &std::collections::BTreeMap<i32, i64>) -> Result<()> {
        take_in(&self.producer);
        while self.producer.in_flight_count() > 0 {
            look(&self.producer);
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next {
            offsets.add_partition_offset(self.input, *partition, Offset::Offset(*offset))?;
        }
        let group = self.consumer.group_metadata().context("it is in its group")?;
        self.producer.send_offsets_to_transaction(&offsets, &group, ANSWER_MAX)?;
        self.producer.commit_transaction(ANSWER_MAX)?;
        Ok(())
    }
}

fn decode(decoder: &mut Decoder, message: &BorrowedMessage<'_>) -> Record {
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
        .unwrap_or_default();
    let raw = RawRecord {
        offset: message.offset(),
        ingest: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key(),
        value: message.payload(),
        headers: &headers,
    };
    decoder.decode(message.partition(), raw)
}

fn send(producer: &BaseProducer, to: &str, message: &BorrowedMessage<'_>) -> Result<()> {
    let mut record =
        BaseRecord::to(to).key(message.key().unwrap_or_default()).payload(message.payload().unwrap_or_default());
    loop {
        let Err((error, back)) = producer.send(record) else { return Ok(()) };
        ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "producing to {to}: {error}");
        record = back;
        look(producer);
    }
}
