//! Injected faults: as they are asked for, and as they then stand in the fleet's calendar.
//!
//! Owns which cause is active for which terminal at which moment, how strongly, and how often a near miss may still strike. What an active
//! cause does is `befall.rs` (to payments), `signs.rs` (in telemetry) and `spells.rs` (at its beginning and end).

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tillwatch_core::{Instant, output::rfc3339};

use super::{
    cause::{Cause, Family},
    dice::Dice,
    scope::Scope,
    terminal::Terminal,
};

/// Faults that a fleet can be given.
pub(super) const INJECT_MAX: usize = 1_000;

/// Below this strength a fault stays under the thresholds of domain.md, section 3: a near miss.
pub(super) const NEAR_MISS: u8 = 30;

/// A fault to inject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// What goes wrong.
    pub cause: Cause,
    /// Where.
    pub at: Scope,
    /// When it begins, ms after the fleet's start; in files as `10m`.
    #[serde(default = "from", deserialize_with = "length")]
    pub from: Instant,
    /// How long it lasts, ms; in files as `15m`.
    #[serde(default = "lasts", rename = "for", deserialize_with = "length")]
    pub lasts: Instant,
    /// How strongly, 1 to 100. Under 30 it is a near miss; from 50 on the thresholds are passed with margin.
    #[serde(default = "strength")]
    pub strength: u8,
}

fn from() -> Instant {
    10 * 60_000
}

fn lasts() -> Instant {
    15 * 60_000
}

fn strength() -> u8 {
    80
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
    parse_length(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// A length of time as people write it, such as 90s, 30m or 2h; ms.
///
/// # Errors
/// It is none, or is negative, or nobody lives so long.
pub fn parse_length(text: &str) -> Result<Instant, String> {
    let parsed = text.parse::<jiff::SignedDuration>().map_err(|error| format!("{text:?} is no duration: {error}"))?;
    let ms = Instant::try_from(parsed.as_millis()).ok();
    ms.filter(|ms| (0..=3_155_760_000_000).contains(ms)).ok_or_else(|| format!("{text:?} is out of range"))
}

/// As flags write it: `N4@host:A01/H1,from=10m,for=15m,strength=80`.
impl FromStr for Inject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let (cause, at) = parts.next().and_then(|first| first.split_once('@')).ok_or("write it as cause@scope")?;
        let mut inject =
            Self { cause: cause.parse()?, at: at.parse()?, from: from(), lasts: lasts(), strength: strength() };
        for part in parts {
            match part.split_once('=') {
                Some(("from", value)) => inject.from = parse_length(value)?,
                Some(("for", value)) => inject.lasts = parse_length(value)?,
                Some(("strength", value)) => {
                    inject.strength = value.parse().map_err(|_| format!("strength={value} is none from 1 to 100"))?;
                }
                _ => return Err(format!("{part:?} is none of from=10m, for=15m and strength=80")),
            }
        }
        Ok(inject)
    }
}

/// The truth about an injected fault; a line of the side file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Injected {
    /// Its number, which payments name in `blame`.
    pub injected: usize,
    /// What goes wrong.
    pub cause: Cause,
    /// Where, with all that was drawn.
    pub scope: String,
    /// When it begins, RFC 3339.
    pub from: String,
    /// When it is over, RFC 3339.
    pub until: String,
    /// How strongly, 1 to 100.
    pub strength: u8,
    /// Whether it stays below what a rule may name.
    pub near_miss: bool,
    /// Terminals in its scope.
    pub terminals: usize,
    /// It is half of a `mixed` one.
    pub part_of: Option<Cause>,
}

/// An injected fault in the calendar.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    pub(super) scope: Scope,
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) strength: u8,
    part_of: Option<Cause>,
    struck: u64,
}

impl Trouble {
    pub(super) fn near_miss(&self) -> bool {
        self.strength < NEAR_MISS
    }

    /// How many payments of a thousand it strikes: 40 at strength 20, 250 at 50, 640 at 80, all at 100.
    pub(super) fn permille(&self) -> u64 {
        u64::from(self.strength) * u64::from(self.strength) / 10
    }
}

/// An active cause, as a terminal meets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    /// The trouble's number.
    pub(super) number: usize,
    pub(super) cause: Cause,
    pub(super) strength: u8,
    pub(super) until: Instant,
}

impl Active {
    pub(super) fn near_miss(self) -> bool {
        self.strength < NEAR_MISS
    }
}

/// All faults of a fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct Calendar(Vec<Trouble>);

impl Calendar {
    /// Draws what was left to the seed and notes at every terminal what can befall it.
    pub(super) fn draw(wanted: &[Inject], start: Instant, terminals: &mut [Terminal], dice: &mut Dice) -> Self {
        let mut calendar = Self::default();
        for inject in wanted {
            let scope = inject.at.drawn(terminals, dice).expect("invariant: the options were checked");
            let part_of = (inject.cause == Cause::Mixed).then_some(Cause::Mixed);
            let causes = if part_of.is_some() { two(dice).to_vec() } else { vec![inject.cause] };
            for cause in causes {
                let number = calendar.0.len();
                let inside = terminals.iter_mut().filter(|terminal| scope.holds(terminal));
                inside.for_each(|terminal| terminal.troubles.push(number));
                let from = start + inject.from;
                let (scope, strength) = (scope.clone(), inject.strength);
                calendar.0.push(Trouble {
                    cause,
                    scope,
                    from,
                    until: from + inject.lasts,
                    strength,
                    part_of,
                    struck: 0,
                });
            }
        }
        calendar
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Trouble)> {
        self.0.iter().enumerate()
    }

    pub(super) fn get(&self, number: usize) -> &Trouble {
        &self.0[number]
    }

    /// What befalls a terminal at this moment, in the order of the calendar.
    pub(super) fn active(&self, terminal: &Terminal, now: Instant) -> Vec<Active> {
        let at = |number: &usize| {
            let trouble = &self.0[*number];
            let there = trouble.scope.operator().is_none_or(|operator| operator == terminal.operator);
            let Trouble { cause, strength, from, until, .. } = *trouble;
            (there && (from..until).contains(&now)).then_some(Active { number: *number, cause, strength, until })
        };
        terminal.troubles.iter().filter_map(at).collect()
    }

    /// Whether a trouble strikes this time: so many of a thousand, and a near miss only so often in all.
    pub(super) fn strikes(&mut self, active: Active, permille: u64, near_max: u64, dice: &mut Dice) -> bool {
        let trouble = &mut self.0[active.number];
        let strikes = dice.permille(permille) && (!trouble.near_miss() || trouble.struck < near_max);
        trouble.struck += u64::from(strikes);
        strikes
    }

    /// The truth about them.
    pub(super) fn truths(&self, terminals: &[Terminal]) -> Vec<Injected> {
        let truth = |(number, trouble): (usize, &Trouble)| Injected {
            injected: number,
            cause: trouble.cause,
            scope: trouble.scope.to_string(),
            from: rfc3339(trouble.from),
            until: rfc3339(trouble.until),
            strength: trouble.strength,
            near_miss: trouble.near_miss(),
            terminals: terminals.iter().filter(|terminal| trouble.scope.holds(terminal)).count(),
            part_of: trouble.part_of,
        };
        self.iter().map(truth).collect()
    }
}

/// Two causes of two families.
fn two(dice: &mut Dice) -> [Cause; 2] {
    let faults: Vec<Cause> = Cause::ALL.iter().copied().filter(|cause| cause.family() != Family::Label).collect();
    let one = *dice.of(&faults);
    let others: Vec<Cause> = faults.into_iter().filter(|cause| cause.family() != one.family()).collect();
    [one, *dice.of(&others)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_or_refused_with_what_would_do() {
        let inject: Inject = "N4@host:A01/H1,from=2m,for=90s,strength=20".parse().unwrap();
        assert_eq!((inject.cause, inject.from, inject.lasts, inject.strength), (Cause::N4, 120_000, 90_000, 20));
        let plain: Inject = "maintenance@region".parse().unwrap();
        assert_eq!((plain.from, plain.lasts, plain.strength), (600_000, 900_000, 80));
        let said = |text: &str| text.parse::<Inject>().unwrap_err();
        assert!(said("N9@site").contains("there are N1, N2"));
        assert!(said("N1").contains("cause@scope"));
        assert!(said("N1@site,until=3m").contains("for=15m"));
        assert!(said("N1@site,from=-3m").contains("out of range"));
    }

    #[test]
    fn mixed_is_two_families_and_never_a_label() {
        let mut dice = Dice::new(1, 0);
        for _ in 0..1_000 {
            let [one, other] = two(&mut dice);
            assert!(one.family() != other.family() && other.family() != Family::Label, "{one} {other}");
        }
    }
}
