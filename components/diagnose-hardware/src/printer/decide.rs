//! From what is known of a missing receipt to its cause. Pure; owns every number of confidence.

use serde::{Deserialize, Serialize};

/// Longer words of faults are not kept.
const FAULT_BYTES_MAX: usize = 32;

/// A fault's word as it is kept.
#[must_use]
pub fn fault(word: &str) -> String {
    if word.len() <= FAULT_BYTES_MAX { word.to_owned() } else { "other".to_owned() }
}

/// What the printer said of the receipt itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Nothing.
    #[default]
    Silent,
    /// It took the job.
    Accepted,
    /// It failed, and perhaps said why.
    Failed(Option<String>),
}

/// What is known of one missing receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What the printer said of this receipt.
    pub job: Job,
    /// A fault that the terminal reported otherwise: its status, or the receipt of another payment.
    pub reported: Option<String>,
    /// The terminal says that the printer is `ok`.
    pub well: bool,
}

/// The cause of a missing receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Blame the printer; none: what is known does not say.
    pub printer: bool,
    /// Percent.
    pub confidence: u8,
    /// The next best explanation.
    pub runner_up: &'static str,
    /// What the printer said.
    pub fault: Option<String>,
}

/// `busy` and `low-voltage` pass by themselves and explain less.
fn explains(fault: &str, percent: u8, passing: u8) -> u8 {
    if matches!(fault, "busy" | "low-voltage") { passing } else { percent }
}

/// Decides. A printer that says a fault is to blame; one that took the job and fell silent probably is; one that says nothing at all is as
/// likely as software that never sent the job (H4); one that says `ok` is not blamed for silence.
#[must_use]
pub fn decide(facts: &Facts) -> Verdict {
    let blamed = |confidence, runner_up, fault: Option<&String>| Verdict {
        printer: true,
        confidence,
        runner_up,
        fault: fault.cloned(),
    };
    match (&facts.job, &facts.reported, facts.well) {
        (Job::Failed(Some(fault)), ..) => blamed(explains(fault, 95, 75), "undetermined", Some(fault)),
        (Job::Failed(None), Some(fault), _) => blamed(explains(fault, 90, 80), "undetermined", Some(fault)),
        (Job::Failed(None), None, _) => blamed(80, "undetermined", None),
        (_, Some(fault), _) => blamed(explains(fault, 90, 70), "undetermined", Some(fault)),
        (Job::Accepted, None, false) => blamed(70, "H4", None),
        (Job::Accepted, None, true) => blamed(45, "H4", None),
        (Job::Silent, None, false) => blamed(50, "H4", None),
        (Job::Silent, None, true) => Verdict { printer: false, confidence: 50, runner_up: "H1", fault: None },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> impl Strategy<Value = Facts> {
        let fault =
            || prop::sample::select(vec!["jam", "no-paper", "busy", "low-voltage", "other"]).prop_map(str::to_owned);
        let job = prop_oneof![Just(Job::Silent), Just(Job::Accepted), prop::option::of(fault()).prop_map(Job::Failed),];
        (job, prop::option::of(fault()), any::<bool>()).prop_map(|(job, reported, well)| Facts { job, reported, well })
    }

    proptest! {
        #[test]
        fn more_evidence_against_the_printer_never_lowers_its_blame(facts in facts()) {
            let blame = |facts: &Facts| { let verdict = decide(facts); if verdict.printer { verdict.confidence } else { 0 } };
            let without = Facts { reported: None, ..facts.clone() };
            if facts.job != Job::Failed(None) || facts.reported.is_some() {
                prop_assert!(blame(&facts) >= blame(&without));
            }
            let silent = Facts { job: Job::Silent, ..facts.clone() };
            if !matches!(&facts.job, Job::Failed(Some(fault)) if fault == "busy" || fault == "low-voltage") {
                prop_assert!(blame(&facts) >= blame(&silent));
            }
            let well = Facts { well: true, ..facts.clone() };
            prop_assert!(blame(&well) <= blame(&facts));
        }

        #[test]
        fn a_printer_that_said_a_fault_is_always_blamed_and_the_fault_named(facts in facts()) {
            let verdict = decide(&facts);
            let said = facts.reported.is_some() || matches!(facts.job, Job::Failed(_));
            prop_assert!(!said || verdict.printer && verdict.confidence > 50);
            prop_assert_eq!(verdict.fault.is_some(), facts.reported.is_some() || matches!(facts.job, Job::Failed(Some(_))));
            prop_assert!(verdict.confidence < 100);
        }
    }

    #[test]
    fn long_words_are_not_kept() {
        assert_eq!(fault("jam"), "jam");
        assert_eq!(fault(&"x".repeat(33)), "other");
    }
}
