//! From text and environment to a checked [`Config`].
//!
//! A key that cannot be read is reported and taken out, and reading goes on without it, so that one run names every problem.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{BUILT_IN, Config, Problem, Problems, Rule, check};

/// What override variables begin with.
pub const PREFIX: &str = "TILLWATCH_";

/// Variables of the environment, handed in by `main`.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those that begin with [`PREFIX`].
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }

    /// One variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Those that override a key: `TILLWATCH_<SECTION>__<KEY>`.
    fn overrides(&self) -> impl Iterator<Item = (&str, Vec<String>, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?;
            path.contains("__").then(|| {
                let path = path.split("__").map(str::to_ascii_lowercase).collect();
                (name.as_str(), path, value.as_str())
            })
        })
    }
}

/// Reads `text`, then the environment's overrides, and checks all of it. `origin` names the text in errors.
///
/// # Errors
/// [`Problems`]: all of them.
pub fn parse(text: &str, origin: &str, environment: &Environment) -> Result<Config, Problems> {
    let (config, problems) = examine(text, environment);
    if problems.is_empty() { Ok(config) } else { Err(Problems { origin: origin.to_owned(), problems }) }
}

/// As [`parse`]: the configuration with defaults for what cannot be read, and all that is wrong with it.
pub(super) fn examine(text: &str, environment: &Environment) -> (Config, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            problems.push(Problem::new("", format!("this is no TOML: {}", error.to_string().trim_end())));
            Table::new()
        }
    };
    for (name, path, value) in environment.overrides() {
        if let Err(what) = set(&mut table, path, value) {
            problems.push(Problem::new(name, what));
        }
    }
    for id in BUILT_IN {
        let rule = table.get_mut("rules").and_then(|rules| rules.get_mut(id));
        if let Some(rule) = rule.and_then(Value::as_table_mut) {
            fill(rule, Table::try_from(Rule::built_in(id)).expect("invariant: the defaults are TOML"));
        }
    }
    let mut config: Config = read_table(table, "", &mut problems).unwrap_or_default();
    for id in BUILT_IN {
        config.rules.entry(id.to_owned()).or_insert_with(|| Rule::built_in(id));
    }
    problems.extend(check::check(&config));
    (config, problems)
}

/// Puts in what is missing: a built-in rule has defaults of its own, and its table may be there in part.
fn fill(table: &mut Table, defaults: Table) {
    for (key, default) in defaults {
        match (table.get_mut(&key), default) {
            (Some(Value::Table(inner)), Value::Table(defaults)) => fill(inner, defaults),
            (Some(_), _) => {}
            (None, default) => drop(table.insert(key, default)),
        }
    }
}

/// Reads a table that stands at `at`; what cannot be read is reported with its path and left at its default. None where there is no default.
pub(crate) fn read_table<T: DeserializeOwned>(mut table: Table, at: &str, problems: &mut Vec<Problem>) -> Option<T> {
    let mut removed = false;
    loop {
        match serde_path_to_error::deserialize::<_, T>(Value::Table(table.clone())) {
            Ok(read) => return Some(read),
            Err(error) => {
                let path: Vec<String> = error
                    .path()
                    .iter()
                    .filter_map(|segment| match segment {
                        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
                        _ => None,
                    })
                    .collect();
                let message = error.inner().to_string();
                // What was taken out is missing, and that it was wrong has been said.
                if !(removed && path.is_empty()) {
                    let inner = error.path().to_string();
                    let key = match (at, path.is_empty()) {
                        ("", _) => inner,
                        (at, true) => at.to_owned(),
                        (at, false) => format!("{at}.{inner}"),
                    };
                    problems.push(Problem::new(key, advice(message.trim_end())));
                }
                removed = true;
                if !remove(&mut table, &path) {
                    return None;
                }
            }
        }
    }
}

/// The message with what to do about it.
fn advice(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    if first.starts_with("unknown field") {
        format!("{first}. Remove it or correct its name")
    } else {
        format!("{first}. Correct the value")
    }
}

/// Takes a key out, or the nearest table above that is there.
fn remove(table: &mut Table, path: &[String]) -> bool {
    match path {
        [] => false,
        [key] => table.remove(key).is_some(),
        [key, rest @ ..] => {
            let inner = table.get_mut(key).and_then(Value::as_table_mut).is_some_and(|inner| remove(inner, rest));
            inner || table.remove(key).is_some()
        }
    }
}

/// Puts one override in place, with the type that the key's default has.
fn set(table: &mut Table, mut path: Vec<String>, text: &str) -> Result<(), String> {
    let known = Table::try_from(Config::default()).expect("invariant: the defaults are TOML");
    let sample = if path[0] == "rules" {
        if path.len() < 3 {
            return Err("names no key of a rule. Use TILLWATCH_RULES__<ID>__<KEY>".to_owned());
        }
        let ids = table.get("rules").and_then(Value::as_table).map(|rules| rules.keys().cloned().collect());
        let ids: Vec<String> = ids.unwrap_or_default();
        let id = BUILT_IN.iter().map(|id| (*id).to_owned()).chain(ids).find(|id| id.replace('-', "_") == path[1]);
        path[1] = id.ok_or_else(|| format!("no rule {:?} in the file. Name it there first", path[1]))?;
        let rule = Table::try_from(Rule::default()).expect("invariant: the defaults are TOML");
        lookup(&rule, &path[2..])
    } else {
        lookup(&known, &path)
    };
    let sample =
        sample.ok_or_else(|| format!("no such key {}. Every key: tillwatch config --defaults", path.join(".")))?;
    let value = typed(&sample, text)?;
    let mut inner = table;
    let (key, sections) = path.split_last().expect("invariant: a path has at least two parts");
    for section in sections {
        let entry = inner.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
        inner = entry.as_table_mut().ok_or_else(|| format!("{section} is no section in the file"))?;
    }
    inner.insert(key.clone(), value);
    Ok(())
}

fn lookup(table: &Table, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() { Some(value.clone()) } else { lookup(value.as_table()?, rest) }
}

/// Text as the type that `sample` has. Lists are split at commas; tables are JSON.
fn typed(sample: &Value, text: &str) -> Result<Value, String> {
    match sample {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => {
            text.trim().parse().map(Value::Integer).map_err(|_| format!("{text:?} is no whole number. Correct it"))
        }
        Value::Boolean(_) => match text.trim() {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(format!("{text:?} is neither true nor false. Correct it")),
        },
        Value::Array(_) if !text.trim_start().starts_with('[') => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        Value::Array(_) | Value::Table(_) => serde_json::from_str::<serde_json::Value>(text)
            .map_err(|error| format!("this is no JSON: {error}. Correct it"))
            .and_then(|json| Value::deserialize(json).map_err(|error| format!("this cannot be used: {error}"))),
        Value::Float(_) | Value::Datetime(_) => {
            Err("cannot be set from the environment. Set it in the file".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn keys(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let problems = parse(text, "test", &environment(variables)).expect_err("it has problems");
        problems.problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn nothing_is_the_defaults() {
        assert_eq!(parse("", "test", &Environment::default()), Ok(Config::default()));
    }

    #[test]
    fn a_part_of_a_built_in_rules_table_leaves_the_rest_at_its_defaults() {
        let text = "[rules.incident.limits]\nfuel_per_visit = 7\n[rules.compensate.settings]\nx = 1";
        let rules = parse(text, "test", &Environment::default()).expect("all of it is fine").rules;
        let limits = &rules["incident"].limits;
        assert_eq!((limits.fuel_per_visit, limits.state_bytes_max), (7, 512 << 10));
        assert_eq!(rules["compensate"].limits.state_bytes_max, 64 << 10);
        let too_much = "[rules.compensate.limits]\nstate_bytes_max = 1000000";
        assert_eq!(
            keys(too_much, &[]),
            ["rules.compensate.limits.state_bytes_max"],
            "more than engine.state_bytes_max"
        );
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let text = "[kafka]\nbrokers = 3\nbrockers = []\n[engine]\nlateness_ms = \"soon\"\n[loog]\nkind = \"x\"\n[commit]\nevery_ms = 0\n\
                    [rules.compensate]\nenabled = 7";
        let mut found = keys(text, &[]);
        found.sort();
        assert_eq!(
            found,
            [
                "commit.every_ms",
                "engine.lateness_ms",
                "kafka.brockers",
                "kafka.brokers",
                "loog",
                "rules.compensate.enabled"
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_line() {
        let problems = parse("[kafka\n", "file.toml", &Environment::default()).expect_err("no TOML");
        assert!(problems.to_string().contains("line 1"), "{problems}");
    }

    #[test]
    fn the_environment_wins_with_the_type_of_the_key() {
        let variables = [
            ("TILLWATCH_KAFKA__BROKERS", "a:1, b:2"),
            ("TILLWATCH_COMMIT__EVERY_MS", "50"),
            ("TILLWATCH_COMMANDS__DRY_RUN", "true"),
            ("TILLWATCH_LOG__KIND", "embedded"),
            ("TILLWATCH_RULES__CORRELATE_PAYMENT__SETTINGS", r#"{"defaults":{"print_ms":9000}}"#),
            ("TILLWATCH_FEED__SILENT_SOURCES", r#"[{"prefix":"/gw/","silent_ms":60000}]"#),
            ("TILLWATCH_COMPONENTS", "/elsewhere"),
            ("PATH", "/bin"),
        ];
        let config =
            parse("[kafka]\nbrokers = [\"c:3\"]", "test", &environment(&variables)).expect("all of it is fine");
        assert_eq!(config.kafka.brokers, ["a:1", "b:2"]);
        assert_eq!(config.commit.every_ms, 50);
        assert!(config.commands.dry_run);
        assert_eq!(config.log.kind, super::super::LogKind::Embedded);
        assert_eq!(config.feed.silent_sources[0].silent_ms, 60_000);
        let settings = &config.rules["correlate-payment"].settings;
        assert_eq!(settings["defaults"]["print_ms"].as_integer(), Some(9000));
    }

    #[test]
    fn a_variable_without_a_key_is_a_problem() {
        assert_eq!(keys("", &[("TILLWATCH_KAFKA__BROKER", "x")]), ["TILLWATCH_KAFKA__BROKER"]);
        assert_eq!(keys("", &[("TILLWATCH_COMMIT__EVERY_MS", "x")]), ["TILLWATCH_COMMIT__EVERY_MS"]);
        assert_eq!(keys("", &[("TILLWATCH_RULES__NEW__ENABLED", "true")]), ["TILLWATCH_RULES__NEW__ENABLED"]);
    }
}
