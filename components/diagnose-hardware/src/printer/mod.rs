//! Missing receipts: whether the printer is to blame (H1). Owns cause, confidence, evidence and remedy of `not-printed`.

pub mod decide;
pub mod words;

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{Evidence, Instant, Out, Updated, Value, Visit};

use crate::settings::Settings;
use decide::{Facts, Job, Verdict, decide};

/// Open findings that are explained at one terminal; of more, the oldest is left as it is.
pub const FINDINGS_MAX: usize = 64;
/// Bytes of a transaction key or an id; a receipt with a longer one is judged once, by what is known then.
pub const NAME_BYTES_MAX: usize = 128;

/// The latest that a terminal said of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard<T> {
    what: T,
    when: Instant,
    event: String,
    id: String,
}

/// A missing receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    finding: String,
    txn: String,
    facts: Facts,
}

/// What is remembered of a terminal's printer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printer {
    /// The printer's word: `ok` or a fault.
    printer: Option<Heard<String>>,
    /// The latest print job, by payment.
    job: Option<Heard<(String, Job)>>,
    missing: Vec<Missing>,
}

impl Printer {
    /// `pos.print.result`
    pub fn print_result(&mut self, visit: &Visit<'_>, out: &mut Out<'_>) {
        print_result(self, visit, out);
    }

    /// The word of `pos.device.status`.
    pub fn status(&mut self, word: &str, visit: &Visit<'_>, out: &mut Out<'_>) {
        report(self, word, None, visit, out);
    }

    /// A receipt is missing.
    pub fn raised(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        let (Some(finding), Some(txn)) = (visit.finding(), visit.txn()) else { return };
        let mut facts = Facts::default();
        let mut evidence = Vec::new();
        let fresh = |when: Instant, age_ms: i64| visit.at() - when <= age_ms;
        if let Some(job) = self.job.as_ref().filter(|job| job.what.0 == txn && fresh(job.when, settings.fault_age_ms)) {
            facts.job = job.what.1.clone();
            evidence.push(row(job));
        }
        if let Some(printer) = &self.printer {
            let well = printer.what == "ok";
            if fresh(printer.when, if well { settings.ok_age_ms } else { settings.fault_age_ms }) {
                facts.well = well;
                facts.reported = (!well).then(|| printer.what.clone());
                evidence.push(row(printer));
            }
        }
        evidence.dedup();
        out.update(updated(finding, txn, &decide(&facts), evidence));
        self.cleared(finding);
        if finding.len().max(txn.len()) > NAME_BYTES_MAX {
            return;
        }
        if self.missing.len() == FINDINGS_MAX {
            self.missing.remove(0);
        }
        self.missing.push(Missing { finding: finding.to_owned(), txn: txn.to_owned(), facts });
    }

    /// A missing receipt is none any more.
    pub fn cleared(&mut self, finding: &str) {
        self.missing.retain(|missing| missing.finding != finding);
    }
}

fn print_result(till: &mut Printer, visit: &Visit<'_>, out: &mut Out<'_>) {
    let txn = visit.subject().filter(|txn| txn.len() <= NAME_BYTES_MAX);
    let job = match visit.state() {
        Some("accepted") => Some(Job::Accepted),
        Some("failed") => Some(Job::Failed(visit.fault().map(decide::fault))),
        _ => None,
    };
    if let (Some(job), Some(txn)) = (job, txn) {
        if till.job.as_ref().is_none_or(|known| known.what.0 != txn || known.when <= visit.when()) {
            till.job = heard((txn.to_owned(), job.clone()), visit);
        }
        change(till, out, |missing| {
            let failed = matches!(missing.facts.job, Job::Failed(_));
            if missing.txn == txn && (!failed || matches!(job, Job::Failed(_))) {
                missing.facts.job = job.clone();
            }
        });
    }
    match (visit.state(), visit.fault()) {
        (Some("printed"), _) => report(till, "ok", txn, visit, out),
        (Some("failed"), Some(fault)) => report(till, fault, txn, visit, out),
        _ => {}
    }
}

/// The terminal says how its printer is; `about` is the payment whose own receipt says so.
fn report(till: &mut Printer, word: &str, about: Option<&str>, visit: &Visit<'_>, out: &mut Out<'_>) {
    if till.printer.as_ref().is_some_and(|known| known.when > visit.when()) {
        return;
    }
    let word = decide::fault(word);
    till.printer = heard(word.clone(), visit);
    change(till, out, |missing| {
        if word == "ok" {
            missing.facts.well = true;
        } else if about != Some(missing.txn.as_str()) {
            missing.facts.reported.get_or_insert_with(|| word.clone());
        }
    });
}

/// Changes what is known of the missing receipts, and tells of those about which the decision changes.
fn change(till: &mut Printer, out: &mut Out<'_>, mut learn: impl FnMut(&mut Missing)) {
    for missing in &mut till.missing {
        let before = decide(&missing.facts);
        learn(missing);
        let verdict = decide(&missing.facts);
        if verdict != before {
            out.update(updated(&missing.finding, &missing.txn, &verdict, Vec::new()));
        }
    }
}

fn heard<T>(what: T, visit: &Visit<'_>) -> Option<Heard<T>> {
    let (event, id) = (visit.event().to_owned(), visit.id().filter(|id| id.len() <= NAME_BYTES_MAX)?.to_owned());
    Some(Heard { what, when: visit.when(), event, id })
}

fn row<T>(heard: &Heard<T>) -> Evidence {
    Evidence { event: heard.event.clone(), id: heard.id.clone(), time: heard.when }
}

fn updated(finding: &str, txn: &str, verdict: &Verdict, evidence: Vec<Evidence>) -> Updated {
    let (en, zh) = words::texts(txn, verdict);
    let (cause, runbook) =
        if verdict.printer { ("H1", words::RUNBOOK) } else { ("undetermined", words::RUNBOOK_UNDETERMINED) };
    let mut details = vec![
        ("cause".to_owned(), Value::from(cause)),
        ("confidence".to_owned(), Value::Number(f64::from(verdict.confidence) / 100.0)),
        ("runner_up".to_owned(), Value::from(verdict.runner_up)),
        ("text_en".to_owned(), Value::from(en)),
        ("text_zh".to_owned(), Value::from(zh)),
        ("runbook".to_owned(), Value::from(runbook)),
    ];
    details.extend(verdict.fault.iter().map(|fault| ("fault".to_owned(), Value::from(fault.as_str()))));
    Updated { finding: finding.to_owned(), severity: None, evidence, details }
}
