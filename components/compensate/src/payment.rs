//! What is known of one payment, as far as commands need it. Owns facts and how they follow from events, not what is done about them.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Instant,
    payment::{CARD, Windows},
};
use tillwatch_wit::mask;

use crate::{
    chain::{Chain, Phase, Plan},
    names::Names,
    words::{Kind, Need, Needs},
};

/// How long past its reversal's deadline an undelivered card payment is kept, so that a finding raised late still meets what is known, ms.
const SPARE_MS: i64 = 10_000;

/// What was seen of a payment; each stays once it is true, but for the answers that an approval overrules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// An approval of any leg.
    pub approved: bool,
    /// A decline of any leg, or shown.
    pub declined: bool,
    /// A final `not-paid`.
    pub not_paid: bool,
    /// The terminal has the answer.
    pub delivered: bool,
    /// Goods may have been handed over.
    pub goods: bool,
    /// `refunded`, `revoked` or an approved reversal.
    pub money_back: bool,
    /// Authoritative answers contradict each other.
    pub contradiction: bool,
    /// A person has it, no commands any more: it gave way to others, or its key is masked.
    pub hands_off: bool,
    /// That goods were handed over with a reversal due was said.
    pub goods_told: bool,
}

/// An open finding that calls for commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind.
    pub need: Need,
    /// Its id.
    pub id: String,
    /// Its cause, where one is decided.
    pub cause: Option<String>,
}

/// What is done about a payment while something is wrong with it, and what was; most payments never have any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Open findings that call for commands.
    pub findings: Vec<Finding>,
    /// Running chains, by [`Kind`].
    pub chains: [Option<Chain>; 5],
    /// Chains begun, by [`Kind`].
    pub begun: [u32; 5],
    /// Findings whose flush waits for a query to say `paid`.
    pub asked_first: Needs,
    /// Findings whose reversal a newer card sale should have sent, and from when the acquirer is asked.
    pub left_to_sale: Option<(Needs, Instant)>,
}

impl Work {
    /// Whether a finding is open or a chain runs.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.findings.is_empty() || self.left_to_sale.is_some() || self.chains.iter().any(Option::is_some)
    }

    /// Whether there never was any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        !self.is_open() && self.asked_first.is_empty() && self.begun == [0; 5]
    }
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Transaction key, rail, whom to ask, and the id of the first authorize seen.
    pub names: Names,
    /// When it came here; the oldest gives way first.
    pub since: Instant,
    /// When something of it was last heard or done.
    pub touched: Instant,
    /// Own time of the authorize whose id is kept.
    pub authorize_time: Option<Instant>,
    /// Time of the first authorize seen.
    pub authorized_at: Option<Instant>,
    /// When the terminal gives up.
    pub gives_up_at: Option<Instant>,
    /// An approval later than this is late.
    pub answer_by: Option<Instant>,
    /// How long after giving up the terminal's reversal is awaited.
    pub reversal_ms: i64,
    /// Time of the answer that reprints and the like are about: the first approval, or the delivery of a decline.
    pub answered_at: Option<Instant>,
    /// That a reversal was seen: the time of its earliest request, or the end of time where only responses came.
    pub reversal_at: Option<Instant>,
    /// The moment in which a late approval came: a finding cleared in it may be followed by `late-approval`.
    pub late_at: Option<Instant>,
    /// The moment in which a status `paid` came.
    pub paid_at: Option<Instant>,
    /// What was seen.
    pub facts: Facts,
    /// What is done about it.
    pub work: Work,
}

impl Payment {
    /// A payment of which nothing is known yet.
    #[must_use]
    pub fn new(txn: &str, rail: &str, acquirer: &str, at: Instant) -> Self {
        Self {
            names: Names::new(txn, rail, acquirer),
            since: at,
            touched: at,
            authorize_time: None,
            authorized_at: None,
            gives_up_at: None,
            answer_by: None,
            reversal_ms: 0,
            answered_at: None,
            reversal_at: None,
            late_at: None,
            paid_at: None,
            facts: Facts::default(),
            work: Work::default(),
        }
    }

    /// Keeps id and own time of the first authorize seen, the evidence of its commands.
    pub fn set_authorize(&mut self, authorize: Option<(&str, Instant)>) {
        self.names.set_authorize(authorize.map_or("", |(id, _)| id));
        self.authorize_time = authorize.map(|(_, time)| time);
    }

    /// Id and own time of the first authorize seen, where they are kept.
    #[must_use]
    pub fn authorize_seen(&self) -> Option<(&str, Instant)> {
        self.authorize_time.map(|time| (self.names.authorize(), time))
    }

    /// The first authorize that was seen: of time `when`, at `at` in the order of everything.
    pub fn authorize(&mut self, when: Instant, at: Instant, windows: &Windows) {
        if self.authorized_at.is_none() {
            self.authorized_at = Some(when);
            self.gives_up_at = Some(at + windows.gives_up_ms(self.is_card()));
            self.answer_by = Some(at + windows.response_ms);
            self.reversal_ms = windows.reversal_ms;
        }
    }

    /// Whether it is a card payment.
    #[must_use]
    pub fn is_card(&self) -> bool {
        self.names.rail() == CARD
    }

    /// Whether nobody has answered it.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        !self.facts.approved
            && !self.facts.declined
            && !self.facts.not_paid
            && !self.facts.money_back
            && !self.facts.delivered
    }

    /// Until when the till waits for it; none where it does not.
    #[must_use]
    pub fn in_flight_until(&self) -> Option<Instant> {
        if self.is_unanswered() && self.reversal_at.is_none() { self.gives_up_at } else { None }
    }

    /// An approval, of any leg; the first may be late.
    pub fn approve(&mut self, when: Instant, at: Instant) {
        if !self.facts.approved && !self.facts.goods {
            let late = self.answer_by.is_some_and(|by| when > by) || self.reversal_at.is_some_and(|from| when > from);
            if late {
                self.late_at = Some(at);
            }
        }
        if !self.facts.approved {
            self.answered_at = Some(when);
        }
        self.facts.approved = true;
        // The latest answer decides whether a reversal is due.
        self.facts.declined = false;
        self.facts.not_paid = false;
    }

    /// `paid` has come to the queries before the answer, and is late: `late-approval`, which is raised behind it, finds itself answered.
    pub fn leave_poll_to_late_approval(&mut self, at: Instant) {
        if self.late_at == Some(at)
            && let Some(chain) = self.chain_mut(Kind::Query)
            && matches!(chain.plan, Plan::Poll { .. })
            && chain.callers.is_empty()
        {
            chain.plan = Plan::AskOnce;
        }
    }

    /// A decline, and when it was delivered, if so.
    pub fn decline(&mut self, delivered: Option<Instant>) {
        self.answered_at = self.answered_at.or(delivered);
        self.facts.declined = true;
    }

    /// The till will send a reversal, and goods may have been handed over.
    #[must_use]
    pub fn goods_and_reversal_due(&self) -> bool {
        let facts = &self.facts;
        let settled = facts.delivered || facts.declined || facts.not_paid || facts.money_back || facts.hands_off;
        self.is_card() && facts.goods && !settled && self.reversal_at.is_none() && !facts.goods_told
    }

    /// Whether its transaction key lost digits to the masking of card numbers: no target could know which payment a command is about, and
    /// what `not-found` says of it is not so.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        mask::shows(self.names.txn().as_bytes())
    }

    /// Whether a finding is open or a chain runs.
    #[must_use]
    pub fn is_in_need(&self) -> bool {
        self.work.is_open()
    }

    /// The open findings.
    #[must_use]
    pub fn open(&self) -> Needs {
        self.work.findings.iter().fold(Needs::default(), |needs, finding| needs.with(Needs::of(finding.need)))
    }

    /// From when on it need not be kept; none: it waits for something.
    #[must_use]
    pub fn kept_until(&self, remember_ms: i64) -> Option<Instant> {
        if self.is_in_need() {
            return None;
        }
        let facts = &self.facts;
        // Of a payment that was approved too, the stages go on.
        let ended = !facts.approved && (facts.declined || facts.not_paid);
        let settled = facts.delivered || facts.money_back || ended;
        let awaited = facts.goods && !settled && self.gives_up_at.is_none();
        // Else an authorize that comes after it, and goods, would look like a reversal due.
        let returned = facts.money_back && self.authorized_at.is_none();
        if facts.hands_off
            || facts.contradiction
            || facts.goods_told
            || awaited
            || returned
            || self.reversal_at.is_some()
            || self.work.begun.iter().any(|begun| *begun > 0)
        {
            return Some(self.touched + remember_ms);
        }
        Some(match self.gives_up_at {
            Some(gives_up) if !settled => gives_up + self.reversal_ms + SPARE_MS,
            // What a status has raised comes in the same moment.
            _ => self.paid_at.map_or(Instant::MIN, |paid| paid + 1),
        })
    }

    /// By how much its queries move.
    #[must_use]
    pub fn spread(&self) -> u64 {
        tillwatch_sdk::hash(self.names.txn())
    }

    /// The chain of a kind.
    #[must_use]
    pub fn chain(&self, kind: Kind) -> Option<&Chain> {
        self.work.chains[kind as usize].as_ref()
    }

    /// The chain of a kind, to change.
    pub fn chain_mut(&mut self, kind: Kind) -> Option<&mut Chain> {
        self.work.chains[kind as usize].as_mut()
    }

    /// Begins a chain, or joins the one that runs.
    pub fn begin(&mut self, kind: Kind, plan: Plan, callers: Needs) {
        let spread = self.spread();
        if let Some(running) = self.chain_mut(kind) {
            running.callers = running.callers.with(callers);
            return;
        }
        self.work.begun[kind as usize] += 1;
        self.work.chains[kind as usize] = Some(Chain::new(self.work.begun[kind as usize], callers, plan, spread));
    }

    /// Takes a chain out. One that has sent nothing gives its number back.
    pub fn close(&mut self, kind: Kind) -> Option<Chain> {
        let chain = self.work.chains[kind as usize].take()?;
        if chain.taken == 0 {
            self.work.begun[kind as usize] -= 1;
        }
        Some(chain)
    }

    /// The open command of a kind has ended; its chain goes on as planned, or at once.
    pub fn ended(&mut self, kind: Kind, due: Option<Instant>) {
        let chain = self.chain_mut(kind).expect("invariant: an open command has a chain");
        chain.phase = Phase::Rest;
        chain.due = due.unwrap_or(chain.due);
    }
}
