//! Making effects durable: in one burst, while the worker goes on with what it reads, and again and again until it is done.
//!
//! One commit is under way at a time. What is made of the records read meanwhile waits for the next; where the first comes to nothing, its
//! effects go before those.

use std::time::Duration;

use tillwatch_core::{
    log::{Commit, Committed, Ended, Log, LogError, Polled, Who},
    rules::Rules,
};

use super::{DRAIN_MAX, Driver, Failure, Owned, RETRY_WAIT};
use crate::telemetry::{Outcome, events};

/// How long a position that only time has moved may wait for its commit.
const MOVED_MAX: Duration = Duration::from_secs(10);

/// A commit that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    began: Duration,
    /// Bytes of its effects.
    bytes: usize,
}

impl<L: Log, R: Rules> Driver<'_, L, R> {
    /// Whether effects have waited long enough, or are too many to wait.
    pub(super) fn commit_due(&self) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        let options = &self.shared.options;
        let waited = self.clock.elapsed().saturating_sub(self.commit_counts_from);
        let owned = || self.owned.values();
        let now = self.clock.elapsed();
        let tells = || owned().any(|owned| owned.tells(now, options).is_some());
        (waited >= options.commit_every && (owned().any(Owned::dirty) || tells()))
            || ((waited >= MOVED_MAX || self.stuck) && owned().any(Owned::moved))
            || self.full()
    }

    /// Whether nothing more may be read before effects are durable.
    pub(super) fn full(&self) -> bool {
        let under_way = self.under_way.map_or(0, |commit| commit.bytes);
        self.pending_bytes() + under_way >= self.shared.options.pending_bytes_max
    }

    fn pending_bytes(&self) -> usize {
        self.owned.values().map(Owned::pending_bytes).sum()
    }

    /// Tries once to make everything pending durable and waits for the end; what did not become durable stays pending.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        self.ended(true)?;
        self.begin_commit()?;
        self.ended(true)
    }

    /// Begins to make everything pending durable.
    pub(super) fn begin_commit(&mut self) -> Result<(), Failure> {
        let (began, bytes) = (self.clock.elapsed(), self.pending_bytes());
        let Self { owned, shared, .. } = self;
        let commits: Vec<Commit> =
            owned.values_mut().filter_map(|owned| owned.take_commit(began, &shared.options)).collect();
        if commits.is_empty() {
            return Ok(());
        }
        self.under_way = Some(UnderWay { began, bytes });
        self.log.begin_commit(commits);
        let held = self.clock.elapsed().saturating_sub(began);
        self.commit_counts_from = counts_from(began, held, self.shared.options.commit_every);
        self.ended(self.full())
    }

    /// Acts on how the commit that is under way has ended, if it has; `wait` waits for that.
    pub(super) fn ended(&mut self, wait: bool) -> Result<(), Failure> {
        let Some(UnderWay { began, .. }) = self.under_way else { return Ok(()) };
        let Some(Ended { commits, outcome: committed }) = self.log.ended(wait) else { return Ok(()) };
        self.under_way = None;
        let took = self.clock.elapsed().saturating_sub(began);
        let (outcome, reason) = match &committed {
            Ok(Committed::Done) => (Outcome::Done, ""),
            Ok(Committed::Aborted { reason }) => (Outcome::Aborted, reason.as_str()),
            Ok(Committed::Unknown { reason }) => (Outcome::Unknown, reason.as_str()),
            Err(error) => (Outcome::Failed, error.what.as_str()),
        };
        events::CommitEnded { slot: self.slot, outcome, reason, took }.emit(&self.shared.metrics);
        match committed {
            Ok(Committed::Done) => {
                self.durable(commits);
                self.stuck = false;
                self.recovered();
                self.heard();
                (self.report)(&self.rules);
                Ok(())
            }
            Ok(Committed::Aborted { .. }) => {
                self.put_back(commits);
                Ok(())
            }
            Ok(Committed::Unknown { .. }) => self.find_out(commits),
            Err(error) => {
                self.put_back(commits);
                self.stuck = true;
                self.trouble(error)
            }
        }
    }

    fn durable(&mut self, commits: Vec<Commit>) {
        let now = self.clock.elapsed();
        for commit in commits {
            if let Some(owned) = self.owned.get_mut(&commit.partition) {
                owned.committed(commit, now);
            }
        }
    }

    fn put_back(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            if let Some(owned) = self.owned.get_mut(&commit.partition) {
                owned.put_back(commit);
            }
        }
    }

    /// After an unknown outcome: what the log has is done, the rest is pending again.
    fn find_out(&mut self, commits: Vec<Commit>) -> Result<(), Failure> {
        for commit in commits {
            loop {
                match self.log.position(commit.partition) {
                    Ok(position) if position == Some(commit.position) => {
                        self.durable(vec![commit]);
                        break;
                    }
                    Ok(_) => {
                        self.put_back(vec![commit]);
                        break;
                    }
                    Err(error) if error.retry && self.shared.shutdown.requested() => {
                        return Err(Failure::Undrained(error));
                    }
                    Err(error) => self.trouble(error)?,
                }
            }
        }
        Ok(())
    }

    /// Commits what was read, for [`DRAIN_MAX`] at most, and closes the log.
    pub(super) fn drain(&mut self) -> Result<(), Failure> {
        let until = self.clock.elapsed() + DRAIN_MAX;
        loop {
            self.commit()?;
            if !self.owned.values().any(|owned| owned.dirty() || owned.moved()) {
                break;
            }
            if self.clock.elapsed() >= until {
                return Err(Failure::Undrained(LogError {
                    code: "drain-timeout",
                    what: format!("commits did not succeed within {} s", DRAIN_MAX.as_secs()),
                    who: Who::Operations,
                    retry: true,
                }));
            }
            self.rebalanced_while_draining()?;
        }
        self.log.close().map_err(Failure::Log)
    }

    /// Ownership may have changed since the failed commit; records are not taken any more.
    fn rebalanced_while_draining(&mut self) -> Result<(), Failure> {
        match self.log.poll(RETRY_WAIT.min(Duration::from_millis(50)), 1, &mut |_, _| {}) {
            Ok(Polled::Records | Polled::Assigned(_)) => Ok(()),
            Ok(Polled::Revoking(partitions) | Polled::Lost(partitions)) => self.lost(&partitions),
            Err(error) if error.retry => Ok(()),
            Err(error) => Err(Failure::Log(error)),
        }
    }
}

/// When the time to the next commit begins to run: with this one, so that they are `every` apart, but as much time as it held up the worker, or
/// `every`, is left for work.
fn counts_from(began: Duration, held: Duration, every: Duration) -> Duration {
    began + (held + held.min(every)).saturating_sub(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_as_far_apart_as_asked_for_and_leave_half_of_the_time() {
        // When it began, how long it held up the worker, and the next is due: with 100 ms between them.
        for (began, held, due) in
            [(0, 0, 100), (0, 10, 100), (1_000, 50, 1_100), (1_000, 80, 1_160), (0, 100, 200), (0, 700, 800)]
        {
            let [began, held, every] = [began, held, 100].map(Duration::from_millis);
            assert_eq!(counts_from(began, held, every) + every, Duration::from_millis(due), "{held:?}");
        }
    }
}
