//! A chain of commands: its steps, each with the moment at which it is due and how long it is open.

/// In the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Query,
    Redeliver,
    Reprint,
    Guide,
    Flush,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query-status",
            Self::Redeliver => "redeliver-result",
            Self::Reprint => "reprint",
            Self::Guide => "display-guide",
            Self::Flush => "flush-pending-reversal",
        }
    }

    pub(crate) fn preconditions(self) -> &'static [&'static str] {
        match self {
            Self::Redeliver => &["transaction-current", "not-timed-out", "not-reversed"],
            Self::Reprint => &["not-reversed"],
            Self::Flush => &["reversal-pending"],
            Self::Query | Self::Guide => &[],
        }
    }
}

/// What a finding wants of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Five queries, then a person.
    Ask,
    /// One query before a flush whose finding came of a late event.
    BeforeFlush,
    /// One query after a QR payment's redelivery.
    Undelivered,
    /// One query about a QR payment's late approval.
    LateApproval,
    /// Any other chain.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    At(i64),
    /// From when it begins.
    For(i64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) due: i64,
    pub(crate) until: Until,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) kind: Kind,
    /// Queries before the answer.
    pub(crate) is_poll: bool,
    /// The guide about what was paid, not the one about a printer.
    pub(crate) is_paid_guide: bool,
    /// Findings by kind, and what they want.
    pub(crate) callers: Vec<(String, Purpose)>,
    pub(crate) number: Option<u32>,
    pub(crate) steps: Vec<Step>,
    /// Steps that are over or open.
    pub(crate) taken: usize,
    /// The next step has begun but cannot be sent: until when it could be open.
    pub(crate) held_until: Option<i64>,
    /// Attempt, and until when it is open.
    pub(crate) open: Option<(u32, i64)>,
    /// Until when the last step taken is or would have been open.
    pub(crate) ends: i64,
    /// The next step is due, whatever the plan says.
    pub(crate) at_once: bool,
    pub(crate) started: i64,
}

const ASK: [i64; 5] = [0, 5_000, 15_000, 45_000, 105_000];

/// Its share of a gap.
fn moved(gap: i64, share: u64) -> i64 {
    gap * i64::try_from(share & 0xffff).expect("16 bits") / (5 * 0xffff)
}

/// Each is moved in its gap, and open until the next is due; what closes the last one is given.
fn spread(times: &[i64], until: i64, last: Until, share: u64, last_moves: bool) -> Vec<Step> {
    let mut dues = Vec::new();
    for (index, time) in times.iter().enumerate() {
        let next = times.get(index + 1).copied().unwrap_or(until);
        let is_last = index + 1 == times.len();
        dues.push(if is_last && !last_moves { *time } else { time + moved(next - time, share) });
    }
    let until = |index: usize| dues.get(index + 1).map_or(last, |next| Until::At(*next));
    dues.iter().enumerate().map(|(index, due)| Step { due: *due, until: until(index) }).collect()
}

/// Every five seconds after the authorize, from the first that is not past, until the deadline.
pub(crate) fn poll(authorize: i64, now: i64, deadline: i64, share: u64) -> Vec<Step> {
    let mut times = Vec::new();
    let mut time = authorize + 5_000;
    while time < deadline {
        if time >= now {
            times.push(time);
        }
        time += 5_000;
    }
    spread(&times, deadline, Until::At(deadline), share, true)
}

pub(crate) fn ask(now: i64, share: u64) -> Vec<Step> {
    spread(&ASK.map(|after| now + after), now, Until::For(30_000), share, false)
}

pub(crate) fn once(now: i64, until: Until) -> Vec<Step> {
    vec![Step { due: now, until }]
}

pub(crate) fn flushes(now: i64) -> Vec<Step> {
    [0, 60_000, 120_000].map(|after| Step { due: now + after, until: Until::For(60_000) }).to_vec()
}
