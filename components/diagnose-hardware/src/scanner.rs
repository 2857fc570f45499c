//! The scanner (H2): three failed reads within two minutes, or it is gone.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Evidence, Instant, Out, Severity, Visit,
    cause::Verdict,
    standing::{self, About},
};

use crate::settings::{SCAN_FAILS_MAX, Settings};

/// The kind of its finding.
pub const KIND: &str = "scanner-fault";

/// What is remembered of a terminal's scanner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanner {
    /// Failed reads since the last good one: when, and their ids.
    fails: Vec<(Instant, String)>,
    /// The agent says that it is broken.
    reported: bool,
    standing: standing::Standing,
}

fn kind<'a>(visit: &Visit<'a>) -> standing::Kind<'a> {
    let scope = About::terminal(visit.key());
    standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity: Severity::Warning }
}

impl Scanner {
    /// `pos.scan.result`
    pub fn read(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        match visit.state() {
            Some("read") => {
                self.fails.clear();
                self.standing.over(kind(visit), "mended", out);
            }
            Some("absent") => self.gone(visit, out),
            Some("fail") => {
                let from = visit.when() - settings.scan_window_ms;
                self.fails.retain(|(when, _)| *when > from);
                if self.fails.len() == SCAN_FAILS_MAX as usize {
                    self.fails.remove(0);
                }
                self.fails.push((visit.when(), visit.id().unwrap_or_default().to_owned()));
                self.count(settings, visit, out);
            }
            _ => {}
        }
    }

    /// The word of `pos.device.status`.
    pub fn status(&mut self, settings: &Settings, word: &str, visit: &Visit<'_>, out: &mut Out<'_>) {
        match word {
            "absent" => self.gone(visit, out),
            "ok" => {
                self.reported = false;
                // Reads that fail at a scanner that calls itself well are a fault still.
                if self.fails.len() < settings.scan_fails_min as usize {
                    self.standing.over(kind(visit), "mended", out);
                }
            }
            _ => {
                self.reported = true;
                self.count(settings, visit, out);
            }
        }
    }

    fn gone(&mut self, visit: &Visit<'_>, out: &mut Out<'_>) {
        let said = ("the terminal does not find its scanner".to_owned(), "终端未检测到扫描仪".to_owned());
        self.say(visit, Verdict { cause: "H2", percent: 95, runner_up: "H3", said }, Vec::new(), out);
    }

    fn count(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        let count = self.fails.len();
        if count < settings.scan_fails_min as usize {
            return;
        }
        let seconds = settings.scan_window_ms / 1_000;
        let said = (
            format!("{count} failed reads within {seconds} s, none good"),
            format!("{seconds} 秒内扫码失败 {count} 次"),
        );
        let (percent, runner_up) = if self.reported { (95, "undetermined") } else { (80, "P1") };
        let row = |(when, id): &(Instant, String)| Evidence {
            event: "pos.scan.result".to_owned(),
            id: id.clone(),
            time: *when,
        };
        let rows = self.fails.iter().map(row).collect();
        self.say(visit, Verdict { cause: "H2", percent, runner_up, said }, rows, out);
    }

    fn say(&mut self, visit: &Visit<'_>, verdict: Verdict, evidence: Vec<Evidence>, out: &mut Out<'_>) {
        self.standing.say(kind(visit), &verdict, evidence, out);
    }
}
