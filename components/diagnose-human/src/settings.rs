//! What counts as a sign, and when signs are a finding.

use serde::Deserialize;
use tillwatch_sdk::evidence::Pace;

use crate::recent::RECENT_MAX;

/// `[rules.diagnose-human.settings]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How evidence is paced.
    pub evidence: Pace,
    /// Payments over which help and dwell are counted (P1).
    pub payments_min: u32,
    /// Help, cancels, retries and long dwell in a hundred payments from above which they are a finding (P1) that the second stage compares
    /// with peers.
    pub actions_per_100: u32,
    /// A dwell that counts by itself, ms (P1).
    pub dwell_ms: i64,
    /// A prompt that nobody has answered for longer, ms (P2).
    pub prompt_ms: i64,
    /// Such prompts that make a finding (P2), within
    pub prompts_min: u32,
    /// this time, ms.
    pub prompts_window_ms: i64,
    /// Customers who have paid and are kept waiting, that make a finding (P3), within
    pub waits_min: u32,
    /// one shift, ms.
    pub shift_ms: i64,
    /// Trouble at the till explains a wait for so long, ms (P3).
    pub trouble_ms: i64,
    /// Corrected amounts, wrong keys and second attempts that make a finding (P4), within
    pub slips_min: u32,
    /// this time, ms.
    pub slips_window_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            evidence: Pace::default(),
            payments_min: 30,
            actions_per_100: 15,
            dwell_ms: 10_000,
            prompt_ms: 30_000,
            prompts_min: 3,
            prompts_window_ms: 3_600_000,
            waits_min: 5,
            shift_ms: 28_800_000,
            trouble_ms: 600_000,
            slips_min: 4,
            slips_window_ms: 900_000,
        }
    }
}

impl Settings {
    /// That they make sense.
    ///
    /// # Errors
    /// The key, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.evidence.check()?;
        let recent = i64::try_from(RECENT_MAX).expect("invariant: a small constant");
        let ranges = [
            ("payments_min", i64::from(self.payments_min), 1, 10_000),
            ("actions_per_100", i64::from(self.actions_per_100), 1, 10_000),
            ("dwell_ms", self.dwell_ms, 1_000, 3_600_000),
            ("prompt_ms", self.prompt_ms, 1_000, 3_600_000),
            ("prompts_min", i64::from(self.prompts_min), 1, recent),
            ("prompts_window_ms", self.prompts_window_ms, 1_000, 86_400_000),
            ("waits_min", i64::from(self.waits_min), 1, recent),
            ("shift_ms", self.shift_ms, 1_000, 86_400_000),
            ("trouble_ms", self.trouble_ms, 1_000, 86_400_000),
            ("slips_min", i64::from(self.slips_min), 1, recent),
            ("slips_window_ms", self.slips_window_ms, 1_000, 86_400_000),
        ];
        match ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
            Some((key, value, low, high)) => Err(format!("`{key}`: {value} is not between {low} and {high}")),
            None => Ok(()),
        }
    }
}
