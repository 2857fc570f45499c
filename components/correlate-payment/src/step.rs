//! One visit to one payment: what it changes, gathered, and said in the order of the specification at its end.

use tillwatch_sdk::{Cleared, Details, Evidence, Finding, Instant, Out, Value, payment::Windows};

use crate::{
    Kind,
    rule::CorrelatePayment,
    state::{Facts, Open, Opener, Payment, Settles, Window},
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

/// The event of a visit, as far as it may become evidence.
#[derive(Clone, Copy)]
pub(crate) struct Trigger<'a> {
    /// Index in the rule's `EVENTS`.
    pub(crate) event: u8,
    pub(crate) id: &'a str,
    /// Its own time, as it is kept.
    pub(crate) time: i64,
}

/// One visit.
pub(crate) struct Step<'a> {
    pub(crate) payment: &'a mut Payment,
    pub(crate) windows: Windows,
    pub(crate) card: bool,
    /// The transaction key.
    pub(crate) key: &'a str,
    /// Position.
    pub(crate) at: Instant,
    /// The event's time as the specification counts.
    pub(crate) time: Instant,
    pub(crate) late: bool,
    /// The event, and its place among the payment's openers once a window was opened by it.
    pub(crate) event: Option<Trigger<'a>>,
    place: Option<u8>,
    clears: Vec<(Kind, &'static str, u64)>,
    raises: Vec<Raise>,
    /// A finding about money has ended, or delivery was reached.
    pub(crate) settled: bool,
}

impl<'a> Step<'a> {
    pub(crate) fn new(payment: &'a mut Payment, windows: Windows, key: &'a str, at: Instant) -> Self {
        let card = payment.rail(key) == tillwatch_sdk::payment::CARD;
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
            && let Some(Trigger { event, id, time }) = self.event
        {
            self.place = u8::try_from(self.payment.openers.len()).ok();
            self.payment.openers.push(Opener { event, id: id.to_owned(), time });
        }
        self.place
    }

    /// Opens a window `length` after `from`.
    pub(crate) fn open(&mut self, kind: Kind, from: Instant, length: i64) {
        let deadline = from + length;
        let grace = if self.late { (self.at + self.windows.late_grace_ms - deadline).max(0) } else { 0 };
        let window = Window { kind, deadline: self.kept(deadline), grace, late: self.late, opener: self.opener() };
        self.payment.windows.push(window);
    }

    /// Closes the window of a kind, where one is open.
    pub(crate) fn close(&mut self, kind: Kind) {
        self.payment.windows.retain(|window| window.kind != kind);
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
        self.payment.windows.clear();
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
        let held =
            self.payment.openers.iter().enumerate().filter(|(place, _)| self.place.map(usize::from) != Some(*place));
        let evidence = held.map(|(_, opener)| self.evidence(opener)).collect();
        self.payment.open.push(Open { kind, deadline: self.kept(deadline), opener: None, settles });
        self.raises.push(Raise { kind, deadline, late_window, evidence, more });
    }

    /// Raises what a window waited for in vain.
    pub(crate) fn fire(&mut self, window: Window) {
        let evidence = window.opener.map(|place| self.evidence(&self.payment.openers[usize::from(place)]));
        let deadline = self.payment.base + window.deadline;
        self.payment.open.push(Open {
            kind: window.kind,
            deadline: window.deadline,
            opener: window.opener,
            settles: None,
        });
        self.raises.push(Raise {
            kind: window.kind,
            deadline,
            late_window: window.late,
            evidence: evidence.into_iter().collect(),
            more: Vec::new(),
        });
    }

    fn evidence(&self, opener: &Opener) -> Evidence {
        Evidence {
            event: CorrelatePayment::EVENTS[usize::from(opener.event)].to_owned(),
            id: opener.id.clone(),
            time: self.payment.base + opener.time,
        }
    }

    /// Says everything: clears, then raises, each in the order of the tables; what is superseded follows its superseder.
    pub(crate) fn say(mut self, out: &mut Out<'_>) {
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
            amount: self.payment.amount,
            currency: self.payment.currency.clone(),
            broke_at: Some(kind.broke_at().to_owned()),
            evidence,
            details: self.details(late_window, more),
            ..Finding::new(kind.name(), kind.severity())
        }
    }

    fn details(&self, late_window: bool, more: Details) -> Details {
        let payment = &*self.payment;
        let texts = [
            ("rail", payment.rail(self.key)),
            ("acquirer", payment.acquirer(self.key)),
            ("terminal", payment.terminal(self.key)),
            ("site", payment.who.site.as_deref().unwrap_or_default()),
            ("merchant", payment.merchant(self.key)),
        ];
        let instants = [
            ("authorized_at", payment.authorized.map(|kept| payment.base + kept)),
            ("gives_up_at", self.patience_from().map(|from| from + self.windows.gives_up_ms(self.card))),
            ("approved_at", payment.approved.map(|kept| payment.base + kept)),
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
        Some(self.payment.base + self.payment.patience.or(self.payment.authorized)?)
    }
}

fn cleared(kind: Kind, resolution: &str, after_ms: u64) -> Cleared {
    Cleared { after_ms, ..Cleared::new(kind.name(), resolution) }
}
