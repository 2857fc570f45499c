//! What the rule remembers of one terminal: whether it is heard, its printer, its latest sales and its payments. Owns the bounds of that
//! memory.

use tillwatch_sdk::{Instant, same};

use crate::{
    past::{Gone, Past},
    payment::Payment,
    printer::Printer,
};

/// Payments in need at one terminal; one more, and the oldest gives way.
pub const PAYMENTS_MAX: usize = 64;
/// Other payments that are remembered; one more, and the oldest is forgotten.
pub const REMEMBERED_MAX: usize = 32;
/// Bytes of a transaction key; an event with a longer one fails, for all of a terminal's payments have to fit into one state.
pub const TXN_BYTES_MAX: usize = 128;
/// Bytes of an acquirer, a rail or a cause; as above, a longer cause is left out.
pub const NAME_BYTES_MAX: usize = 32;
/// Bytes of an event's or finding's id; a longer one is left out.
pub const ID_BYTES_MAX: usize = 48;

/// A sale that the till has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    pub(crate) hash: u64,
    /// Time of its authorize.
    pub at: Instant,
}

/// One terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Till {
    /// Time of the latest heartbeat.
    pub heard: Option<Instant>,
    /// The printer.
    pub printer: Printer,
    pub(crate) latest: Option<Sale>,
    pub(crate) latest_card: Option<Sale>,
    /// Payments, in no order that matters to outputs but the order in which they came.
    pub payments: Vec<Payment>,
    pub(crate) past: Past,
}

impl Till {
    /// The payment of that transaction key.
    #[must_use]
    pub fn find(&self, txn: &str) -> Option<usize> {
        self.payments.iter().position(|payment| same(payment.names.txn().as_bytes(), txn.as_bytes()))
    }

    /// What is remembered of a payment that is past.
    #[must_use]
    pub fn past(&self, txn: &str) -> Option<Gone> {
        self.past.find(tillwatch_sdk::hash(txn))
    }

    /// Remembers by a hash alone that the payment is past, and what was seen of it.
    pub fn pass(&mut self, txn: &str, gone: Gone, at: Instant) {
        self.past.put(tillwatch_sdk::hash(txn), gone, at);
    }

    /// The till has begun a sale; of two of one time the one handed out later is the newer.
    pub fn began(&mut self, txn: &str, card: bool, when: Instant) {
        self.note(txn, card, |than| than <= when, when);
    }

    /// A finding tells of a sale whose authorize was not kept; where it stood among others of its time is not known.
    pub fn had_begun(&mut self, txn: &str, card: bool, when: Instant) {
        self.note(txn, card, |than| than < when, when);
    }

    fn note(&mut self, txn: &str, card: bool, after: impl Fn(Instant) -> bool, when: Instant) {
        let sale = Sale { hash: tillwatch_sdk::hash(txn), at: when };
        let newer = |than: &Option<Sale>| than.is_none_or(|than| than.hash != sale.hash && after(than.at));
        if newer(&self.latest) {
            self.latest = Some(sale);
        }
        if card && newer(&self.latest_card) {
            self.latest_card = Some(sale);
        }
    }

    /// Whether the till has begun another payment since.
    #[must_use]
    pub fn has_gone_on(&self, payment: &Payment) -> bool {
        newer(self.latest, payment).is_some()
    }

    /// The card sale that the till has begun since, if any.
    #[must_use]
    pub fn newer_card_sale(&self, payment: &Payment) -> Option<Sale> {
        newer(self.latest_card, payment)
    }

    /// Forgets what need not be kept any more. Returns when that is to be asked again.
    pub fn forget(&mut self, at: Instant, remember_ms: i64) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let past = &mut self.past;
        self.payments.retain(|payment| match payment.kept_until(remember_ms) {
            None => true,
            Some(until) if until > at => {
                next = Some(next.map_or(until, |next| next.min(until)));
                true
            }
            Some(_) => {
                let gone = Gone { authorized: payment.authorized_at.is_some(), delivered: payment.facts.delivered };
                past.put(tillwatch_sdk::hash(payment.names.txn()), gone, at);
                false
            }
        });
        self.past.forget(at - remember_ms);
        next
    }

    /// The oldest payment that must give way before one more is taken in need.
    #[must_use]
    pub fn gives_way(&self) -> Option<usize> {
        let in_need = || self.payments.iter().enumerate().filter(|(_, payment)| payment.is_in_need());
        if in_need().count() < PAYMENTS_MAX {
            return None;
        }
        in_need().min_by_key(|(_, payment)| payment.since).map(|(index, _)| index)
    }

    /// Takes a payment in; where too many are remembered, the one not in need that was touched longest ago goes.
    pub fn take(&mut self, payment: Payment) -> usize {
        let idle = || self.payments.iter().enumerate().filter(|(_, payment)| !payment.is_in_need());
        if idle().count() >= REMEMBERED_MAX {
            let oldest = idle().min_by_key(|(_, payment)| payment.touched).map(|(index, _)| index);
            self.payments.remove(oldest.expect("invariant: REMEMBERED_MAX is above 0"));
        }
        self.payments.push(payment);
        self.payments.len() - 1
    }
}

/// The latest sale, if it is another one and not older than the payment.
fn newer(latest: Option<Sale>, payment: &Payment) -> Option<Sale> {
    let from = payment.authorized_at.or(payment.answered_at).unwrap_or(payment.since);
    latest.filter(|sale| sale.hash != tillwatch_sdk::hash(payment.names.txn()) && sale.at >= from)
}
