//! Ticks: records without content that the owner of an input partition appends to it, so that time goes on in silence.
//!
//! Outside of every transaction, so that a tick is readable at once. At most one of mere time is under way in a partition: when the broker
//! is away they do not pile up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};
use tillwatch_core::log::{LogError, PartitionId};

use crate::{
    client,
    config::Config,
    context::{Failure, Pulse},
    error,
};

/// How long a tick may take; a later one is no use.
const TICK_MS_MAX: u32 = 5_000;

/// What is under way, and the first failure since it was last asked for.
#[derive(Default)]
struct State {
    pending: BTreeMap<PartitionId, u32>,
    failure: Option<Failure>,
}

struct Context {
    pulse: Arc<Pulse>,
    state: Mutex<State>,
}

impl Context {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.pulse.note(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.pulse.failed(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (partition, failure) = match result {
            Ok(message) => (message.partition(), None),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let advice = match code {
                    RDKafkaErrorCode::TopicAuthorizationFailed => {
                        ". Where the input may not be written to, set kafka.local_ticks"
                    }
                    _ => "",
                };
                let (topic, partition) = (message.topic(), message.partition());
                let what = format!("a tick for {topic}-{partition} was not delivered: {code}{advice}");
                (message.partition(), Some(Failure { code, what }))
            }
        };
        let mut state = self.state();
        if let Some(count) = state.pending.get_mut(&partition) {
            *count = count.saturating_sub(1);
        }
        state.failure = state.failure.take().or(failure);
    }
}

/// The producer of ticks.
pub(crate) struct Ticks {
    producer: BaseProducer<Context>,
}

impl Ticks {
    pub(crate) fn open(config: &Config, pulse: &Arc<Pulse>) -> Result<Self, LogError> {
        let context = Context { pulse: Arc::clone(pulse), state: Mutex::default() };
        let producer = client::producer(config)
            .set("message.timeout.ms", TICK_MS_MAX.to_string())
            .set("linger.ms", "0")
            .create_with_context(context)
            .map_err(|error| error::of(&error, "starting the producer of ticks"))?;
        Ok(Self { producer })
    }

    /// Serves what became of earlier ticks.
    pub(crate) fn serve(&self) {
        if self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Appends a record that is all headers; of those that say only that time goes on, not while one is under way. What became of earlier ones
    /// is told here.
    pub(crate) fn append<V: AsRef<str>>(
        &self,
        topic: &str,
        partition: PartitionId,
        headers: Vec<(&'static str, V)>,
        mere_time: bool,
    ) -> Result<(), LogError> {
        self.serve();
        if let Some(failure) = self.producer.context().state().failure.take() {
            return Err(self.producer.context().pulse.explain_code(failure.code, &failure.what));
        }
        let pending = self.producer.context().state().pending.get(&partition).copied().unwrap_or(0);
        if pending > 0 && mere_time {
            return Ok(());
        }
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_ref()) })
        });
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition).payload(&[][..]).headers(headers);
        *self.producer.context().state().pending.entry(partition).or_default() += 1;
        self.producer.send(record).map_err(|(failure, _)| {
            if let Some(count) = self.producer.context().state().pending.get_mut(&partition) {
                *count = count.saturating_sub(1);
            }
            error::of(&failure, &format!("appending a tick to {topic}-{partition}"))
        })?;
        self.serve();
        Ok(())
    }

    /// Waits for what is under way.
    pub(crate) fn close(&self, wait: Duration) {
        // Whatever does not get through is only time, and the partition's next owner appends more.
        let _ = self.producer.flush(wait);
    }
}
