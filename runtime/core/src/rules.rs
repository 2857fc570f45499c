//! What the core asks of whatever runs the rules: the wasm host, or plain Rust in tests.

pub use tillwatch_wit::contract::{
    Action, Batch, Cancelled, Change, Cleared, Command, Derived, Descriptor, Details, Evidence, Finding, Incident,
    Report, Scope, Severity, Told, Trigger, Turn, Updated, Value, Verdict, Verdicts, Visit, Wake,
};

/// Index of a rule in [`Rules::descriptors`]; their order is the order in which an event visits them.
pub type RuleIndex = usize;

/// Why a visit counts for nothing. `code` is a heading of `docs/runbook.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of [`FAULTS`].
    pub code: &'static str,
    /// For a person: what happened, one line, bounded. The same on every replay.
    pub reason: String,
}

/// Every code of a [`Fault`].
pub const FAULTS: &[&str] = &[
    "trap",
    "fuel",
    "memory",
    "output-max",
    "state-max",
    "bad-output",
    "rule-failed",
    "rounds-max",
    "keys-max",
    "findings-max",
];

/// The result of one call.
#[derive(Debug, Default)]
pub struct Answer {
    /// Verdicts in the order of the batch; a visit with a fault has `keep`, `keep` and no actions here.
    pub verdicts: Verdicts,
    /// (visit, fault), visits ascending.
    pub faults: Vec<(u32, Fault)>,
}

impl Answer {
    /// Forgets everything and keeps the room.
    pub fn reset(&mut self) {
        self.verdicts.reset();
        self.faults.clear();
    }
}

/// Runs rules. A call's answer depends on nothing but the rule and the batch.
pub trait Rules {
    /// The rules, in the order in which an event visits them. Constant.
    fn descriptors(&self) -> &[Descriptor];

    /// Visits distinct keys of one rule. `answer` comes reset.
    ///
    /// # Errors
    /// [`Stalled`] when the host itself could not answer (a wall-clock backstop fired); nothing is known about the visits, and the same
    /// call may be made again. A rule's own failures are [`Answer::faults`].
    fn process(&mut self, rule: RuleIndex, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled>;

    /// Turns state of format `version` into today's; none where the rule refuses, with its reason.
    ///
    /// # Errors
    /// The rule's own message.
    fn migrate(&mut self, rule: RuleIndex, version: u32, state: &[u8]) -> Result<Vec<u8>, String>;
}

/// The host could not answer in wall-clock time; never a verdict, since wall time is not replayable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The rule's id.
    pub rule: String,
}
