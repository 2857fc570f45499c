//! What a fleet is made of.

use std::fmt;

use serde::Deserialize;
use tillwatch_core::Instant;

use super::faults::Faults;

/// 2026-01-05T00:00:00Z, a Monday morning at 8 in Shanghai.
const MONDAY: Instant = 1_767_571_200_000;

/// Terminals that a fleet can have.
const TERMINALS_MAX: u32 = 1_000_000;

/// A fleet and what befalls it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// How many terminals.
    pub terminals: u32,
    /// How many sites they are spread over.
    pub sites: u32,
    /// When it begins, ms since 1970.
    pub start: Instant,
    /// Payments of a terminal in an hour, in the mean over a day.
    pub payments_per_hour: f64,
    /// Whether more customers come at noon and in the evening, and few at night (UTC+8); otherwise the rate is the same all day.
    pub busy_hours: bool,
    /// How often a terminal says that it lives, ms; 0: never.
    pub heartbeat_ms: i64,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            terminals: 20,
            sites: 4,
            start: MONDAY,
            payments_per_hour: 30.0,
            busy_hours: true,
            heartbeat_ms: 30_000,
            faults: Faults::default(),
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
    /// A number is out of its range; the text says which and why.
    Range(&'static str),
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
            Self::Range(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for OptionsError {}

impl Options {
    /// That a fleet can be made of them.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        let range = |ok: bool, what| if ok { Ok(()) } else { Err(OptionsError::Range(what)) };
        range((1..=TERMINALS_MAX).contains(&self.terminals), "terminals must be from 1 to 1000000")?;
        range((1..=self.terminals).contains(&self.sites), "sites must be from 1 to the number of terminals")?;
        range((0.01..=3_600.0).contains(&self.payments_per_hour), "payments_per_hour must be from 0.01 to 3600")?;
        range(self.heartbeat_ms == 0 || (1_000..=3_600_000).contains(&self.heartbeat_ms), {
            "heartbeat_ms must be 0 or from 1000 to 3600000"
        })?;
        range((0..=253_402_300_799_999).contains(&self.start), "start must be from 1970 to 9999")?;
        self.faults.check()
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
