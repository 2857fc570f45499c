//! The terminal's software (H4): answers that are not shown, crashes, hangs, little memory, an app that falls silent while the link is up.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Evidence, Instant, Out, Severity, Updated, Visit,
    cause::Verdict,
    standing::{self, About},
};

use crate::settings::Settings;

/// The kind of its own finding.
pub const KIND: &str = "app-fault";

/// Answers not shown that are explained at one terminal; of more, the oldest is left as it is.
pub const FINDINGS_MAX: usize = 16;

/// Signs that are scored; of more, the oldest are forgotten.
const SIGNS_MAX: usize = 16;

/// Bytes of an id or a transaction key; a longer one is judged once, by what is known then.
const NAME_BYTES_MAX: usize = 128;

/// One sign of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sign {
    /// An answer that was received was not shown.
    NotShown,
    /// A crash, or a hang that the system noticed.
    Crash,
    /// Little memory.
    Memory,
    /// No heartbeat although the link is up.
    Silent,
}

impl Sign {
    fn points(self) -> u32 {
        match self {
            Self::NotShown | Self::Crash | Self::Silent => 2,
            Self::Memory => 1,
        }
    }
}

/// What is remembered of a terminal's app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    signs: Vec<(Instant, Sign, Evidence3)>,
    /// The last error that speaks of the payment handler.
    handler: Option<Instant>,
    /// When the app was last heard; none: never, or it was stopped.
    heard: Option<Instant>,
    silent: bool,
    /// Answers that are not shown: finding, transaction key, what was said of it.
    unshown: Vec<(String, String, Said)>,
    standing: standing::Standing,
}

/// Type, id and time of an event.
type Evidence3 = (String, String, Instant);

/// What was last said of an answer that is not shown: the cause is the handler, percent.
type Said = (bool, u8);

fn kind<'a>(visit: &Visit<'a>) -> standing::Kind<'a> {
    let scope = About::terminal(visit.key());
    standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity: Severity::Warning }
}

impl App {
    /// When a sign grows too old to count; none: there are none.
    #[must_use]
    pub fn wake(&self, settings: &Settings) -> Option<Instant> {
        let oldest = self.signs.iter().map(|(at, ..)| *at).min();
        oldest.map(|at| at.saturating_add(settings.app_window_ms))
    }

    /// Signs that are too old are forgotten, and with too few the finding is over.
    pub fn forget(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        self.signs.retain(|(at, ..)| visit.at() < at.saturating_add(settings.app_window_ms));
        if self.points() < settings.app_points_min {
            self.standing.over(kind(visit), "mended", out);
        }
    }

    /// `pos.app.state`; the sign that it is, if any.
    pub fn state(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) -> Option<Sign> {
        self.heard = if visit.state() == Some("stop") { None } else { Some(visit.at()) };
        self.silent = false;
        if visit.error().is_some_and(|error| settings.handler_words.iter().any(|word| error.contains(word.as_str()))) {
            self.handler = Some(visit.at());
            // What the payment handler explains is nothing that this terminal has alone.
            self.signs.retain(|(_, sign, _)| *sign != Sign::NotShown);
            if self.points() < settings.app_points_min {
                self.standing.over(kind(visit), "superseded", out);
            }
            self.tell_unshown(settings, visit.at(), out);
        }
        matches!(visit.state(), Some("crash" | "anr")).then(|| self.sign(settings, Sign::Crash, visit, out))
    }

    /// The agent says something although the app may be gone; the sign that it is, if any.
    pub fn link_up(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) -> Option<Sign> {
        let heard = self.heard.filter(|_| !self.silent)?;
        if visit.at() - heard < settings.app_silent_ms {
            return None;
        }
        self.silent = true;
        Some(self.sign(settings, Sign::Silent, visit, out))
    }

    /// `mem_free_mb` of `pos.device.status`; the sign that it is, if any.
    pub fn memory(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) -> Option<Sign> {
        let low = visit.mem_free_mb().is_some_and(|free| free < settings.mem_free_mb);
        let known = self.signs.iter().any(|(_, sign, _)| *sign == Sign::Memory);
        if low && known {
            // It is one condition, however often it is reported.
            self.signs.retain(|(_, sign, _)| *sign != Sign::Memory);
        }
        low.then(|| self.sign(settings, Sign::Memory, visit, out))
    }

    /// An answer was received and is not shown.
    pub fn raised(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        let (Some(finding), Some(txn)) = (visit.finding(), visit.txn()) else { return };
        self.cleared(finding);
        if self.unshown.len() == FINDINGS_MAX {
            self.unshown.remove(0);
        }
        self.unshown.push((finding.to_owned(), txn.to_owned(), (false, 0)));
        if self.handler_at(settings, visit.at()) {
            self.tell_unshown(settings, visit.at(), out);
        } else {
            self.sign(settings, Sign::NotShown, visit, out);
        }
        if finding.len().max(txn.len()) > NAME_BYTES_MAX {
            self.cleared(finding);
        }
    }

    /// An answer that was not shown is settled.
    pub fn cleared(&mut self, finding: &str) {
        self.unshown.retain(|(known, ..)| known != finding);
    }

    /// Whether the app has spoken of its payment handler lately.
    fn handler_at(&self, settings: &Settings, now: Instant) -> bool {
        self.handler.is_some_and(|at| now - at < settings.app_window_ms)
    }

    fn points(&self) -> u32 {
        self.signs.iter().map(|(_, sign, _)| sign.points()).sum()
    }

    fn sign(&mut self, settings: &Settings, sign: Sign, visit: &Visit<'_>, out: &mut Out<'_>) -> Sign {
        self.signs.retain(|(at, ..)| visit.at() < at.saturating_add(settings.app_window_ms));
        if self.signs.len() == SIGNS_MAX {
            self.signs.remove(0);
        }
        let id = visit.id().filter(|id| id.len() <= NAME_BYTES_MAX).unwrap_or_default();
        self.signs.push((visit.at(), sign, (visit.event().to_owned(), id.to_owned(), visit.time())));
        self.tell_unshown(settings, visit.at(), out);
        let points = self.points();
        if points >= settings.app_points_min {
            let percent =
                60 + u8::try_from((5 * (points - settings.app_points_min)).min(20)).expect("invariant: at most 20");
            let verdict = Verdict { cause: "H4", percent, runner_up: "S1", said: self.said() };
            self.standing.say(kind(visit), &verdict, self.rows(), out);
        }
        sign
    }

    /// Says of answers that are not shown why, where that changes.
    fn tell_unshown(&mut self, settings: &Settings, now: Instant, out: &mut Out<'_>) {
        let handler = self.handler_at(settings, now);
        let crashed = self.signs.iter().any(|(_, sign, _)| matches!(sign, Sign::Crash | Sign::Silent));
        let memory = self.signs.iter().any(|(_, sign, _)| *sign == Sign::Memory);
        let percent = match (handler, crashed) {
            (true, false) => 85,
            (true, true) => 55,
            (false, true) => 80 + if memory { 10 } else { 0 },
            (false, false) => 60 + if memory { 10 } else { 0 },
        };
        let rows = self.rows();
        for (finding, txn, known) in &mut self.unshown {
            if *known == (handler, percent) {
                continue;
            }
            *known = (handler, percent);
            let said = if handler {
                (
                    "the terminal has the answer and does not show it; its app reports an error of the payment handler",
                    "终端已收到应答但未显示;应用报告支付处理程序出错",
                )
            } else if crashed {
                (
                    "the terminal has the answer and does not show it; its app crashed, hung or fell silent",
                    "终端已收到应答但未显示;应用崩溃、卡死或无响应",
                )
            } else {
                ("the terminal has the answer and does not show it", "终端已收到应答但未显示")
            };
            let (cause, runner_up) = if handler { ("S1", "H4") } else { ("H4", "S1") };
            let verdict = Verdict { cause, percent, runner_up, said: (said.0.to_owned(), said.1.to_owned()) };
            let about = (format!("payment {txn}"), format!("支付 {txn}"));
            out.update(Updated {
                finding: finding.clone(),
                severity: None,
                evidence: rows.clone(),
                details: verdict.details((&about.0, &about.1)),
            });
        }
    }

    fn said(&self) -> (String, String) {
        let count = |wanted: Sign| self.signs.iter().filter(|(_, sign, _)| *sign == wanted).count();
        let (mut en, mut zh) = (Vec::new(), Vec::new());
        for (sign, english, chinese) in [
            (Sign::Crash, "crashed or hung", "崩溃或卡死"),
            (Sign::NotShown, "did not show an answer", "未显示应答"),
            (Sign::Silent, "fell silent with the link up", "网络正常但应用无响应"),
            (Sign::Memory, "is short of memory", "内存不足"),
        ] {
            match count(sign) {
                0 => {}
                _ if sign == Sign::Memory => {
                    en.push(english.to_owned());
                    zh.push(chinese.to_owned());
                }
                times => {
                    en.push(format!("{english} ({times})"));
                    zh.push(format!("{chinese} {times} 次"));
                }
            }
        }
        (format!("the app {}", en.join(", ")), format!("应用{}", zh.join(",")))
    }

    fn rows(&self) -> Vec<Evidence> {
        let row = |(_, sign, (event, id, time)): &(Instant, Sign, Evidence3)| {
            // The findings themselves are no evidence of themselves.
            let own = *sign == Sign::NotShown || id.is_empty();
            (!own).then(|| Evidence { event: event.clone(), id: id.clone(), time: *time })
        };
        self.signs.iter().filter_map(row).collect()
    }
}
