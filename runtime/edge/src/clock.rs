//! The one place that reads the wall clock.
//!
//! Everything else takes time as an argument, or a [`Clock`], so that tests run on a virtual one.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tillwatch_core::Instant;

use crate::shutdown::Shutdown;

/// What time it is.
pub trait Clock: Send + Sync {
    /// The wall clock, ms since 1970. May step.
    fn now(&self) -> Instant;

    /// Time since some fixed moment; never runs backwards.
    fn elapsed(&self) -> Duration;

    /// Lets `wait` go by, or less where somebody asks to stop.
    fn pass(&self, wait: Duration, shutdown: &Shutdown);
}

/// The machine's clock.
#[derive(Debug)]
pub struct Wall {
    start: std::time::Instant,
}

impl Wall {
    /// Counts [`Clock::elapsed`] from this call on.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for Wall {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Wall {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant::try_from(since.as_millis()).unwrap_or(Instant::MAX)
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn pass(&self, wait: Duration, shutdown: &Shutdown) {
        let _asked_to_stop = shutdown.wait(wait);
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct Virtual {
    start: Instant,
    now: AtomicI64,
}

impl Virtual {
    /// Stands at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self { start, now: AtomicI64::new(start) }
    }

    /// Moves it on.
    pub fn advance(&self, ms: u32) {
        self.now.fetch_add(i64::from(ms), Ordering::SeqCst);
    }
}

impl Clock for Virtual {
    fn now(&self) -> Instant {
        self.now.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now() - self.start).unwrap_or(0))
    }

    fn pass(&self, wait: Duration, _: &Shutdown) {
        self.advance(u32::try_from(wait.as_millis()).expect("invariant: waits are short"));
    }
}

/// Reads an RFC 3339 time.
///
/// # Errors
/// What is wrong with it, for whoever typed it.
pub fn parse_rfc3339(text: &str) -> Result<Instant, String> {
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_millisecond)
        .map_err(|error| format!("{text:?} is no RFC 3339 time such as 2026-11-22T09:30:01Z: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_when_it_is_told_to() {
        let clock = Virtual::new(1_000);
        assert_eq!((clock.now(), clock.elapsed()), (1_000, Duration::ZERO));
        clock.advance(250);
        assert_eq!((clock.now(), clock.elapsed()), (1_250, Duration::from_millis(250)));
    }

    #[test]
    fn times_are_read_with_their_offset() {
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00.5+01:00"), Ok(500));
        assert!(parse_rfc3339("yesterday").is_err());
    }
}
