//! What librdkafka tells from inside its callbacks, kept until the worker's thread asks for it.
//!
//! A callback decides nothing and assigns nothing: it records. So a rebalance is answered by the driver, after the commit that belongs
//! before it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaRespErr,
};
use tillwatch_core::log::{LogError, PartitionId};

use crate::error;

/// What is known about the connection to the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether a broker was connected when last heard of.
    pub reachable: bool,
    /// The last trouble that librdkafka spoke of, if any since a broker was last reached.
    pub last_error: Option<String>,
}

/// [`Health`], shared by the clients of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Beat>);

#[derive(Debug, Default)]
struct Beat {
    health: Health,
    code: Option<RDKafkaErrorCode>,
}

impl Pulse {
    pub(crate) fn read(&self) -> Health {
        locked(&self.0).health.clone()
    }

    /// The error of a call that failed, with what librdkafka said beside it: a call that waits for a broker says only that it has waited,
    /// the reason (no connection, a certificate, a password) comes apart.
    pub(crate) fn explain(&self, failure: &KafkaError, what: &str) -> LogError {
        match failure.rdkafka_error_code() {
            Some(code) => self.explain_code(code, &format!("{what}: {failure}")),
            None => error::of(failure, what),
        }
    }

    /// As [`Pulse::explain`], for a code.
    pub(crate) fn explain_code(&self, code: RDKafkaErrorCode, what: &str) -> LogError {
        let plain = error::of_code(code, what);
        let beat = locked(&self.0);
        if beat.health.reachable || !plain.retry {
            return plain;
        }
        let what = beat.health.last_error.as_ref().map_or_else(|| what.to_owned(), |last| format!("{what} ({last})"));
        // Only what says more: why a broker cannot be used.
        let blamed = beat.code.map(|code| error::of_code(code, &what)).filter(|error| error.code != "kafka-client");
        blamed.unwrap_or_else(|| error::of_code(code, &what))
    }

    /// A line of librdkafka's log.
    pub(crate) fn note(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg, Error};
        if matches!(level, Emerg | Alert | Critical | Error) {
            locked(&self.0).health.last_error = Some(format!("{facility}: {message}"));
        }
    }

    /// An error that librdkafka reports beside any call.
    pub(crate) fn failed(&self, error: &KafkaError, reason: &str) {
        let mut beat = locked(&self.0);
        let Some(code) = error.rdkafka_error_code() else { return };
        if code == RDKafkaErrorCode::AllBrokersDown {
            beat.health.reachable = false;
        }
        // A wrong password is told as such once, and then as connections that end.
        let told = beat.code.is_some_and(|known| !error::of_code(known, "").retry && error::of_code(code, "").retry);
        // That all brokers are down says less than why the last one is.
        if !told && (code != RDKafkaErrorCode::AllBrokersDown || beat.code.is_none()) {
            beat.code = Some(code);
            beat.health.last_error = Some(reason.to_owned());
        }
    }

    /// A broker has answered.
    pub(crate) fn reached(&self) {
        let mut beat = locked(&self.0);
        if !beat.health.reachable {
            *beat = Beat { health: Health { reachable: true, last_error: None }, code: None };
        }
    }
}

/// A change of ownership that the driver has not been told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Assign(Vec<PartitionId>),
    Revoke(Vec<PartitionId>),
    Lost(Vec<PartitionId>),
}

/// How far a partition reaches, and how far it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The end as last seen.
    pub(crate) end: i64,
    /// All that there is to hand out below this offset was handed out.
    pub(crate) read: i64,
}

/// Context of the worker's consumer.
pub(crate) struct Member {
    pub(crate) pulse: Arc<Pulse>,
    changes: Mutex<VecDeque<Change>>,
    metadata: Mutex<Option<Arc<ConsumerGroupMetadata>>>,
    seen: Mutex<BTreeMap<PartitionId, Seen>>,
    closing: AtomicBool,
}

impl Member {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Self {
        Self {
            pulse,
            changes: Mutex::default(),
            metadata: Mutex::new(None),
            seen: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// The oldest change that was not taken yet.
    pub(crate) fn take_change(&self) -> Option<Change> {
        locked(&self.changes).pop_front()
    }

    /// The group's view of this member as of the last rebalance; none while it is no member. Taken then and not when it is used: metadata
    /// of a client that has just left the group has no generation, and the broker accepts offsets that come with it.
    pub(crate) fn metadata(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        locked(&self.metadata).clone()
    }

    /// What is known of how far a partition reaches and was read.
    pub(crate) fn seen(&self, partition: PartitionId) -> Option<Seen> {
        locked(&self.seen).get(&partition).copied()
    }

    /// A partition is about to be read; its end was asked for.
    pub(crate) fn start(&self, partition: PartitionId, end: i64) {
        locked(&self.seen).insert(partition, Seen { end, read: 0 });
    }

    /// The end of a partition, asked for.
    pub(crate) fn see_end(&self, partition: PartitionId, end: i64) {
        locked(&self.seen).entry(partition).or_default().end = end;
    }

    /// From now on rebalances are answered in the callback: nobody polls any more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.pulse.note(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.pulse.reached();
        }
        let mut seen = locked(&self.seen);
        for topic in statistics.topics.values() {
            for (&partition, facts) in &topic.partitions {
                if partition < 0 || facts.hi_offset < 0 {
                    continue;
                }
                let seen = seen.entry(partition).or_default();
                seen.end = facts.hi_offset;
                // Nothing that was fetched is left to hand out, so all of it was, markers and aborted records left out.
                if facts.fetch_state == "active" && facts.fetchq_cnt == 0 {
                    seen.read = seen.read.max(facts.next_offset);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.pulse.failed(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let ids: Vec<PartitionId> = partitions.elements().iter().map(|element| element.partition()).collect();
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            // Closing waits until this is answered; a failure is librdkafka's to log, there is nobody left to act on it.
            let _ = if assign {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(partitions)
            };
            return;
        }
        let lost = !assign && consumer.assignment_lost();
        *locked(&self.metadata) = if lost { None } else { consumer.group_metadata().map(Arc::new) };
        self.pulse.reached();
        locked(&self.changes).push_back(match (assign, lost) {
            (true, _) => Change::Assign(ids),
            (false, false) => Change::Revoke(ids),
            (false, true) => Change::Lost(ids),
        });
    }
}

/// Context of a producer: what went wrong since it was last asked.
pub(crate) struct Sender {
    pulse: Arc<Pulse>,
    failure: Mutex<Option<Failure>>,
    stale: AtomicBool,
}

/// A record that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) what: String,
}

impl Sender {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, failure: Mutex::default(), stale: AtomicBool::new(false) }
    }

    /// The first record that was not delivered since the last call.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        locked(&self.failure).take()
    }

    /// Whether a request to a broker has been given up on. It may still arrive, and librdkafka has no KIP-890: an `EndTxn` that comes late
    /// would end the next transaction of the same producer.
    pub(crate) fn stale(&self) -> bool {
        self.stale.load(Ordering::SeqCst)
    }
}

impl ClientContext for Sender {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "REQTMOUT" {
            self.stale.store(true, Ordering::SeqCst);
        }
        self.pulse.note(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure)) {
            self.stale.store(true, Ordering::SeqCst);
        }
        self.pulse.failed(&error, reason);
    }
}

impl ProducerContext for Sender {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use rdkafka::Message as _;
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            // What is purged is purged by this crate, which knows why.
            if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
                return;
            }
            let what = format!("a record for {} was not delivered: {code}", message.topic());
            locked(&self.failure).get_or_insert(Failure { code, what });
        }
    }
}

/// Context of a tool's consumer or admin client.
pub(crate) struct Observer {
    pub(crate) pulse: Arc<Pulse>,
}

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.pulse.note(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.pulse.failed(&error, reason);
    }
}

impl ConsumerContext for Observer {}

/// A panic while one of these was held would already have ended the worker's thread; what they hold stays whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
