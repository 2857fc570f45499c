//! A scenario's file: a fleet, what goes wrong now and then, and the faults to inject.
//!
//! TOML, or JSON of the same shape. Owns the reading of it, with every problem at once and each with its key's path; what the values may be
//! is checked by `options.rs`, once flags have had their say.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de::Error as _};
use tillwatch_core::Instant;
use toml::{Table, Value};

use super::{Faults, Inject, Options, Preset, parse_length};
use crate::{
    clock::parse_rfc3339,
    config::{Problem, read_table},
};

/// What a file asks for; what it leaves out is for flags and defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the keys are those of the options")]
pub struct Scenario {
    pub seed: Option<u64>,
    pub terminals: Option<u32>,
    pub sites: Option<u32>,
    pub regions: Option<u32>,
    pub acquirers: Option<u32>,
    pub hosts: Option<u32>,
    pub versions: Option<u32>,
    pub params: Option<u32>,
    pub roll: Option<u32>,
    #[serde(deserialize_with = "start")]
    pub start: Option<Instant>,
    #[serde(deserialize_with = "duration")]
    pub duration: Option<Instant>,
    pub payments_per_hour: Option<f64>,
    pub busy_hours: Option<bool>,
    pub heartbeat_ms: Option<i64>,
    /// Which faults happen now and then; `faults` changes some of them.
    pub preset: Option<Preset>,
    pub faults: BTreeMap<String, f64>,
    #[serde(skip)]
    pub inject: Vec<Inject>,
}

/// Everything that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, or where else it came from.
    pub origin: String,
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the scenario ({}) cannot be used:", self.origin)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        write!(f, "\nWhat a scenario can have: docs/cli.md, \"Scenarios\"")
    }
}

impl std::error::Error for ScenarioError {}

fn start<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
    parse_rfc3339(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
    parse_length(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

impl Scenario {
    /// Reads a file's text; `origin` is its name, and one that ends in `.json` is JSON.
    ///
    /// # Errors
    /// Everything that cannot be read.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ScenarioError> {
        let mut problems = Vec::new();
        let json = std::path::Path::new(origin).extension().is_some_and(|ending| ending == "json");
        let table = if json {
            serde_json::from_str::<Table>(text).map_err(|error| format!("this is no JSON of a scenario: {error}"))
        } else {
            text.parse::<Table>().map_err(|error| format!("this is no TOML: {}", error.to_string().trim_end()))
        };
        let mut table = table.unwrap_or_else(|what| {
            problems.push(Problem::new("", what));
            Table::new()
        });
        let injects = table.remove("inject");
        let mut scenario: Self = read_table(table, "", &mut problems).unwrap_or_default();
        for name in scenario.faults.keys().filter(|name| !Faults::names().contains(&name.as_str())) {
            let known = Faults::names().join(", ");
            problems.push(Problem::new(format!("faults.{name}"), format!("there is no such fault; there are {known}")));
        }
        match injects {
            None => {}
            Some(Value::Array(rows)) => {
                for (number, row) in rows.into_iter().enumerate() {
                    let path = format!("inject[{number}]");
                    match row {
                        Value::Table(row) => scenario.inject.extend(read_table::<Inject>(row, &path, &mut problems)),
                        _ => problems.push(Problem::new(path, "is no table. Write cause, at, from, for, strength")),
                    }
                }
            }
            Some(_) => problems.push(Problem::new("inject", "is no list of tables. Write [[inject]]")),
        }
        if problems.is_empty() { Ok(scenario) } else { Err(ScenarioError { origin: origin.to_owned(), problems }) }
    }

    /// A fleet's options, defaults where nothing was said.
    ///
    /// # Errors
    /// Everything for which they make no fleet.
    pub fn options(self, origin: &str) -> Result<Options, ScenarioError> {
        let default = Options::default();
        let mut faults = self.preset.unwrap_or_default().faults();
        let mut problems = Vec::new();
        for (name, probability) in &self.faults {
            problems.extend(faults.set(name, *probability).err().map(|error| (format!("faults.{name}"), error)));
        }
        let options = Options {
            seed: self.seed.unwrap_or(default.seed),
            terminals: self.terminals.unwrap_or(default.terminals),
            sites: self.sites.unwrap_or(default.sites),
            regions: self.regions.unwrap_or(default.regions),
            acquirers: self.acquirers.unwrap_or(default.acquirers),
            hosts: self.hosts.unwrap_or(default.hosts),
            versions: self.versions.unwrap_or(default.versions),
            params: self.params.unwrap_or(default.params),
            roll: self.roll.unwrap_or(if self.preset == Some(Preset::Day) { DAY_ROLL } else { default.roll }),
            start: self.start.unwrap_or(default.start),
            payments_per_hour: self.payments_per_hour.unwrap_or(default.payments_per_hour),
            busy_hours: self.busy_hours.unwrap_or(default.busy_hours),
            heartbeat_ms: self.heartbeat_ms.unwrap_or(default.heartbeat_ms),
            faults: if problems.is_empty() { faults } else { Faults::none() },
            inject: self.inject,
        };
        problems.extend(options.errors().into_iter().map(|error| (error.key(), error)));
        if problems.is_empty() {
            return Ok(options);
        }
        let problems = problems.into_iter().map(|(key, error)| {
            let text = error.to_string();
            let what = text.strip_prefix(&key).unwrap_or(&text).trim_start_matches(':').trim_start().to_owned();
            Problem::new(key, what)
        });
        Err(ScenarioError { origin: origin.to_owned(), problems: problems.collect() })
    }
}

/// Receipts of a roll on a normal day: a terminal of 30 payments an hour changes it about every day and a half.
const DAY_ROLL: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Cause;

    const TEXT: &str = r#"
        seed = 7
        duration = "2h"
        start = "2026-01-05T04:00:00Z"
        terminals = 60
        sites = 12
        preset = "none"
        [faults]
        decline = 0.04
        [[inject]]
        cause = "N4"
        at = "host:A01/H1"
        from = "10m"
        for = "15m"
        strength = 90
        [[inject]]
        cause = "S3"
        at = "version:3.5.0+host:A02/H2"
    "#;

    fn keys(error: &ScenarioError) -> Vec<&str> {
        error.problems.iter().map(|problem| problem.key.as_str()).collect()
    }

    #[test]
    fn a_file_becomes_options() {
        let scenario = Scenario::parse(TEXT, "day.toml").unwrap();
        assert_eq!(scenario.duration, Some(7_200_000));
        let options = scenario.options("day.toml").unwrap();
        assert_eq!((options.seed, options.terminals, options.start), (7, 60, 1_767_585_600_000));
        assert!(options.faults == Faults::only("decline", 0.04).unwrap());
        assert_eq!(options.inject[0], "N4@host:A01/H1,from=10m,for=15m,strength=90".parse().unwrap());
        assert_eq!((options.inject[1].cause, options.inject[1].strength), (Cause::S3, 80));
    }

    #[test]
    fn json_of_the_same_shape_is_the_same() {
        let table: Table = TEXT.parse().unwrap();
        let json = serde_json::to_string(&table).unwrap();
        assert_eq!(Scenario::parse(&json, "day.json"), Scenario::parse(TEXT, "day.toml"));
        assert!(Scenario::parse(TEXT, "day.json").unwrap_err().to_string().contains("no JSON"));
        assert!(Scenario::parse("[", "day.toml").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let text = r#"
            terminals = "many"
            tills = 3
            duration = "soon"
            [faults]
            dragon = 0.1
            [[inject]]
            cause = "N9"
            at = "galaxy:7"
            until = "3m"
            [[inject]]
            cause = "N1"
            [[inject]]
            cause = "N1"
            at = "site"
            strength = 999
        "#;
        let error = Scenario::parse(text, "bad.toml").unwrap_err();
        let mut found = keys(&error);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "duration",
                "faults.dragon",
                "inject[0].at",
                "inject[0].cause",
                "inject[0].until",
                "inject[1]",
                "inject[2].strength",
                "terminals",
                "tills",
            ],
            "{error}"
        );
    }

    #[test]
    fn what_makes_no_fleet_is_named_all_at_once() {
        let text = r#"
            terminals = 4
            sites = 9
            payments_per_hour = 0.0
            [faults]
            decline = 1.5
            [[inject]]
            cause = "N1"
            at = "site"
            strength = 0
            [[inject]]
            cause = "N1"
            at = "site"
            for = "0s"
        "#;
        let error = Scenario::parse(text, "bad.toml").unwrap().options("bad.toml").unwrap_err();
        assert_eq!(
            keys(&error),
            ["faults.decline", "sites", "payments_per_hour", "inject[0].strength", "inject[1].for"],
            "{error}"
        );
        let text = "terminals = 4\n[[inject]]\ncause = \"N1\"\nat = \"site:S0099\"\n";
        let error = Scenario::parse(text, "bad.toml").unwrap().options("bad.toml").unwrap_err();
        assert!(error.to_string().contains("inject[0].at: there is no terminal at site:S0099"), "{error}");
    }
}
