//! payment.md, "Commands", read plainly: one terminal, its events as handed out and what `correlate-payment` made of them, moment by moment;
//! facts are read from the whole history each time. Slow on purpose; written from `docs/spec/payment.md` and
//! `docs/adr/0007-reading-of-commands.md` alone, apart from the rule's code.

use std::collections::BTreeMap;

use super::{
    chain::{Chain, Kind, Purpose},
    facts::Facts,
    history::{Happens, Name, Payment, Seen, command},
};
use crate::{
    history::{Rail, What},
    reading::Windows,
};

const NEEDS_MAX: usize = 64;

/// What a finding's change says.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) payment: usize,
    pub(crate) kind: String,
    pub(crate) raised: bool,
    pub(crate) late_window: bool,
    pub(crate) by_contradiction: bool,
}

/// What `correlate-payment` said at one terminal: by event, and by timer in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) by_event: BTreeMap<String, Vec<Change>>,
    pub(crate) by_timer: Vec<(i64, Vec<Change>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    Cancelled {
        command: String,
        kind: String,
        reason: String,
        cleared_by: Option<String>,
    },
    Command {
        command: String,
        kind: String,
        target: String,
        expires_at: i64,
        attempt: u32,
        max_attempts: u32,
        preconditions: Vec<String>,
        guide: Option<String>,
    },
    Unresolved {
        why: String,
        chain: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) at: i64,
    pub(crate) payment: usize,
    pub(crate) said: Said,
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) kind: String,
    pub(super) at: i64,
    pub(super) late_window: bool,
}

/// A payment that the till has heard of.
#[derive(Clone, Debug, Default)]
pub(super) struct Need {
    pub(super) open: Vec<Open>,
    pub(super) chains: Vec<Chain>,
    pub(super) numbers: BTreeMap<Kind, u32>,
    /// Findings that wanted a flush which a newer sale forbids, until the queries begin.
    pub(super) handed_over: Vec<String>,
    pub(super) asked_from: Option<i64>,
    pub(super) contradiction: bool,
    pub(super) goods_said: bool,
    pub(super) evicted: bool,
}

pub(crate) struct Reader<'a> {
    pub(super) payments: &'a [Payment],
    pub(super) windows: &'a dyn Fn(Rail) -> Windows,
    pub(super) terminal: u8,
    pub(super) history: Vec<Seen>,
    pub(super) needs: BTreeMap<usize, Need>,
    pub(super) now: i64,
    /// The event of the moment; none where time alone moved on.
    pub(super) by: Option<Seen>,
    pub(super) own_timer: bool,
    pub(super) timer_done: i64,
    pub(super) lines: [Vec<Line>; 3],
    pub(super) said: Vec<Line>,
}

pub(crate) fn read(
    terminal: u8,
    payments: &[Payment],
    windows: &dyn Fn(Rail) -> Windows,
    events: &[Seen],
    changes: &Changes,
    end: i64,
) -> Vec<Line> {
    let mut reader = Reader {
        payments,
        windows,
        terminal,
        history: Vec::new(),
        needs: BTreeMap::new(),
        now: i64::MIN,
        by: None,
        own_timer: false,
        timer_done: i64::MIN,
        lines: [Vec::new(), Vec::new(), Vec::new()],
        said: Vec::new(),
    };
    let mut timers = changes.by_timer.iter().peekable();
    for event in events {
        while let Some((at, changes)) = timers.next_if(|(at, _)| *at < event.at) {
            reader.timer(*at, changes);
        }
        reader.run_until(event.at);
        let changes = changes.by_event.get(&event.id).map_or(&[][..], Vec::as_slice);
        reader.moment(event.at, Some(event.clone()), changes);
    }
    for (at, changes) in timers {
        reader.timer(*at, changes);
    }
    reader.run_until(end);
    reader.said
}

impl Reader<'_> {
    pub(super) fn facts(&self, number: usize) -> (Windows, Payment) {
        let payment = self.payments[number];
        ((self.windows)(payment.rail), payment)
    }

    pub(super) fn with<T>(&self, number: usize, look: impl FnOnce(&Facts<'_>) -> T) -> T {
        let (windows, payment) = self.facts(number);
        look(&Facts { history: &self.history, number, payment, windows: &windows })
    }

    pub(super) fn here(&self) -> Vec<usize> {
        (0..self.payments.len()).filter(|number| self.payments[*number].terminal == self.terminal).collect()
    }

    /// Everything of its own that falls due strictly before this instant.
    pub(super) fn run_until(&mut self, instant: i64) {
        while let Some(next) = self.next_due().filter(|next| *next < instant) {
            self.timer_done = next;
            self.now = next;
            self.by = None;
            self.own_timer = true;
            self.settle(&[]);
            self.own_timer = false;
        }
    }

    pub(super) fn next_due(&self) -> Option<i64> {
        let mut all: Vec<i64> = Vec::new();
        for need in self.needs.values() {
            for chain in &need.chains {
                all.extend(chain.open.map(|(_, until)| until));
                all.extend(chain.steps[chain.taken..].iter().map(|step| step.due));
                all.extend(chain.held_until);
                all.push(chain.ends);
            }
            all.extend(need.asked_from);
        }
        let waits = |chain: &Chain| chain.kind == Kind::Flush && chain.open.is_none();
        let is_waiting = self.needs.values().any(|need| need.chains.iter().any(waits));
        let counts = |number: &usize| is_waiting || self.with(*number, |facts| facts.goods());
        let given_up = self.here().into_iter().filter(counts);
        all.extend(given_up.filter_map(|number| self.with(number, |facts| facts.gives_up())));
        all.into_iter().filter(|due| *due > self.timer_done && *due >= self.now).min()
    }

    /// A timer of `correlate-payment`. What is due for the terminal in the same instant comes after it.
    pub(super) fn timer(&mut self, at: i64, changes: &[Change]) {
        self.run_until(at);
        self.moment(at, None, changes);
    }

    /// Timers of an instant come after its events.
    pub(super) fn is_past(&self, due: i64) -> bool {
        due < self.now || self.own_timer && due == self.now
    }

    pub(super) fn moment(&mut self, at: i64, event: Option<Seen>, changes: &[Change]) {
        self.now = at;
        self.by.clone_from(&event);
        if let Some(event) = event {
            self.history.push(event.clone());
            if let Happens::Payment { payment, .. } = event.happens {
                self.needs.entry(payment).or_default();
            }
            self.end_open(&event);
        }
        self.settle(changes);
    }

    /// What the word of a target, or a status, ends.
    pub(super) fn end_open(&mut self, event: &Seen) {
        let payments = self.payments;
        for (number, need) in &mut self.needs {
            for chain in &mut need.chains {
                let Some((attempt, _)) = chain.open else { continue };
                let chain_number = chain.number.expect("an open command has one");
                let name = Name { payment: *number, kind: chain.kind.name(), chain: chain_number, attempt };
                let own = command(name, payments);
                match event.happens {
                    Happens::Result { name, state } if command(name, payments) == own && state != "accepted" => {
                        chain.open = None;
                        let waits_for_printer = chain.kind == Kind::Guide && !chain.is_paid_guide;
                        chain.at_once = state != "done" && !waits_for_printer;
                    }
                    Happens::Payment { payment, what: What::Status { .. }, answers, .. }
                        if payment == *number
                            && chain.kind == Kind::Query
                            && answers.is_none_or(|name| command(name, payments) == own) =>
                    {
                        chain.open = None;
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn settle(&mut self, changes: &[Change]) {
        for number in self.here() {
            let changes: Vec<&Change> = changes.iter().filter(|change| change.payment == number).collect();
            self.settle_payment(number, &changes);
        }
        self.evict();
        for lines in &mut self.lines {
            self.said.append(lines);
        }
    }

    pub(super) fn settle_payment(&mut self, number: usize, changes: &[&Change]) {
        if !self.needs.contains_key(&number) || self.needs[&number].evicted {
            return;
        }
        let mut need = self.needs.remove(&number).expect("it is there");
        let mut raised = Vec::new();
        for change in changes {
            need.open.retain(|open| open.kind != change.kind);
            need.contradiction |= change.raised && change.by_contradiction;
            if change.raised {
                need.open.push(Open { kind: change.kind.clone(), at: self.now, late_window: change.late_window });
                raised.push(need.open.last().expect("just pushed").clone());
            }
        }
        let left = need.handed_over.len();
        let was_asking = need.chains.iter().any(|chain| chain.kind == Kind::Query);
        for finding in &raised {
            self.call(number, &mut need, finding);
        }
        // A query chain may be wanted by what another one has left.
        self.take_back(number, &mut need, false);
        let fresh = need.handed_over.len() > left;
        self.hand_over(number, &mut need, fresh);
        self.take_back(number, &mut need, true);
        self.answer(number, &mut need, was_asking);
        self.printer_is_ok(number, &mut need);
        self.begin_poll(number, &mut need);
        self.goods_and_reversal(number, &mut need);
        let left = need.handed_over.len();
        self.run(number, &mut need);
        // A flush that was just called for may be the one that a newer sale forbids.
        if need.handed_over.len() > left {
            self.hand_over(number, &mut need, true);
            self.run(number, &mut need);
        }
        self.needs.insert(number, need);
    }

    /// Why a chain may not go on, if so.
    pub(super) fn forbidden(&self, number: usize, need: &Need, chain: &Chain) -> Option<&'static str> {
        let (reversal, goods) = self.with(number, |facts| (facts.reversal(), facts.goods()));
        let is_print = chain.kind == Kind::Reprint || chain.kind == Kind::Guide && !chain.is_paid_guide;
        if (is_print || matches!(chain.kind, Kind::Redeliver | Kind::Flush)) && reversal {
            return Some("reversal-seen");
        }
        if chain.kind == Kind::Flush && goods {
            return Some("goods");
        }
        if (is_print || chain.kind == Kind::Redeliver) && need.contradiction {
            return Some("contradiction");
        }
        (chain.kind == Kind::Flush && self.newer_card_sale(number).is_some()).then_some("newer-sale")
    }

    /// What is forbidden, or has nobody who wants it any more.
    pub(super) fn take_back(&mut self, number: usize, need: &mut Need, queries: bool) {
        need.handed_over.retain(|kind| need.open.iter().any(|open| open.kind == *kind));
        let answered = self.with(number, |facts| facts.answered() || facts.money_back());
        for mut chain in std::mem::take(&mut need.chains) {
            if (chain.kind == Kind::Query) != queries {
                need.chains.push(chain);
                continue;
            }
            let barred = self.with(number, |facts| match (facts.reversal(), facts.goods()) {
                (true, _) => Some("reversal-seen"),
                (false, true) => Some("goods"),
                _ => None,
            });
            // Nobody asks before a flush that is forbidden.
            let before_flush = |(_, purpose): &(String, Purpose)| *purpose == Purpose::BeforeFlush;
            let asks_for_flush = !chain.callers.is_empty() && chain.callers.iter().all(before_flush);
            chain.callers.retain(|caller| barred.is_none() || !before_flush(caller));
            chain.callers.retain(|(finding, _)| need.open.iter().any(|open| open.kind == *finding));
            let over = chain.callers.is_empty() && !chain.is_poll || chain.is_poll && answered;
            let forbidden = self.forbidden(number, need, &chain).or(barred.filter(|_| asks_for_flush));
            // A contradiction is raised behind what the same event clears.
            let forbidden = forbidden.filter(|reason| !(over && *reason == "contradiction"));
            let reason = forbidden.or(over.then_some("cleared"));
            let Some(reason) = reason else {
                need.chains.push(chain);
                continue;
            };
            self.cancel(number, &chain, reason);
            if reason == "newer-sale" {
                need.handed_over.extend(chain.callers.iter().map(|(finding, _)| finding.clone()));
            }
            if chain.is_poll && !chain.callers.is_empty() {
                self.after_poll(number, need, chain.callers);
            }
        }
    }

    pub(super) fn cancel(&mut self, number: usize, chain: &Chain, reason: &str) {
        let Some((attempt, _)) = chain.open else { return };
        let chain_number = chain.number.expect("an open command has one");
        let name = Name { payment: number, kind: chain.kind.name(), chain: chain_number, attempt };
        let said = Said::Cancelled {
            command: command(name, self.payments),
            kind: chain.kind.name().to_owned(),
            reason: reason.to_owned(),
            cleared_by: self.by.as_ref().map(|event| event.id.clone()),
        };
        self.lines[0].push(Line { at: self.now, payment: number, said });
    }

    pub(super) fn unresolved(&mut self, number: usize, why: &str, chain: Option<Kind>) {
        let said = Said::Unresolved { why: why.to_owned(), chain: chain.map(|kind| kind.name().to_owned()) };
        self.lines[2].push(Line { at: self.now, payment: number, said });
    }

    /// The time of the latest newer card sale's authorize.
    pub(super) fn newer_card_sale(&self, number: usize) -> Option<i64> {
        self.newer(number, true)
    }

    /// By the time of the first authorize, then by the order of handing out; the latest one.
    pub(super) fn newer(&self, number: usize, cards_only: bool) -> Option<i64> {
        let place = |id: &str| self.history.iter().position(|event| event.id == id);
        let (own, own_place) = self.with(number, |facts| {
            let own = facts.authorize();
            let time = own.map(|own| own.time).or(facts.answer()).or(facts.first().map(|event| event.time))?;
            Some((time, own.and_then(|own| place(&own.id))))
        })?;
        let others = self.here().into_iter().filter(|other| *other != number);
        let others = others.filter(|other| !cards_only || self.payments[*other].rail == Rail::Card);
        others
            .filter_map(|other| self.with(other, |facts| facts.authorize().map(|event| (event.time, place(&event.id)))))
            .filter(|begun| *begun >= (own, own_place))
            .max()
            .map(|(time, _)| time)
    }

    /// At most so many payments are in need; the one longest known gives way.
    pub(super) fn evict(&mut self) {
        loop {
            let calls = |open: &Open| !matches!(open.kind.as_str(), "slow-answer" | "unsynced" | "unresolved");
            let in_need = |need: &Need| !need.evicted && (need.open.iter().any(calls) || !need.chains.is_empty());
            let needy: Vec<usize> =
                self.needs.iter().filter(|(_, need)| in_need(need)).map(|(number, _)| *number).collect();
            if needy.len() <= NEEDS_MAX {
                return;
            }
            let place = |number: &usize| self.history.iter().position(|event| event.of(*number).is_some());
            let oldest = needy.into_iter().min_by_key(place).expect("there are some");
            let mut need = self.needs.remove(&oldest).expect("it is there");
            for chain in std::mem::take(&mut need.chains) {
                self.cancel(oldest, &chain, "evicted");
            }
            need.evicted = true;
            self.unresolved(oldest, "evicted", None);
            self.needs.insert(oldest, need);
        }
    }
}
