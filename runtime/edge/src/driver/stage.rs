//! Time between the stages: when the first tells how far it has come, when the second no longer waits for a part of it, and when it leaves the
//! processor to the first.

use std::{collections::BTreeMap, time::Duration};

use tillwatch_core::{
    Instant,
    log::Log,
    partition::{Body, Record},
    rules::Rules,
    stage::{LeftOut, Stage},
};

use super::{Driver, Failure, Owned, REST_MAX};
use crate::telemetry::events;

/// What a partition of the first stage has told the second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// The watermark that is durable there.
    watermark: Option<Instant>,
    /// When it was sent.
    at: Duration,
}

impl Told {
    /// What to tell now, if anything: not the same twice, and not more often than `every`.
    pub(super) fn due(&self, watermark: Instant, now: Duration, every: Option<Duration>) -> Option<Instant> {
        let soon = self.watermark.is_some() && now < self.at + every?;
        let news = self.watermark.is_none_or(|told| watermark > told) && watermark > 0;
        (news && !soon && every.is_some()).then_some(watermark)
    }

    /// It is durable.
    pub(super) fn told(&mut self, watermark: Instant, now: Duration) {
        *self = Self { watermark: Some(watermark), at: now };
    }
}

/// When a partition of the second stage last heard each of the first.
#[derive(Debug, Default)]
pub(super) struct Heard {
    last: BTreeMap<u32, Duration>,
    /// None was heard before: restoring took its time.
    since: Duration,
}

impl Heard {
    pub(super) fn begin(since: Duration) -> Self {
        Self { last: BTreeMap::new(), since }
    }

    pub(super) fn take_in(&mut self, record: &Record, now: Duration) {
        if let Body::Passed(passed) = record.body {
            self.last.insert(passed.input, now);
        }
    }

    fn silent(&self, input: u32, now: Duration) -> Duration {
        now.saturating_sub(self.last.get(&input).copied().unwrap_or(self.since))
    }
}

impl Owned {
    /// The partitions of the first stage that have stood still for too long.
    pub(super) fn standing(&self, now: Duration, idle_max: Duration) -> Vec<LeftOut> {
        let inputs = self.partition.inputs();
        let silent = inputs.filter(|(input, _)| self.heard.silent(*input, now) >= idle_max);
        silent.map(|(input, passed)| LeftOut { input, passed }).collect()
    }
}

/// How long the second stage rests before it looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl<L: Log, R: Rules> Driver<'_, L, R> {
    /// Whether the second stage reads nothing because partitions of the first are restored in this process. Payments wait for those, and what
    /// the second does of them comes after.
    pub(super) fn rests(&mut self) -> bool {
        if self.shared.settings.stage == Stage::First || !self.shared.status.restoring() {
            self.rests_since = None;
            return false;
        }
        let now = self.clock.elapsed();
        let since = *self.rests_since.get_or_insert_with(|| {
            events::Rests { slot: self.slot }.emit();
            now
        });
        now.saturating_sub(since) < REST_MAX
    }

    /// Lets a moment of rest go by. Nothing could be heard in it, so it is nobody's silence.
    pub(super) fn rested(&mut self) {
        self.clock.pass(LOOK_EVERY, &self.shared.shutdown);
        let now = self.clock.elapsed();
        self.heard_at = now;
        self.owned.values_mut().for_each(|owned| owned.heard = Heard::begin(now));
    }

    /// In the second stage: records in the log that time goes on without what has stood still. Only where everything was read: a lagging
    /// reader takes nobody for silent.
    pub(super) fn leave_out(&mut self) -> Result<(), Failure> {
        let now = self.clock.elapsed();
        let ids: Vec<_> = self.owned.keys().copied().collect();
        for partition in ids {
            let end = self.log.end(partition);
            let owned = self.owned.get_mut(&partition).expect("invariant: its id was just listed");
            if !owned.at_end(end) {
                continue;
            }
            for left in owned.standing(now, self.shared.options.idle_max) {
                // It comes back as a record; until then it is not said again.
                owned.heard.last.insert(left.input, now);
                events::InputLeftOut { partition, input: left.input }.emit(&self.shared.metrics);
                if let Err(error) = self.log.leave_out(partition, left) {
                    return self.trouble(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_is_told_once_and_not_too_often() {
        let (half, second) = (Some(Duration::from_millis(500)), Duration::from_secs(1));
        let mut told = Told::default();
        assert_eq!(told.due(5, second, None), None, "nobody waits for it");
        assert_eq!(told.due(-5, second, half), None, "no record was read");
        assert_eq!(told.due(5, Duration::ZERO, half), Some(5));
        told.told(5, second);
        assert_eq!(told.due(5, second * 9, half), None);
        assert_eq!(told.due(6, second + Duration::from_millis(499), half), None);
        assert_eq!(told.due(6, second + Duration::from_millis(500), half), Some(6));
    }
}
