//! Reads events into steps; owns what is subscribed to and who takes part in a payment.

use tillwatch_sdk::{
    FieldId, Instant, Out, Rule, Scope, Visit,
    payment::{Layers, Outcome, Status, Windows},
    place, same,
};

use crate::{
    state::{Number, Payment, Rail, Settles, Text},
    step::{Step, text},
    tail::Opener,
};

/// Ids longer than this are not kept as evidence, bytes.
const EVIDENCE_ID_BYTES_MAX: usize = 128;

/// The rule.
#[derive(Debug)]
pub struct CorrelatePayment {
    layers: Layers,
    /// The windows of each rail of the vocabulary, of use where no acquirer and no site has a layer of its own.
    by_rail: [Windows; Rail::ALL.len()],
}

// Places in `EVENTS`.
const AUTHORIZE: u32 = place(CorrelatePayment::EVENTS, "pos.payment.authorize");
const RESPONSE: u32 = place(CorrelatePayment::EVENTS, "pos.payment.response");
const DISPLAY: u32 = place(CorrelatePayment::EVENTS, "pos.payment.display");
const PRINT: u32 = place(CorrelatePayment::EVENTS, "pos.print.result");
const NOTIFY: u32 = place(CorrelatePayment::EVENTS, "pos.payment.notify");
const STATUS: u32 = place(CorrelatePayment::EVENTS, "pos.payment.status");
const REVERSAL: u32 = place(CorrelatePayment::EVENTS, "pos.payment.reversal");
const CONFIRM: u32 = place(CorrelatePayment::EVENTS, "pos.payment.confirm");
const ANNOUNCE: u32 = place(CorrelatePayment::EVENTS, "pos.announce.result");
const LEDGER: u32 = place(CorrelatePayment::EVENTS, "pos.ledger.entry");
const UNRESOLVED: u32 = place(CorrelatePayment::EVENTS, "tillwatch.unresolved");

impl Rule for CorrelatePayment {
    const ID: &'static str = "correlate-payment";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Payment;
    /// Version 2 is that of `packed`; what wrote version 1 was never released.
    const STATE_VERSION: u32 = 2;
    const EVENTS: &'static [&'static str] = &[
        "pos.payment.authorize",
        "pos.payment.response",
        "pos.payment.display",
        "pos.print.result",
        "pos.payment.notify",
        "pos.payment.status",
        "pos.payment.reversal",
        "pos.payment.confirm",
        "pos.announce.result",
        "pos.ledger.entry",
        "tillwatch.unresolved",
    ];
    const FIELDS: &'static [FieldId] = &[
        FieldId::ID,
        FieldId::PARTITIONKEY,
        FieldId::SITE,
        FieldId::MERCHANT,
        FieldId::ACQUIRER,
        FieldId::RAIL,
        FieldId::AMOUNT,
        FieldId::CURRENCY,
        FieldId::LEG,
        FieldId::OUTCOME,
        FieldId::SHOWN,
        FieldId::RESULT,
        FieldId::AS_OF,
        FieldId::PHASE,
        FieldId::STATE,
        FieldId::WHY,
        FieldId::CHAIN,
    ];
    const CAPABILITIES: &'static [&'static str] = &[
        "finding:no-answer",
        "finding:approved-undelivered",
        "finding:not-shown",
        "finding:not-printed",
        "finding:slow-answer",
        "finding:unsynced",
        "finding:reversal-missing",
        "finding:reversal-unanswered",
        "finding:late-approval",
        "finding:unresolved",
    ];

    type Settings = Layers;
    type State = Payment;

    fn new(settings: Layers) -> Result<Self, String> {
        let by_rail = Rail::ALL.map(|rail| settings.windows(rail.name().unwrap_or_default(), "", ""));
        Ok(Self { layers: settings, by_rail })
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Payment>, out: &mut Out<'_>) {
        let payment = state.get_or_insert_with(|| Payment::begin(visit.at(), visit.key_piece()));
        learn(payment, visit);
        let mut step = self.step(payment, visit.key_piece(), visit.at());
        step.time = visit.when();
        step.late = visit.late();
        step.event = opener(visit, step.kept(visit.time()));
        if visit.event_index() != Some(UNRESOLVED) {
            step.payment.last = step.kept(visit.at());
        }
        apply(&mut step, visit);
        step.settle();
        out.wake_at(step.next_wake());
        step.say(out);
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Payment>, out: &mut Out<'_>) {
        let Some(payment) = state else { return };
        let mut step = self.step(payment, visit.key_piece(), visit.at());
        if step.wake() {
            out.wake_at(step.next_wake());
            step.say(out);
        } else {
            step.say(out);
            *state = None;
        }
    }
}

impl CorrelatePayment {
    fn step<'a>(&self, payment: &'a mut Payment, key: &'a [u8], at: Instant) -> Step<'a> {
        let plain = self.layers.acquirers.is_empty() && self.layers.sites.is_empty();
        let windows = match payment.rail {
            Some(rail) if plain && rail != Rail::Named => self.by_rail[rail as usize],
            _ => {
                let key = text(key);
                self.layers.windows(payment.rail(key), payment.acquirer(key), payment.site())
            }
        };
        Step::new(payment, windows, key, at)
    }
}

/// One event, one transition.
fn apply(step: &mut Step<'_>, visit: &Visit<'_>) {
    match visit.event_index().unwrap_or(u32::MAX) {
        AUTHORIZE => step.authorize(),
        RESPONSE => step.answer(Outcome::of(visit), same(visit.piece_of(FieldId::LEG), b"terminal")),
        NOTIFY => step.answer(Outcome::of(visit), false),
        STATUS => step.status(Status::of(visit), visit.as_of().unwrap_or(step.time)),
        DISPLAY => match visit.piece_of(FieldId::SHOWN) {
            b"approved" => step.display(true),
            b"declined" => step.display(false),
            _ => {}
        },
        PRINT => match visit.piece_of(FieldId::STATE) {
            b"printed" => step.receipt(),
            b"accepted" => step.print_accepted(),
            b"failed" => step.print_failed(),
            _ => {}
        },
        ANNOUNCE if same(visit.piece_of(FieldId::STATE), b"done") => step.receipt(),
        CONFIRM => step.goods(),
        REVERSAL => match visit.phase() {
            Some("request") => step.reversal_request(),
            Some("response") => step.reversal_response(visit.outcome()),
            _ => {}
        },
        LEDGER => step.ledger(visit.state()),
        UNRESOLVED => {
            step.unresolved(visit.why().unwrap_or("unknown"), visit.chain(), None, Settles::Findings);
        }
        _ => {}
    }
}

/// Takes from the event what is not known yet.
fn learn(payment: &mut Payment, visit: &Visit<'_>) {
    let key = visit.key_piece();
    let parts = payment.parts(key);
    take(payment, Text::Acquirer, visit.piece_of(FieldId::ACQUIRER), parts.acquirer(key));
    take(payment, Text::Merchant, visit.piece_of(FieldId::MERCHANT), parts.merchant(key));
    take(payment, Text::Terminal, visit.piece_of(FieldId::PARTITIONKEY), parts.terminal(key));
    take(payment, Text::Site, visit.piece_of(FieldId::SITE), &[]);
    if payment.rail.is_none()
        && let Some(name) = visit.rail()
    {
        let rail = Rail::read(name);
        payment.rail = Some(rail);
        if rail == Rail::Named {
            payment.tail.put(Text::Rail, name.as_bytes());
        }
    }
    if visit.event_index() == Some(AUTHORIZE) {
        if let Some(amount) = visit.amount() {
            payment.numbers.get_or_insert(Number::Amount, amount);
        }
        take(payment, Text::Currency, visit.piece_of(FieldId::CURRENCY), &[]);
    }
}

/// Keeps a text that is not there yet, unless nothing is said or the key says the same.
fn take(payment: &mut Payment, text: Text, said: &[u8], in_key: &[u8]) {
    if !payment.tail.has(text) && !said.is_empty() && !same(said, in_key) {
        payment.tail.put(text, said);
    }
}

fn opener<'a>(visit: &Visit<'a>, time: i64) -> Option<Opener<'a>> {
    let id = visit.piece_of(FieldId::ID);
    let known = !id.is_empty() && id.len() <= EVIDENCE_ID_BYTES_MAX;
    let event = u8::try_from(visit.event_index()?).ok()?;
    known.then_some(Opener { event, id, time })
}
