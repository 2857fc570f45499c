//! The cases of `tests/cases`: a folder each, and whatever runs them.
//!
//! Owns their format, the comparison with what is written there, and the trait of an engine under test. Owns no expectation. A case is
//! `in.jsonl` (what `replay` reads), `expect` (by hand: one short line an output, see [`brief`]), `out.jsonl` (what `replay` writes; written
//! by `TILLWATCH_BLESS=1`), `README` (the sentence that it is about) and perhaps `settings.json` ([`Setup`]). A new folder is a new case.

pub mod brief;
pub mod components;
pub mod logged;
pub mod native;
pub mod run;

use std::{
    collections::BTreeMap,
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde::Deserialize;
use serde_json::Value;
use tillwatch_core::Instant;

pub use components::Components;
pub use run::{InProcess, Way};

/// The built-in rules of the first stage, in their order.
pub const BUILT_IN: [&str; 6] =
    ["correlate-payment", "compensate", "diagnose-network", "diagnose-hardware", "diagnose-software", "diagnose-human"];

/// `settings.json` of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// The rules that run, in order; all built-in ones by default.
    pub rules: Option<Vec<String>>,
    /// Settings by rule; `compensate` knows the windows of `correlate-payment`.
    pub settings: BTreeMap<String, Value>,
    /// Time ends so long after the first event's time, ms; without it, time runs on for an hour after the last record.
    pub until_ms: Option<i64>,
    /// The input is evidence, and the second stage reads it.
    pub second: bool,
    /// Sources whose silence is blindness: prefix and bound, ms.
    pub silent_sources: BTreeMap<String, u32>,
}

impl Setup {
    /// Ids of the rules that run.
    #[must_use]
    pub fn rules(&self) -> Vec<String> {
        let built_in = if self.second { &["incident"][..] } else { &BUILT_IN };
        self.rules.clone().unwrap_or_else(|| built_in.iter().map(|id| (*id).to_owned()).collect())
    }

    /// A rule's settings as JSON.
    #[must_use]
    pub fn settings(&self, rule: &str) -> String {
        let mut settings = self.settings.get(rule).cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if rule == "compensate"
            && let Some(windows) = self.settings.get("correlate-payment")
            && settings.get("windows").is_none()
        {
            settings["windows"] = windows.clone();
        }
        settings.to_string()
    }
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its folder's name.
    pub name: String,
    folder: PathBuf,
    /// The lines of its input.
    pub input: Vec<Vec<u8>>,
    /// How it is run.
    pub setup: Setup,
    expect: Vec<String>,
    golden: Option<Vec<String>>,
}

impl Case {
    /// Every case of the folder, by name.
    ///
    /// # Panics
    /// Where a case is not complete: it would not be one.
    #[must_use]
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut folders: Vec<PathBuf> =
            entries.map(|entry| entry.expect("a folder can be listed").path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders.iter().map(|folder| Self::read(folder)).collect()
    }

    fn read(folder: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let needed = |name: &str| text(name).unwrap_or_else(|| panic!("{}: no {name}", folder.display()));
        assert!(!needed("README").trim().is_empty(), "{}: README is empty", folder.display());
        let lines = |text: String| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let setup = text("settings.json").map_or_else(Setup::default, |text| {
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}/settings.json: {error}", folder.display()))
        });
        let input = fs::read(folder.join("in.jsonl")).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self {
            name: folder.file_name().expect("a folder has a name").to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            input: input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect(),
            setup,
            expect: lines(needed("expect")).into_iter().filter(|line| !line.trim().is_empty()).collect(),
            golden: text("out.jsonl").map(lines),
        }
    }

    /// The moment that `expect` counts from: the first `time` in the input.
    #[must_use]
    pub fn start(&self) -> Instant {
        let time = |line: &Vec<u8>| {
            let line: Value = serde_json::from_slice(line).ok()?;
            brief::instant(line.get("time")?.as_str()?)
        };
        self.input.iter().find_map(time).unwrap_or_else(|| panic!("{}: no event has a time", self.name))
    }

    /// What is wrong with outputs in commit order: against `expect`, then against the golden file, which `bless` writes.
    #[must_use]
    pub fn judge(&self, out: &[String], bless: bool) -> Option<String> {
        let shorts: Vec<String> = out.iter().map(|line| brief::line(line, self.start())).collect();
        let wrong = self.expect.len() != shorts.len()
            || self.expect.iter().zip(&shorts).any(|(wanted, got)| !brief::fits(wanted, got));
        if wrong {
            let (wanted, got) = (self.expect.join("\n  "), shorts.join("\n  "));
            return Some(format!("{}: expected\n  {wanted}\nbut came\n  {got}", self.name));
        }
        if bless {
            let text: String = out.iter().map(|line| format!("{line}\n")).collect();
            fs::write(self.folder.join("out.jsonl"), text).expect("the golden file can be written");
            return None;
        }
        match &self.golden {
            None => Some(format!("{}: no out.jsonl; write it with TILLWATCH_BLESS=1 and read it", self.name)),
            Some(golden) => differs(golden, out).map(|what| format!("{}: {what}", self.name)),
        }
    }

    /// What is wrong with outputs of which only the order by key is certain, and where a dead letter's record lay is not.
    ///
    /// # Panics
    /// Where there is no golden file, or a line of it is no output.
    #[must_use]
    pub fn judge_by_key(&self, out: &[String]) -> Option<String> {
        let golden = self.golden.as_ref().unwrap_or_else(|| panic!("{}: no out.jsonl", self.name));
        let (wanted, got) = (by_key(golden), by_key(out));
        let keys: std::collections::BTreeSet<&String> = wanted.keys().chain(got.keys()).collect();
        let none = Vec::new();
        keys.into_iter().find_map(|key| {
            let what = differs(wanted.get(key).unwrap_or(&none), got.get(key).unwrap_or(&none))?;
            Some(format!("{}: key {key}: {what}", self.name))
        })
    }
}

fn differs(wanted: &[String], got: &[String]) -> Option<String> {
    let none = "nothing".to_owned();
    (0..wanted.len().max(got.len())).find_map(|index| {
        let (wanted, got) = (wanted.get(index).unwrap_or(&none), got.get(index).unwrap_or(&none));
        (wanted != got).then(|| format!("output {}\n  is  {got}\n  not {wanted}", index + 1))
    })
}

fn by_key(lines: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let mut line: Value = serde_json::from_str(line).expect("an output is JSON");
        if line["type"] == "pos.dead-letter" {
            line["id"] = Value::Null;
            line["data"]["partition"] = Value::Null;
            line["data"]["offset"] = Value::Null;
        }
        let key = line["partitionkey"].as_str().unwrap_or_default().to_owned();
        // What every partition says of itself is compared for the first.
        if key.starts_with("partition:") && !key.ends_with("/0") {
            continue;
        }
        keys.entry(key).or_default().push(line.to_string());
    }
    keys
}

/// Something that runs a case: the core with native rules, with components, behind a log.
pub trait Engine {
    /// For messages.
    fn name(&self) -> String;

    /// Whether the outputs are those of one partition in commit order, or only those of each key are.
    fn ordered(&self) -> bool;

    /// What a deployment would have written for the case, as `replay` writes it; none where the engine cannot run it.
    fn run(&mut self, case: &Case) -> Vec<String>;
}

/// Runs every case and says everything that is wrong.
///
/// # Panics
/// Where something is wrong, or there are no cases.
pub fn check(cases: &[Case], engine: &mut dyn Engine, bless: bool) {
    assert!(!cases.is_empty(), "there are no cases");
    let wrong = wrong(cases, engine, bless);
    assert!(wrong.is_empty(), "{}: {} cases fail\n{}", engine.name(), wrong.len(), wrong.join("\n\n"));
}

/// Runs every case on engines in threads of their own, as many as `make` is asked for, and says everything that is wrong.
///
/// # Panics
/// Where something is wrong, or there are no cases.
pub fn check_abreast<E: Engine>(cases: &[Case], engines: usize, make: impl Fn() -> E + Sync) {
    assert!(!cases.is_empty(), "there are no cases");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut engine = make();
        let mut found = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            found.extend(wrong(std::slice::from_ref(case), &mut engine, false));
        }
        (engine.name(), found)
    };
    let (names, wrong): (Vec<String>, Vec<Vec<String>>) = thread::scope(|scope| {
        let threads: Vec<_> = (0..engines).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).unzip()
    });
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "{}: {} cases fail\n{}", names[0], wrong.len(), wrong.join("\n\n"));
}

fn wrong(cases: &[Case], engine: &mut dyn Engine, bless: bool) -> Vec<String> {
    let judge = |case: &Case| {
        let out = engine.run(case);
        if engine.ordered() { case.judge(&out, bless) } else { case.judge_by_key(&out) }
    };
    cases.iter().filter_map(judge).collect()
}
