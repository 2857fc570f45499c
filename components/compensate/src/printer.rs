//! What is known of a till's printer. Owns the meaning of faults, not who reads them.

use tillwatch_sdk::Instant;

/// Longer words of faults are not kept.
const FAULT_BYTES_MAX: usize = 32;

/// How the printer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is known.
    #[default]
    Unknown,
    /// `ok`, or it printed.
    Well,
    /// `busy` or `low-voltage`: it passes by itself.
    Passing,
    /// A fault that needs hands.
    NeedsHands(String),
}

/// The printer, and since when that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printer {
    /// How it is.
    pub condition: Condition,
    pub(crate) since: Instant,
}

impl Printer {
    /// Takes a word of `pos.device.status` or a fault of `pos.print.result`; older news than what is known changes nothing.
    pub fn heard(&mut self, word: &str, when: Instant) {
        if self.condition != Condition::Unknown && when < self.since {
            return;
        }
        self.since = when;
        self.condition = match word {
            "ok" => Condition::Well,
            "busy" | "low-voltage" => Condition::Passing,
            fault if fault.len() <= FAULT_BYTES_MAX => Condition::NeedsHands(fault.to_owned()),
            _ => Condition::NeedsHands("other".to_owned()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_busy_and_low_voltage_need_no_hands() {
        let after = |word: &str| {
            let mut printer = Printer::default();
            printer.heard(word, 0);
            printer.condition
        };
        for word in
            ["paper-low", "no-paper", "jam", "cover-open", "overheat", "cutter", "offline", "not-found", "other"]
        {
            assert_eq!(after(word), Condition::NeedsHands(word.to_owned()));
        }
        assert_eq!(after("busy"), Condition::Passing);
        assert_eq!(after("low-voltage"), Condition::Passing);
        assert_eq!(after("ok"), Condition::Well);
        assert_eq!(after(&"x".repeat(33)), Condition::NeedsHands("other".to_owned()));
    }

    #[test]
    fn older_news_changes_nothing() {
        let mut printer = Printer::default();
        printer.heard("jam", 100);
        printer.heard("ok", 99);
        assert_eq!(printer.condition, Condition::NeedsHands("jam".to_owned()));
        printer.heard("ok", 100);
        assert_eq!(printer.condition, Condition::Well);
    }
}
