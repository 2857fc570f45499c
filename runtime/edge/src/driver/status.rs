//! How far the workers of a process are.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far one worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// It has no partitions yet.
    Starting,
    /// It restores partitions.
    Restoring,
    /// It reads.
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

    /// Whether every partition that this process was given is restored: some worker reads, none restores, none has ended.
    #[must_use]
    pub fn ready(&self) -> bool {
        let mut running = false;
        for phase in &self.0 {
            match phase.load(Ordering::SeqCst) {
                phase if phase == Phase::Running as u8 => running = true,
                phase if phase == Phase::Starting as u8 => {}
                _ => return false,
            }
        }
        running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_some_running_and_none_restoring() {
        let status = Status::new(2);
        assert!(!status.ready());
        status.set(0, Phase::Running);
        assert!(status.ready(), "a worker without partitions does not hold the others back");
        status.set(1, Phase::Restoring);
        assert!(!status.ready());
        status.set(1, Phase::Running);
        assert!(status.ready());
        status.set(0, Phase::Stopped);
        assert!(!status.ready());
    }
}
