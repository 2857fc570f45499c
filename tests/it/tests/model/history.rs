//! A history: what happened in several payments and when the engine heard of it. Also the order in which the core has to hand it out, read
//! from its rule alone: clamp to the lateness, then (effective time, source, id), duplicates once.

use tillwatch_core::{
    event::EventBuilder,
    log::Tick,
    partition::{Body, Record},
};
use tillwatch_wit::table::{FieldId, TypeId};

pub(crate) const LATENESS: i64 = 500;
pub(crate) const START: i64 = 1_800_000_000_000;

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Authorize {
        repeat: bool,
    },
    Response {
        terminal: bool,
        outcome: &'static str,
    },
    Notify {
        outcome: &'static str,
    },
    /// `as_of` is this long before the event's own time; none: not said.
    Status {
        result: &'static str,
        age: Option<i64>,
    },
    Display {
        shown: &'static str,
    },
    Print {
        state: &'static str,
    },
    Announce {
        state: &'static str,
    },
    Confirm,
    Reversal {
        request: bool,
        outcome: &'static str,
    },
    Ledger {
        state: &'static str,
    },
}

impl What {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Authorize { .. } => "pos.payment.authorize",
            Self::Response { .. } => "pos.payment.response",
            Self::Notify { .. } => "pos.payment.notify",
            Self::Status { .. } => "pos.payment.status",
            Self::Display { .. } => "pos.payment.display",
            Self::Print { .. } => "pos.print.result",
            Self::Announce { .. } => "pos.announce.result",
            Self::Confirm => "pos.payment.confirm",
            Self::Reversal { .. } => "pos.payment.reversal",
            Self::Ledger { .. } => "pos.ledger.entry",
        }
    }

    pub(crate) fn fields(self, event: &mut EventBuilder, time: i64) {
        let mut text = |field, value: &str| event.push(field, value.as_bytes());
        match self {
            Self::Authorize { repeat } => event.push(FieldId::REPEAT, &[u8::from(repeat)]),
            Self::Response { terminal, outcome } => {
                text(FieldId::LEG, if terminal { "terminal" } else { "host" });
                text(FieldId::OUTCOME, outcome);
            }
            Self::Notify { outcome } => text(FieldId::OUTCOME, outcome),
            Self::Status { result, age } => {
                text(FieldId::RESULT, result);
                if let Some(age) = age {
                    event.push(FieldId::AS_OF, &(time - age).to_le_bytes());
                }
            }
            Self::Display { shown } => text(FieldId::SHOWN, shown),
            Self::Print { state } | Self::Announce { state } | Self::Ledger { state } => text(FieldId::STATE, state),
            Self::Confirm => text(FieldId::BY, "cashier"),
            Self::Reversal { request, outcome } => {
                text(FieldId::PHASE, if request { "request" } else { "response" });
                if !request {
                    text(FieldId::OUTCOME, outcome);
                }
            }
        }
    }
}

/// One event of a payment, relative to the one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Own time: this long after the step before.
    pub(crate) gap: i64,
    /// Ingest: this long after its own time.
    pub(crate) lag: i64,
    pub(crate) what: What,
    /// It comes a second time, this long after the first.
    pub(crate) again: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rail {
    Card,
    Wechat,
    Other,
}

#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) terminal: u8,
    pub(crate) rail: Rail,
    pub(crate) start: i64,
    pub(crate) steps: Vec<Step>,
}

/// One arrival.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) payment: usize,
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) ingest: i64,
    pub(crate) what: What,
}

/// One event as it is handed out.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    /// Position: the effective time.
    pub(crate) at: i64,
    /// payment.md's "time".
    pub(crate) time: i64,
    pub(crate) late: bool,
    pub(crate) what: What,
    /// Of a status: the moment that it speaks of.
    pub(crate) as_of: i64,
}

pub(crate) fn key(number: usize, payment: &Payment) -> String {
    match payment.rail {
        Rail::Card => format!("A01:M1:T{}:1:{number}", payment.terminal),
        Rail::Wechat | Rail::Other => format!("W01:M1:{number}"),
    }
}

/// Arrivals in the order of the log.
pub(crate) fn arrivals(payments: &[Payment]) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (number, payment) in payments.iter().enumerate() {
        let mut time = START + payment.start;
        for (index, step) in payment.steps.iter().enumerate() {
            time += step.gap;
            let id = format!("{number}-{index}");
            let arrival = Arrival { payment: number, id, time, ingest: time + step.lag, what: step.what };
            if let Some(again) = step.again {
                all.push(Arrival { ingest: arrival.ingest + again, ..arrival.clone() });
            }
            all.push(arrival);
        }
    }
    all.sort_by_key(|arrival| arrival.ingest);
    all
}

pub(crate) fn records(payments: &[Payment], arrivals: &[Arrival], end: i64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (offset, arrival) in (0..).zip(arrivals) {
        let payment = &payments[arrival.payment];
        let mut event = EventBuilder::new(&[]);
        event.set_type(TypeId::by_name(arrival.what.type_name()));
        event.set_time(arrival.time);
        event.push(FieldId::ID, arrival.id.as_bytes());
        event.push(FieldId::SOURCE, b"/gateway");
        event.push(FieldId::SUBJECT, key(arrival.payment, payment).as_bytes());
        event.push(FieldId::PARTITIONKEY, format!("T{}", payment.terminal).as_bytes());
        if payment.rail == Rail::Wechat {
            event.push(FieldId::RAIL, b"wechat");
        }
        arrival.what.fields(&mut event, arrival.time);
        records.push(Record { offset, ingest: arrival.ingest, body: Body::Event(event.build()) });
    }
    let offset = i64::try_from(records.len()).expect("few records");
    records.push(Record { offset, ingest: end, body: Body::Tick(Tick { blind: None }) });
    records
}

/// What the events of one payment look like to a rule, in order.
pub(crate) fn handed_out(arrivals: &[Arrival], payment: usize) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut ingest = i64::MIN;
    for arrival in arrivals {
        ingest = ingest.max(arrival.ingest);
        if arrival.payment != payment {
            continue;
        }
        let at = arrival.time.clamp(ingest - LATENESS, ingest);
        let late = arrival.time < ingest - LATENESS;
        let time = if late { arrival.time } else { at };
        let as_of = match arrival.what {
            What::Status { age: Some(age), .. } => arrival.time - age,
            _ => time,
        };
        seen.push(Seen { id: arrival.id.clone(), at, time, late, what: arrival.what, as_of });
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
