//! The device itself (H3): tamper and a dead PIN pad at once; restarts, heat and battery scored.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Out, Severity, Visit,
    cause::Verdict,
    standing::{self, About},
};

use crate::settings::Settings;

/// The kind of its finding.
pub const KIND: &str = "device-damage";

/// Points from which what is scored is a finding.
const POINTS_MIN: u8 = 3;

/// What is remembered of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its tamper response has fired. Only its own word that it has not ends that: a status that says nothing of it does not.
    tampered: bool,
    standing: standing::Standing,
}

/// What a status says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The PIN entry device is broken.
    pub ped: bool,
    /// Restarts in an hour, where they score.
    pub reboots: Option<i64>,
    /// Degrees, where they score.
    pub hot: Option<i64>,
    /// Percent, where they score.
    pub flat: Option<i64>,
}

impl Signs {
    /// Reads a `pos.device.status`.
    #[must_use]
    pub fn of(settings: &Settings, visit: &Visit<'_>) -> Self {
        Self {
            ped: visit.ped().is_some_and(|ped| ped != "ok"),
            reboots: visit.reboots_1h().filter(|reboots| *reboots >= settings.reboots_min),
            hot: visit.temp_c().filter(|degrees| *degrees >= settings.temp_c).map(whole),
            flat: visit.battery_pct().filter(|percent| *percent <= settings.battery_pct).map(whole),
        }
    }

    fn points(&self) -> u8 {
        [(self.reboots.is_some(), 3), (self.hot.is_some(), 2), (self.flat.is_some(), 2)]
            .into_iter()
            .map(|(seen, points)| if seen { points } else { 0 })
            .sum()
    }
}

impl Device {
    /// `pos.device.status`
    pub fn status(&mut self, signs: &Signs, visit: &Visit<'_>, out: &mut Out<'_>) {
        self.tampered = visit.tamper().unwrap_or(self.tampered);
        let scope = About::terminal(visit.key());
        let kind = |severity| standing::Kind { rule: crate::rule::ID, kind: KIND, scope, severity };
        let (severity, percent, said) = if self.tampered {
            let said = (
                "the tamper response has fired; do not restart or re-key the unit",
                "防拆机制已触发,请勿重启或重灌密钥",
            );
            (Severity::Critical, 99, (said.0.to_owned(), said.1.to_owned()))
        } else if signs.ped {
            let word = visit.ped().unwrap_or_default();
            (Severity::Warning, 95, (format!("the PIN pad reports: {word}"), format!("密码键盘报告:{word}")))
        } else if signs.points() >= POINTS_MIN {
            let percent = 50 + 5 * signs.points().min(8);
            (Severity::Warning, percent, scored(signs))
        } else {
            return self.standing.over(kind(Severity::Warning), "mended", out);
        };
        let verdict =
            Verdict { cause: "H3", percent, runner_up: if percent < 90 { "H4" } else { "undetermined" }, said };
        self.standing.say(kind(severity), &verdict, Vec::new(), out);
    }
}

fn scored(signs: &Signs) -> (String, String) {
    let (mut en, mut zh) = (Vec::new(), Vec::new());
    if let Some(reboots) = signs.reboots {
        en.push(format!("{reboots} restarts in an hour"));
        zh.push(format!("一小时内重启 {reboots} 次"));
    }
    if let Some(degrees) = signs.hot {
        en.push(format!("{degrees} °C"));
        zh.push(format!("温度 {degrees} °C"));
    }
    if let Some(percent) = signs.flat {
        en.push(format!("battery at {percent} %"));
        zh.push(format!("电量 {percent}%"));
    }
    (en.join(", "), zh.join(","))
}

/// A measurement in whole numbers.
fn whole(number: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and fractions do not matter")]
    let whole = number as i64;
    whole
}
