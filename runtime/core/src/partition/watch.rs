//! Watching the watching: blindness of the feed and the commands held meanwhile, clocks that are off, rules that fault too often. All of it
//! is state, decided by what is in the log alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use tillwatch_wit::contract::Instant;

use crate::{limits::Limits, log::Blind, output::Output};

/// A source that normally speaks; its silence is blindness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentSource {
    /// What its CloudEvents `source` begins with.
    pub prefix: String,
    /// How long it may be silent, ms.
    pub silent_ms: u32,
}

/// One watched source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard {
    pub(super) last: Option<Instant>,
    pub(super) blind: bool,
}

/// A rule's faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Faults {
    recent: VecDeque<Instant>,
    /// In quarantine until then.
    pub(super) until: Option<Instant>,
    /// Visits left out meanwhile.
    pub(super) skipped: u64,
}

/// What is small enough to be written as one changelog record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    /// Blind by the log's own word: the reason's code.
    pub(super) log: Option<String>,
    pub(super) heard: BTreeMap<String, Heard>,
    pub(super) faults: BTreeMap<String, Faults>,
    /// How often each of the engine's own findings was raised, by its id.
    generations: BTreeMap<String, u32>,
    next_held: u64,
}

impl Sight {
    /// Every instant in it.
    pub(super) fn instants(&self) -> impl Iterator<Item = Instant> + '_ {
        let faults = self.faults.values().flat_map(|faults| faults.recent.iter().copied().chain(faults.until));
        self.heard.values().filter_map(|heard| heard.last).chain(faults)
    }

    /// Everything in it that counts up.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        let skipped = self.faults.values().map(|faults| faults.skipped);
        skipped.chain(self.generations.values().copied().map(u64::from)).chain([self.next_held])
    }
}

/// A terminal's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Clock {
    first_delay: i64,
    since: Instant,
    samples: u32,
    pub(super) raised: bool,
}

impl Clock {
    /// Every instant in it, and what instants are compared with.
    pub(super) fn instants(&self) -> [Instant; 2] {
        [self.first_delay, self.since]
    }
}

/// What a sample of a clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skew {
    Unchanged,
    Raise,
    Clear,
}

/// The whole watch.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) sight: Sight,
    pub(super) sight_changed: bool,
    sources: Vec<SilentSource>,
    clocks: BTreeMap<String, Clock>,
    clocks_changed: BTreeSet<String>,
    held: BTreeMap<u64, Output>,
    held_changed: BTreeSet<u64>,
    pub(super) held_dropped: u64,
}

/// How long a slow clock must be seen before it is told from a backlog, ms of watermark.
const SLOW_CLOCK_MS: i64 = 60_000;
/// How far two delays may differ and still be one slow clock, ms.
const SAME_DELAY_MS: i64 = 5_000;

impl Watch {
    pub(super) fn new(sources: &[SilentSource]) -> Self {
        Self { sources: sources.to_vec(), ..Self::default() }
    }

    pub(super) fn blind(&self) -> bool {
        self.sight.log.is_some() || self.sight.heard.values().any(|heard| heard.blind)
    }

    /// Takes in a change of sight; gives whether anything changed.
    pub(super) fn log_sight(&mut self, blind: Blind) -> bool {
        let log = match blind {
            Blind::Broker => Some("broker"),
            Blind::Lag => Some("lag"),
            Blind::Over | Blind::Input(_) | Blind::Inputs => None,
        };
        if self.sight.log.is_some() == log.is_some() {
            return false;
        }
        self.sight.log = log.map(str::to_owned);
        self.sight_changed = true;
        true
    }

    /// In the second stage: whether time goes on without a partition of the first. The empty name is no source's.
    pub(super) fn leave_out(&mut self, left_out: bool) {
        self.sight.heard.entry(String::new()).or_default().blind = left_out;
        self.sight_changed = true;
    }

    /// A watched source spoke; gives the prefix of one that was silent for too long.
    pub(super) fn hear(&mut self, source: &str, at: Instant) -> Option<String> {
        for watched in &self.sources {
            if source.starts_with(&watched.prefix) {
                let heard = self.sight.heard.entry(watched.prefix.clone()).or_default();
                self.sight_changed = true;
                heard.last = Some(at);
                return std::mem::take(&mut heard.blind).then(|| watched.prefix.clone());
            }
        }
        None
    }

    /// Whether `hear` would end a silence.
    pub(super) fn breaks_silence(&self, source: &str) -> bool {
        self.sources
            .iter()
            .find(|watched| source.starts_with(&watched.prefix))
            .and_then(|watched| self.sight.heard.get(&watched.prefix))
            .is_some_and(|heard| heard.blind)
    }

    /// The first source that falls silent before `before`: (deadline, prefix).
    pub(super) fn first_silent(&self, before: Instant) -> Option<(Instant, String)> {
        self.sources
            .iter()
            .filter_map(|watched| {
                let heard = self.sight.heard.get(&watched.prefix)?;
                let deadline = heard.last? + i64::from(watched.silent_ms);
                (!heard.blind && deadline < before).then(|| (deadline, watched.prefix.clone()))
            })
            .min()
    }

    pub(super) fn fall_silent(&mut self, prefix: &str) {
        if let Some(heard) = self.sight.heard.get_mut(prefix) {
            heard.blind = true;
            self.sight_changed = true;
        }
    }

    /// A sample of a terminal's own clock; `delay` is ingest time less its time.
    pub(super) fn sample(&mut self, terminal: &str, delay: i64, at: Instant, limits: &Limits) -> Skew {
        let bound = i64::from(limits.skew_ms_max);
        if delay.abs() <= bound {
            let Some(clock) = self.clocks.remove(terminal) else { return Skew::Unchanged };
            self.clocks_changed.insert(terminal.to_owned());
            return if clock.raised { Skew::Clear } else { Skew::Unchanged };
        }
        self.clocks_changed.insert(terminal.to_owned());
        let fresh = Clock { first_delay: delay, since: at, samples: 0, raised: false };
        let clock = self.clocks.entry(terminal.to_owned()).or_insert_with(|| fresh.clone());
        if !clock.raised && (delay - clock.first_delay).abs() > SAME_DELAY_MS {
            *clock = fresh;
        }
        clock.samples = clock.samples.saturating_add(1);
        // Only a wrong clock can send from the future; the past may also be a backlog, whose delays shrink as it is uploaded.
        let sure = delay < 0 || (clock.samples >= limits.skew_samples && at - clock.since >= SLOW_CLOCK_MS);
        if clock.raised || !sure {
            return Skew::Unchanged;
        }
        clock.raised = true;
        Skew::Raise
    }

    /// Whether [`Watch::suspicious`] may be true of any terminal, at the price of no look at its name.
    #[inline]
    pub(super) fn may_suspect(&self, delay: i64, limits: &Limits) -> bool {
        delay.abs() > i64::from(limits.skew_ms_max) || !self.clocks.is_empty()
    }

    /// Whether any source is watched.
    pub(super) fn listens(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Whether the next sample may raise or clear something.
    pub(super) fn suspicious(&self, terminal: &str, delay: i64, limits: &Limits) -> bool {
        delay.abs() > i64::from(limits.skew_ms_max) || self.clocks.contains_key(terminal)
    }

    pub(super) fn quarantined(&self, rule: &str, at: Instant) -> Option<Instant> {
        if self.sight.faults.is_empty() {
            return None;
        }
        self.sight.faults.get(rule)?.until.filter(|until| at < *until)
    }

    pub(super) fn skip(&mut self, rule: &str) {
        if let Some(faults) = self.sight.faults.get_mut(rule) {
            faults.skipped += 1;
            self.sight_changed = true;
        }
    }

    /// Counts a fault; gives the end of the quarantine where it begins.
    pub(super) fn fault(&mut self, rule: &str, at: Instant, limits: &Limits) -> Option<Instant> {
        let faults = self.sight.faults.entry(rule.to_owned()).or_default();
        self.sight_changed = true;
        if faults.until.is_some() {
            return None;
        }
        faults.recent.push_back(at);
        while faults.recent.front().is_some_and(|first| at - first > i64::from(limits.faults_window_ms)) {
            faults.recent.pop_front();
        }
        if faults.recent.len() < limits.faults_max as usize {
            return None;
        }
        faults.recent.clear();
        faults.skipped = 0;
        faults.until = Some(at + i64::from(limits.quarantine_ms));
        faults.until
    }

    /// The first quarantine that ends before `before`: (end, rule).
    pub(super) fn first_release(&self, before: Instant) -> Option<(Instant, String)> {
        self.sight
            .faults
            .iter()
            .filter_map(|(rule, faults)| Some((faults.until.filter(|until| *until < before)?, rule.clone())))
            .min()
    }

    /// Ends a quarantine; gives how many visits were left out.
    pub(super) fn release(&mut self, rule: &str) -> u64 {
        self.sight_changed = true;
        self.sight.faults.remove(rule).map_or(0, |faults| faults.skipped)
    }

    pub(super) fn generation(&mut self, finding: &str) -> u32 {
        self.sight_changed = true;
        let generation = self.sight.generations.entry(finding.to_owned()).or_insert(0);
        *generation += 1;
        *generation
    }

    /// Holds a command back; past the limit the oldest gives way.
    pub(super) fn hold(&mut self, output: Output, limits: &Limits) {
        let number = self.sight.next_held;
        self.sight.next_held += 1;
        self.sight_changed = true;
        self.held.insert(number, output);
        self.held_changed.insert(number);
        if self.held.len() > limits.held_commands_max
            && let Some((oldest, _)) = self.held.pop_first()
        {
            self.held_changed.insert(oldest);
            self.held_dropped += 1;
        }
    }

    /// Takes a held command away; gives whether there was one.
    pub(super) fn unhold(&mut self, wanted: impl Fn(&Output) -> bool) -> bool {
        let Some(number) = self.held.iter().find(|(_, output)| wanted(output)).map(|(number, _)| *number) else {
            return false;
        };
        self.held.remove(&number);
        self.held_changed.insert(number);
        true
    }

    /// All that was held, in order.
    pub(super) fn take_held(&mut self) -> Vec<Output> {
        self.held_changed.extend(self.held.keys());
        std::mem::take(&mut self.held).into_values().collect()
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn load_clock(&mut self, terminal: &str, clock: Option<Clock>) {
        match clock {
            Some(clock) => self.clocks.insert(terminal.to_owned(), clock),
            None => self.clocks.remove(terminal),
        };
    }

    pub(super) fn load_held(&mut self, number: u64, output: Option<Output>) {
        match output {
            Some(output) => self.held.insert(number, output),
            None => self.held.remove(&number),
        };
    }

    pub(super) fn has_changes(&self) -> bool {
        self.sight_changed || !self.clocks_changed.is_empty() || !self.held_changed.is_empty()
    }

    pub(super) fn drain_clocks(&mut self, each: &mut dyn FnMut(&str, Option<&Clock>)) {
        for terminal in std::mem::take(&mut self.clocks_changed) {
            each(&terminal, self.clocks.get(&terminal));
        }
    }

    pub(super) fn drain_held(&mut self, each: &mut dyn FnMut(u64, Option<&Output>)) {
        for number in std::mem::take(&mut self.held_changed) {
            each(number, self.held.get(&number));
        }
    }

    pub(super) fn all(&self) -> (impl Iterator<Item = (&String, &Clock)>, impl Iterator<Item = (&u64, &Output)>) {
        (self.clocks.iter(), self.held.iter())
    }
}
