//! The fleet: its agenda, its people, and the one loop that lets time pass.

use std::collections::BTreeMap;

use serde_json::Value;
use tillwatch_core::{Instant, output::rfc3339};

use super::{
    cause::Cause,
    dice::Dice,
    faults::{Fault, Faults},
    hosts::Host,
    inject::{Calendar, Injected},
    options::{Options, OptionsError},
    orders::{Desk, Order},
    outbox::{Data, Draft, Emitted, Journey, Outbox},
    payment::{Booked, Payment, Plan},
    terminal::Terminal,
    truth::{Fact, Truth},
};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Customers of a shop by the hour (UTC+8), relative to the mean.
const BUSY: [f64; 24] = [
    0.1, 0.1, 0.05, 0.05, 0.05, 0.1, 0.3, 0.8, 1.2, 1.1, 1.1, 1.7, 2.2, 1.6, 1.1, 1.0, 1.0, 1.3, 2.2, 2.3, 1.9, 1.4,
    0.9, 0.45,
];

/// Customers in line; one more goes elsewhere.
const LINE_MAX: u32 = 3;

/// The stream of chance that belongs to no terminal.
const FLEET_STREAM: u64 = u64::MAX;

/// How long after its beginning a payment's truth is told, ms: longer than every command about it.
const OVER_MS: i64 = 20 * 60_000;

/// What the agenda has for a moment.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Arrive(usize),
    Begin(usize, Box<Plan>),
    HostAnswers(u64),
    CustomerConfirms(u64),
    LedgerHears(u64),
    Deliver(u64),
    Show(u64),
    Print(u64, bool),
    Printed(u64, bool),
    HandOver(u64),
    GiveUp(u64),
    HungUp(u64),
    ReversalAnswered(u64),
    Free(usize, u64),
    PrinterRepaired(usize, u64),
    SwitchedOn(usize),
    Heartbeat(usize),
    Status(usize),
    NetFailed(usize, (&'static str, &'static str)),
    AppFailed(usize, &'static str),
    HostMissed(usize),
    HostSample(usize),
    Shift(usize),
    Settle(usize),
    Unbalanced(usize),
    Again(u64),
    Begins(usize),
    Spell(usize, usize),
    SpellOver(usize, usize),
    Restart(usize, usize),
    Ordered(Box<Order>),
    Finished(Box<Order>, &'static str, &'static str),
    Queried(Box<Order>),
    Over(u64),
}

/// Who sends an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Terminal,
    Gateway,
    OrderSystem,
}

/// A fleet of terminals and all that belongs to it.
#[derive(Debug)]
pub struct Fleet {
    pub(super) options: Options,
    pub(super) terminals: Vec<Terminal>,
    pub(super) payments: BTreeMap<u64, Payment>,
    pub(super) by_key: BTreeMap<String, u64>,
    pub(super) desk: Desk,
    pub(super) hosts: Vec<Host>,
    pub(super) calendar: Calendar,
    /// Chance that is nobody's own.
    dice: Dice,
    begun: u64,
    agenda: BTreeMap<(Instant, u64), Step>,
    steps: u64,
    outbox: Outbox,
    outside_events: u64,
    truths: Vec<Truth>,
    stopped: bool,
}

impl Fleet {
    /// A fleet before its first customer.
    ///
    /// # Errors
    /// Options that make no fleet.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        let mut terminals: Vec<Terminal> = (0..options.terminals).map(|index| Terminal::new(index, &options)).collect();
        let mut dice = Dice::new(options.seed, FLEET_STREAM);
        let calendar = Calendar::draw(&options.inject, options.start, &mut terminals, &mut dice);
        // In the order of `Terminal::host_number`.
        let hosts = (0..options.regions).flat_map(|region| {
            let acquirers =
                (0..options.acquirers).flat_map(|acquirer| (0..options.hosts).map(move |host| (acquirer, host)));
            acquirers.map(move |(acquirer, host)| Host::new(region, acquirer, host)).collect::<Vec<_>>()
        });
        let mut fleet = Self {
            terminals,
            hosts: hosts.collect(),
            calendar,
            dice,
            payments: BTreeMap::new(),
            by_key: BTreeMap::new(),
            desk: Desk::default(),
            begun: 0,
            agenda: BTreeMap::new(),
            steps: 0,
            outbox: Outbox::default(),
            outside_events: 0,
            truths: Vec::new(),
            stopped: false,
            options,
        };
        for terminal in 0..fleet.terminals.len() {
            fleet.first_steps(terminal);
        }
        if fleet.options.heartbeat_ms > 0 {
            fleet.first_host_samples();
        }
        fleet.first_spells();
        Ok(fleet)
    }

    fn first_steps(&mut self, terminal: usize) {
        let start = self.options.start;
        let arrival = self.next_arrival(terminal, start);
        self.plan(arrival, Step::Arrive(terminal));
        self.first_turns(terminal);
        if self.options.heartbeat_ms > 0 {
            let first = self.terminals[terminal].network.between(0, self.options.heartbeat_ms);
            self.plan(start + first, Step::Heartbeat(terminal));
        }
    }

    /// The next record that the log takes in until then, in the order in which it does.
    pub fn next(&mut self, until: Instant) -> Option<Emitted> {
        loop {
            let sent = self.outbox.due();
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            // What is planned for the very moment of an ingest may still send something, but nothing that is taken in before it.
            match (planned, sent) {
                (Some(at), ingest) if at <= until && ingest.is_none_or(|ingest| at <= ingest) => {
                    let ((at, _), step) = self.agenda.pop_first().expect("invariant: it was looked at just before");
                    self.take(step, at);
                }
                (_, Some(ingest)) if ingest <= until => return self.outbox.pop(),
                _ => return None,
            }
        }
    }

    /// When something happens next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        [planned, self.outbox.due()].into_iter().flatten().min()
    }

    /// A command for a terminal or an acquirer, or that one is taken back. `now` is at or after every `until` so far.
    pub fn command(&mut self, order: Order, now: Instant) {
        self.receive(order, now);
    }

    /// The truths of payments that are over since the last call.
    pub fn truths(&mut self) -> Vec<Truth> {
        std::mem::take(&mut self.truths)
    }

    /// The truth about the faults that were injected.
    #[must_use]
    pub fn injected(&self) -> Vec<Injected> {
        self.calendar.truths(&self.terminals)
    }

    /// No customers and no heartbeats from now on. What runs goes on to its end; the truths of payments that are not over follow with the
    /// last of it.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// All of it at once: customers come until `stop_at`, and what runs then has until `end`.
    pub fn play(&mut self, stop_at: Instant, end: Instant, mut each: impl FnMut(&Emitted)) {
        while let Some(record) = self.next(stop_at - 1) {
            each(&record);
        }
        self.stop();
        while let Some(record) = self.next(end) {
            each(&record);
        }
    }

    fn take(&mut self, step: Step, now: Instant) {
        match step {
            Step::Arrive(terminal) => self.arrive(terminal, now),
            Step::Begin(terminal, plan) => self.begin(terminal, plan, now),
            Step::HostAnswers(payment) => self.host_answers(payment, now),
            Step::CustomerConfirms(payment) => self.customer_confirms(payment, now),
            Step::LedgerHears(payment) => self.ledger_hears(payment, now),
            Step::Deliver(payment) => self.deliver(payment, now),
            Step::Show(payment) => self.show(payment, now),
            Step::Print(payment, duplicate) => {
                self.print(payment, duplicate, now);
            }
            Step::Printed(payment, duplicate) => self.printed(payment, duplicate, now),
            Step::HandOver(payment) => self.hand_over(payment, now),
            Step::GiveUp(payment) => self.give_up(payment, now),
            Step::HungUp(payment) => self.hung_up(payment, now),
            Step::ReversalAnswered(payment) => self.reversal_answered(payment, now),
            Step::Free(terminal, payment) => self.free(terminal, payment, now),
            Step::PrinterRepaired(terminal, repair) => self.printer_repaired(terminal, repair, now),
            Step::SwitchedOn(terminal) => self.switched_on(terminal, now),
            Step::Heartbeat(terminal) => self.heartbeat(terminal, now),
            Step::Status(terminal) => self.device_status(terminal, now),
            Step::NetFailed(terminal, error) => self.net_sample(terminal, Some(error), now),
            Step::AppFailed(terminal, error) => self.app_state(terminal, "heartbeat", Some(error), now),
            Step::HostMissed(host) => self.hosts[host].missed(),
            Step::HostSample(host) => self.host_sample(host, now),
            Step::Shift(terminal) => self.shift(terminal, now),
            Step::Settle(terminal) => self.settle(terminal, now),
            Step::Unbalanced(terminal) => self.settled(terminal, Sender::Gateway, true, now),
            Step::Again(payment) => self.again(payment, now),
            Step::Begins(trouble) => self.begins(trouble, now),
            Step::Spell(terminal, trouble) => self.spell(terminal, trouble, now),
            Step::SpellOver(terminal, trouble) => self.spell_over(terminal, trouble, now),
            Step::Restart(terminal, trouble) => self.restart(terminal, trouble, now),
            Step::Ordered(order) => self.carry_out(*order, now),
            Step::Finished(order, state, detail) => self.finish(&order, state, detail, now),
            Step::Queried(order) => self.queried(&order, now),
            Step::Over(payment) => self.over(payment, now),
        }
    }

    /// Puts a step on the agenda.
    pub(super) fn plan(&mut self, at: Instant, step: Step) {
        self.steps += 1;
        self.agenda.insert((at, self.steps), step);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    fn arrive(&mut self, index: usize, now: Instant) {
        if self.stopped {
            return;
        }
        let next = self.next_arrival(index, now);
        self.plan(next, Step::Arrive(index));
        let terminal = &mut self.terminals[index];
        if !terminal.serves(now) {
            return;
        }
        if terminal.busy {
            terminal.line = LINE_MAX.min(terminal.line + 1);
        } else {
            self.serve(index, now);
        }
    }

    /// Begins with the next customer.
    pub(super) fn serve(&mut self, index: usize, now: Instant) {
        let terminal = &mut self.terminals[index];
        terminal.busy = true;
        let plan = Plan::draw(&self.options.faults, &mut terminal.customers);
        self.plan(now, Step::Begin(index, Box::new(plan)));
    }

    /// Two draws make up one customer in the mean; the hours take their shares of it.
    fn next_arrival(&mut self, index: usize, now: Instant) -> Instant {
        let dice = &mut self.terminals[index].customers;
        let mut left = dice.unit() + dice.unit();
        let mut at = now;
        loop {
            let hour = (at + 8 * HOUR_MS).div_euclid(HOUR_MS);
            let shape = usize::try_from(hour.rem_euclid(24)).expect("invariant: an hour of the day");
            let shape = if self.options.busy_hours { BUSY[shape] } else { 1.0 };
            #[allow(clippy::cast_precision_loss, reason = "the milliseconds of an hour")]
            let hour_ms = HOUR_MS as f64;
            let rate = self.options.payments_per_hour * shape / hour_ms;
            let end = (hour + 1 - 8) * HOUR_MS;
            #[allow(clippy::cast_precision_loss, reason = "at most the milliseconds of an hour")]
            let share = (end - at) as f64 * rate;
            if left <= share {
                #[allow(clippy::cast_possible_truncation, reason = "at most the milliseconds of an hour")]
                return at + 1 + (left / rate) as i64;
            }
            left -= share;
            at = end;
        }
    }

    /// Notes a new payment; its number.
    pub(super) fn new_payment(&mut self, payment: Payment) -> u64 {
        self.begun += 1;
        self.plan(payment.started + OVER_MS, Step::Over(self.begun));
        self.by_key.insert(payment.key.clone(), self.begun);
        self.payments.insert(self.begun, payment);
        self.begun
    }

    /// An event about a payment, and what it tells.
    pub(super) fn tell(
        &mut self,
        sender: Sender,
        id: u64,
        (kind, data): (&'static str, Data),
        fact: Option<Fact>,
        now: Instant,
    ) {
        let Some(payment) = self.payments.get(&id) else { return };
        let (terminal, rail) = (payment.terminal, payment.plan.rail.name());
        let key = payment.key.clone();
        let ingest = self.send(sender, terminal, Some((&key, rail)), kind, data, now);
        if let (Some(fact), Some(payment)) = (fact, self.payments.get_mut(&id)) {
            payment.timeline.add(fact, now, ingest);
        }
    }

    /// Sends an event; when it is taken in.
    pub(super) fn send(
        &mut self,
        sender: Sender,
        index: usize,
        about: Option<(&str, &'static str)>,
        kind: &'static str,
        data: Data,
        now: Instant,
    ) -> Instant {
        self.send_after(0, sender, index, about, kind, data, now)
    }

    /// Sends an event that takes so many ms more than others.
    #[allow(clippy::too_many_arguments, reason = "they are what an event is made of")]
    pub(super) fn send_after(
        &mut self,
        delay: i64,
        sender: Sender,
        index: usize,
        about: Option<(&str, &'static str)>,
        kind: &'static str,
        data: Data,
        now: Instant,
    ) -> Instant {
        let terminal = &mut self.terminals[index];
        let mut fields = common(terminal, sender, about);
        fields.extend(data);
        let mut journey = Journey::draw(now + delay, &self.options.faults, &mut terminal.network);
        let (id, time, source) = match sender {
            Sender::Terminal => {
                terminal.events += 1;
                if terminal.dark_until > now {
                    // Stored, and forwarded in the order of events once there is a way.
                    let shift = terminal.dark_until - now;
                    journey.ingest += shift;
                    journey.again = journey.again.map(|again| again + shift);
                }
                let source = format!("/r/{}/s/{}/t/{}", terminal.region, terminal.site, terminal.id);
                (format!("{}-{:08}", terminal.id, terminal.events), now + terminal.skew_ms, source)
            }
            outside => {
                self.outside_events += 1;
                let source = match outside {
                    Sender::OrderSystem => format!("/r/{}/s/{}/orders", terminal.region, terminal.site),
                    _ => format!("/r/{}/g/{}", terminal.region, terminal.acquirer),
                };
                (format!("G-{:010}", self.outside_events), now, source)
            }
        };
        let key = terminal.id.clone();
        let subject = about.map(|(subject, _)| subject);
        self.outbox.send(&Draft { id, source, kind, subject, time, key: &key, data: fields }, &journey);
        journey.ingest
    }

    /// How much later than other events a piece of telemetry comes, ms; none where it never does.
    pub(super) fn evidence_delay(&mut self, index: usize) -> Option<i64> {
        draw_evidence(&self.options.faults, &mut self.terminals[index].network)
    }

    /// Sends telemetry that is about no terminal.
    pub(super) fn send_evidence(&mut self, draft: &Draft<'_>, now: Instant) {
        let faults = &self.options.faults;
        if let Some(delay) = draw_evidence(faults, &mut self.dice) {
            let journey = Journey::draw(now + delay, faults, &mut self.dice);
            self.outbox.send(draft, &journey);
        }
    }

    /// Why a payment went as it did, where there is a reason.
    fn cause_of(&self, payment: &Payment) -> Option<Cause> {
        let injected = payment.plan.blame.map(|number| self.calendar.get(number).cause);
        let printer = payment.receipt_failed.then_some(Cause::H1);
        injected.or_else(|| payment.plan.fault.and_then(Fault::cause)).or(printer)
    }

    fn over(&mut self, id: u64, now: Instant) {
        let Some(payment) = self.payments.remove(&id) else { return };
        self.by_key.remove(&payment.key);
        let terminal = &self.terminals[payment.terminal];
        let mut expected = payment.timeline.expect(payment.plan.rail, terminal.skew_ms < 0, now);
        if payment.plan.twin {
            expected.may.extend(["double-charge-risk", "double-charge"]);
        }
        let paid = matches!(payment.booked, Booked::Paid | Booked::Back);
        self.truths.push(Truth {
            terminal: terminal.id.clone(),
            site: terminal.site.clone(),
            rail: payment.plan.rail.name(),
            amount: payment.plan.amount,
            currency: "CNY",
            fault: payment.plan.fault.map(Fault::name),
            cause: self.cause_of(&payment),
            blame: payment.plan.blame,
            started_at: rfc3339(payment.started),
            approved: paid,
            money: match payment.booked {
                Booked::Paid => "taken",
                Booked::Back => "back",
                Booked::Nothing | Booked::InProgress | Booked::NotPaid => "none",
            },
            shown: payment.shown,
            printed: payment.printed,
            settled: if payment.booked == Booked::Paid { payment.shown } else { !payment.shown || payment.declined },
            expect: expected.expect,
            with_ledger: expected.with_ledger,
            cleared: expected.cleared,
            may: expected.may,
            txn: payment.key,
        });
    }
}

/// How much later than other events a piece of telemetry comes, ms; none where it never does.
fn draw_evidence(faults: &Faults, dice: &mut Dice) -> Option<i64> {
    if faults.evidence_lost > 0.0 && dice.chance(faults.evidence_lost) {
        return None;
    }
    let late = faults.evidence_late > 0.0 && dice.chance(faults.evidence_late);
    Some(if late { dice.between(1_000, 30_000) } else { 0 })
}

/// The fields that every event of a terminal has.
fn common(terminal: &Terminal, sender: Sender, about: Option<(&str, &'static str)>) -> Data {
    let text = |text: &str| Value::from(text);
    let mut fields = vec![
        ("region", text(&terminal.region)),
        ("site", text(&terminal.site)),
        ("terminal", text(&terminal.id)),
        ("merchant", text(&terminal.merchant)),
        ("acquirer", text(&terminal.acquirer)),
    ];
    if sender == Sender::Terminal {
        fields.extend([
            ("operator", text(&terminal.operator)),
            ("app_version", text(&terminal.app_version)),
            ("param_version", text(&terminal.param_version)),
        ]);
    }
    if sender == Sender::Gateway {
        fields.push(("host", text(&terminal.host)));
    }
    fields.extend(about.map(|(_, rail)| ("rail", text(rail))));
    fields
}
