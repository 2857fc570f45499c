//! The plain Rust shape of `rule.wit`, used by core, host and SDK alike. Field meanings are documented there; names are the same.
#![allow(missing_docs, reason = "every item is documented in rule.wit, and a test holds that")]

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Instant = i64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Payment,
    Terminal,
    Site,
    Acquirer,
    Host,
    Version,
    Operator,
    Region,
}

impl Scope {
    /// The prefix in scope strings, as in `site:S0012`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Terminal => "terminal",
            Self::Site => "site",
            Self::Acquirer => "acquirer",
            Self::Host => "host",
            Self::Version => "version",
            Self::Operator => "operator",
            Self::Region => "region",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub id: String,
    pub version: String,
    pub key: Scope,
    pub state_version: u32,
    pub events: Vec<String>,
    pub fields: Vec<String>,
    pub capabilities: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Timer,
    Event(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    pub at: Instant,
    pub time: Instant,
    pub late: bool,
    pub trigger: Trigger,
}

/// Visits and their pieces; reused from call to call by whoever fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub visits: Vec<Visit>,
    pub ends: Vec<u32>,
    pub bytes: Vec<u8>,
}

/// Nearly every field is shorter.
const SHORT_BYTES: usize = 16;

/// Appends the first bytes of `from`. Short ones as a fixed number, which is one load and one store, and what is too much goes again.
#[inline(always)]
fn append(bytes: &mut Vec<u8>, from: &[u8], length: usize) {
    match from.first_chunk::<SHORT_BYTES>() {
        Some(wide) if length <= SHORT_BYTES => {
            let end = bytes.len() + length;
            bytes.extend_from_slice(wide);
            bytes.truncate(end);
        }
        _ => bytes.extend_from_slice(&from[..length]),
    }
}

impl Batch {
    /// Forgets the visits and keeps the room.
    pub fn reset(&mut self) {
        self.visits.clear();
        self.ends.clear();
        self.bytes.clear();
    }

    /// Appends a piece; its end follows from what was appended before.
    ///
    /// # Panics
    /// When a batch passes 4 GiB, which the visits of one call and the limits on each piece exclude.
    #[inline]
    pub fn push_piece(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(u32::try_from(self.bytes.len()).expect("invariant: a batch is under 4 GiB"));
    }

    /// Appends many pieces, each cut out of `whole` by its start and end.
    ///
    /// # Panics
    /// As [`Batch::push_piece`], or where a cut is not in `whole`.
    #[inline]
    pub fn push_cuts(&mut self, whole: &[u8], cuts: &[(u32, u32)]) {
        let bytes = &mut self.bytes;
        self.ends.extend(cuts.iter().map(|&(start, end)| {
            if start < end {
                append(bytes, &whole[start as usize..], (end - start) as usize);
            }
            // Cut here and looked at once, below: ends only grow.
            #[allow(clippy::cast_possible_truncation, reason = "a batch that is too long does not pass")]
            let end = bytes.len() as u32;
            end
        }));
        assert!(u32::try_from(self.bytes.len()).is_ok(), "invariant: a batch is under 4 GiB");
    }

    /// Appends so many absent pieces.
    pub fn push_absent(&mut self, pieces: usize) {
        let end = self.ends.last().copied().unwrap_or(0);
        self.ends.extend(std::iter::repeat_n(end, pieces));
    }

    /// Piece `piece` of visit `visit` in a batch with `pieces` pieces a visit (2 + the declared fields); empty where absent.
    #[must_use]
    pub fn piece(&self, visit: usize, pieces: usize, piece: usize) -> &[u8] {
        let index = visit * pieces + piece;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Keep,
    Put(u32),
    Clear,
    Fail(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Keep,
    At(Instant),
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub state: Change,
    pub wake: Wake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// As it stands in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    pub event: String,
    pub id: String,
    pub time: Instant,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Named facts, in the order the rule gave them.
pub type Details = Vec<(String, Value)>;

#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: String,
    pub severity: Severity,
    pub generation: u32,
    pub scope: Option<String>,
    pub deadline: Option<Instant>,
    pub amount: Option<i64>,
    pub currency: Option<String>,
    pub broke_at: Option<String>,
    pub evidence: Vec<Evidence>,
    pub details: Details,
}

impl Finding {
    /// The first of its kind for the rule's own key, with nothing else known.
    #[must_use]
    pub fn new(kind: &str, severity: Severity) -> Self {
        Self {
            kind: kind.to_owned(),
            severity,
            generation: 1,
            scope: None,
            deadline: None,
            amount: None,
            currency: None,
            broke_at: None,
            evidence: Vec::new(),
            details: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Updated {
    pub finding: String,
    pub severity: Option<Severity>,
    pub evidence: Vec<Evidence>,
    pub details: Details,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    pub kind: String,
    pub scope: Option<String>,
    pub resolution: String,
    pub after_ms: u64,
}

impl Cleared {
    /// Of the rule's own key, at its deadline.
    #[must_use]
    pub fn new(kind: &str, resolution: &str) -> Self {
        Self { kind: kind.to_owned(), scope: None, resolution: resolution.to_owned(), after_ms: 0 }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    pub kind: String,
    pub target: String,
    pub txn: Option<String>,
    pub rail: Option<String>,
    pub finding: Option<String>,
    pub cause: Option<String>,
    pub evidence: Vec<Evidence>,
    pub not_before: Instant,
    pub expires_at: Instant,
    pub preconditions: Vec<String>,
    pub chain: u32,
    pub attempt: u32,
    pub max_attempts: u32,
    pub details: Details,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    pub kind: String,
    pub target: String,
    pub txn: Option<String>,
    pub rail: Option<String>,
    pub chain: u32,
    pub attempt: u32,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    pub event: String,
    pub details: Details,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub finding: String,
    pub kind: String,
    pub scope: String,
    pub severity: Option<Severity>,
    pub evidence: Vec<Evidence>,
    pub details: Details,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    Opened,
    Updated,
    Resolved,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub ended: Vec<(String, u64)>,
    pub markdown_en: String,
    pub markdown_zh: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub turn: Turn,
    pub scope: String,
    pub cause: String,
    pub opened_as: Option<String>,
    pub confidence: f64,
    pub runner_up: Option<String>,
    pub generation: u32,
    pub severity: Severity,
    pub evidence: Vec<Evidence>,
    pub findings: u64,
    pub payments: u64,
    pub money: Vec<(String, i64)>,
    pub first_at: Instant,
    pub opened_at: Instant,
    pub resolved_at: Option<Instant>,
    pub inhibits: Vec<String>,
    pub inhibited_by: Option<String>,
    pub maintenance: bool,
    pub text_en: String,
    pub text_zh: String,
    pub remedy_en: String,
    pub remedy_zh: String,
    pub runbook: String,
    pub report: Option<Report>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Raise(Finding),
    Update(Updated),
    Clear(Cleared),
    Command(Command),
    Cancel(Cancelled),
    Derive(Derived),
    Tell(Told),
    /// Apart, since it is large and rare.
    Incident(Box<Incident>),
}

/// The result of a batch; reused from call to call by whoever receives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    pub verdicts: Vec<Verdict>,
    pub states: Vec<u8>,
    pub actions: Vec<(u32, Action)>,
}

impl Verdicts {
    /// Forgets everything and keeps the room.
    pub fn reset(&mut self) {
        self.verdicts.clear();
        self.states.clear();
        self.actions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cut_out_are_those_pushed_one_by_one() {
        let whole: Vec<u8> = (0..40).collect();
        let cuts: Vec<(u32, u32)> = (0..=40).flat_map(|start| (start..=40).map(move |end| (start, end))).collect();
        let (mut cut, mut pushed) = (Batch::default(), Batch::default());
        cut.push_cuts(&whole, &cuts);
        for &(start, end) in &cuts {
            pushed.push_piece(&whole[start as usize..end as usize]);
        }
        assert_eq!(cut, pushed);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_cut_outside_is_refused() {
        Batch::default().push_cuts(&[0; 20], &[(10, 21)]);
    }
}
