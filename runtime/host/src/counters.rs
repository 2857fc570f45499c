//! What one rule did in one host, as plain numbers that only grow.

/// Every fault code that this crate gives; headings of `docs/runbook.md`.
pub const FAULT_CODES: [&str; 7] = ["trap", "fuel", "memory", "output-max", "state-max", "bad-output", "rule-failed"];

/// Counts of one rule in one worker since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of `process` asked for by the core.
    pub calls: u64,
    /// Visits in them.
    pub visits: u64,
    /// Calls that were made again one visit at a time.
    pub reruns: u64,
    /// Fuel used by calls that answered.
    pub fuel: u64,
    /// Instances replaced because their memory had grown past `Limits::recycle_bytes`.
    pub recycled: u64,
    /// Times that a call was made again because the wall-clock backstop fired or no instance could be had.
    pub stalls: u64,
    faults: [u64; FAULT_CODES.len()],
}

impl Counters {
    /// Faults by code, in the order of [`FAULT_CODES`].
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FAULT_CODES.into_iter().zip(self.faults)
    }

    pub(crate) fn count_fault(&mut self, code: &str) {
        let index = FAULT_CODES.iter().position(|known| *known == code).expect("invariant: a code of this crate");
        self.faults[index] += 1;
    }
}
