//! The rule: what it reads, and what each event means to it. Owns the way from an event to the desk.

use tillwatch_sdk::{
    FieldId, Out, Rule, Scope, Visit,
    payment::{Outcome, Status},
    place,
};

use crate::{
    desk::Desk,
    past::Gone,
    settings::Settings,
    till::{NAME_BYTES_MAX, TXN_BYTES_MAX, Till},
};

/// Sends the commands that `docs/spec/payment.md` allows, and takes them back.
#[derive(Debug)]
pub struct Compensate {
    settings: Settings,
}

// Places in `EVENTS`.
const AUTHORIZE: u32 = place(Compensate::EVENTS, "pos.payment.authorize");
const RESPONSE: u32 = place(Compensate::EVENTS, "pos.payment.response");
const NOTIFY: u32 = place(Compensate::EVENTS, "pos.payment.notify");
const STATUS: u32 = place(Compensate::EVENTS, "pos.payment.status");
const DISPLAY: u32 = place(Compensate::EVENTS, "pos.payment.display");
const CONFIRM: u32 = place(Compensate::EVENTS, "pos.payment.confirm");
const REVERSAL: u32 = place(Compensate::EVENTS, "pos.payment.reversal");
const PRINT: u32 = place(Compensate::EVENTS, "pos.print.result");
const ANNOUNCE: u32 = place(Compensate::EVENTS, "pos.announce.result");
const DEVICE: u32 = place(Compensate::EVENTS, "pos.device.status");
const APP: u32 = place(Compensate::EVENTS, "pos.app.state");
const SAMPLE: u32 = place(Compensate::EVENTS, "pos.net.sample");
const RESULT: u32 = place(Compensate::EVENTS, "pos.command.result");
const RAISED: u32 = place(Compensate::EVENTS, "pos.finding.raised");
const UPDATED: u32 = place(Compensate::EVENTS, "pos.finding.updated");
const CLEARED: u32 = place(Compensate::EVENTS, "pos.finding.cleared");

impl Rule for Compensate {
    const ID: &'static str = "compensate";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const KEY: Scope = Scope::Terminal;
    const STATE_VERSION: u32 = 2;
    const EVENTS: &'static [&'static str] = &[
        "pos.payment.authorize",
        "pos.payment.response",
        "pos.payment.notify",
        "pos.payment.status",
        "pos.payment.display",
        "pos.payment.confirm",
        "pos.payment.reversal",
        "pos.print.result",
        "pos.announce.result",
        "pos.device.status",
        "pos.app.state",
        "pos.net.sample",
        "pos.command.result",
        "pos.finding.raised",
        "pos.finding.updated",
        "pos.finding.cleared",
    ];
    const FIELDS: &'static [FieldId] = &[
        FieldId::ID,
        FieldId::SUBJECT,
        FieldId::SITE,
        FieldId::ACQUIRER,
        FieldId::RAIL,
        FieldId::LEG,
        FieldId::OUTCOME,
        FieldId::SHOWN,
        FieldId::RESULT,
        FieldId::COMMAND,
        FieldId::PHASE,
        FieldId::STATE,
        FieldId::FAULT,
        FieldId::PRINTER,
        FieldId::FINDING,
        FieldId::KIND,
        FieldId::TXN,
        FieldId::RULE,
        FieldId::DEADLINE,
        FieldId::AUTHORIZED_AT,
        FieldId::GIVES_UP_AT,
        FieldId::APPROVED_AT,
        FieldId::REVERSAL_SEEN,
        FieldId::GOODS,
        FieldId::LATE_WINDOW,
        FieldId::WHY,
        FieldId::CAUSE,
    ];
    const CAPABILITIES: &'static [&'static str] = &[
        "command:query-status",
        "command:redeliver-result",
        "command:reprint",
        "command:display-guide",
        "command:flush-pending-reversal",
        "derive:tillwatch.unresolved",
    ];

    type Settings = Settings;
    type State = Till;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Till>, out: &mut Out<'_>) {
        if let Some(reason) = too_long(visit) {
            out.fail(reason);
            return;
        }
        let mut till = state.take().unwrap_or_default();
        let mut desk = self.desk(visit, &mut till, out, false);
        hear(&mut desk, visit);
        desk.settle();
        *state = Some(till).filter(|till| *till != Till::default());
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Till>, out: &mut Out<'_>) {
        let mut till = state.take().unwrap_or_default();
        self.desk(visit, &mut till, out, true).settle();
        *state = Some(till).filter(|till| *till != Till::default());
    }
}

impl Compensate {
    fn desk<'a, 'o>(
        &'a self,
        visit: &Visit<'a>,
        till: &'a mut Till,
        out: &'a mut Out<'o>,
        timer: bool,
    ) -> Desk<'a, 'o> {
        Desk { settings: &self.settings, till, out, terminal: visit.key(), at: visit.at(), timer }
    }
}

/// Names that are too long to keep; none where all is well.
fn too_long(visit: &Visit<'_>) -> Option<String> {
    let names = [
        (FieldId::SUBJECT, TXN_BYTES_MAX),
        (FieldId::TXN, TXN_BYTES_MAX),
        (FieldId::ACQUIRER, NAME_BYTES_MAX),
        (FieldId::RAIL, NAME_BYTES_MAX),
    ];
    names.into_iter().find_map(|(field, max)| {
        let length = visit.piece_of(field).len();
        (length > max).then(|| {
            let name = field.field().name;
            format!("`{name}` has {length} bytes, at most {max} can be kept: no commands for this event")
        })
    })
}

fn hear(desk: &mut Desk<'_, '_>, visit: &Visit<'_>) {
    match visit.event_index() {
        Some(RAISED) => desk.raised(visit),
        Some(UPDATED) => desk.updated(visit),
        Some(CLEARED) => desk.cleared(visit),
        Some(RESULT) => desk.command_result(visit),
        Some(APP | SAMPLE) => desk.till.heard = desk.till.heard.max(Some(visit.when())),
        Some(DEVICE) => {
            if let Some(word) = visit.printer() {
                desk.printer(word, visit, None);
            }
        }
        Some(AUTHORIZE) => {
            if let Some(txn) = visit.subject() {
                desk.authorize(visit, txn);
            }
        }
        event => {
            let reversal = event == Some(REVERSAL) && matches!(visit.phase(), Some("request" | "response"));
            let subject = visit.subject();
            let index = subject.and_then(|txn| {
                // That a reversal was seen must not be forgotten, whatever else is known of the payment; nor that goods may be out or the
                // money is back, where its authorize is still to come; nor `paid`, before what it raises is heard.
                let early = event == Some(CONFIRM) && desk.till.past(txn).is_none();
                let said = event == Some(STATUS)
                    && match Status::of(visit) {
                        Status::Paid => true,
                        Status::MoneyBack => desk.till.past(txn).is_none_or(|gone| !gone.authorized),
                        Status::NotPaid | Status::Open => false,
                    };
                if reversal || early || said { Some(desk.known(visit, txn)) } else { desk.till.find(txn) }
            });
            if event == Some(PRINT) {
                print_result(desk, visit, index);
            }
            if let Some(index) = index {
                about_payment(desk, visit, index);
            } else if let Some(txn) = subject
                && is_answer(visit)
            {
                // That the terminal had it must not be forgotten: it will not reverse then.
                let (known, delivered) = (desk.till.past(txn), delivers(visit));
                if known.is_none_or(|gone| delivered && !gone.delivered) {
                    desk.till.pass(txn, Gone { authorized: false, delivered }, visit.at());
                }
            }
        }
    }
}

/// What the terminal's printer is like, whichever payment it printed for.
fn print_result(desk: &mut Desk<'_, '_>, visit: &Visit<'_>, index: Option<usize>) {
    match (visit.state(), visit.fault()) {
        (Some("printed"), _) => desk.printer("ok", visit, index),
        (Some("failed"), Some(fault)) => desk.printer(fault, visit, index),
        _ => {}
    }
}

fn about_payment(desk: &mut Desk<'_, '_>, visit: &Visit<'_>, index: usize) {
    desk.till.payments[index].touched = visit.at();
    match visit.event_index() {
        Some(RESPONSE) => desk.outcome(visit, index, visit.leg() == Some("terminal")),
        Some(NOTIFY) => desk.outcome(visit, index, false),
        Some(STATUS) => desk.status(visit, index),
        Some(DISPLAY) => desk.display(visit, index),
        Some(CONFIRM) => desk.goods(index),
        Some(REVERSAL) if matches!(visit.phase(), Some("request" | "response")) => desk.reversal(visit, index),
        Some(PRINT) => match visit.state() {
            Some("printed") => desk.receipt(index, true),
            Some("accepted" | "failed") => desk.receipt(index, false),
            _ => {}
        },
        Some(ANNOUNCE) if visit.state() == Some("done") => desk.receipt(index, true),
        _ => {}
    }
}

/// Whether an answer shows that the terminal had it.
fn delivers(visit: &Visit<'_>) -> bool {
    match visit.event_index() {
        Some(RESPONSE) => visit.leg() == Some("terminal"),
        Some(NOTIFY) => false,
        _ => true,
    }
}

/// Whether an event about a payment that is not remembered shows that it is answered, so that its authorize, coming late, opens nothing.
fn is_answer(visit: &Visit<'_>) -> bool {
    match visit.event_index() {
        Some(RESPONSE | NOTIFY) => Outcome::of(visit) != Outcome::Open,
        Some(DISPLAY) => matches!(visit.shown(), Some("approved" | "declined")),
        Some(PRINT) => visit.state().is_some(),
        Some(ANNOUNCE) => visit.state() == Some("done"),
        _ => false,
    }
}
