//! Writing records outside of any transaction: for `simulate`, tests and tools.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    error::RDKafkaErrorCode,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tillwatch_core::{Instant, log::LogError};

use crate::{
    client,
    config::Config,
    context::{Pulse, Sender},
    error,
    wait::{self, Deadline},
};

/// An idempotent producer; records of one key keep their order.
pub struct Producer {
    pulse: Arc<Pulse>,
    producer: BaseProducer<Sender>,
    patience: Duration,
}

impl Producer {
    /// Makes a producer; connects when something is sent.
    ///
    /// # Errors
    /// A configuration that is wrong.
    pub fn open(config: &Config) -> Result<Self, LogError> {
        let pulse = Arc::new(Pulse::default());
        let producer = client::producer(config)
            .set("message.timeout.ms", config.timeouts.request_ms.to_string())
            .create_with_context(Sender::new(Arc::clone(&pulse)))
            .map_err(|error| error::of(&error, "starting a producer"))?;
        Ok(Self { pulse, producer, patience: client::request(config) })
    }

    /// Sends a record to the partition of its key; waits only while the queue is full. With a `timestamp` the record carries it, where the
    /// topic keeps what senders write.
    ///
    /// # Errors
    /// What became of earlier records is told here too; see [`LogError::retry`].
    pub fn send(
        &mut self,
        topic: &str,
        key: &str,
        headers: &[(&str, &str)],
        value: &[u8],
        timestamp: Option<Instant>,
    ) -> Result<(), LogError> {
        self.producer.poll(Duration::ZERO);
        self.delivered()?;
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
            all.insert(Header { key, value: Some(*value) })
        });
        let mut record = BaseRecord::to(topic).key(key).payload(value).headers(headers);
        record.timestamp = timestamp;
        let deadline = Deadline::after(self.patience);
        loop {
            let Err((failure, back)) = self.producer.send(record) else { return Ok(()) };
            if failure.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || deadline.over() {
                return Err(self.pulse.explain(&failure, &format!("producing to {topic}")));
            }
            record = back;
            wait::look(&self.producer);
            self.delivered()?;
        }
    }

    /// Waits until everything that was sent is acknowledged.
    ///
    /// # Errors
    /// What was not; see [`LogError::retry`].
    pub fn flush(&mut self, wait: Duration) -> Result<(), LogError> {
        let deadline = Deadline::after(wait);
        while self.producer.in_flight_count() > 0 {
            wait::look(&self.producer);
            self.delivered()?;
            if deadline.over() {
                let what = format!("{} records are not acknowledged yet", self.producer.in_flight_count());
                return Err(error::of_code(RDKafkaErrorCode::OperationTimedOut, &what));
            }
        }
        self.producer.poll(Duration::ZERO);
        self.delivered()
    }

    fn delivered(&self) -> Result<(), LogError> {
        match self.producer.context().take_failure() {
            None => Ok(()),
            Some(failure) => Err(self.pulse.explain_code(failure.code, &failure.what)),
        }
    }
}
