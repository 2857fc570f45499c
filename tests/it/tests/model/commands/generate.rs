//! Histories drawn at random: payments as they go, with what may go wrong at each step; the answers of targets are drawn against the commands
//! that the engine does send.

use proptest::prelude::*;

use super::{
    history::{Arrival, Happens, Name, Payment},
    reading::{Line, Said},
};
use crate::{
    history::{Rail, START, What},
    moment, what,
};

/// An event, relative to the one before it in its payment or about its terminal.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    gap: i64,
    lag: i64,
    happens: Happens,
    again: Option<i64>,
}

/// Events of one payment, or about the terminal itself.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    terminal: u8,
    rail: Rail,
    start: i64,
    steps: Vec<Step>,
}

/// What a target says to the n-th command that is sent, so long after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    nth: usize,
    after: i64,
    lag: i64,
    word: Word,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    State(&'static str),
    Status { result: &'static str, names: bool, age: Option<i64> },
}

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) threads: Vec<Thread>,
    pub(crate) replies: Vec<Reply>,
}

/// A payment is not followed for longer: what is finished is forgotten after ten minutes, and begins anew.
const LIFE: i64 = 590_000;

fn lag() -> impl Strategy<Value = i64> {
    prop_oneof![10 => Just(0_i64), 4 => 0..=501_i64, 1 => moment(), 1 => 0..120_000_i64]
}

fn again() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![9 => Just(None), 1 => (0..60_000_i64).prop_map(Some)]
}

fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..3_000_i64, 3 => moment(), 2 => 0..40_000_i64, 1 => Just(0_i64)]
}

fn fault() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        2 => Just(None),
        3 => prop::sample::select(vec!["no-paper", "jam", "busy", "low-voltage", "paper-low", "offline"]).prop_map(Some),
    ]
}

fn payment_event() -> impl Strategy<Value = Happens> {
    (what(), fault()).prop_map(|(what, fault)| {
        let fault = fault.filter(|_| matches!(what, What::Print { state: "failed" }));
        Happens::Payment { payment: 0, what, fault, answers: None }
    })
}

fn terminal_event() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => any::<bool>().prop_map(|network| Happens::Heartbeat { network }),
        3 => prop::sample::select(vec!["ok", "ok", "no-paper", "jam", "busy"]).prop_map(Happens::Printer),
    ]
}

fn step(happens: impl Strategy<Value = Happens>) -> impl Strategy<Value = Step> {
    (gap(), lag(), happens, again()).prop_map(|(gap, lag, happens, again)| Step { gap, lag, happens, again })
}

fn says(what: What, fault: Option<&'static str>) -> Happens {
    Happens::Payment { payment: 0, what, fault, answers: None }
}

/// The beginning of a payment as it should go, as far as it goes.
fn course() -> impl Strategy<Value = Vec<Step>> {
    let stages = [
        What::Authorize { repeat: false },
        What::Response { terminal: false, outcome: "approved" },
        What::Response { terminal: true, outcome: "approved" },
        What::Display { shown: "approved" },
        What::Print { state: "failed" },
    ];
    (0..=stages.len(), prop::collection::vec((gap(), lag(), fault()), stages.len())).prop_map(move |(count, times)| {
        let stages = stages.iter().zip(times).take(count);
        let step = |(what, (gap, lag, fault)): (&What, (i64, i64, Option<&'static str>))| Step {
            gap,
            lag,
            happens: says(*what, fault.filter(|_| matches!(what, What::Print { .. }))),
            again: None,
        };
        stages.map(step).collect()
    })
}

fn thread(terminals: u8) -> impl Strategy<Value = Thread> {
    let rail = prop_oneof![3 => Just(Rail::Card), 2 => Just(Rail::Wechat), 1 => Just(Rail::Other)];
    let of_payment = (course(), prop::collection::vec(step(payment_event()), 0..6)).prop_map(|(mut course, rest)| {
        course.extend(rest);
        course
    });
    let start = prop_oneof![Just(0_i64), 0..240_000_i64];
    (0..terminals, rail, start, of_payment).prop_map(|(terminal, rail, start, steps)| Thread {
        terminal,
        rail,
        start,
        steps,
    })
}

fn machine(terminals: u8) -> impl Strategy<Value = Thread> {
    (0..terminals, 0..240_000_i64, prop::collection::vec(step(terminal_event()), 1..8))
        .prop_map(|(terminal, start, steps)| Thread { terminal, rail: Rail::Card, start, steps })
}

fn reply() -> impl Strategy<Value = Reply> {
    let state = prop::sample::select(vec!["accepted", "done", "failed", "expired", "refused"]).prop_map(Word::State);
    let result =
        prop::sample::select(vec!["paid", "not-paid", "in-progress", "not-found", "refunded", "revoked", "unknown"]);
    let status = (result, any::<bool>(), prop::option::of(moment())).prop_map(|(result, names, age)| Word::Status {
        result,
        names,
        age,
    });
    let after = prop_oneof![3 => 0..5_000_i64, 1 => moment()];
    (0..40_usize, after, lag(), prop_oneof![state, status]).prop_map(|(nth, after, lag, word)| Reply {
        nth,
        after,
        lag,
        word,
    })
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let terminals = 2;
    let threads = (prop::collection::vec(thread(terminals), 1..6), prop::collection::vec(machine(terminals), 0..3));
    (threads, prop::collection::vec(reply(), 0..5)).prop_map(|((mut threads, machines), replies)| {
        threads.extend(machines);
        History { threads, replies }
    })
}

impl History {
    /// Threads of terminals have a number too, and no events of a payment.
    pub(crate) fn payments(&self) -> Vec<Payment> {
        self.threads.iter().map(|thread| Payment { terminal: thread.terminal, rail: thread.rail }).collect()
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        let mut all = Vec::new();
        for (number, thread) in self.threads.iter().enumerate() {
            let mut time = START + thread.start;
            for (index, step) in thread.steps.iter().enumerate() {
                time += step.gap;
                if time + step.lag > START + thread.start + LIFE {
                    break;
                }
                let happens = match step.happens {
                    Happens::Payment { what, fault, answers, .. } => {
                        Happens::Payment { payment: number, what, fault, answers }
                    }
                    other => other,
                };
                let id = format!("{number}-{index}");
                let arrival = Arrival { terminal: thread.terminal, id, time, ingest: time + step.lag, happens };
                if let Some(again) = step.again {
                    all.push(Arrival { ingest: arrival.ingest + again, ..arrival.clone() });
                }
                all.push(arrival);
            }
        }
        all.sort_by_key(|arrival| arrival.ingest);
        all
    }
}

impl Reply {
    /// What the target says, if a command was sent at all.
    pub(crate) fn arrival(&self, index: usize, said: &[Line], payments: &[Payment]) -> Option<Arrival> {
        let sent: Vec<&Line> = said.iter().filter(|line| matches!(line.said, Said::Command { .. })).collect();
        let line = sent.get(self.nth.checked_rem(sent.len())?)?;
        let name = name(line, payments);
        let happens = match self.word {
            Word::State(state) => Happens::Result { name, state },
            Word::Status { result, names, age } => Happens::Payment {
                payment: line.payment,
                what: What::Status { result, age },
                fault: None,
                answers: names.then_some(name),
            },
        };
        let time = line.at + self.after;
        if time + self.lag > START + LIFE {
            return None;
        }
        let terminal = payments[line.payment].terminal;
        Some(Arrival { terminal, id: format!("reply-{index}"), time, ingest: time + self.lag, happens })
    }
}

/// The command's name, by trying: a chain's number stands in nothing but the hash.
fn name(line: &Line, payments: &[Payment]) -> Name {
    const KINDS: [&str; 5] = ["query-status", "redeliver-result", "reprint", "display-guide", "flush-pending-reversal"];
    let Said::Command { command: id, kind, attempt, .. } = &line.said else {
        unreachable!("only commands are answered")
    };
    let kind = KINDS.into_iter().find(|known| known == kind).expect("a known kind");
    let named = |chain| Name { payment: line.payment, kind, chain, attempt: *attempt };
    (1..100).map(named).find(|name| super::history::command(*name, payments) == *id).expect("its chain has a number")
}
