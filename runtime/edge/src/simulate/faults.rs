//! What can go wrong, and how often.

use serde::Deserialize;

use super::{cause::Cause, dice::Dice, options::OptionsError};

macro_rules! faults {
    ($($section:ident { $($(#[$doc:meta])* $name:ident = $some:literal, $day:literal, $demo:literal;)* })*) => {
        /// How probable each fault is, from 0 to 1.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Faults { $($($(#[$doc])* pub $name: f64,)*)* }

        impl Faults {
            /// None at all.
            #[must_use]
            pub fn none() -> Self {
                Self { $($($name: 0.0,)*)* }
            }

            /// A few of each, as in a bad week.
            #[must_use]
            pub fn some() -> Self {
                Self { $($($name: $some,)*)* }
            }

            /// A normal day: customers who decline or walk away, people who fumble, and now and then a thing that fails.
            #[must_use]
            pub fn day() -> Self {
                Self { $($($name: $day,)*)* }
            }

            /// Those that show within a minute, and many of them.
            #[must_use]
            pub fn demo() -> Self {
                Self { $($($name: $demo,)*)* }
            }

            /// Their names.
            #[must_use]
            pub fn names() -> &'static [&'static str] {
                &[$($(stringify!($name),)*)*]
            }

            fn place(&mut self, name: &str) -> Option<&mut f64> {
                match name {
                    $($(stringify!($name) => Some(&mut self.$name),)*)*
                    _ => None,
                }
            }

            fn all(&self) -> impl Iterator<Item = (&'static str, f64)> {
                [$($((stringify!($name), self.$name),)*)*].into_iter()
            }
        }

        faults!(@enum $($section { $($name)* })*);
    };
    (@enum payment { $($name:ident)* } $($rest:ident { $($other:ident)* })*) => {
        impl Faults {
            /// Those of which a payment has at most one.
            fn of_a_payment(&self) -> [(Fault, f64); [$(stringify!($name)),*].len()] {
                [$((Fault::$name, self.$name)),*]
            }
        }

        /// What goes wrong with one payment.
        #[allow(non_camel_case_types, reason = "the names are those of the options")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault { $($name),* }

        impl Fault {
            /// Its name, as in the options.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

faults! {
    payment {
        /// The host's answer is lost on its way to the terminal.
        response_lost = 0.01, 0.0002, 0.06;
        /// The host never answers; half of the time it has charged all the same.
        no_answer = 0.005, 0.0001, 0.02;
        /// The host approves after the terminal has given up.
        late_approval = 0.003, 0.0001, 0.0;
        /// The terminal gets the answer and hangs.
        display_hang = 0.005, 0.0001, 0.05;
        /// The printer is out of paper, for minutes.
        printer_no_paper = 0.004, 0.0, 0.015;
        /// The paper is jammed, for minutes.
        printer_jam = 0.002, 0.0002, 0.01;
        /// The printer is offline, for minutes.
        printer_offline = 0.002, 0.0001, 0.0;
        /// The printer takes the job and prints nothing.
        printer_silent = 0.005, 0.0001, 0.05;
        /// The receipt is printed, and the news of it lost.
        receipt_lost = 0.003, 0.0001, 0.015;
        /// The order system hears of the payment minutes later.
        ledger_missing = 0.003, 0.0001, 0.0;
        /// The customer walks away: before the card, or without confirming on the phone.
        walk_away = 0.01, 0.01, 0.01;
        /// The issuer declines.
        decline = 0.04, 0.04, 0.04;
        /// The terminal cannot send its events for minutes, works, and sends them all later.
        dark = 0.002, 0.0001, 0.005;
    }
    other {
        /// Of a reversal's request: it is lost.
        reversal_lost = 0.1, 0.01, 0.1;
        /// Of a terminal, after a sale: it is switched off for minutes.
        offline = 0.001, 0.0002, 0.0;
        /// Of a terminal: its clock is an hour fast or slow.
        wrong_clock = 0.02, 0.002, 0.05;
        /// Of an event: it is sent twice.
        duplicate = 0.01, 0.002, 0.01;
        /// Of an event: it takes up to 400 ms more, past others.
        out_of_order = 0.05, 0.05, 0.05;
        /// Of an event: it takes up to 3 s more.
        straggler = 0.002, 0.002, 0.0;
        /// Of a sale: the operator asks for help, errs and corrects it, or begins again; it costs seconds.
        fumble = 0.02, 0.03, 0.02;
        /// Of a scan: it fails once and is tried again.
        misread = 0.01, 0.01, 0.0;
        /// Of a sample of the network: a bad one, of which nothing comes.
        blip = 0.001, 0.001, 0.0;
        /// Of telemetry: it is lost on its way.
        evidence_lost = 0.01, 0.005, 0.0;
        /// Of telemetry: it takes up to half a minute more.
        evidence_late = 0.01, 0.005, 0.0;
    }
}

impl Fault {
    /// What it is an instance of, where its own events can tell.
    pub(super) fn cause(self) -> Option<Cause> {
        match self {
            Self::decline | Self::walk_away => Some(Cause::Customer),
            Self::printer_no_paper | Self::printer_jam | Self::printer_offline | Self::printer_silent => {
                Some(Cause::H1)
            }
            Self::display_hang => Some(Cause::H4),
            Self::ledger_missing => Some(Cause::S2),
            Self::response_lost | Self::no_answer | Self::late_approval | Self::receipt_lost | Self::dark => None,
        }
    }
}

/// Which faults happen now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// None at all
    None,
    /// A few of each, as in a bad week
    #[default]
    Some,
    /// A normal day: declines, customers who leave, fumbles, paper that runs out
    Day,
    /// Those that show within a minute, and many of them
    Demo,
}

impl Preset {
    /// Their probabilities.
    #[must_use]
    pub fn faults(self) -> Faults {
        match self {
            Self::None => Faults::none(),
            Self::Some => Faults::some(),
            Self::Day => Faults::day(),
            Self::Demo => Faults::demo(),
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::some()
    }
}

impl Faults {
    /// One alone, with this probability.
    ///
    /// # Errors
    /// There is none of that name, or it is no probability.
    pub fn only(name: &str, probability: f64) -> Result<Self, OptionsError> {
        let mut faults = Self::none();
        faults.set(name, probability)?;
        Ok(faults)
    }

    /// Changes one.
    ///
    /// # Errors
    /// There is none of that name, or it is no probability.
    pub fn set(&mut self, name: &str, probability: f64) -> Result<(), OptionsError> {
        let place = self.place(name).ok_or_else(|| OptionsError::UnknownFault(name.to_owned()))?;
        *place = probability;
        self.check()
    }

    /// That they are probabilities.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        if let Some((name, _)) = self.all().find(|(_, probability)| !(0.0..=1.0).contains(probability)) {
            return Err(OptionsError::NoProbability(name));
        }
        let sum: f64 = self.of_a_payment().iter().map(|(_, probability)| probability).sum();
        // Decimal fractions that make up 1 may come out a little above it.
        if sum > 1.0 + 1e-9 { Err(OptionsError::TooManyFaults(sum)) } else { Ok(()) }
    }

    /// What goes wrong with a payment, if anything.
    pub(super) fn draw(&self, dice: &mut Dice) -> Option<Fault> {
        let mut left = dice.unit();
        self.of_a_payment().into_iter().find_map(|(fault, probability)| {
            left -= probability;
            (left < 0.0).then_some(fault)
        })
    }
}
