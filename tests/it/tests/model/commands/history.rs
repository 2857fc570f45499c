//! A history of terminals: what happened in their payments, at their printers and in the links to them, and when the engine heard of it. Also
//! the order in which the core hands it out, read from its rule alone.

use tillwatch_core::{
    event::{Event, EventBuilder},
    log::Tick,
    partition::{Body, Record},
};
use tillwatch_wit::{
    ids,
    table::{FieldId, TypeId},
};

use crate::history::{LATENESS, Rail, START, What};

/// One payment of the history; its number is its place in the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    pub(crate) terminal: u8,
    pub(crate) rail: Rail,
}

/// Which command is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) payment: usize,
    pub(crate) kind: &'static str,
    pub(crate) chain: u32,
    pub(crate) attempt: u32,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happens {
    /// Of a print also its fault; of a status the command that it answers.
    Payment {
        payment: usize,
        what: What,
        fault: Option<&'static str>,
        answers: Option<Name>,
    },
    Result {
        name: Name,
        state: &'static str,
    },
    Printer(&'static str),
    Heartbeat {
        network: bool,
    },
}

/// One arrival, as the terminal or a gateway sent it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) terminal: u8,
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) ingest: i64,
    pub(crate) happens: Happens,
}

/// One event as it is handed out.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    /// Position: the effective time.
    pub(crate) at: i64,
    /// payment.md's "time".
    pub(crate) time: i64,
    pub(crate) happens: Happens,
}

impl Seen {
    /// What it says of this payment.
    pub(crate) fn of(&self, number: usize) -> Option<What> {
        match self.happens {
            Happens::Payment { payment, what, .. } if payment == number => Some(what),
            _ => None,
        }
    }
}

/// Its transaction key.
pub(crate) fn key(number: usize, payment: Payment) -> String {
    match payment.rail {
        Rail::Card => format!("A01:M1:T{}:1:{number}", payment.terminal),
        Rail::Wechat | Rail::Other => format!("B01:M1:{number}"),
    }
}

pub(crate) fn acquirer(payment: Payment) -> &'static str {
    if payment.rail == Rail::Card { "A01" } else { "B01" }
}

pub(crate) fn terminal(number: u8) -> String {
    format!("T{number}")
}

/// The idempotency key at the target.
pub(crate) fn command(name: Name, payments: &[Payment]) -> String {
    let payment = payments[name.payment];
    let rail = match payment.rail {
        Rail::Card => "card",
        Rail::Wechat => "wechat",
        Rail::Other => "other",
    };
    ids::command(rail, &key(name.payment, payment), name.kind, name.chain, name.attempt)
}

fn event(arrival: &Arrival, payments: &[Payment]) -> Event {
    let mut event = EventBuilder::new(&[]);
    let name = match arrival.happens {
        Happens::Payment { what, .. } => what.type_name(),
        Happens::Result { .. } => "pos.command.result",
        Happens::Printer(_) => "pos.device.status",
        Happens::Heartbeat { network: false } => "pos.app.state",
        Happens::Heartbeat { network: true } => "pos.net.sample",
    };
    event.set_type(TypeId::by_name(name));
    event.set_time(arrival.time);
    event.push(FieldId::ID, arrival.id.as_bytes());
    event.push(FieldId::SOURCE, b"/gateway");
    event.push(FieldId::PARTITIONKEY, terminal(arrival.terminal).as_bytes());
    match arrival.happens {
        Happens::Payment { payment, what, fault, answers } => {
            event.push(FieldId::SUBJECT, key(payment, payments[payment]).as_bytes());
            if payments[payment].rail == Rail::Wechat {
                event.push(FieldId::RAIL, b"wechat");
            }
            what.fields(&mut event, arrival.time);
            if let Some(fault) = fault {
                event.push(FieldId::FAULT, fault.as_bytes());
            }
            if let Some(name) = answers {
                event.push(FieldId::COMMAND, command(name, payments).as_bytes());
            }
        }
        Happens::Result { name, state } => {
            event.push(FieldId::COMMAND, command(name, payments).as_bytes());
            event.push(FieldId::STATE, state.as_bytes());
        }
        Happens::Printer(word) => event.push(FieldId::PRINTER, word.as_bytes()),
        Happens::Heartbeat { network: false } => event.push(FieldId::STATE, b"heartbeat"),
        Happens::Heartbeat { network: true } => event.push(FieldId::LINK, b"ethernet"),
    }
    event.build()
}

/// The log: arrivals are in the order of their ingest.
pub(crate) fn records(payments: &[Payment], arrivals: &[Arrival], end: i64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (offset, arrival) in (0..).zip(arrivals) {
        records.push(Record { offset, ingest: arrival.ingest, body: Body::Event(event(arrival, payments)) });
    }
    let offset = i64::try_from(records.len()).expect("few records");
    records.push(Record { offset, ingest: end, body: Body::Tick(Tick { blind: None }) });
    records
}

/// What the events of one terminal look like to a rule, in order.
pub(crate) fn handed_out(arrivals: &[Arrival], terminal: u8) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut ingest = START;
    for arrival in arrivals {
        ingest = ingest.max(arrival.ingest);
        if arrival.terminal != terminal {
            continue;
        }
        let at = arrival.time.clamp(ingest - LATENESS, ingest);
        let time = if arrival.time < ingest - LATENESS { arrival.time } else { at };
        seen.push(Seen { id: arrival.id.clone(), at, time, happens: arrival.happens });
    }
    seen.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let mut once: Vec<Seen> = Vec::new();
    for event in seen {
        if once.iter().all(|other| other.id != event.id) {
            once.push(event);
        }
    }
    once
}
