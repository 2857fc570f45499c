//! What a terminal lacks (S4): version, parameters or certificate behind what is wanted, and payments that fail by it. Either alone is no
//! fault: a terminal may wait for its window, and a code may have other reasons.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Evidence, Instant, Out, Severity, Visit,
    cause::Verdict,
    standing::{self, About},
};

use crate::settings::{FAILS_MAX, Settings};

/// The kind of its finding.
pub const KIND: &str = "outdated";

/// Bytes of a version or an id that are kept.
const NAME_BYTES_MAX: usize = 96;

/// What is remembered of a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its version and the least one wanted.
    version: Option<(String, String)>,
    /// Parameter versions behind.
    lag: Option<i64>,
    /// The certificate's end.
    expires: Option<Instant>,
    /// Failures that speak of it: when, type, id.
    fails: Vec<(Instant, String, String)>,
    standing: standing::Standing,
}

fn kind<'a>(visit: &Visit<'a>) -> standing::Kind<'a> {
    let scope = About::terminal(visit.key());
    standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity: Severity::Warning }
}

impl Behind {
    /// `pos.app.state`: what it has and what is wanted. Fields that are not there say nothing.
    pub fn state(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        let short = |text: &&str| text.len() <= NAME_BYTES_MAX;
        if let Some((version, wanted)) = visit.version().filter(short).zip(visit.min_version().filter(short)) {
            self.version = older(version, wanted).then(|| (version.to_owned(), wanted.to_owned()));
        }
        if let Some(lag) = visit.param_lag() {
            self.lag = Some(lag).filter(|lag| *lag >= settings.param_lag_min);
        }
        if let Some(expires) = visit.cert_expires() {
            self.expires = Some(expires);
        }
        if self.lacks(visit.at()).is_empty() {
            self.standing.over(kind(visit), "mended", out);
        } else {
            self.count(settings, visit, out);
        }
    }

    /// Whether anything is behind.
    #[must_use]
    pub fn is_behind(&self, now: Instant) -> bool {
        !self.lacks(now).is_empty()
    }

    /// A payment or a connection failed in a way that speaks of it.
    pub fn failed(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        let from = visit.when() - settings.fails_window_ms;
        self.fails.retain(|(when, ..)| *when > from);
        if self.fails.len() == FAILS_MAX as usize {
            self.fails.remove(0);
        }
        let id = visit.id().filter(|id| id.len() <= NAME_BYTES_MAX).unwrap_or_default();
        self.fails.push((visit.when(), visit.event().to_owned(), id.to_owned()));
        self.count(settings, visit, out);
    }

    fn count(&mut self, settings: &Settings, visit: &Visit<'_>, out: &mut Out<'_>) {
        let now = visit.at();
        self.fails.retain(|(when, ..)| *when > now - settings.fails_window_ms);
        let lacks = self.lacks(now);
        if lacks.is_empty() || self.fails.len() < settings.fails_min as usize {
            return;
        }
        let count = self.fails.len();
        let (en, zh): (Vec<_>, Vec<_>) = lacks.into_iter().unzip();
        let percent = 75 + u8::try_from(5 * en.len()).expect("invariant: at most three");
        let said = (
            format!("{}; {count} payments or connections failed by it", en.join(", ")),
            format!("{};{count} 次交易或连接因此失败", zh.join(",")),
        );
        let verdict = Verdict { cause: "S4", percent, runner_up: "S3", said };
        let rows = self.fails.iter().filter(|(_, _, id)| !id.is_empty());
        let rows = rows.map(|(when, event, id)| Evidence { event: event.clone(), id: id.clone(), time: *when });
        self.standing.say(kind(visit), &verdict, rows.collect(), out);
    }

    /// All that is behind, in English and Chinese.
    fn lacks(&self, now: Instant) -> Vec<(String, String)> {
        let mut lacks = Vec::new();
        if let Some((version, wanted)) = &self.version {
            lacks
                .push((format!("version {version} is behind {wanted}"), format!("版本 {version} 低于要求的 {wanted}")));
        }
        if let Some(lag) = self.lag {
            lacks.push((format!("parameters are {lag} versions behind"), format!("参数落后 {lag} 个版本")));
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            lacks.push(("the certificate has expired".to_owned(), "证书已过期".to_owned()));
        }
        lacks
    }
}

/// Whether a version is older than another: numbers between dots are compared as numbers, everything else as text.
#[must_use]
pub fn older(version: &str, than: &str) -> bool {
    fn parts(text: &str) -> impl Iterator<Item = (u64, &str)> {
        text.split(['.', '-', '_']).map(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            (part[..digits].parse().unwrap_or(0), &part[digits..])
        })
    }
    version != than && parts(version).lt(parts(than))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (one, other) in
            [("3.4.1", "3.5.0"), ("3.9", "3.10"), ("2025-12", "2026-01"), ("3.5", "3.5.1"), ("1.0a", "1.0b")]
        {
            assert!(older(one, other) && !older(other, one), "{one} {other}");
        }
        assert!(!older("3.5.0", "3.5.0") && !older("", "") && older("", "1"));
    }
}
