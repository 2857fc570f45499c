//! Random visits of one rule, with state and wake-ups kept as the core keeps them.
//!
//! Owns no expectation: whoever drives a rule twice compares the answers. Values are mostly words that rules know, so that the deep
//! branches are reached, and sometimes anything else.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tillwatch_core::rules::{Batch, Change, Descriptor, Trigger, Verdicts, Visit, Wake};
use tillwatch_wit::table::{FieldId, Kind};

mod evidence;

/// Words that stand in texts, whatever the field.
const WORDS: &[&str] = &[
    "approved",
    "partial",
    "declined",
    "pending",
    "unknown",
    "host",
    "terminal",
    "printed",
    "failed",
    "accepted",
    "done",
    "started",
    "request",
    "response",
    "paid",
    "not-paid",
    "refunded",
    "revoked",
    "in-progress",
    "not-found",
    "refused",
    "paper-out",
    "ok",
    "offline",
    "not-printed",
    "approved-undelivered",
    "no-answer",
    "not-shown",
    "unresolved",
    "reversal-missing",
    "mended",
    "proved-wrong",
    "goods",
    "chain",
    "T1:1:1",
    "idle",
    "cancel",
    "help",
    "wrong-key",
    "fail",
    "absent",
    "crash",
    "heartbeat",
    "日本",
];
const KINDS: &[&str] =
    &["not-printed", "approved-undelivered", "no-answer", "not-shown", "unresolved", "reversal-missing"];
const TRANSACTIONS: &[&str] = &["A01:M1:T1:000017:003021", "A01:M1:T1:000017:003022"];
const RAILS: &[&str] = &["card", "wechat", "alipay", "unionpay-qr", "other"];
/// The host's, of which rules of diagnosis know all but the first.
const CODES: &[&str] = &["00", "91", "A0", "95", "30", "97"];
const TLS_ERRORS: &[&str] = &["certificate has expired", "protocol version", "connection reset"];
const HOMES: &[&str] = &["home"];
const LEGS: &[&str] = &["host", "terminal"];
const OUTCOMES: &[&str] = &["approved", "approved", "declined", "pending", "unknown", "partial"];

/// A rule's keys, and time, which only goes on.
#[derive(Clone)]
pub struct Visits {
    random: ChaCha8Rng,
    descriptor: Descriptor,
    fields: Vec<FieldId>,
    keys: Vec<String>,
    states: BTreeMap<usize, Vec<u8>>,
    wakes: BTreeMap<usize, i64>,
    /// Of the last batch.
    visited: Vec<usize>,
    now: i64,
}

impl Visits {
    /// The same for the same seed.
    ///
    /// # Panics
    /// Where the descriptor names a field that there is not.
    #[must_use]
    pub fn new(descriptor: Descriptor, keys: usize, seed: u64) -> Self {
        let fields = descriptor.fields.iter().map(|name| FieldId::by_name(name).expect("a known field")).collect();
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            descriptor,
            fields,
            keys: (0..keys).map(|key| format!("T{key}:20261111:{key}")).collect(),
            states: BTreeMap::new(),
            wakes: BTreeMap::new(),
            visited: Vec::new(),
            now: 1_800_000_000_000,
        }
    }

    /// What is kept: states and wake-ups by key.
    #[must_use]
    pub fn kept(&self) -> (&BTreeMap<usize, Vec<u8>>, &BTreeMap<usize, i64>) {
        (&self.states, &self.wakes)
    }

    /// Fills a batch with visits of so many distinct keys.
    pub fn fill(&mut self, visits: usize, batch: &mut Batch) {
        batch.reset();
        self.visited.clear();
        let mut key = self.below(self.keys.len());
        for _ in 0..visits.min(self.keys.len()) {
            key = (key + 1) % self.keys.len();
            self.visited.push(key);
            self.visit(key, batch);
        }
    }

    /// Keeps what the rule answered to the last batch.
    pub fn keep(&mut self, verdicts: &Verdicts) {
        let mut state_at = 0;
        for (key, verdict) in self.visited.iter().zip(&verdicts.verdicts) {
            match verdict.state {
                Change::Put(bytes) => {
                    let state_end = state_at + bytes as usize;
                    self.states.insert(*key, verdicts.states[state_at..state_end].to_vec());
                    state_at = state_end;
                }
                Change::Clear => {
                    self.states.remove(key);
                }
                Change::Keep | Change::Fail(_) => {}
            }
            match verdict.wake {
                Wake::At(at) => {
                    self.wakes.insert(*key, at);
                }
                Wake::Never => {
                    self.wakes.remove(key);
                }
                Wake::Keep => {}
            }
        }
    }

    fn visit(&mut self, key: usize, batch: &mut Batch) {
        self.now += i64::try_from(self.below(3_000)).expect("invariant: below 3,000");
        let due = self.wakes.get(&key).copied().filter(|wake| *wake < self.now);
        let event = u32::try_from(self.below(self.descriptor.events.len())).expect("invariant: few event types");
        let late = due.is_none() && self.below(20) == 0;
        let trigger = if due.is_some() { Trigger::Timer } else { Trigger::Event(event) };
        let time = if late { self.now - 7_000 } else { self.now };
        batch.visits.push(Visit { at: self.now, time, late, trigger });
        batch.push_piece(self.states.get(&key).map_or(&[], Vec::as_slice));
        batch.push_piece(self.keys[key].as_bytes());
        if due.is_some() {
            self.wakes.remove(&key);
        }
        for field in self.fields.clone() {
            // A record of evidence is whole; any other field may be missing.
            let absent = due.is_some() || (self.below(5) == 0 && field != FieldId::DATA);
            let piece = if absent { Vec::new() } else { self.value(field, event) };
            batch.push_piece(&piece);
        }
    }

    fn value(&mut self, field: FieldId, event: u32) -> Vec<u8> {
        if field == FieldId::TYPE {
            return self.descriptor.events[event as usize].clone().into_bytes();
        }
        match field.field().kind {
            Kind::Text => {
                let words = match field {
                    FieldId::RAIL => RAILS,
                    FieldId::KIND => KINDS,
                    FieldId::SUBJECT | FieldId::TXN => TRANSACTIONS,
                    FieldId::LEG => LEGS,
                    FieldId::CODE => CODES,
                    FieldId::TLS_ERROR => TLS_ERRORS,
                    // A till is seldom moved.
                    FieldId::REGION
                    | FieldId::SITE
                    | FieldId::ACQUIRER
                    | FieldId::HOST
                    | FieldId::OPERATOR
                    | FieldId::APP_VERSION
                        if self.below(40) > 0 =>
                    {
                        HOMES
                    }
                    FieldId::OUTCOME => OUTCOMES,
                    _ => WORDS,
                };
                words[self.below(words.len())].as_bytes().to_vec()
            }
            Kind::Integer => i64::try_from(self.below(1_000)).expect("invariant: below 1,000").to_le_bytes().to_vec(),
            Kind::Instant => (self.now - 5_000 + i64::from(event)).to_le_bytes().to_vec(),
            Kind::Number => [0.0_f64, 0.5, 37.25, -1.0][self.below(4)].to_le_bytes().to_vec(),
            Kind::Flag => vec![u8::from(self.below(2) == 1)],
            Kind::Any => evidence::record(&self.descriptor.events[event as usize], self.now, &mut self.random),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u64() % bound as u64).expect("invariant: below a usize")
    }
}
