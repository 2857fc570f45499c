//! The one place where this crate looks at a clock: how long to go on waiting for a broker. No time read here reaches an output.

use std::time::{Duration, Instant};

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
