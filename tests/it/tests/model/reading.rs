//! payment.md, "Stages", read plainly: one payment, its events as handed out, nothing remembered but the events themselves, the windows that
//! run and the findings that are open. Slow on purpose; written from `docs/spec/payment.md` and `docs/adr/0006-reading-of-payment-md.md`
//! alone, apart from the rule's code.

use crate::{
    history::{Rail, Seen, What},
    says::{answered_decline, approval, goods, money_back, reaches, request, reversal, stamp},
};

/// The settings that count for one payment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) response: i64,
    pub(crate) terminal: i64,
    pub(crate) delivery: i64,
    pub(crate) display: i64,
    pub(crate) print: i64,
    pub(crate) reversal: i64,
    pub(crate) reversal_answer: i64,
    pub(crate) sync: i64,
    pub(crate) slow: i64,
    pub(crate) grace: i64,
    pub(crate) expects_display: bool,
    pub(crate) expects_receipt: bool,
    pub(crate) expects_ledger: bool,
}

/// In the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    NoAnswer,
    ApprovedUndelivered,
    NotShown,
    NotPrinted,
    SlowAnswer,
    Unsynced,
    ReversalMissing,
    ReversalUnanswered,
    LateApproval,
    Unresolved,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::ApprovedUndelivered => "approved-undelivered",
            Self::NotShown => "not-shown",
            Self::NotPrinted => "not-printed",
            Self::SlowAnswer => "slow-answer",
            Self::Unsynced => "unsynced",
            Self::ReversalMissing => "reversal-missing",
            Self::ReversalUnanswered => "reversal-unanswered",
            Self::LateApproval => "late-approval",
            Self::Unresolved => "unresolved",
        }
    }
}

const STAGES: [Kind; 4] = [Kind::NoAnswer, Kind::ApprovedUndelivered, Kind::NotShown, Kind::NotPrinted];
const REMEMBERED: i64 = 600_000;
const KEPT: i64 = 86_400_000;

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: i64,
    pub(crate) kind: String,
    pub(crate) generation: u32,
    pub(crate) deadline: i64,
    /// None: raised. Else resolution, cleared by, after.
    pub(crate) cleared: Option<(String, Option<String>, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    kind: Kind,
    deadline: i64,
    fires: i64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    deadline: i64,
    generation: u32,
}

/// Why `unresolved` is open; the harder one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    GoodsAfterNotPaid,
    SettledByPaidAfter(i64),
    Hard,
}

/// What is known of the payment: its events so far.
#[derive(Default)]
struct Payment {
    events: Vec<Seen>,
    windows: Vec<Window>,
    open: Vec<Open>,
    why: Option<Why>,
    generations: Vec<(Kind, u32)>,
    /// A final not-paid without an approval before it stands.
    not_paid: bool,
    /// The late approval has ended the stages.
    ended: bool,
    finished: Option<i64>,
}

impl Payment {
    fn any(&self, test: fn(What) -> bool) -> bool {
        self.events.iter().any(|event| test(event.what))
    }

    fn first(&self, test: fn(What) -> bool) -> Option<&Seen> {
        self.events.iter().find(|event| test(event.what))
    }

    /// The earliest reversal request, by its time, of those that came.
    fn asked_back(&self) -> Option<i64> {
        self.events.iter().filter(|event| request(event.what)).map(|event| event.time).min()
    }

    fn authorize(&self) -> Option<&Seen> {
        self.first(|what| matches!(what, What::Authorize { .. }))
    }

    fn is_open(&self, kind: Kind) -> bool {
        self.open.iter().any(|open| open.kind == kind)
    }

    fn is_running(&self, kind: Kind) -> bool {
        self.windows.iter().any(|window| window.kind == kind)
    }

    fn close(&mut self, kinds: &[Kind]) {
        self.windows.retain(|window| !kinds.contains(&window.kind));
    }
}

/// One payment through its whole life; forgotten ones begin anew.
struct Reader<'a> {
    rail: Rail,
    windows: &'a Windows,
    payment: Payment,
    clears: Vec<(Kind, Line)>,
    raises: Vec<(Kind, Line)>,
    lines: Vec<Line>,
}

/// All lines about one payment until the watermark has reached `end`.
pub(crate) fn read(rail: Rail, windows: &Windows, events: &[Seen], end: i64) -> Vec<Line> {
    let mut reader = Reader {
        rail,
        windows,
        payment: Payment::default(),
        clears: Vec::new(),
        raises: Vec::new(),
        lines: Vec::new(),
    };
    for event in events {
        reader.run_until(event.at);
        reader.event(event);
    }
    reader.run_until(end);
    reader.lines
}

impl Reader<'_> {
    /// Everything that falls due strictly before this instant: events of the instant itself come first.
    fn run_until(&mut self, instant: i64) {
        loop {
            let payment = &self.payment;
            let memory = if payment.events.is_empty() {
                None
            } else if let Some(finished) = payment.finished {
                Some(finished + REMEMBERED)
            } else {
                let last = payment.events.last().map(|event| event.at + KEPT);
                last.filter(|_| !payment.open.is_empty())
            };
            let window = payment.windows.iter().map(|window| window.fires).min();
            let Some(next) = window.into_iter().chain(memory).min() else { return };
            if next >= instant {
                return;
            }
            self.fire(next);
            if memory.is_some_and(|memory| memory <= next) {
                self.forget(next);
            }
        }
    }

    fn forget(&mut self, at: i64) {
        if self.payment.finished.is_none() {
            for open in self.payment.open.clone() {
                self.clear(open.kind, "expired", None, at, at);
            }
            self.write();
        }
        self.payment = Payment::default();
    }

    fn write(&mut self) {
        self.clears.sort_by_key(|(kind, _)| *kind);
        self.raises.sort_by_key(|(kind, _)| *kind);
        self.lines.extend(self.clears.drain(..).chain(self.raises.drain(..)).map(|(_, line)| line));
    }

    fn settle(&mut self, at: i64) {
        let done = self.payment.windows.is_empty() && self.payment.open.is_empty();
        self.payment.finished = if done { self.payment.finished.or(Some(at)) } else { None };
    }

    fn fire(&mut self, at: i64) {
        let mut due: Vec<Window> = self.payment.windows.iter().copied().filter(|window| window.fires <= at).collect();
        self.payment.windows.retain(|window| window.fires > at);
        due.sort_by_key(|window| window.kind);
        for window in &due {
            let no_answer = self.payment.is_open(Kind::NoAnswer);
            if window.kind == Kind::SlowAnswer && no_answer {
                continue;
            }
            self.raise(window.kind, window.deadline, at);
        }
        let superseded =
            due.iter().any(|window| window.kind == Kind::NoAnswer) && self.payment.is_open(Kind::SlowAnswer);
        self.write();
        if superseded {
            self.clear(Kind::SlowAnswer, "superseded", None, i64::MIN, at);
            let (_, line) = self.clears.pop().expect("it was open");
            let place = self.lines.iter().rposition(|line| line.kind == "no-answer").expect("it was raised");
            self.lines.insert(place + 1, line);
        }
        self.settle(at);
    }

    fn raise(&mut self, kind: Kind, deadline: i64, at: i64) {
        let payment = &mut self.payment;
        let generation = match payment.generations.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, generation)) => {
                *generation += 1;
                *generation
            }
            None => {
                payment.generations.push((kind, 1));
                1
            }
        };
        payment.open.push(Open { kind, deadline, generation });
        self.raises.push((kind, Line { at, kind: kind.name().to_owned(), generation, deadline, cleared: None }));
    }

    fn clear(&mut self, kind: Kind, resolution: &str, by: Option<&str>, time: i64, at: i64) {
        let Some(place) = self.payment.open.iter().position(|open| open.kind == kind) else { return };
        let Open { deadline, generation, .. } = self.payment.open.remove(place);
        let resolution = match resolution {
            "by-time" if time <= deadline => "proved-wrong",
            "by-time" => "mended",
            other => other,
        };
        let cleared = Some((resolution.to_owned(), by.map(str::to_owned), time.saturating_sub(deadline).max(0)));
        self.clears.push((kind, Line { at, kind: kind.name().to_owned(), generation, deadline, cleared }));
        if kind == Kind::Unresolved {
            self.payment.why = None;
        }
    }

    fn open_window(&mut self, kind: Kind, deadline: i64, by: &Seen) {
        let fires = if by.late { deadline.max(by.at + self.windows.grace) } else { deadline.max(by.at) };
        self.payment.windows.push(Window { kind, deadline, fires });
    }

    fn reached(&self) -> usize {
        let by_not_paid = usize::from(self.payment.not_paid);
        self.payment.events.iter().map(|event| reaches(event.what)).max().unwrap_or(0).max(by_not_paid)
    }

    fn gives_up(&self) -> i64 {
        if self.rail == Rail::Card { self.windows.terminal } else { self.windows.response }
    }

    fn is_final(&self, event: &Seen) -> bool {
        if !matches!(event.what, What::Status { result: "not-paid", .. }) {
            return false;
        }
        match (self.payment.authorize(), self.payment.asked_back()) {
            (Some(authorize), _) => event.time >= authorize.at + self.gives_up(),
            (None, Some(request)) => event.time >= request,
            (None, None) => false,
        }
    }

    fn event(&mut self, event: &Seen) {
        let before = self.reached();
        let was_back = self.payment.any(money_back);
        if money_back(event.what) {
            self.end_all("reversed", event);
        } else if self.is_final(event) && !self.payment.any(approval) && !was_back {
            self.end_all("not-paid", event);
            self.payment.not_paid = true;
        } else {
            self.reach(event, before, was_back);
            if !was_back {
                self.beside(event, before);
            }
        }
        self.contradict(event, was_back);
        self.payment.events.push(event.clone());
        self.write();
        self.settle(event.at);
    }

    fn end_all(&mut self, resolution: &str, event: &Seen) {
        self.payment.windows.clear();
        for open in self.payment.open.clone() {
            self.clear(open.kind, resolution, Some(&event.id), event.time, event.at);
        }
    }

    /// The four stages: clears what is reached, closes its window, opens the next.
    fn reach(&mut self, event: &Seen, before: usize, was_back: bool) {
        let now = before.max(reaches(event.what));
        for kind in &STAGES[..now] {
            self.clear(*kind, "by-time", Some(&event.id), event.time, event.at);
        }
        self.payment.close(&STAGES[..now]);
        let declined_now = answered_decline(event.what) || matches!(event.what, What::Display { shown: "declined" });
        if declined_now {
            self.payment.close(&[Kind::NotPrinted]);
            self.clear(Kind::NotPrinted, "by-time", Some(&event.id), event.time, event.at);
        }
        if was_back {
            return;
        }
        self.judge_approval(event);
        let declined = declined_now
            || self.payment.any(answered_decline)
            || self.payment.any(|what| matches!(what, What::Display { shown: "declined" }));
        let receipt_expected = self.windows.expects_receipt && !declined;
        let first_approval = approval(event.what) && !self.payment.any(approval);
        let stopped = self.payment.ended || self.payment.not_paid;
        let waiting = STAGES.iter().any(|kind| self.payment.is_running(*kind) || self.payment.is_open(*kind));
        if matches!(event.what, What::Response { terminal: true, outcome: "declined" }) {
            let shown = self.payment.is_running(Kind::NotShown) || self.payment.is_open(Kind::NotShown);
            if now == 2 && self.windows.expects_display && !shown {
                self.payment.close(&STAGES);
                self.open_window(Kind::NotShown, event.time + self.windows.display, event);
            }
            return;
        }
        if matches!(event.what, What::Print { state: "failed" }) && now == 3 && receipt_expected && !stopped {
            if !self.payment.is_open(Kind::NotPrinted) {
                self.payment.close(&[Kind::NotPrinted]);
                self.raise(Kind::NotPrinted, event.time, event.at);
            }
            return;
        }
        if stopped || waiting {
            return;
        }
        if matches!(event.what, What::Authorize { .. }) && now == 0 && self.payment.authorize().is_none() {
            self.open_window(Kind::NoAnswer, event.time + self.windows.response, event);
        } else if first_approval && now == 1 {
            self.open_window(Kind::ApprovedUndelivered, event.time + self.windows.delivery, event);
        } else if now == 2 && before < 2 && self.windows.expects_display {
            self.open_window(Kind::NotShown, event.time + self.windows.display, event);
        } else if (now == 2 || now == 3) && now > before && receipt_expected {
            self.open_window(Kind::NotPrinted, event.time + self.windows.print, event);
        }
    }

    /// The first approval: late, or not.
    fn judge_approval(&mut self, event: &Seen) {
        if !approval(event.what) || self.payment.any(approval) {
            return;
        }
        let gave_up = self.payment.authorize().map(|authorize| authorize.at + self.windows.response);
        let asked_back = self.payment.asked_back();
        let bound = gave_up.into_iter().chain(asked_back).min();
        match bound.filter(|bound| event.time > *bound && !self.payment.any(goods)) {
            Some(bound) => {
                self.payment.ended = true;
                self.payment.close(&STAGES);
                self.raise(Kind::LateApproval, bound, event.at);
            }
            None => self.in_time(event),
        }
    }

    fn in_time(&mut self, event: &Seen) {
        if self.windows.expects_ledger && !self.payment.any(|what| matches!(what, What::Ledger { state: "paid" })) {
            self.open_window(Kind::Unsynced, event.time + self.windows.sync, event);
        }
        if !self.payment.not_paid {
            return;
        }
        self.payment.not_paid = false;
        let delivered = self.reached().max(reaches(event.what)) >= 2;
        let settled = delivered || self.payment.any(reversal) || self.payment.any(answered_decline);
        if let Some(authorize) = self.payment.authorize().cloned().filter(|_| self.rail == Rail::Card && !settled) {
            let deadline = authorize.time + self.windows.terminal + self.windows.reversal;
            self.open_window(Kind::ReversalMissing, deadline, event);
        }
    }

    /// What has a finding of its own.
    fn beside(&mut self, event: &Seen, before: usize) {
        let by = Some(event.id.as_str());
        let now = before.max(reaches(event.what));
        let mut over = Vec::new();
        if now >= 1 {
            over.push(Kind::SlowAnswer);
        }
        if matches!(event.what, What::Ledger { state: "paid" }) {
            over.push(Kind::Unsynced);
        }
        if now >= 2 || reversal(event.what) || answered_decline(event.what) {
            over.push(Kind::ReversalMissing);
        }
        if reversal(event.what) && !request(event.what) {
            over.push(Kind::ReversalUnanswered);
        }
        self.payment.close(&over);
        if goods(event.what) {
            over.push(Kind::LateApproval);
        }
        for kind in over {
            self.clear(kind, "by-time", by, event.time, event.at);
        }
        if matches!(event.what, What::Ledger { state: "reversed" }) {
            self.clear(Kind::LateApproval, "reversed", by, event.time, event.at);
        }
        if matches!(event.what, What::Authorize { .. }) && self.payment.authorize().is_none() && self.rail == Rail::Card
        {
            if now == 0 {
                self.open_window(Kind::SlowAnswer, event.time + self.windows.slow, event);
            }
            if now < 2 && !self.payment.any(reversal) && !self.payment.any(answered_decline) {
                let deadline = event.time + self.windows.terminal + self.windows.reversal;
                self.open_window(Kind::ReversalMissing, deadline, event);
            }
        }
        let answered = |other: &Seen| reversal(other.what) && !request(other.what) && other.time >= event.time;
        if request(event.what)
            && !self.payment.is_running(Kind::ReversalUnanswered)
            && !self.payment.is_open(Kind::ReversalUnanswered)
            && !self.payment.events.iter().any(answered)
        {
            self.open_window(Kind::ReversalUnanswered, event.time + self.windows.reversal_answer, event);
        }
    }

    /// `unresolved`: what settles it, then what calls for it.
    fn contradict(&mut self, event: &Seen, was_back: bool) {
        let settled = match self.payment.why {
            Some(Why::SettledByPaidAfter(as_of)) => {
                matches!(event.what, What::Status { result: "paid", .. }) && event.as_of > as_of
            }
            Some(Why::GoodsAfterNotPaid) => approval(event.what),
            _ => false,
        };
        if settled {
            self.clear(Kind::Unresolved, "by-time", Some(&event.id), event.time, event.at);
        }
        let Some(why) = self.calls_for_a_person(event, was_back) else { return };
        if self.payment.is_open(Kind::Unresolved) {
            self.payment.why = self.payment.why.max(Some(why));
        } else {
            self.payment.why = Some(why);
            self.raise(Kind::Unresolved, event.at, event.at);
        }
    }

    fn calls_for_a_person(&self, event: &Seen, was_back: bool) -> Option<Why> {
        let earlier = &self.payment.events;
        if was_back {
            let back = earlier.iter().filter(|other| money_back(other.what)).map(|other| other.time).max();
            let terminal = matches!(event.what, What::Response { terminal: true, .. });
            let younger = approval(event.what) && !terminal && back.is_some_and(|back| stamp(event) > back);
            return (younger || goods(event.what)).then_some(Why::Hard);
        }
        let approved = earlier.iter().any(|other| approval(other.what));
        let shown_declined = |what: What| matches!(what, What::Display { shown: "declined" });
        let refused = matches!(event.what, What::Reversal { request: false, outcome: "declined" });
        if approved && (refused || shown_declined(event.what))
            || !approved && approval(event.what) && self.payment.any(shown_declined)
        {
            return Some(Why::Hard);
        }
        if approved && matches!(event.what, What::Status { result: "not-paid", .. }) {
            let newest = earlier.iter().filter(|other| approval(other.what)).map(stamp).max();
            return newest.filter(|newest| event.as_of > *newest).map(|_| Why::SettledByPaidAfter(event.as_of));
        }
        if approval(event.what) {
            let last = earlier.iter().rev().find(|other| approval(other.what) || answered_decline(other.what));
            return last.filter(|last| answered_decline(last.what)).map(|_| Why::SettledByPaidAfter(stamp(event)));
        }
        (goods(event.what) && self.payment.not_paid && !approved).then_some(Why::GoodsAfterNotPaid)
    }
}
