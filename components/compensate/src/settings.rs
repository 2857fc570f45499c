//! Settings of the rule. Owns their defaults and what is wrong with a bad value.

use serde::Deserialize;
use tillwatch_sdk::payment::Layers;

/// `[rules.compensate.settings]`; the runtime fills in `windows` with those of `correlate-payment` where they are not given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The windows of payments, as `correlate-payment` has them.
    pub windows: Layers,
    /// A terminal whose heartbeats have stopped for so long gets no command, ms.
    pub silent_ms: i64,
    /// Results, reprints and guides are sent at most so long after the answer that they are about, ms.
    pub answer_age_ms: i64,
    /// A payment whose chains have ended is remembered for so long, so that a new chain gets a new number, ms.
    pub remember_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { windows: Layers::default(), silent_ms: 90_000, answer_age_ms: 180_000, remember_ms: 600_000 }
    }
}

impl Settings {
    /// Says what is wrong with the values.
    ///
    /// # Errors
    /// The key's path, what is wrong, what would be right.
    pub fn check(&self) -> Result<(), String> {
        for (key, value) in
            [("silent_ms", self.silent_ms), ("answer_age_ms", self.answer_age_ms), ("remember_ms", self.remember_ms)]
        {
            if !(1_000..=86_400_000).contains(&value) {
                return Err(format!("`{key}`: {value} is not between 1000 (a second) and 86400000 (a day)"));
            }
        }
        Ok(())
    }
}
