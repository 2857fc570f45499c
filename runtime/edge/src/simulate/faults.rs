//! What can go wrong, and how often.

use serde::Deserialize;

use super::{dice::Dice, options::OptionsError};

macro_rules! faults {
    ($($section:ident { $($(#[$doc:meta])* $name:ident = $some:literal, $demo:literal;)* })*) => {
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
        response_lost = 0.01, 0.06;
        /// The host never answers; half of the time it has charged all the same.
        no_answer = 0.005, 0.02;
        /// The host approves after the terminal has given up.
        late_approval = 0.003, 0.0;
        /// The terminal gets the answer and hangs.
        display_hang = 0.005, 0.05;
        /// The printer is out of paper, for minutes.
        printer_no_paper = 0.004, 0.015;
        /// The paper is jammed, for minutes.
        printer_jam = 0.002, 0.01;
        /// The printer is offline, for minutes.
        printer_offline = 0.002, 0.0;
        /// The printer takes the job and prints nothing.
        printer_silent = 0.005, 0.05;
        /// The receipt is printed, and the news of it lost.
        receipt_lost = 0.003, 0.015;
        /// The order system hears of the payment minutes later.
        ledger_missing = 0.003, 0.0;
        /// The customer walks away: before the card, or without confirming on the phone.
        walk_away = 0.01, 0.01;
        /// The issuer declines.
        decline = 0.04, 0.04;
        /// The terminal cannot send its events for minutes, works, and sends them all later.
        dark = 0.002, 0.005;
    }
    other {
        /// Of a reversal's request: it is lost.
        reversal_lost = 0.1, 0.1;
        /// Of a terminal, after a sale: it is switched off for minutes.
        offline = 0.001, 0.0;
        /// Of a terminal: its clock is an hour fast or slow.
        wrong_clock = 0.02, 0.05;
        /// Of an event: it is sent twice.
        duplicate = 0.01, 0.01;
        /// Of an event: it takes up to 400 ms more, past others.
        out_of_order = 0.05, 0.05;
        /// Of an event: it takes up to 3 s more.
        straggler = 0.002, 0.0;
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
