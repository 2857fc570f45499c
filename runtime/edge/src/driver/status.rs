//! How far the workers of a process are.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far one worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// It has not been given its partitions yet.
    Starting,
    /// It restores partitions.
    Restoring,
    /// It reads what it was given, if anything.
    Running,
    /// It has ended.
    Stopped,
}

/// Of every worker.
#[derive(Debug)]
pub struct Status(Vec<AtomicU8>);

impl Status {
    /// All workers starting.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicU8::new(Phase::Starting as u8)).collect())
    }

    /// One worker has come further.
    pub(crate) fn set(&self, slot: u32, phase: Phase) {
        self.0[slot as usize].store(phase as u8, Ordering::SeqCst);
    }

    /// One worker was given nothing, which it is ready for.
    pub(crate) fn dealt(&self, slot: u32) {
        let (starting, running) = (Phase::Starting as u8, Phase::Running as u8);
        // One that has partitions goes on with them.
        let _ = self.0[slot as usize].compare_exchange(starting, running, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether a worker restores partitions.
    pub(crate) fn restoring(&self) -> bool {
        self.0.iter().any(|phase| phase.load(Ordering::SeqCst) == Phase::Restoring as u8)
    }

    /// Whether every worker was given its partitions, has restored them and reads.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.0.iter().all(|phase| phase.load(Ordering::SeqCst) == Phase::Running as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_all_running() {
        let status = Status::new(2);
        assert!(!status.ready());
        status.set(0, Phase::Running);
        assert!(!status.ready(), "the other one may be given partitions yet");
        status.dealt(1);
        assert!(status.ready(), "a worker without partitions does not hold the others back");
        assert!(!status.restoring());
        status.set(1, Phase::Restoring);
        assert!(status.restoring());
        status.dealt(1);
        assert!(!status.ready());
        status.set(1, Phase::Running);
        assert!(status.ready());
        status.set(0, Phase::Stopped);
        status.dealt(0);
        assert!(!status.ready());
    }
}
