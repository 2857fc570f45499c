//! Configuration: one file, one struct, every problem at once.
//!
//! Owns reading the file, the overrides from the environment, and the checks that no type can hold. It opens no connection: whether a
//! broker, a topic or a component is there is for [`crate::doctor`] and for whoever uses it.

mod check;
mod load;
mod schema;

use std::{fmt, fs, io, path::Path};

pub(crate) use load::read_table;
pub use load::{Environment, PREFIX, parse};
pub use schema::{
    BUILT_IN, Commands, Commit, Components, Config, Embedded, Engine, Feed, Format, Http, Kafka, Level, Log, LogFormat,
    LogKind, Maintenance, MaintenanceWindow, Mode, Output, Rule, RuleLimits, Security, SilentSource, StageName, Stages,
    Telemetry, Topics,
};

/// The complete file with every default and what each key means.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The key's path in the file, as `kafka.brokers`, or the environment variable.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.key, self.what) }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file, or where else it came from.
    pub origin: String,
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration ({}) cannot be used:", self.origin)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        write!(f, "\nEvery key with its meaning: tillwatch config --defaults")
    }
}

impl std::error::Error for Problems {}

/// Reads the file (none: the defaults alone), then the environment's overrides, and checks all of it.
///
/// # Errors
/// [`Problems`]: all of them.
pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Config, Problems> {
    let (text, origin) = read(path)?;
    parse(&text, &origin, environment)
}

/// As [`load`], with what `more` finds wrong beside it. It is asked in any case, so that all problems come at once; what cannot be read has
/// its default then.
///
/// # Errors
/// [`Problems`]: all of them, each once.
pub fn load_with(
    path: Option<&Path>,
    environment: &Environment,
    more: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    let (text, origin) = read(path)?;
    let (config, mut problems) = load::examine(&text, environment);
    for problem in more(&config) {
        if !problems.iter().any(|known| known.key == problem.key) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(config) } else { Err(Problems { origin, problems }) }
}

/// The file's text, and what it is called; without a file, no text.
fn read(path: Option<&Path>) -> Result<(String, String), Problems> {
    let Some(path) = path else { return Ok((String::new(), "defaults and environment".to_owned())) };
    let origin = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((text, origin)),
        Err(error) => {
            let what = format!("cannot read {origin}: {error}. Name another file with --config");
            Err(Problems { problems: vec![Problem::new("", what)], origin })
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The first line of a file, without white space around it.
    ///
    /// # Errors
    /// When the file cannot be read, or is empty.
    pub fn read(path: &str) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let first = text.lines().next().unwrap_or_default().trim();
        if first.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file's first line is empty"));
        }
        Ok(Self(first.to_owned()))
    }

    /// A secret that is at hand already.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `given` is this secret, in a time that does not tell where they differ.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), given.as_bytes());
        ours.len() == theirs.len() && ours.iter().zip(theirs).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
    }

    /// The text, for whoever must send it on.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_compares_whole() {
        let secret = Secret::new("hush");
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
        assert!(secret.matches("hush"));
        assert!(!secret.matches("hus") && !secret.matches("hush!") && !secret.matches("Hush"));
    }

    /// The keys of a table, with their paths.
    fn paths(table: &toml::Table, above: &str, out: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{above}{key}");
            match value.as_table() {
                Some(inner) if !inner.is_empty() => paths(inner, &format!("{path}."), out),
                _ => out.push(path),
            }
        }
    }

    #[test]
    fn the_printed_defaults_are_the_defaults_and_name_every_key() {
        assert_eq!(parse(DEFAULTS, "defaults.toml", &Environment::default()), Ok(Config::default()));
        let (mut printed, mut known) = (Vec::new(), Vec::new());
        paths(&DEFAULTS.parse().expect("TOML"), "", &mut printed);
        paths(&toml::Table::try_from(Config::default()).expect("TOML"), "", &mut known);
        printed.sort();
        known.sort();
        assert_eq!(printed, known);
    }

    #[test]
    fn every_key_is_explained_and_the_documentation_repeats_it() {
        let mut explained = false;
        let mut rule = "";
        for line in DEFAULTS.lines() {
            if let Some(section) = line.strip_prefix("[rules.") {
                rule = section;
            }
            if line.starts_with('#') {
                explained = true;
            } else if line.contains(" = ") {
                let repeats = ["compensate", "diagnose-", "incident"].iter().any(|built_in| rule.starts_with(built_in));
                assert!(explained || repeats, "{line} has no comment");
                explained = false;
            }
        }
        let documentation = include_str!("../../../../docs/config.md");
        assert!(documentation.contains(&format!("```toml\n{DEFAULTS}```")), "docs/config.md repeats defaults.toml");
    }

    #[test]
    fn a_missing_file_is_named() {
        let problems =
            load(Some(Path::new("/nowhere/tillwatch.toml")), &Environment::default()).expect_err("no such file");
        assert!(problems.to_string().contains("/nowhere/tillwatch.toml"), "{problems}");
    }
}
