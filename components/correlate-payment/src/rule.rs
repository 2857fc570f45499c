//! Reads events into steps; owns what is subscribed to and who takes part in a payment.

use tillwatch_sdk::{
    FieldId, Instant, Out, Rule, Scope, Visit,
    payment::{Layers, Outcome, Status},
};

use crate::{
    state::{Parts, Payment, Rail, Settles},
    step::{Step, Trigger},
};

/// Ids longer than this are not kept as evidence, bytes.
const EVIDENCE_ID_BYTES_MAX: usize = 128;

/// The rule.
#[derive(Debug)]
pub struct CorrelatePayment {
    layers: Layers,
}

impl Rule for CorrelatePayment {
    const ID: &'static str = "correlate-payment";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Payment;
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
        Ok(Self { layers: settings })
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Payment>, out: &mut Out<'_>) {
        let payment = state.get_or_insert_with(|| Payment::begin(visit.at()));
        learn(payment, visit);
        let mut step = self.step(payment, visit.key(), visit.at());
        step.time = visit.when();
        step.late = visit.late();
        step.event = trigger(visit, step.kept(visit.time()));
        if visit.event() != "tillwatch.unresolved" {
            step.payment.last = step.kept(visit.at());
        }
        apply(&mut step, visit);
        step.settle();
        out.wake_at(step.next_wake());
        step.say(out);
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Payment>, out: &mut Out<'_>) {
        let Some(payment) = state else { return };
        let mut step = self.step(payment, visit.key(), visit.at());
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
    fn step<'a>(&self, payment: &'a mut Payment, key: &'a str, at: Instant) -> Step<'a> {
        let site = payment.who.site.as_deref().unwrap_or_default();
        let windows = self.layers.windows(payment.rail(key), payment.acquirer(key), site);
        Step::new(payment, windows, key, at)
    }
}

/// One event, one transition.
fn apply(step: &mut Step<'_>, visit: &Visit<'_>) {
    match visit.event() {
        "pos.payment.authorize" => step.authorize(),
        "pos.payment.response" => step.answer(Outcome::read(visit.outcome()), visit.leg() == Some("terminal")),
        "pos.payment.notify" => step.answer(Outcome::read(visit.outcome()), false),
        "pos.payment.status" => step.status(Status::read(visit.result()), visit.as_of().unwrap_or(step.time)),
        "pos.payment.display" => match visit.shown() {
            Some("approved") => step.display(true),
            Some("declined") => step.display(false),
            _ => {}
        },
        "pos.print.result" => match visit.state() {
            Some("printed") => step.receipt(),
            Some("accepted") => step.print_accepted(),
            Some("failed") => step.print_failed(),
            _ => {}
        },
        "pos.announce.result" if visit.state() == Some("done") => step.receipt(),
        "pos.payment.confirm" => step.goods(),
        "pos.payment.reversal" => match visit.phase() {
            Some("request") => step.reversal_request(),
            Some("response") => step.reversal_response(visit.outcome()),
            _ => {}
        },
        "pos.ledger.entry" => step.ledger(visit.state()),
        "tillwatch.unresolved" => {
            step.unresolved(visit.why().unwrap_or("unknown"), visit.chain(), None, Settles::Findings);
        }
        _ => {}
    }
}

/// Takes from the event what is not known yet.
fn learn(payment: &mut Payment, visit: &Visit<'_>) {
    let who = &mut payment.who;
    let parts = Parts::of(visit.key());
    take(&mut who.acquirer, || visit.acquirer(), Some(parts.acquirer));
    take(&mut who.merchant, || visit.merchant(), Some(parts.merchant));
    take(&mut who.terminal, || visit.partitionkey(), Some(parts.terminal));
    take(&mut who.site, || visit.site(), None);
    if who.rail.is_none() {
        who.rail = visit.rail().map(Rail::read);
    }
    if visit.event() == "pos.payment.authorize" {
        payment.amount = payment.amount.or(visit.amount());
        take(&mut payment.currency, || visit.currency(), None);
    }
}

/// Fills a place that is empty with what is said, unless the key says the same.
fn take<'a>(place: &mut Option<String>, said: impl FnOnce() -> Option<&'a str>, in_key: Option<&str>) {
    if place.is_none()
        && let Some(said) = said()
        && Some(said) != in_key
    {
        *place = Some(said.to_owned());
    }
}

fn trigger<'a>(visit: &Visit<'a>, time: i64) -> Option<Trigger<'a>> {
    let id = visit.id().filter(|id| id.len() <= EVIDENCE_ID_BYTES_MAX)?;
    Some(Trigger { event: u8::try_from(visit.event_index()?).ok()?, id, time })
}
