//! The one place where this crate looks at a clock: how long to go on waiting for a broker, and how often to look. No time read here reaches an output.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

/// How often a producer is asked for what became of its records, while nothing else is to be done.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Lets the broker get on, and takes in what became of records. [`BaseProducer::poll`] with a time-out asks again and again for
/// the whole of its last millisecond, on the processor that the broker may be waiting for.
#[allow(
    clippy::disallowed_methods,
    reason = "nobody but the broker knows when it answers, and its client only tells who asks"
)]
pub fn look<C: ProducerContext>(producer: &BaseProducer<C>) {
    std::thread::sleep(LOOK_EVERY);
    take_in(producer);
}

/// Takes in all that is known by now of what became of records: one call takes in one batch.
pub fn take_in<C: ProducerContext>(producer: &BaseProducer<C>) {
    loop {
        let before = producer.in_flight_count();
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == before {
            return;
        }
    }
}

/// An end to waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// In so long from now.
    #[allow(clippy::disallowed_methods, reason = "waiting for a broker ends some time; nothing else depends on it")]
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// What is left, zero when it is over.
    #[allow(clippy::disallowed_methods, reason = "waiting for a broker ends some time; nothing else depends on it")]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it is over.
    pub(crate) fn over(self) -> bool {
        self.left().is_zero()
    }
}
