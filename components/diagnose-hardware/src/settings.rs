//! What counts as a sign, and when signs are a finding.

use serde::Deserialize;
use tillwatch_sdk::evidence::Pace;

/// `[rules.diagnose-hardware.settings]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How evidence is paced.
    pub evidence: Pace,
    /// How old a printer's fault may be to explain a receipt that is missing, ms (H1).
    pub fault_age_ms: i64,
    /// How old a printer's `ok` may be to speak for it, ms (H1).
    pub ok_age_ms: i64,
    /// Failed reads that make a scanner's fault (H2), within
    pub scan_fails_min: u32,
    /// this time, ms.
    pub scan_window_ms: i64,
    /// Restarts in an hour that score (H3).
    pub reboots_min: i64,
    /// Temperature that scores, degrees Celsius (H3).
    pub temp_c: f64,
    /// Battery that scores, percent (H3).
    pub battery_pct: f64,
    /// Free memory that is low, MB (H4).
    pub mem_free_mb: f64,
    /// Signs of the app are scored over this time, ms (H4).
    pub app_window_ms: i64,
    /// Points from which they are a finding (H4).
    pub app_points_min: u32,
    /// An app whose heartbeats have stopped for so long while the link is up is gone, ms (H4).
    pub app_silent_ms: i64,
    /// Words of an app's error that speak of the payment handler (S1) and not of the terminal.
    pub handler_words: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            evidence: Pace::default(),
            fault_age_ms: 600_000,
            ok_age_ms: 120_000,
            scan_fails_min: 3,
            scan_window_ms: 120_000,
            reboots_min: 3,
            temp_c: 60.0,
            battery_pct: 10.0,
            mem_free_mb: 32.0,
            app_window_ms: 1_800_000,
            app_points_min: 4,
            app_silent_ms: 180_000,
            handler_words: vec!["payment handler".to_owned()],
        }
    }
}

/// Failed reads that can be asked for; so many are remembered.
pub const SCAN_FAILS_MAX: u32 = 20;

/// Words of the list.
const WORDS_MAX: usize = 64;

impl Settings {
    /// That they make sense.
    ///
    /// # Errors
    /// The key, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.evidence.check()?;
        let times = [
            ("fault_age_ms", self.fault_age_ms),
            ("ok_age_ms", self.ok_age_ms),
            ("scan_window_ms", self.scan_window_ms),
            ("app_window_ms", self.app_window_ms),
            ("app_silent_ms", self.app_silent_ms),
        ];
        if let Some((key, value)) = times.into_iter().find(|(_, value)| !(1_000..=86_400_000).contains(value)) {
            return Err(format!("`{key}`: {value} is not between 1000 (a second) and 86400000 (a day)"));
        }
        let counts = [
            ("scan_fails_min", i64::from(self.scan_fails_min), 1, i64::from(SCAN_FAILS_MAX)),
            ("reboots_min", self.reboots_min, 1, 1_000),
            ("app_points_min", i64::from(self.app_points_min), 1, 100),
        ];
        if let Some((key, value, low, high)) =
            counts.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value))
        {
            return Err(format!("`{key}`: {value} is not between {low} and {high}"));
        }
        let numbers = [("temp_c", self.temp_c), ("battery_pct", self.battery_pct), ("mem_free_mb", self.mem_free_mb)];
        if let Some((key, value)) = numbers.into_iter().find(|(_, value)| !(0.0..=100_000.0).contains(value)) {
            return Err(format!("`{key}`: {value} is not between 0 and 100000"));
        }
        if self.handler_words.len() > WORDS_MAX || self.handler_words.iter().any(String::is_empty) {
            return Err(format!("`handler_words`: at most {WORDS_MAX} words, none of them empty"));
        }
        Ok(())
    }
}
