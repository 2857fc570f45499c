//! What is known of a payment, its printer and its terminal, read from the whole history each time that it is asked for.

use super::history::{Happens, Payment, Seen};
use crate::{
    history::{Rail, What},
    reading::Windows,
    says::{answered_decline, approval, goods, money_back, reaches, request, reversal},
};

pub(crate) struct Facts<'a> {
    pub(crate) history: &'a [Seen],
    pub(crate) number: usize,
    pub(crate) payment: Payment,
    pub(crate) windows: &'a Windows,
}

impl<'a> Facts<'a> {
    fn events(&self) -> impl Iterator<Item = (&'a Seen, What)> {
        let number = self.number;
        self.history.iter().filter_map(move |event| event.of(number).map(|what| (event, what)))
    }

    fn any(&self, test: fn(What) -> bool) -> bool {
        self.events().any(|(_, what)| test(what))
    }

    pub(crate) fn is_card(&self) -> bool {
        self.payment.rail == Rail::Card
    }

    pub(crate) fn first(&self) -> Option<&'a Seen> {
        self.events().next().map(|(event, _)| event)
    }

    pub(crate) fn authorize(&self) -> Option<&'a Seen> {
        self.events().find(|(_, what)| matches!(what, What::Authorize { .. })).map(|(event, _)| event)
    }

    /// Counted from arrival where the authorize came late: its position in either case.
    pub(crate) fn gives_up(&self) -> Option<i64> {
        let after = if self.is_card() { self.windows.terminal } else { self.windows.response };
        self.authorize().map(|authorize| authorize.at + after)
    }

    /// Judged by what was handed out before it.
    pub(crate) fn is_final_not_paid(&self, event: &Seen) -> bool {
        if !matches!(event.of(self.number), Some(What::Status { result: "not-paid", .. })) {
            return false;
        }
        let place = self.history.iter().position(|other| other.id == event.id).unwrap_or(self.history.len());
        let before = Facts { history: &self.history[..place], number: self.number, ..*self };
        let asked_back = before.events().filter(|(_, what)| request(*what)).map(|(event, _)| event.time).min();
        before.gives_up().or(asked_back).is_some_and(|from| event.time >= from)
    }

    pub(crate) fn not_paid(&self) -> bool {
        self.events().any(|(event, _)| self.is_final_not_paid(event))
    }

    pub(crate) fn answered(&self) -> bool {
        self.any(|what| reaches(what) >= 1) || self.not_paid()
    }

    pub(crate) fn delivered(&self) -> bool {
        self.any(|what| reaches(what) >= 2)
    }

    /// Whether the latest of its final answers says that nothing was taken.
    pub(crate) fn not_taken(&self) -> bool {
        let answers = self.events().filter_map(|(event, what)| {
            let taken = approval(what);
            (taken || answered_decline(what) || self.is_final_not_paid(event)).then_some(taken)
        });
        answers.last() == Some(false)
    }

    pub(crate) fn reversal(&self) -> bool {
        self.any(reversal)
    }

    pub(crate) fn money_back(&self) -> bool {
        self.any(money_back)
    }

    pub(crate) fn goods(&self) -> bool {
        self.any(goods)
    }

    /// When the answer came that a text or a receipt would be about.
    pub(crate) fn answer(&self) -> Option<i64> {
        let approved = self.events().find(|(_, what)| approval(*what));
        let declined =
            self.events().find(|(_, what)| matches!(what, What::Response { terminal: true, outcome: "declined" }));
        approved.or(declined).map(|(event, _)| event.time)
    }
}

/// The latest word on the printer, by its time; the later one in order where times are equal.
pub(crate) fn printer(history: &[Seen]) -> Option<&'static str> {
    let words = history.iter().filter_map(|event| match event.happens {
        Happens::Printer(word) => Some((event.time, word)),
        Happens::Payment { fault: Some(fault), .. } => Some((event.time, fault)),
        Happens::Payment { what: What::Print { state: "printed" }, .. } => Some((event.time, "ok")),
        _ => None,
    });
    words.max_by_key(|(time, _)| *time).map(|(_, word)| word)
}

pub(crate) fn last_heartbeat(history: &[Seen]) -> Option<i64> {
    let beats = history.iter().filter(|event| matches!(event.happens, Happens::Heartbeat { .. }));
    beats.map(|event| event.time).max()
}
