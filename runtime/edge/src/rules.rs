//! Which rules run, from which files, with which settings: from the configuration to loaded components.
//!
//! Owns where built-in components are looked for, that `compensate` knows the windows of `correlate-payment`, and which key of the file is to
//! blame for a rule that cannot run. Loading itself is the host's.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tillwatch_core::{
    partition::{Partition, stage_of},
    stage::Stage,
};
use tillwatch_host::{Cache, Engine, Host, LoadError, Loaded, Loader, Refusal, RuleConfig};

use crate::{
    clock::parse_rfc3339,
    config::{BUILT_IN, Config, Environment, Problem, Rule},
    telemetry::events,
    wiring,
};

/// The environment variable that names the folder with the built-in components.
pub const COMPONENTS: &str = "TILLWATCH_COMPONENTS";

/// Why the rules cannot run: all reasons at once.
#[derive(Debug)]
pub struct RulesError(pub Vec<Problem>);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rules cannot run:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for RulesError {}

/// Loads every enabled rule, in the order in which an event visits them: the built-in ones, then the others by name. What is loaded can run
/// together.
///
/// # Errors
/// [`RulesError`]: what is wrong with each rule that cannot run, or with all of them together.
pub fn load(config: &Config, environment: &Environment) -> Result<Vec<Arc<Loaded>>, RulesError> {
    let engine = Engine::new().map_err(|error| RulesError(vec![Problem::new("rules", error.to_string())]))?;
    let cache = open_cache(config);
    let loader = Loader::new(engine, cache);
    let (mut loaded, mut problems) = (Vec::new(), Vec::new());
    for id in order(config) {
        let outcome = resolve(config, environment, id)
            .and_then(|rule| loader.load(&rule).map_err(|error| Problem::new(blamed(id, &error), error.to_string())));
        match outcome {
            Ok(rule) => {
                announce(&rule);
                loaded.push(rule);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        problems.extend(together(config, &loaded).map_err(|what| Problem::new("rules", what)).err());
    }
    if problems.is_empty() { Ok(loaded) } else { Err(RulesError(problems)) }
}

/// Whether the rules of each stage can run in one partition.
fn together(config: &Config, loaded: &[Arc<Loaded>]) -> Result<(), String> {
    for stage in [Stage::First, Stage::Second] {
        let rules = of_stage(loaded, stage);
        Host::new(&rules).map_err(|error| error.to_string())?;
        let descriptors: Vec<_> = rules.iter().map(|rule| rule.descriptor().clone()).collect();
        let made = Partition::new(0, wiring::settings_of(config, stage), &descriptors);
        made.map(drop).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The rules that a stage runs, by what they are keyed by.
#[must_use]
pub fn of_stage(loaded: &[Arc<Loaded>], stage: Stage) -> Vec<Arc<Loaded>> {
    loaded.iter().filter(|rule| stage_of(rule.descriptor().key) == stage).cloned().collect()
}

/// The key of the file that is to blame.
fn blamed(id: &str, error: &LoadError) -> String {
    let key = match error {
        LoadError::Refused { problem: Refusal::Settings(_), .. } => ".settings",
        LoadError::Refused { problem: Refusal::Capability(_), .. } => ".grants",
        LoadError::Read { .. } | LoadError::Refused { .. } => ".path",
    };
    format!("rules.{id}{key}")
}

fn announce(rule: &Loaded) {
    let descriptor = rule.descriptor();
    let path = rule.config().path.display().to_string();
    events::Loaded { rule: &descriptor.id, version: &descriptor.version, digest: rule.digest(), path: &path }.emit();
    for warning in rule.warnings() {
        tracing::warn!(rule = descriptor.id, "{warning}");
    }
}

/// Ids of the enabled rules: the built-in ones in their order, then the others by name.
pub fn order(config: &Config) -> impl Iterator<Item = &str> {
    let others = config.rules.keys().map(String::as_str).filter(|id| !BUILT_IN.contains(id));
    BUILT_IN.into_iter().chain(others).filter(|id| config.rules.get(*id).is_some_and(|rule| rule.enabled))
}

/// What the host must know of one rule.
///
/// # Errors
/// A built-in component that is nowhere, with where it was looked for.
pub fn resolve(config: &Config, environment: &Environment, id: &str) -> Result<RuleConfig, Problem> {
    let unknown = || Problem::new(format!("rules.{id}"), "no such rule in the configuration");
    let rule = config.rules.get(id).ok_or_else(unknown)?;
    let path = if rule.path.is_empty() { find(config, environment, id)? } else { PathBuf::from(&rule.path) };
    let limits = tillwatch_host::Limits {
        fuel_per_visit: rule.limits.fuel_per_visit,
        memory_bytes_max: rule.limits.memory_bytes_max,
        output_bytes_max: rule.limits.output_bytes_max,
        actions_max: config.engine.actions_max,
        state_bytes_max: rule.limits.state_bytes_max,
        ..tillwatch_host::Limits::default()
    };
    let built_in = BUILT_IN.contains(&id) && rule.path.is_empty();
    let grants = (!built_in || !rule.grants.is_empty()).then(|| rule.grants.clone());
    Ok(RuleConfig { id: id.to_owned(), path, settings: settings(config, id, rule), limits, grants })
}

/// A rule's settings as JSON; `compensate` gets the windows of `correlate-payment` unless it has its own, and `incident` the planned maintenance.
#[must_use]
pub fn settings(config: &Config, id: &str, rule: &Rule) -> String {
    let mut settings = rule.settings.clone();
    if id == "compensate" && !settings.contains_key("windows") {
        let windows = config.rules.get("correlate-payment").map(|rule| rule.settings.clone()).unwrap_or_default();
        settings.insert("windows".to_owned(), toml::Value::Table(windows));
    }
    if id == "incident" && !config.maintenance.windows.is_empty() {
        // What is no moment has been found wrong by the check of the configuration.
        let moment = |text: &str| toml::Value::Integer(parse_rfc3339(text).unwrap_or(0));
        let windows = config.maintenance.windows.iter().map(|window| {
            let [scope, reason] = [&window.scope, &window.reason].map(|text| toml::Value::String(text.clone()));
            toml::Value::Array(vec![scope, moment(&window.from), moment(&window.until), reason])
        });
        settings.insert("maintenance".to_owned(), toml::Value::Array(windows.collect()));
    }
    serde_json::to_string(&settings).expect("invariant: settings read from TOML can be written as JSON")
}

/// Folders in which built-in components are looked for, best first.
#[must_use]
pub fn folders(config: &Config, environment: &Environment) -> Vec<PathBuf> {
    if let Some(folder) = environment.get(COMPONENTS).filter(|folder| !folder.is_empty()) {
        return vec![PathBuf::from(folder)];
    }
    if !config.components.path.is_empty() {
        return vec![PathBuf::from(&config.components.path)];
    }
    let binary = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    let beside = binary.parent().unwrap_or(Path::new("")).to_path_buf();
    vec![beside.join("components"), beside.join("../share/tillwatch/components")]
}

fn find(config: &Config, environment: &Environment, id: &str) -> Result<PathBuf, Problem> {
    let folders = folders(config, environment);
    let name = format!("{id}.wasm");
    folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file()).ok_or_else(|| {
        let tried: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let what = format!(
            "{name} is not in {}. Build it with `cargo xtask build`, or name its folder in {COMPONENTS}",
            tried.join(" or ")
        );
        Problem::new(format!("rules.{id}.path"), what)
    })
}

/// The cache of compiled components; without one, every start compiles.
fn open_cache(config: &Config) -> Option<Cache> {
    let folder =
        if config.components.cache.is_empty() { user_cache()? } else { PathBuf::from(&config.components.cache) };
    match Cache::open(&folder) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!("components are compiled at each start: {error}");
            None
        }
    }
}

/// `$XDG_CACHE_HOME/tillwatch`, or `~/.cache/tillwatch`.
fn user_cache() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache"));
    folder.or_else(home).map(|folder| folder.join("tillwatch"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaintenanceWindow;

    #[test]
    fn compensate_knows_the_windows_of_correlate_payment_unless_it_has_its_own() {
        let mut config = Config::default();
        let windows: toml::Table = "defaults = { print_ms = 9000 }".parse().expect("TOML");
        config.rules.get_mut("correlate-payment").expect("built in").settings = windows;
        let compensate = config.rules["compensate"].clone();
        assert_eq!(settings(&config, "compensate", &compensate), r#"{"windows":{"defaults":{"print_ms":9000}}}"#);
        let own = Rule { settings: "windows = {}".parse().expect("TOML"), ..Rule::default() };
        assert_eq!(settings(&config, "compensate", &own), r#"{"windows":{}}"#);
        assert_eq!(settings(&config, "diagnose-hardware", &own), r#"{"windows":{}}"#);
    }

    #[test]
    fn incident_knows_the_planned_maintenance() {
        let mut config = Config::default();
        let incident = config.rules["incident"].clone();
        assert_eq!(settings(&config, "incident", &incident), "{}");
        config.maintenance.windows = vec![MaintenanceWindow {
            scope: "site:S1".to_owned(),
            from: "1970-01-01T00:00:01Z".to_owned(),
            until: "1970-01-01T08:00:02+08:00".to_owned(),
            reason: "new switch".to_owned(),
        }];
        assert_eq!(settings(&config, "incident", &incident), r#"{"maintenance":[["site:S1",1000,2000,"new switch"]]}"#);
        assert_eq!(settings(&config, "diagnose-human", &incident), "{}");
    }

    #[test]
    fn built_in_rules_come_first_and_disabled_ones_not_at_all() {
        let mut config = Config::default();
        config.rules.insert("a-plug-in".to_owned(), Rule::default());
        for (id, rule) in &mut config.rules {
            rule.enabled = id != "compensate";
        }
        let built_in = BUILT_IN.into_iter().filter(|id| *id != "compensate");
        assert_eq!(order(&config).collect::<Vec<_>>(), built_in.chain(["a-plug-in"]).collect::<Vec<_>>());
    }

    #[test]
    fn a_missing_component_is_named_with_where_it_was_looked_for() {
        let environment = Environment::new([(COMPONENTS.to_owned(), "/nowhere".to_owned())]);
        let problem = resolve(&Config::default(), &environment, "compensate").expect_err("it is not there");
        assert_eq!(problem.key, "rules.compensate.path");
        assert!(problem.what.contains("compensate.wasm") && problem.what.contains("/nowhere"), "{problem}");
    }
}
