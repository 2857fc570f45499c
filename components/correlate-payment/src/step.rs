//! One visit to one payment: what it changes, gathered, and said in the order of the specification at its end.

use tillwatch_sdk::{Cleared, Details, Evidence, Finding, Instant, Out, Value, payment::Windows};

use crate::{
    Kind,
    rule::CorrelatePayment,
    state::{Facts, Number, Open, Payment, Settles, Text, Window},
    tail::Opener,
};
use tillwatch_sdk::Rule as _;

/// How long a finished payment is remembered, ms of watermark (`t_late`).
pub(crate) const T_LATE_MS: i64 = 600_000;
/// How long a payment with open findings is kept after its last event, ms.
pub(crate) const OPEN_KEPT_MS: i64 = 24 * 3_600_000;

/// A finding about to be raised.
struct Raise {
    kind: Kind,
    deadline: Instant,
    late_window: bool,
    evidence: Vec<Evidence>,
    more: Details,
}

/// One visit.
pub(crate) struct Step<'a> {
    pub(crate) payment: &'a mut Payment,
    pub(crate) windows: Windows,
    pub(crate) card: bool,
    /// The transaction key, as it came.
    key: &'a [u8],
    /// Position.
    pub(crate) at: Instant,
    /// The event's time as the specification counts.
    pub(crate) time: Instant,
    pub(crate) late: bool,
    /// The event, and its place among the payment's openers once a window was opened by it.
    pub(crate) event: Option<Opener<'a>>,
    place: Option<u8>,
    clears: Vec<(Kind, &'static str, u64)>,
    raises: Vec<Raise>,
    /// A finding about money has ended, or delivery was reached.
    pub(crate) settled: bool,
}

impl<'a> Step<'a> {
    pub(crate) fn new(payment: &'a mut Payment, windows: Windows, key: &'a [u8], at: Instant) -> Self {
        let card = payment.by_card(key);
        Self {
            payment,
            windows,
            card,
            key,
            at,
            time: at,
            late: false,
            event: None,
            place: None,
            clears: Vec::new(),
            raises: Vec::new(),
            settled: false,
        }
    }

    /// An instant as it is kept.
    pub(crate) fn kept(&self, instant: Instant) -> i64 {
        instant - self.payment.base
    }

    fn opener(&mut self) -> Option<u8> {
        if self.place.is_none()
            && let Some(event) = self.event
        {
            self.place = self.payment.tail.push_opener(event);
        }
        self.place
    }

    /// Opens a window `length` after `from`.
    pub(crate) fn open(&mut self, kind: Kind, from: Instant, length: i64) {
        let deadline = from + length;
        let grace = if self.late { (self.at + self.windows.late_grace_ms - deadline).max(0) } else { 0 };
        let window = Window { deadline: self.kept(deadline), grace, late: self.late, opener: self.opener() };
        debug_assert!(!self.payment.waits_for(kind), "one window of a kind is open at a time");
        self.payment.windows.put(kind, window);
    }

    /// Closes the window of a kind, where one is open.
    pub(crate) fn close(&mut self, kind: Kind) {
        self.payment.windows.remove(kind.bit());
    }

    /// The thing that a finding missed has happened, or no longer matters.
    pub(crate) fn clear(&mut self, kind: Kind) {
        if let Some(open) = self.payment.open.iter().find(|open| open.kind == kind) {
            let in_time = self.kept(self.time) <= open.deadline;
            self.clear_as(kind, if in_time { "proved-wrong" } else { "mended" });
        }
    }

    /// Clears a finding with a given resolution, where it is open.
    pub(crate) fn clear_as(&mut self, kind: Kind, resolution: &'static str) {
        let Some(index) = self.payment.open.iter().position(|open| open.kind == kind) else { return };
        let open = self.payment.open.remove(index);
        let after = if resolution == "superseded" { 0 } else { self.kept(self.time) - open.deadline };
        self.clears.push((kind, resolution, u64::try_from(after).unwrap_or(0)));
        self.settled |= kind.about_money();
    }

    /// Ends the wait for something, and the finding that it was missed.
    pub(crate) fn done(&mut self, kind: Kind) {
        self.close(kind);
        self.clear(kind);
    }

    /// Closes every window and clears every finding.
    pub(crate) fn end_everything(&mut self, resolution: &'static str) {
        self.payment.windows.remove(u16::MAX);
        for kind in Kind::ALL {
            self.clear_as(kind, resolution);
        }
    }

    /// Raises a finding at once, unless it is open.
    pub(crate) fn raise(&mut self, kind: Kind, deadline: Instant, late_window: bool, more: Details) {
        self.raise_settled_by(kind, deadline, late_window, more, None);
    }

    /// Raises `unresolved`; where it is open, it takes from here on what settles the harder of its reasons.
    pub(crate) fn unresolved(&mut self, why: &str, chain: Option<&str>, detail: Option<&str>, settles: Settles) {
        if let Some(open) = self.payment.open.iter_mut().find(|open| open.kind == Kind::Unresolved) {
            open.settles = open.settles.max(Some(settles));
            return;
        }
        let mut more = vec![("why".to_owned(), Value::from(why))];
        more.extend(chain.map(|chain| ("chain".to_owned(), Value::from(chain))));
        more.extend(detail.map(|detail| ("detail".to_owned(), Value::from(detail))));
        self.raise_settled_by(Kind::Unresolved, self.at, self.late, more, Some(settles));
    }

    fn raise_settled_by(
        &mut self,
        kind: Kind,
        deadline: Instant,
        late_window: bool,
        more: Details,
        settles: Option<Settles>,
    ) {
        if self.payment.is_open(kind) {
            return;
        }
        let openers = (0_u8..).zip(self.payment.tail.openers());
        let held = openers.filter(|(place, _)| self.place != Some(*place));
        let evidence = held.map(|(_, opener)| self.evidence(opener)).collect();
        self.payment.open.push(Open { kind, deadline: self.kept(deadline), opener: None, settles });
        self.raises.push(Raise { kind, deadline, late_window, evidence, more });
    }

    /// Raises what a window waited for in vain.
    pub(crate) fn fire(&mut self, kind: Kind, window: Window) {
        let opener = window.opener.and_then(|place| self.payment.tail.openers().nth(usize::from(place)));
        let evidence = opener.map(|opener| self.evidence(opener));
        let deadline = self.payment.base + window.deadline;
        self.payment.open.push(Open { kind, deadline: window.deadline, opener: window.opener, settles: None });
        self.raises.push(Raise {
            kind,
            deadline,
            late_window: window.late,
            evidence: evidence.into_iter().collect(),
            more: Vec::new(),
        });
    }

    fn evidence(&self, opener: Opener<'_>) -> Evidence {
        Evidence {
            event: CorrelatePayment::EVENTS[usize::from(opener.event)].to_owned(),
            id: String::from_utf8_lossy(opener.id).into_owned(),
            time: self.payment.base + opener.time,
        }
    }

    /// Says everything: clears, then raises, each in the order of the tables; what is superseded follows its superseder.
    pub(crate) fn say(&mut self, out: &mut Out<'_>) {
        if self.clears.is_empty() && self.raises.is_empty() {
            return;
        }
        self.clears.sort_by_key(|(kind, ..)| *kind);
        self.raises.sort_by_key(|raise| raise.kind);
        for (kind, resolution, after_ms) in self.clears.iter().filter(|clear| clear.1 != "superseded") {
            out.clear(cleared(*kind, resolution, *after_ms));
        }
        for raise in std::mem::take(&mut self.raises) {
            let supersedes = raise.kind == Kind::NoAnswer;
            out.raise(self.finding(raise));
            for (kind, resolution, after_ms) in self.clears.iter().filter(|clear| clear.1 == "superseded" && supersedes)
            {
                out.clear(cleared(*kind, resolution, *after_ms));
            }
        }
    }

    fn finding(&mut self, raise: Raise) -> Finding {
        let Raise { kind, deadline, late_window, evidence, more } = raise;
        let generation = self.payment.next_generation(kind);
        Finding {
            generation,
            deadline: Some(deadline),
            amount: self.payment.numbers.get(Number::Amount),
            currency: self.payment.tail.text(Text::Currency).map(str::to_owned),
            broke_at: Some(kind.broke_at().to_owned()),
            evidence,
            details: self.details(late_window, more),
            ..Finding::new(kind.name(), kind.severity())
        }
    }

    fn details(&self, late_window: bool, more: Details) -> Details {
        let (payment, key) = (&*self.payment, text(self.key));
        let texts = [
            ("rail", payment.rail(key)),
            ("acquirer", payment.acquirer(key)),
            ("terminal", payment.terminal(key)),
            ("site", payment.site()),
            ("merchant", payment.merchant(key)),
        ];
        let instants = [
            ("authorized_at", payment.numbers.get(Number::Authorized).map(|kept| payment.base + kept)),
            ("gives_up_at", self.patience_from().map(|from| from + self.windows.gives_up_ms(self.card))),
            ("approved_at", payment.numbers.get(Number::Approved).map(|kept| payment.base + kept)),
        ];
        let flags = [
            ("reversal_seen", payment.facts.has(Facts::REVERSAL_SEEN)),
            ("goods", payment.facts.has(Facts::GOODS)),
            ("late_window", late_window),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        texts
            .map(|(name, text)| (name.to_owned(), Value::from(text)))
            .chain(instants.into_iter().filter_map(|(name, at)| Some((name.to_owned(), Value::Integer(at?)))))
            .chain(flags.into_iter().map(|(name, flag)| (name.to_owned(), Value::Flag(flag))))
            .chain(more)
            .collect()
    }

    /// From where the terminal's patience is counted: the first authorize seen, or the watermark at which it came late.
    pub(crate) fn patience_from(&self) -> Option<Instant> {
        Some(
            self.payment.base
                + self.payment.numbers.get(Number::Patience).or(self.payment.numbers.get(Number::Authorized))?,
        )
    }
}

/// A transaction key as text, for what is seldom.
pub(crate) fn text(key: &[u8]) -> &str {
    std::str::from_utf8(key).expect("invariant: the host hands on UTF-8")
}

fn cleared(kind: Kind, resolution: &str, after_ms: u64) -> Cleared {
    Cleared { after_ms, ..Cleared::new(kind.name(), resolution) }
}
