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
    /// The code of a decline.
    pub(super) code: &'static str,
    /// The host answers with this code, and nobody knows what that means for the payment.
    pub(super) unknown: Option<&'static str>,
    /// The host never hears of the payment, and what the network says of that.
    pub(super) unreached: bool,
    pub(super) net_error: Option<(&'static str, &'static str)>,
    /// What the app says of a payment that failed on it, and in which state it then is.
    pub(super) app_error: Option<&'static str>,
    pub(super) hang: &'static str,
    /// The acquirer's reconciliation notices that the order system has not heard.
    pub(super) unbalanced: bool,
    /// The customer has paid and waits so long for nothing.
    pub(super) idle_ms: i64,
    /// The operator corrects the amount before the sale.
    pub(super) amount_edit: bool,
    /// The operator presses a wrong key before the sale.
    pub(super) wrong_key: bool,
    /// The operator cancels although the sale is approved.
    pub(super) cancelled_after: bool,
    /// The operator begins the same sale again while this one is not answered.
    pub(super) again: bool,
    /// It is such a second attempt, or has one.
    pub(super) twin: bool,
    /// What people do before the sale is done, and the terminal's count of breaks when it was.
    pub(super) prepared: bool,
    pub(super) visit: u64,
    /// The injected fault that changed it.
    pub(super) blame: Option<usize>,
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
            code: "51",
            unknown: None,
            unreached: false,
            net_error: None,
            app_error: None,
            hang: "anr",
            unbalanced: false,
            idle_ms: 0,
            amount_edit: false,
            wrong_key: false,
            cancelled_after: false,
            again: false,
            twin: false,
            prepared: false,
            visit: 0,
            blame: None,
        }
    }

    /// The connection fails.
    pub(super) fn unreached(&mut self, error: Option<(&'static str, &'static str)>) {
        self.fault = Some(Fault::no_answer);
        (self.unreached, self.charged, self.net_error) = (true, false, error);
    }

    /// The other side does not take the request at all.
    pub(super) fn rejected(&mut self, error: &'static str) {
        self.unreached(None);
        self.app_error = Some(error);
    }

    /// The host declines.
    pub(super) fn refused(&mut self, code: &&'static str) {
        (self.fault, self.code) = (Some(Fault::decline), code);
    }

    /// All ways are long, and the answer may be lost.
    pub(super) fn slowed(&mut self, host_ms: i64, leg_ms: i64, lost: bool) {
        self.host_ms += host_ms;
        self.leg_ms += leg_ms;
        if lost {
            self.fault = Some(Fault::response_lost);
        }
    }

    /// The terminal gets the answer and shows nothing.
    pub(super) fn hangs(&mut self, state: &'static str, error: Option<&'static str>) {
        (self.fault, self.hang, self.app_error) = (Some(Fault::display_hang), state, error);
    }

    /// The host takes so long that somebody begins again.
    pub(super) fn tried_again(&mut self, host_ms: i64) {
        self.host_ms = host_ms;
        self.confirm_on_phone_ms = None;
        (self.again, self.twin) = (true, true);
    }

    /// The second attempt at the same sale.
    pub(super) fn second(&self, dice: &mut Dice) -> Self {
        let plan = Self::draw(&Faults::none(), dice);
        Self {
            rail: self.rail,
            amount: self.amount,
            confirm_on_phone_ms: None,
            twin: true,
            prepared: true,
            blame: self.blame,
            ..plan
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
    /// The printer was broken when its receipt was due.
    pub(super) receipt_failed: bool,
    /// The terminal went down in the middle of it.
    pub(super) cut_off: bool,
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
            receipt_failed: false,
            cut_off: false,
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
