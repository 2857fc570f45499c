//! The two stages, and how the second learns the time: the first reads events by terminal, the second evidence by scope.
//!
//! Evidence comes from all partitions of the first stage, interleaved as chance has it. So its time is not when the log took it in, but how
//! far those partitions have come: each tells every partition of the second stage, and the smallest counts (ADR 0013).

use tillwatch_wit::contract::Instant;

use crate::output::rfc3339;

/// Type of the records that say how far a partition of the first stage has come.
pub const WATERMARK: &str = "tillwatch.watermark";
/// Type of the records that say that time no longer waits for one.
pub const LEFT_OUT: &str = "tillwatch.left-out";

/// Partitions that the first stage may have: what a record says beyond that is no sane number.
pub const INPUTS_MAX: u32 = 65_536;

/// Which of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Events by terminal; rules keyed by payment or terminal.
    #[default]
    First,
    /// Evidence by scope; rules keyed by the other scopes.
    Second,
}

impl Stage {
    /// As the config has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

/// How far a partition of the first stage has come: everything before `at` has been handed out, and what it had to tell stands before this
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The partition.
    pub input: u32,
    /// How many there are.
    pub inputs: u32,
    /// Its watermark.
    pub at: Instant,
}

impl Passed {
    /// Its record, the same in every log: these headers (a CloudEvent in binary mode), no key, an empty value.
    #[must_use]
    pub fn headers(self) -> Vec<(&'static str, String)> {
        let mut headers = headers(WATERMARK, self.input, Some(self.at));
        headers.push(("ce_inputs", self.inputs.to_string()));
        headers
    }
}

/// A partition of the first stage has stood still for too long: the others go on without it until it has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The partition.
    pub input: u32,
    /// Where it stands; none where it was never heard. If it has moved meanwhile, this record means nothing.
    pub passed: Option<Instant>,
}

impl LeftOut {
    /// Its record, as [`Passed::headers`].
    #[must_use]
    pub fn headers(self) -> Vec<(&'static str, String)> {
        headers(LEFT_OUT, self.input, self.passed)
    }
}

fn headers(name: &'static str, input: u32, at: Option<Instant>) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_type", name.to_owned()),
        ("ce_source", "tillwatch".to_owned()),
        ("ce_id", "watermark".to_owned()),
        ("ce_input", input.to_string()),
    ];
    headers.extend(at.map(|at| ("ce_time", rfc3339(at))));
    headers
}
