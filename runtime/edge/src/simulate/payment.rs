//! One payment: what was drawn for it, and what has become of it.

use tillwatch_core::Instant;

use super::{dice::Dice, faults::Fault, faults::Faults, truth::Timeline};

/// Which way the money goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rail {
    Card,
    Wechat,
    Alipay,
}

impl Rail {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
        }
    }

    /// When the terminal gives up, ms after authorize.
    pub(super) fn gives_up_ms(self) -> i64 {
        match self {
            Self::Card | Self::Alipay => 60_000,
            Self::Wechat => 45_000,
        }
    }

    /// When an answer is missed, ms after authorize.
    pub(super) fn response_ms(self) -> i64 {
        match self {
            Self::Card => 65_000,
            other => other.gives_up_ms(),
        }
    }
}

/// Everything that chance decides about a payment, drawn when the customer comes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) rail: Rail,
    /// In minor units.
    pub(super) amount: i64,
    pub(super) fault: Option<Fault>,
    /// From authorize to the host's answer.
    pub(super) host_ms: i64,
    /// The customer has to confirm on the phone, so long after the host's first answer.
    pub(super) confirm_on_phone_ms: Option<i64>,
    /// From the host to the terminal.
    pub(super) leg_ms: i64,
    pub(super) display_ms: i64,
    pub(super) print_ms: i64,
    /// From the display to the goods.
    pub(super) hand_over_ms: i64,
    pub(super) ledger_ms: i64,
    /// The host has charged although it does not answer.
    pub(super) charged: bool,
    /// How long what is broken stays broken.
    pub(super) repair_ms: i64,
}

impl Plan {
    pub(super) fn draw(faults: &Faults, dice: &mut Dice) -> Self {
        let rail = match dice.below(4) {
            0 => Rail::Wechat,
            1 => Rail::Alipay,
            _ => Rail::Card,
        };
        let fault = faults.draw(dice);
        let late = rail.response_ms() + dice.between(1_500, 18_000);
        let host_ms = dice.between(300, 2_500);
        Self {
            rail,
            amount: dice.between(100, 80_000),
            fault,
            host_ms: if fault == Some(Fault::late_approval) { late } else { host_ms },
            confirm_on_phone_ms: Some(dice.between(2_000, 12_000)).filter(|_| dice.chance(0.2) && rail != Rail::Card),
            leg_ms: dice.between(40, 250),
            display_ms: dice.between(80, 500),
            print_ms: dice.between(800, 3_500),
            hand_over_ms: dice.between(1_000, 4_000),
            ledger_ms: dice.between(300, 4_000),
            charged: dice.chance(0.5),
            repair_ms: dice.between(60_000, 300_000),
        }
    }
}

/// What the acquirer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Booked {
    /// Nothing: it never heard of the payment.
    Nothing,
    /// It is at it, or the customer is.
    InProgress,
    Paid,
    /// Declined, or closed without a payment.
    NotPaid,
    /// Paid, and given back.
    Back,
}

/// A payment on its way.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// The transaction key.
    pub(super) key: String,
    pub(super) terminal: usize,
    pub(super) plan: Plan,
    pub(super) started: Instant,
    pub(super) booked: Booked,
    pub(super) declined: bool,
    pub(super) received: bool,
    pub(super) shown: bool,
    pub(super) printed: bool,
    pub(super) gave_up: bool,
    pub(super) reversal_sent: bool,
    pub(super) ledger_paid: bool,
    pub(super) timeline: Timeline,
}

impl Payment {
    pub(super) fn new(key: String, terminal: usize, plan: Plan, started: Instant) -> Self {
        Self {
            key,
            terminal,
            plan,
            started,
            booked: Booked::InProgress,
            declined: false,
            received: false,
            shown: false,
            printed: false,
            gave_up: false,
            reversal_sent: false,
            ledger_paid: false,
            timeline: Timeline::default(),
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.plan.fault == Some(fault)
    }

    /// The answer that the terminal is owed, once the host has decided.
    pub(super) fn outcome(&self) -> &'static str {
        if self.declined { "declined" } else { "approved" }
    }
}
