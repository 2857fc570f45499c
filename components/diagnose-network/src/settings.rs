//! What counts as a sign, and how evidence is paced.

use serde::Deserialize;
use tillwatch_sdk::evidence::Pace;

/// `[rules.diagnose-network.settings]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How evidence is paced.
    pub evidence: Pace,
    /// A round trip is long from here on, ms, whatever is normal (N1).
    pub rtt_ms: i64,
    /// A round trip is long above so many times what is normal for the terminal (N1).
    pub rtt_factor: i64,
    /// Round trips before what is normal is known; until then only `rtt_ms` counts.
    pub rtt_samples_min: u32,
    /// Loss that speaks against a line that is merely full, percent (N1).
    pub loss_pct: f64,
    /// Loss that speaks for a router, percent (N3).
    pub loss_heavy_pct: f64,
    /// A terminal whose agent was heard before and says nothing for so long is silent, ms (N3).
    pub silent_ms: i64,
    /// Kinds of finding by which a payment is stuck. Others, of other rules, are their own matter.
    pub stuck_kinds: Vec<String>,
    /// How long maintenance is taken to last where nobody has told its end, ms.
    pub maintenance_ms: i64,
    /// Words of TCP and TLS errors by which a connection was ended by somebody on the way (N2).
    pub reset_words: Vec<String>,
    /// Response codes that speak of the host and not of the payment (N4).
    pub host_codes: Vec<String>,
    /// Beginnings of an app's errors that say that a host has too much to do (N4).
    pub busy_errors: Vec<String>,
}

/// Those of `docs/spec/events.md` about one payment, without the warning.
const STUCK_KINDS: [&str; 11] = [
    "no-answer",
    "approved-undelivered",
    "not-shown",
    "not-printed",
    "unsynced",
    "late-approval",
    "reversal-missing",
    "reversal-unanswered",
    "double-charge-risk",
    "double-charge",
    "unresolved",
];

impl Default for Settings {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            evidence: Pace::default(),
            rtt_ms: 800,
            rtt_factor: 3,
            rtt_samples_min: 20,
            loss_pct: 2.0,
            loss_heavy_pct: 5.0,
            silent_ms: 90_000,
            stuck_kinds: words(&STUCK_KINDS),
            maintenance_ms: 7_200_000,
            reset_words: words(&["reset", "refused", "interrupted", "unexpected alert", "unexpected eof"]),
            host_codes: words(&["68", "91", "92", "96", "98"]),
            busy_errors: words(&["HTTP 429", "HTTP 5"]),
        }
    }
}

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
            ("rtt_ms", self.rtt_ms, 1, 60_000),
            ("rtt_factor", self.rtt_factor, 2, 100),
            ("rtt_samples_min", i64::from(self.rtt_samples_min), 1, 500),
            ("silent_ms", self.silent_ms, 5_000, 86_400_000),
            ("maintenance_ms", self.maintenance_ms, 60_000, 604_800_000),
        ];
        if let Some((key, value, low, high)) =
            ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value))
        {
            return Err(format!("`{key}`: {value} is not between {low} and {high}"));
        }
        for (key, value) in [("loss_pct", self.loss_pct), ("loss_heavy_pct", self.loss_heavy_pct)] {
            if !(0.0..=100.0).contains(&value) {
                return Err(format!("`{key}`: {value} is not between 0 and 100"));
            }
        }
        let lists = [
            ("stuck_kinds", &self.stuck_kinds),
            ("reset_words", &self.reset_words),
            ("host_codes", &self.host_codes),
            ("busy_errors", &self.busy_errors),
        ];
        for (key, words) in lists {
            if words.len() > WORDS_MAX || words.iter().any(String::is_empty) {
                return Err(format!("`{key}`: at most {WORDS_MAX} words, none of them empty"));
            }
        }
        Ok(())
    }
}
