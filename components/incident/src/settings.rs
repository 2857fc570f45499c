//! `[rules.incident.settings]`.

use serde::Deserialize;
use tillwatch_sdk::Instant;

use crate::state::Announced;

/// When something is one incident, and how bad.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a stuck payment waits for company before it is judged, ms.
    pub gather_ms: i64,
    /// How long evidence is waited for where what came does not decide, and company before a terminal is judged alone, ms.
    pub alone_ms: i64,
    /// Least time between two updates of an incident, ms.
    pub update_every_ms: i64,
    /// Without a new finding for so long, an incident is over where enough payments went well meanwhile, ms; after five times as long in any case.
    pub quiet_ms: i64,
    /// How long a sign counts, ms.
    pub sign_ms: i64,
    /// Payments of one terminal or operator that are an incident.
    pub alone_min: usize,
    /// Stuck payments of a wider cohort that are one.
    pub cohort_min: usize,
    /// Distinct terminals of those.
    pub terminals_min: usize,
    /// Payments from which an incident is critical.
    pub critical_payments: u64,
    /// Money at risk from which it is, minor units of any currency.
    pub critical_money: i64,
    /// Maintenance that the configuration plans.
    pub maintenance: Vec<Planned>,
}

/// A window in which pages are silenced and records kept: of what, as `site:S0012`; from when until when, ms since 1970; why, for people. A tuple,
/// since names for its fields would cost 5 KB of the component.
pub type Planned = (String, Instant, Instant, String);

impl Default for Settings {
    fn default() -> Self {
        Self {
            gather_ms: 2_000,
            alone_ms: 45_000,
            update_every_ms: 10_000,
            quiet_ms: 120_000,
            sign_ms: 300_000,
            alone_min: 3,
            cohort_min: 3,
            terminals_min: 2,
            critical_payments: 20,
            critical_money: 1_000_000,
            maintenance: Vec::new(),
        }
    }
}

impl Settings {
    /// What is planned, as what the terminals announce.
    #[must_use]
    pub fn planned(&self) -> Vec<Announced> {
        let window = |(about, from, until, _): &Planned| Announced { about: about.clone(), from: *from, until: *until };
        self.maintenance.iter().map(window).collect()
    }

    /// That they make sense.
    ///
    /// # Errors
    /// The key, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        for (key, value, least, most) in [
            ("gather_ms", self.gather_ms, 0, 60_000),
            ("alone_ms", self.alone_ms, self.gather_ms, 300_000),
            ("update_every_ms", self.update_every_ms, 10_000, 3_600_000),
            ("quiet_ms", self.quiet_ms, 10_000, 3_600_000),
            ("sign_ms", self.sign_ms, 10_000, 3_600_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("`{key}`: {value} is not between {least} and {most}"));
            }
        }
        for (key, value) in
            [("alone_min", self.alone_min), ("cohort_min", self.cohort_min), ("terminals_min", self.terminals_min)]
        {
            if !(1..=1_000).contains(&value) {
                return Err(format!("`{key}`: {value} is not between 1 and 1000"));
            }
        }
        Ok(())
    }
}
