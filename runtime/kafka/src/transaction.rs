//! One transactional producer, and what to do when a step of a transaction fails.
//!
//! A transaction lasts one burst: begin, produce, send offsets, commit. An open one holds back every reader, so none is held while waiting
//! for input. What a failure means depends on the step: before the commit is asked for, nothing is durable; from then on only the broker
//! knows, the commit is retried and never aborted, and after that only a new producer with the same id gives certainty.

use std::{cell::Cell, sync::Arc, time::Duration};

use rdkafka::{
    TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig},
};
use tillwatch_core::{
    log::{Commit, LogError},
    stage::Passed,
};

use crate::{
    admin::Counts,
    client,
    config::Config,
    context::{Pulse, Sender},
    error,
    position::MARK,
    wait::{self, Deadline},
};

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Committed.
    Done,
    /// Not committed.
    Aborted(String),
    /// Not committed, the producer must be replaced.
    Broken { why: String, fenced: bool },
    /// Not known, the producer must be replaced.
    Unknown { why: String, fenced: bool },
    /// Not committed, and somebody must act first.
    Refused(LogError),
}

/// Why a step failed.
enum Fault {
    /// The transaction must be aborted; the producer can go on.
    Abort(String),
    /// The producer cannot go on.
    Broken { why: String, fenced: bool },
    /// Aborting does not help.
    Refused(LogError),
}

/// A transactional producer, ready to begin.
pub(crate) struct Transactions {
    producer: BaseProducer<Sender>,
    patience: Duration,
    counts: Counts,
    /// A record was given up: its sequence number is missing, and librdkafka fails the next transaction over that ("skipped sequence
    /// numbers") although the abort has succeeded.
    spoiled: Cell<bool>,
}

impl Transactions {
    /// Makes a producer under `id` and ends whatever its predecessor left open.
    pub(crate) fn open(config: &Config, id: &str, pulse: &Arc<Pulse>, counts: Counts) -> Result<Self, LogError> {
        let what = || format!("starting the transactional producer {id}");
        let producer: BaseProducer<Sender> = client::transactional(config, id)
            .create_with_context(Sender::new(Arc::clone(pulse)))
            .map_err(|error| error::of(&error, &what()))?;
        let deadline = Deadline::after(client::request(config));
        loop {
            let Err(failure) = producer.init_transactions(deadline.left()) else { break };
            producer.poll(Duration::ZERO);
            if retriable(&failure) && !deadline.over() {
                producer.poll(Duration::from_millis(20));
                continue;
            }
            return Err(pulse.explain(&failure, &what()));
        }
        Ok(Self {
            producer,
            patience: Duration::from_millis(config.timeouts.transaction_ms.into()),
            counts,
            spoiled: Cell::new(false),
        })
    }

    /// Whether this producer must not begin another transaction.
    pub(crate) fn stale(&self) -> bool {
        self.producer.poll(Duration::ZERO);
        self.spoiled.get() || self.producer.context().stale()
    }

    /// Runs one transaction to its end. `still_ours` is asked once more before the offsets are sent.
    pub(crate) fn run(
        &self,
        config: &Config,
        commits: &[Commit],
        offsets: &TopicPartitionList,
        metadata: &ConsumerGroupMetadata,
        still_ours: &dyn Fn() -> bool,
    ) -> Outcome {
        let deadline = Deadline::after(self.patience);
        let before = self.before_commit(config, commits, offsets, metadata, still_ours, deadline);
        match before {
            Ok(()) => self.commit(deadline),
            Err(Fault::Broken { why, fenced }) => Outcome::Broken { why, fenced },
            Err(Fault::Abort(why)) => self.abort(why, Outcome::Aborted),
            Err(Fault::Refused(refused)) => self.abort(refused.what.clone(), |_| Outcome::Refused(refused)),
        }
    }

    fn before_commit(
        &self,
        config: &Config,
        commits: &[Commit],
        offsets: &TopicPartitionList,
        metadata: &ConsumerGroupMetadata,
        still_ours: &dyn Fn() -> bool,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        self.producer.context().take_failure();
        self.producer.begin_transaction().map_err(|error| fault("beginning a transaction", &error))?;
        for commit in commits {
            self.produce(config, commit, offsets, deadline)?;
        }
        // `flush` would cost 100 ms: its inner poll runs to its time-out.
        wait::take_in(&self.producer);
        while self.producer.in_flight_count() > 0 {
            wait::look(&self.producer);
            self.delivered()?;
            if deadline.over() {
                let why = format!("the broker did not acknowledge all records within {} ms", self.patience.as_millis());
                return Err(Fault::Broken { why, fenced: false });
            }
        }
        self.delivered()?;
        if !still_ours() {
            return Err(Fault::Abort("partitions were lost to another worker".to_owned()));
        }
        loop {
            match self.producer.send_offsets_to_transaction(offsets, metadata, deadline.left()) {
                Ok(()) => return Ok(()),
                Err(error) if retriable(&error) && !deadline.over() => wait::look(&self.producer),
                // The request may still be under way: an abort would race with it.
                Err(error) if retriable(&error) => {
                    return Err(Fault::Broken { why: format!("sending offsets: {error}"), fenced: false });
                }
                Err(error) => return Err(fault("sending offsets", &error)),
            }
        }
    }

    fn produce(
        &self,
        config: &Config,
        commit: &Commit,
        offsets: &TopicPartitionList,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        for message in &commit.messages {
            let headers = message
                .headers
                .iter()
                .fold(OwnedHeaders::new_with_capacity(message.headers.len()), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
            let record = BaseRecord::to(config.outputs.name(message.topic)).key(&message.key).payload(&message.value);
            self.send(record.headers(headers), deadline)?;
        }
        if let Some(at) = commit.passed {
            let passed = Passed { input: commit.partition.unsigned_abs(), inputs: self.counts.input, at };
            // Behind what it is about: a partition keeps the order of one producer.
            let fields = passed.headers();
            for partition in 0..self.counts.evidence {
                let headers =
                    fields.iter().fold(OwnedHeaders::new_with_capacity(fields.len()), |headers, (key, value)| {
                        headers.insert(Header { key, value: Some(value) })
                    });
                let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&config.outputs.evidence).partition(partition);
                self.send(record.payload(&[][..]).headers(headers), deadline)?;
            }
        }
        for (key, value) in commit.changes.iter() {
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&config.changelog).partition(commit.partition).key(key);
            let record = match value {
                Some(value) => record.payload(value),
                None => record,
            };
            self.send(record, deadline)?;
        }
        // The changelog says of which commit it is, so that a restore sees where the two were torn apart.
        let offset = offsets.find_partition(&config.input, commit.partition);
        let offset = offset.expect("invariant: every commit has its offset");
        let mark = BaseRecord::to(&config.changelog).partition(commit.partition).key(MARK).payload(offset.metadata());
        self.send(mark, deadline)
    }

    fn send<K, V>(&self, mut record: BaseRecord<'_, K, V>, deadline: Deadline) -> Result<(), Fault>
    where
        K: rdkafka::message::ToBytes + ?Sized,
        V: rdkafka::message::ToBytes + ?Sized,
    {
        loop {
            let Err((failure, back)) = self.producer.send(record) else { return Ok(()) };
            if failure.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(fault(&format!("producing to {}", back.topic), &failure));
            }
            if deadline.over() {
                let why = "the producer's queue stayed full: the broker does not take records".to_owned();
                return Err(Fault::Broken { why, fenced: false });
            }
            record = back;
            wait::look(&self.producer);
        }
    }

    fn delivered(&self) -> Result<(), Fault> {
        match self.producer.context().take_failure() {
            None => Ok(()),
            Some(failure) => {
                self.spoiled.set(true);
                Err(self.undelivered(failure.code, failure.what))
            }
        }
    }

    fn undelivered(&self, code: RDKafkaErrorCode, what: String) -> Fault {
        if let Some((_, reason)) = self.producer.client().fatal_error() {
            return Fault::Broken { why: format!("{what} ({reason})"), fenced: is_fenced(code) };
        }
        let class = error::of_code(code, &what);
        if class.retry || class.code == "kafka-client" { Fault::Abort(what) } else { Fault::Refused(class) }
    }

    fn commit(&self, deadline: Deadline) -> Outcome {
        let mut asked_before = false;
        loop {
            let Err(failure) = self.producer.commit_transaction(deadline.left()) else { return Outcome::Done };
            let why = format!("committing: {failure}");
            if requires_abort(&failure) && !asked_before {
                return self.abort(why, Outcome::Aborted);
            }
            if !retriable(&failure) || deadline.over() {
                return Outcome::Unknown { why, fenced: is_fence(&failure) };
            }
            asked_before = true;
            wait::look(&self.producer);
        }
    }

    /// Aborting with messages in flight fails: purge, wait for the purge, abort.
    fn abort(&self, why: String, then: impl FnOnce(String) -> Outcome) -> Outcome {
        let deadline = Deadline::after(self.patience);
        if self.producer.in_flight_count() > 0 {
            self.spoiled.set(true);
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        while self.producer.in_flight_count() > 0 && !deadline.over() {
            wait::look(&self.producer);
        }
        loop {
            let Err(failure) = self.producer.abort_transaction(deadline.left()) else {
                self.producer.context().take_failure();
                return then(why);
            };
            if !retriable(&failure) || deadline.over() {
                return Outcome::Broken { why: format!("{why}; aborting: {failure}"), fenced: is_fence(&failure) };
            }
            wait::look(&self.producer);
        }
    }
}

fn fault(step: &str, failure: &KafkaError) -> Fault {
    let why = format!("{step}: {failure}");
    if requires_abort(failure) {
        return Fault::Abort(why);
    }
    let class = error::of(failure, step);
    match class.code {
        "record-too-large" | "topic-missing" | "kafka-authorization" => Fault::Refused(class),
        _ => Fault::Broken { why, fenced: is_fence(failure) },
    }
}

fn retriable(failure: &KafkaError) -> bool {
    matches!(failure, KafkaError::Transaction(error) if error.is_retriable() && !error.is_fatal())
}

fn requires_abort(failure: &KafkaError) -> bool {
    matches!(failure, KafkaError::Transaction(error) if error.txn_requires_abort() && !error.is_fatal())
}

fn is_fence(failure: &KafkaError) -> bool {
    failure.rdkafka_error_code().is_some_and(is_fenced)
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}
