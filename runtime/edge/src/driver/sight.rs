//! When a partition's feed counts as blind, and when it sees again. Pure: facts in, what to record in the log out.

use std::time::Duration;

use tillwatch_core::log::Blind;

use super::Options;

/// What is known of one partition's feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// What the log says, from the last tick that this worker appended or the state that it restored.
    blind: bool,
    /// The log was out of reach for too long, and that is not recorded yet.
    missed: bool,
    /// Since when all has been well.
    well_since: Option<Duration>,
}

impl Sight {
    /// As the restored state says.
    pub(super) fn restored(blind: bool) -> Self {
        Self { blind, ..Self::default() }
    }

    /// The log has been out of reach for too long.
    pub(super) fn unreachable(&mut self) {
        self.missed = true;
        self.well_since = None;
    }

    /// What to record, with the log within reach at `now`. `lag_ms` is none where nothing was read yet.
    pub(super) fn observe(&mut self, now: Duration, lag_ms: Option<i64>, options: &Options) -> Option<Blind> {
        let behind = matches!((lag_ms, options.lag_ms_max), (Some(lag), Some(max)) if lag > max);
        if behind {
            self.well_since = None;
        } else if !self.missed {
            self.well_since.get_or_insert(now);
        }
        if self.missed {
            return Some(Blind::Broker);
        }
        if behind && !self.blind {
            return Some(Blind::Lag);
        }
        let settled = self.well_since.is_some_and(|since| now.saturating_sub(since) >= options.settle);
        (self.blind && settled).then_some(Blind::Over)
    }

    /// It was recorded.
    pub(super) fn told(&mut self, blind: Blind) {
        self.blind = blind != Blind::Over;
        self.missed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            commit_every: Duration::from_millis(100),
            pending_bytes_max: 1,
            records_max: 1,
            tick_every: Duration::from_secs(1),
            lag_ms_max: Some(60_000),
            unreachable_max: Duration::from_secs(5),
            settle: Duration::from_secs(5),
            watermark_every: None,
            idle_max: Duration::from_secs(30),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_is_recorded_once_and_ends_when_all_has_settled() {
        let (mut sight, options) = (Sight::default(), options());
        assert_eq!(sight.observe(at(0), Some(0), &options), None);
        sight.unreachable();
        assert_eq!(sight.observe(at(10), Some(0), &options), Some(Blind::Broker));
        assert_eq!(sight.observe(at(11), Some(0), &options), Some(Blind::Broker), "until it was recorded");
        sight.told(Blind::Broker);
        assert_eq!(sight.observe(at(12), Some(0), &options), None);
        assert_eq!(sight.observe(at(16), Some(0), &options), None);
        assert_eq!(sight.observe(at(17), Some(0), &options), Some(Blind::Over));
        sight.told(Blind::Over);
        assert_eq!(sight.observe(at(18), Some(0), &options), None);
    }

    #[test]
    fn lag_is_blind_from_past_its_bound_until_it_has_been_caught_up_for_a_while() {
        let (mut sight, options) = (Sight::default(), options());
        assert_eq!(sight.observe(at(0), Some(60_000), &options), None);
        assert_eq!(sight.observe(at(1), Some(60_001), &options), Some(Blind::Lag));
        sight.told(Blind::Lag);
        assert_eq!(sight.observe(at(2), Some(100), &options), None);
        assert_eq!(sight.observe(at(3), Some(60_001), &options), None, "it begins anew");
        assert_eq!(sight.observe(at(4), Some(0), &options), None);
        assert_eq!(sight.observe(at(9), Some(0), &options), Some(Blind::Over));
    }

    #[test]
    fn a_restored_blindness_ends_by_itself_and_old_timestamps_are_no_lag() {
        let (mut sight, mut options) = (Sight::restored(true), options());
        options.lag_ms_max = None;
        assert_eq!(sight.observe(at(0), Some(i64::MAX), &options), None);
        assert_eq!(sight.observe(at(5), None, &options), Some(Blind::Over));
    }
}
