//! Chains step by step: when a step is due, what it waits for, what forbids it, and what follows the last one.

use super::{
    chain::{Chain, Kind, Purpose, Until},
    facts::last_heartbeat,
    history::{Name, acquirer, command, terminal},
    reading::{Line, Need, Reader, Said},
};

/// A terminal without a heartbeat for so long gets no command.
const SILENT: i64 = 90_000;
/// Results, reprints and guides are sent so long after their answer.
const ANSWER_OLD: i64 = 180_000;

impl Reader<'_> {
    /// Takes every step that is due; what the end of one chain begins is taken up too.
    pub(super) fn run(&mut self, number: usize, need: &mut Need) {
        let mut place = 0;
        while place < need.chains.len() {
            let mut chain = need.chains.remove(place);
            if self.advance(number, need, &mut chain) {
                need.chains.insert(place, chain);
                place += 1;
            } else {
                self.over(number, need, chain);
                place = 0;
            }
        }
    }

    /// A flush waits until the till has given up and has no sale in flight.
    pub(super) fn waits(&self, number: usize, chain: &Chain) -> bool {
        let gave_up = |number: usize| self.with(number, |facts| facts.gives_up()).is_none_or(|due| self.is_past(due));
        let unanswered = |other: &usize| {
            self.with(*other, |facts| facts.authorize().is_some() && !facts.answered() && !facts.reversal())
                && !gave_up(*other)
        };
        chain.kind == Kind::Flush && (!gave_up(number) || self.here().iter().any(unanswered))
    }

    /// Takes the steps that are due. False: the chain is over.
    pub(super) fn advance(&mut self, number: usize, need: &mut Need, chain: &mut Chain) -> bool {
        loop {
            if let Some((_, until)) = chain.open {
                if !self.is_past(until) {
                    return true;
                }
                chain.open = None;
            }
            let Some(step) = chain.steps.get(chain.taken).copied() else {
                return !(self.is_past(chain.ends) || chain.at_once);
            };
            if chain.held_until.is_none() {
                let is_new = chain.started == self.now && step.due == self.now && chain.taken == 0;
                if !(chain.at_once || is_new || self.is_past(step.due)) {
                    return true;
                }
                if self.waits(number, chain) {
                    return self.forbidden(number, need, chain).is_none();
                }
            }
            let until = chain.held_until.unwrap_or(match step.until {
                Until::At(until) => until,
                Until::For(span) => self.now + span,
            });
            if chain.kind == Kind::Flush
                && chain.held_until.is_none()
                && let Some(next) = chain.steps.get_mut(chain.taken + 1)
            {
                next.due = until;
            }
            if !self.may_send(number, need, chain) {
                return false;
            }
            if chain.kind != Kind::Query && self.is_silent() {
                if !self.is_past(until) {
                    chain.held_until = Some(until);
                    return true;
                }
                Self::number(need, chain);
                chain.taken += 1;
                chain.ends = until;
                chain.at_once = true;
                chain.held_until = None;
                continue;
            }
            let least = if chain.kind == Kind::Redeliver { 2_000 } else { 1 };
            if until - self.now < least {
                return false;
            }
            self.send(number, need, chain, until);
        }
    }

    pub(super) fn may_send(&self, number: usize, need: &mut Need, chain: &Chain) -> bool {
        if let Some(reason) = self.forbidden(number, need, chain) {
            if reason == "newer-sale" {
                need.handed_over.extend(chain.callers.iter().map(|(finding, _)| finding.clone()));
            }
            return false;
        }
        if chain.kind == Kind::Redeliver && self.newer(number, false).is_some() {
            return false;
        }
        let raised = need.open.iter().find(|open| open.kind == "not-printed").map(|open| open.at);
        let answer = self.with(number, |facts| facts.answer()).or(raised);
        let about_answer = matches!(chain.kind, Kind::Redeliver | Kind::Reprint | Kind::Guide);
        !(about_answer && answer.is_some_and(|answer| self.now > answer + ANSWER_OLD))
    }

    pub(super) fn is_silent(&self) -> bool {
        last_heartbeat(&self.history).is_some_and(|last| self.now >= last + SILENT)
    }

    /// Taken with the first step, sent or lapsed.
    fn number(need: &mut Need, chain: &mut Chain) -> u32 {
        *chain.number.get_or_insert_with(|| {
            let last = need.numbers.entry(chain.kind).or_default();
            *last += 1;
            *last
        })
    }

    pub(super) fn send(&mut self, number: usize, need: &mut Need, chain: &mut Chain, until: i64) {
        let chain_number = Self::number(need, chain);
        let attempt = u32::try_from(chain.taken + 1).expect("few");
        let name = Name { payment: number, kind: chain.kind.name(), chain: chain_number, attempt };
        let payment = self.payments[number];
        let said = Said::Command {
            command: command(name, self.payments),
            kind: chain.kind.name().to_owned(),
            target: if chain.kind == Kind::Query {
                format!("acquirer:{}", acquirer(payment))
            } else {
                format!("terminal:{}", terminal(payment.terminal))
            },
            expires_at: until,
            attempt,
            max_attempts: u32::try_from(chain.steps.len()).expect("few"),
            preconditions: chain.kind.preconditions().iter().map(|text| (*text).to_owned()).collect(),
            guide: (chain.kind == Kind::Guide)
                .then(|| if chain.is_paid_guide { "paid-at-acquirer" } else { "printer" }.to_owned()),
        };
        self.lines[1].push(Line { at: self.now, payment: number, said });
        chain.open = Some((attempt, until));
        chain.ends = until;
        chain.taken += 1;
        chain.at_once = false;
        chain.held_until = None;
    }

    /// A chain has come to its end.
    pub(super) fn over(&mut self, number: usize, need: &mut Need, chain: Chain) {
        if chain.is_poll {
            self.after_poll(number, need, chain.callers);
            return;
        }
        match chain.kind {
            Kind::Query => {
                let wanted = |purpose| chain.callers.iter().any(|(_, wanted)| *wanted == purpose);
                let why = match () {
                    () if wanted(Purpose::LateApproval) => "late-approval",
                    () if wanted(Purpose::Undelivered) => "undelivered",
                    () => "queries",
                };
                self.unresolved(number, why, Some(Kind::Query));
            }
            Kind::Redeliver if !self.with(number, |facts| facts.is_card()) => {
                for (finding, purpose) in chain.callers {
                    if purpose == Purpose::Undelivered {
                        self.join(number, need, Kind::Query, &finding, purpose);
                    }
                }
            }
            Kind::Flush if self.forbidden(number, need, &chain).is_none() => {
                self.unresolved(number, "flushes", Some(Kind::Flush));
            }
            _ => {}
        }
    }
}
