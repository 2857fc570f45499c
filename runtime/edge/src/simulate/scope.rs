//! Where a fault strikes: the scopes of `docs/spec/events.md`, alone or several that must all hold.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{dice::Dice, terminal::Terminal};

/// One kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of events.md")]
pub enum Level {
    Terminal,
    Site,
    Acquirer,
    Host,
    Version,
    Operator,
    Region,
}

/// Some of the fleet: `site:S0003`, `version:3.5.0+host:A01/H1` where both hold, or a level alone, as `site`, for one drawn by the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Vec<(Level, Option<String>)>);

impl Level {
    const ALL: [(&'static str, Self); 7] = [
        ("terminal", Self::Terminal),
        ("site", Self::Site),
        ("acquirer", Self::Acquirer),
        ("host", Self::Host),
        ("version", Self::Version),
        ("operator", Self::Operator),
        ("region", Self::Region),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).expect("invariant: all levels are listed").0
    }
}

impl Scope {
    /// Whether a terminal is in it. An operator counts where they ever work.
    pub(super) fn holds(&self, terminal: &Terminal) -> bool {
        self.0.iter().all(|(level, wanted)| {
            let Some(wanted) = wanted.as_deref() else { return true };
            match level {
                Level::Terminal => terminal.id == wanted,
                Level::Site => terminal.site == wanted,
                Level::Acquirer => terminal.acquirer == wanted,
                Level::Host => wanted.split_once('/') == Some((&terminal.acquirer, &terminal.host)),
                Level::Version => terminal.app_version == wanted,
                Level::Operator => terminal.crew().any(|operator| operator == wanted),
                Level::Region => terminal.region == wanted,
            }
        })
    }

    /// The operator who must be there, if any.
    pub(super) fn operator(&self) -> Option<&str> {
        self.0.iter().find(|(level, _)| *level == Level::Operator)?.1.as_deref()
    }

    /// Whether it speaks of the acquirer's side.
    pub(super) fn is_of_a_host(&self) -> bool {
        self.0.iter().any(|(level, _)| matches!(level, Level::Host | Level::Acquirer))
    }

    /// The same with everything drawn that was left to the seed; none where no terminal is in it.
    pub(super) fn drawn(&self, terminals: &[Terminal], dice: &mut Dice) -> Option<Self> {
        let count = terminals.iter().filter(|terminal| self.holds(terminal)).count();
        let nth = dice.below(u64::try_from(count).expect("invariant: a count fits"));
        let nth = usize::try_from(nth).expect("invariant: below a count");
        let one = terminals.iter().filter(|terminal| self.holds(terminal)).nth(nth)?;
        let name = |level| match level {
            Level::Terminal => one.id.clone(),
            Level::Site => one.site.clone(),
            Level::Acquirer => one.acquirer.clone(),
            Level::Host => format!("{}/{}", one.acquirer, one.host),
            Level::Version => one.app_version.clone(),
            Level::Operator => one.operator.clone(),
            Level::Region => one.region.clone(),
        };
        let parts = self.0.iter().map(|(level, id)| (*level, Some(id.clone().unwrap_or_else(|| name(*level)))));
        Some(Self(parts.collect()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (level, id)) in self.0.iter().enumerate() {
            let plus = if number == 0 { "" } else { "+" };
            match id {
                Some(id) => write!(f, "{plus}{}:{id}", level.name())?,
                None => write!(f, "{plus}{}", level.name())?,
            }
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (word, id) = part.split_once(':').map_or((part, None), |(word, id)| (word, Some(id.to_owned())));
            let level = Level::ALL.iter().find(|(name, _)| *name == word);
            let (_, level) = level.ok_or_else(|| {
                let known: Vec<_> = Level::ALL.iter().map(|(name, _)| *name).collect();
                format!("{part:?} is no scope; write a level ({}), or level:id", known.join(", "))
            })?;
            Ok((*level, id))
        };
        text.split('+').map(part).collect::<Result<_, String>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Options;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for text in ["site:S0003", "version:3.5.0+host:A01/H1", "operator", "terminal:T0000001+region"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert!("galaxy:7".parse::<Scope>().unwrap_err().contains("terminal, site"));
    }

    #[test]
    fn what_is_left_to_the_seed_is_drawn_from_what_holds() {
        let options = Options { terminals: 40, sites: 10, ..Options::default() };
        let terminals: Vec<Terminal> = (0..40).map(|index| Terminal::new(index, &options)).collect();
        let scope: Scope = "site:S0003+terminal".parse().unwrap();
        let drawn = scope.drawn(&terminals, &mut Dice::new(1, 0)).unwrap();
        let held: Vec<_> = terminals.iter().filter(|terminal| drawn.holds(terminal)).collect();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].site, "S0003");
        assert_eq!("site:nowhere".parse::<Scope>().unwrap().drawn(&terminals, &mut Dice::new(1, 0)), None);
    }
}
