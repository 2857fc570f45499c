//! What a fleet is made of.

use std::fmt;

use tillwatch_core::Instant;

use super::{
    dice::Dice,
    faults::Faults,
    inject::{INJECT_MAX, Inject},
    terminal::Terminal,
};

/// 2026-01-05T00:00:00Z, a Monday morning at 8 in Shanghai.
const MONDAY: Instant = 1_767_571_200_000;

/// Terminals that a fleet can have.
const TERMINALS_MAX: u32 = 1_000_000;

/// Acquirers that a fleet can have.
const ACQUIRERS_MAX: u32 = 99;

/// Hosts that an acquirer can have.
const HOSTS_MAX: u32 = 9;

/// Versions of one thing that can be in the field.
const VERSIONS_MAX: u32 = 10;

/// Receipts that a roll can have.
const ROLL_MAX: u32 = 100_000;

/// A fleet and what befalls it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// How many terminals.
    pub terminals: u32,
    /// How many sites they are spread over.
    pub sites: u32,
    /// How many regions the sites are spread over.
    pub regions: u32,
    /// How many acquirers the sites have contracts with; a site has one.
    pub acquirers: u32,
    /// How many hosts an acquirer has; a terminal has one.
    pub hosts: u32,
    /// How many versions of the application are in the field.
    pub versions: u32,
    /// How many versions of the parameters are in the field.
    pub params: u32,
    /// Receipts on a roll of paper; 0: paper never runs out.
    pub roll: u32,
    /// When it begins, ms since 1970.
    pub start: Instant,
    /// Payments of a terminal in an hour, in the mean over a day.
    pub payments_per_hour: f64,
    /// Whether more customers come at noon and in the evening, and few at night (UTC+8); otherwise the rate is the same all day.
    pub busy_hours: bool,
    /// How often a terminal's agent says how it is, ms; 0: never, and nobody else sends telemetry either.
    pub heartbeat_ms: i64,
    /// What goes wrong now and then, anywhere.
    pub faults: Faults,
    /// What goes wrong at one place and time.
    pub inject: Vec<Inject>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            terminals: 20,
            sites: 4,
            regions: 1,
            acquirers: 3,
            hosts: 2,
            versions: 2,
            params: 2,
            roll: 0,
            start: MONDAY,
            payments_per_hour: 30.0,
            busy_hours: true,
            heartbeat_ms: 30_000,
            faults: Faults::default(),
            inject: Vec::new(),
        }
    }
}

/// Options that make no fleet.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionsError {
    /// No fault has this name.
    UnknownFault(String),
    /// The fault's value is none from 0 to 1.
    NoProbability(&'static str),
    /// A payment has one fault at most, and their probabilities are more than 1 together.
    TooManyFaults(f64),
    /// A number is out of its range.
    Range(&'static str, u64, u64),
    /// No terminal is where the fault of this number is to strike.
    Nowhere(usize, String),
    /// Something else about a key.
    Other(&'static str, &'static str),
    /// A field of the fault of this number to inject.
    Inject(usize, &'static str, &'static str),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFault(name) => write!(f, "there is no fault {name}; there are {}", Faults::names().join(", ")),
            Self::NoProbability(name) => write!(f, "faults.{name} must be a probability, from 0 to 1"),
            Self::TooManyFaults(sum) => {
                write!(
                    f,
                    "a payment has at most one fault, and the probabilities of theirs are {sum} together: at most 1"
                )
            }
            Self::Range(name, low, high) => write!(f, "{name} must be from {low} to {high}"),
            Self::Nowhere(number, scope) => write!(f, "inject[{number}].at: there is no terminal at {scope}"),
            Self::Other(key, what) => write!(f, "{key} {what}"),
            Self::Inject(number, field, what) => write!(f, "inject[{number}].{field} {what}"),
        }
    }
}

impl std::error::Error for OptionsError {}

impl OptionsError {
    /// The path of the key that is wrong, in a scenario's file.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::UnknownFault(name) => format!("faults.{name}"),
            Self::NoProbability(name) => format!("faults.{name}"),
            Self::TooManyFaults(_) => "faults".to_owned(),
            Self::Range(name, ..) => (*name).to_owned(),
            Self::Nowhere(number, _) => format!("inject[{number}].at"),
            Self::Other(key, _) => (*key).to_owned(),
            Self::Inject(number, field, _) => format!("inject[{number}].{field}"),
        }
    }
}

impl Options {
    /// Everything for which no fleet can be made of them.
    #[must_use]
    pub fn errors(&self) -> Vec<OptionsError> {
        let numbers = [
            ("terminals", self.terminals, 1, TERMINALS_MAX),
            ("sites", self.sites, 1, self.terminals),
            ("regions", self.regions, 1, self.sites),
            ("acquirers", self.acquirers, 1, ACQUIRERS_MAX),
            ("hosts", self.hosts, 1, HOSTS_MAX),
            ("versions", self.versions, 1, VERSIONS_MAX),
            ("params", self.params, 1, VERSIONS_MAX),
            ("roll", self.roll, 0, ROLL_MAX),
        ];
        let outside = numbers.into_iter().filter(|(_, value, low, high)| !(low..=high).contains(&value));
        let mut errors: Vec<_> =
            outside.map(|(name, _, low, high)| OptionsError::Range(name, low.into(), high.into())).collect();
        let drawn = errors.is_empty();
        if !(0.01..=3_600.0).contains(&self.payments_per_hour) {
            errors.push(OptionsError::Other("payments_per_hour", "must be from 0.01 to 3600"));
        }
        if self.heartbeat_ms != 0 && !(1_000..=3_600_000).contains(&self.heartbeat_ms) {
            errors.push(OptionsError::Other("heartbeat_ms", "must be 0 or from 1000 to 3600000"));
        }
        if !(0..=253_402_300_799_999).contains(&self.start) {
            errors.push(OptionsError::Other("start", "must be from 1970 to 9999"));
        }
        errors.extend(self.faults.check().err());
        errors.extend(self.inject_errors(drawn));
        errors
    }

    fn inject_errors(&self, drawn: bool) -> Vec<OptionsError> {
        let mut errors = Vec::new();
        if self.inject.len() > INJECT_MAX {
            errors.push(OptionsError::Other("inject", "has more than 1000 faults; give fewer"));
        }
        for (number, inject) in self.inject.iter().enumerate() {
            if !(1..=100).contains(&inject.strength) {
                errors.push(OptionsError::Inject(number, "strength", "must be from 1 to 100"));
            }
            if inject.lasts < 1 {
                errors.push(OptionsError::Inject(number, "for", "must be longer than nothing"));
            }
        }
        if drawn && errors.is_empty() && !self.inject.is_empty() {
            let terminals: Vec<_> = (0..self.terminals).map(|index| Terminal::new(index, self)).collect();
            let nowhere = self.inject.iter().enumerate().filter(|(_, inject)| {
                let mut dice = Dice::new(self.seed, 0);
                inject.at.drawn(&terminals, &mut dice).is_none()
            });
            errors.extend(nowhere.map(|(number, inject)| OptionsError::Nowhere(number, inject.at.to_string())));
        }
        errors
    }

    /// That a fleet can be made of them.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        self.errors().into_iter().next().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_fleet_are_refused_by_name() {
        assert_eq!(Options::default().check(), Ok(()));
        assert_eq!(Faults::demo().check(), Ok(()));
        let said = |options: Options| options.check().unwrap_err().to_string();
        assert!(said(Options { terminals: 0, ..Options::default() }).starts_with("terminals "));
        assert!(said(Options { sites: 21, ..Options::default() }).starts_with("sites "));
        assert!(said(Options { payments_per_hour: f64::NAN, ..Options::default() }).starts_with("payments_per_hour "));
        assert!(said(Options { heartbeat_ms: 5, ..Options::default() }).starts_with("heartbeat_ms "));
        assert!(
            Faults::only("dragon", 0.5).unwrap_err().to_string().contains("no fault dragon; there are response_lost")
        );
        assert!(Faults::only("decline", 1.5).unwrap_err().to_string().contains("faults.decline"));
        let mut faults = Faults::only("decline", 0.6).unwrap();
        assert!(faults.set("no_answer", 0.6).unwrap_err().to_string().contains("at most 1"));
    }
}
