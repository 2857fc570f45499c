//! What counts as a sign, and when signs are a finding.

use serde::Deserialize;
use tillwatch_sdk::evidence::Pace;

/// `[rules.diagnose-software.settings]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How evidence is paced.
    pub evidence: Pace,
    /// Response codes of MAC failures and keys (S1).
    pub mac_codes: Vec<String>,
    /// Words of an app's error that speak of the payment handler (S1).
    pub handler_words: Vec<String>,
    /// Response codes of ledgers that disagree (S2).
    pub ledger_codes: Vec<String>,
    /// Response codes of requests that were not understood (S3).
    pub interface_codes: Vec<String>,
    /// Beginnings of an app's errors that say the same (S3).
    pub interface_errors: Vec<String>,
    /// Words of a TLS error that speak of the protocol's version (S3).
    pub protocol_words: Vec<String>,
    /// Response codes of a configuration that is out of date (S4).
    pub config_codes: Vec<String>,
    /// Words of a TLS error that speak of a certificate (S4).
    pub certificate_words: Vec<String>,
    /// Parameter versions that a terminal may be behind less than (S4).
    pub param_lag_min: i64,
    /// Failures that make what is behind a finding (S4), within
    pub fails_min: u32,
    /// this time, ms.
    pub fails_window_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            evidence: Pace::default(),
            mac_codes: words(&["A0", "99"]),
            handler_words: words(&["payment handler"]),
            ledger_codes: words(&["25", "77", "79", "95"]),
            interface_codes: words(&["30", "12", "40"]),
            interface_errors: words(&["HTTP 4"]),
            protocol_words: words(&["protocol version"]),
            config_codes: words(&["03", "58", "97"]),
            certificate_words: words(&["certificate"]),
            param_lag_min: 2,
            fails_min: 3,
            fails_window_ms: 600_000,
        }
    }
}

/// Failures that can be asked for; so many are remembered.
pub const FAILS_MAX: u32 = 20;

/// Words of one list.
const WORDS_MAX: usize = 64;

impl Settings {
    /// That they make sense.
    ///
    /// # Errors
    /// The key, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.evidence.check()?;
        let ranges = [
            ("param_lag_min", self.param_lag_min, 1, 1_000),
            ("fails_min", i64::from(self.fails_min), 1, i64::from(FAILS_MAX)),
            ("fails_window_ms", self.fails_window_ms, 1_000, 86_400_000),
        ];
        if let Some((key, value, low, high)) =
            ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value))
        {
            return Err(format!("`{key}`: {value} is not between {low} and {high}"));
        }
        let lists = [
            ("mac_codes", &self.mac_codes),
            ("handler_words", &self.handler_words),
            ("ledger_codes", &self.ledger_codes),
            ("interface_codes", &self.interface_codes),
            ("interface_errors", &self.interface_errors),
            ("protocol_words", &self.protocol_words),
            ("config_codes", &self.config_codes),
            ("certificate_words", &self.certificate_words),
        ];
        for (key, words) in lists {
            if words.len() > WORDS_MAX || words.iter().any(String::is_empty) {
                return Err(format!("`{key}`: at most {WORDS_MAX} words, none of them empty"));
            }
        }
        Ok(())
    }
}
