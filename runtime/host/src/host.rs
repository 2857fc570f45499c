//! The rules of one worker: one instance of each, and the rule that only a visit of its own in a fresh instance is ever blamed.
//!
//! Owns retries, replacement and recycling of instances. A call with many visits may fault for reasons that lie between them: their
//! number, or what an instance has piled up. So its fault counts for nothing: each visit is made again alone, in a fresh instance, with
//! the whole allowance, and that is the verdict. A call that answers has spent at most half the allowance, so that a visit which passes
//! there passes alone too, where it pays for a cold start: verdicts do not depend on how visits were cut into calls.

use std::sync::Arc;

use tillwatch_core::rules::{Answer, Batch, Change, Descriptor, Fault, RuleIndex, Rules, Stalled, Verdict, Wake};

use crate::check::{self, fault};
use crate::convert;
use crate::counters::Counters;
use crate::instance::{Failure, Instance, output_max};
use crate::limits::Limits;
use crate::lists::Verdicts;
use crate::load::{LoadError, Loaded, configured, refused};

/// Part of a visit's fuel that a call in a used instance gets.
const CALL_FUEL_DIVISOR: u64 = 2;

/// A call that the host could not answer in wall-clock time and makes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The rule's id.
    pub rule: String,
    /// 1 for the first.
    pub attempt: u32,
    /// What happened.
    pub reason: String,
}

/// Called at each stall, before the call is made again.
type StallHook = Box<dyn Fn(&Stall) + Send>;

/// Rules of one worker thread.
pub struct Host {
    rules: Vec<Runner>,
    descriptors: Vec<Descriptor>,
    counters: Vec<Counters>,
    on_stall: Option<StallHook>,
    single: Batch,
}

struct Runner {
    loaded: Arc<Loaded>,
    /// None after a fault, until the next call.
    instance: Option<Instance>,
}

/// Which instance a call may run in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// The one at hand, with part of the fuel.
    Used,
    /// A fresh one, with all of it.
    Fresh,
}

impl Host {
    /// Instantiates and configures the rules; their order is the order in which an event visits them.
    ///
    /// # Errors
    /// As at load; only where something has changed since.
    pub fn new(rules: &[Arc<Loaded>]) -> Result<Self, LoadError> {
        let runners = rules.iter().map(|loaded| {
            let config = loaded.config();
            let instance = configured(&loaded.component, config).map_err(|problem| refused(config, problem))?;
            Ok(Runner { loaded: Arc::clone(loaded), instance: Some(instance) })
        });
        Ok(Self {
            rules: runners.collect::<Result<_, _>>()?,
            descriptors: rules.iter().map(|loaded| loaded.descriptor().clone()).collect(),
            counters: vec![Counters::default(); rules.len()],
            on_stall: None,
            single: Batch::default(),
        })
    }

    /// One for each rule, in their order.
    #[must_use]
    pub fn counters(&self) -> &[Counters] {
        &self.counters
    }

    /// Has stalls told to whoever alerts.
    pub fn on_stall(&mut self, hook: Box<dyn Fn(&Stall) + Send>) {
        self.on_stall = Some(hook);
    }

    /// One call, made again in a fresh instance as often as allowed while the backstop fires.
    fn call<T>(
        &mut self,
        rule: RuleIndex,
        run: Run,
        call: impl Fn(&mut Instance, u64, &Limits) -> Result<T, Failure>,
    ) -> Result<Result<T, Fault>, Stalled> {
        let runner = &mut self.rules[rule];
        let counters = &mut self.counters[rule];
        let limits = &runner.loaded.config().limits;
        let fuel = match run {
            Run::Used => limits.fuel_per_visit / CALL_FUEL_DIVISOR,
            Run::Fresh => limits.fuel_per_visit,
        };
        for attempt in 1..=limits.stall_retries.saturating_add(1) {
            let at_hand = if run == Run::Used && attempt == 1 { runner.instance.take() } else { None };
            let answer = at_hand.map_or_else(|| fresh(&runner.loaded), Ok).and_then(|mut instance| {
                let answer = call(&mut instance, fuel, limits)?;
                Ok((instance, answer))
            });
            match answer {
                Ok((instance, answer)) => {
                    counters.fuel += fuel - instance.fuel_left();
                    if instance.is_overgrown(limits) {
                        counters.recycled += 1;
                    } else {
                        runner.instance = Some(instance);
                    }
                    return Ok(Ok(answer));
                }
                Err(Failure::Fault(fault)) => return Ok(Err(fault)),
                Err(Failure::Stalled(reason)) => {
                    counters.stalls += 1;
                    if let Some(hook) = &self.on_stall {
                        hook(&Stall { rule: runner.loaded.descriptor().id.clone(), attempt, reason });
                    }
                }
            }
        }
        Err(Stalled { rule: runner.loaded.descriptor().id.clone() })
    }

    fn process_batch(&mut self, rule: RuleIndex, run: Run, batch: &Batch) -> Result<Result<Verdicts, Fault>, Stalled> {
        self.call(rule, run, |instance, fuel, limits| {
            let answer = instance.process(fuel, limits, batch)?;
            match check::shape(&answer, batch.visits.len()) {
                Ok(()) => Ok(answer),
                Err(problem) => Err(Failure::Fault(fault("bad-output", &problem))),
            }
        })
    }

    /// Takes an answer of the right shape into `answer`, visit by visit, the first of them being `first`. False, and nothing taken, where
    /// it is larger than one call may answer.
    fn settle(&mut self, rule: RuleIndex, given: Verdicts, first: u32, answer: &mut Answer) -> bool {
        let loaded = &self.rules[rule].loaded;
        let limits = &loaded.config().limits;
        let counters = &mut self.counters[rule];
        if answer.verdicts.verdicts.is_empty() && check::is_plain(&given, limits) {
            answer.verdicts.verdicts = given.verdicts.0;
            answer.verdicts.states = given.states;
            return true;
        }
        let mut states = given.states;
        let mut bytes = states.len();
        let (verdicts_before, actions_before) = (answer.verdicts.verdicts.len(), answer.verdicts.actions.len());
        let faults_before = answer.faults.len();
        let mut state_at = 0;
        let mut actions = given.actions.into_iter().peekable();
        for (visit, Verdict { state, wake }) in (0_u32..).zip(given.verdicts.0) {
            let actions_from = answer.verdicts.actions.len();
            // Looked at where it lies: most visits have none, and an action is large.
            while actions.peek().is_some_and(|(of, _)| *of == visit)
                && let Some((_, action)) = actions.next()
            {
                let action = convert::action(action);
                bytes += check::action_bytes(&action);
                answer.verdicts.actions.push((first + visit, action));
            }
            let state_bytes = if let Change::Put(put) = state { put as usize } else { 0 };
            let checked = match &state {
                Change::Fail(reason) => {
                    bytes += reason.len();
                    Err(fault("rule-failed", reason))
                }
                _ => check::state(state_bytes, limits),
            };
            let visit_actions = &answer.verdicts.actions[actions_from..];
            match checked.and_then(|()| check::actions(visit_actions, limits, &loaded.capabilities)) {
                Ok(()) => {
                    state_at += state_bytes;
                    answer.verdicts.verdicts.push(Verdict { state, wake });
                }
                Err(fault) => {
                    states.drain(state_at..state_at + state_bytes);
                    answer.verdicts.actions.truncate(actions_from);
                    answer.verdicts.verdicts.push(NOTHING);
                    answer.faults.push((first + visit, fault));
                }
            }
        }
        if bytes > limits.output_bytes_max {
            answer.verdicts.verdicts.truncate(verdicts_before);
            answer.verdicts.actions.truncate(actions_before);
            answer.faults.truncate(faults_before);
            return false;
        }
        for (_, fault) in &answer.faults[faults_before..] {
            counters.count_fault(fault.code);
        }
        if answer.verdicts.states.is_empty() {
            answer.verdicts.states = states;
        } else {
            answer.verdicts.states.extend_from_slice(&states);
        }
        true
    }

    /// The visits of a batch that faulted, each alone in a fresh instance.
    fn process_singly(&mut self, rule: RuleIndex, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        self.counters[rule].reruns += 1;
        let pieces = 2 + self.descriptors[rule].fields.len();
        let mut single = std::mem::take(&mut self.single);
        let result = (0_u32..).zip(&batch.visits).try_for_each(|(visit, content)| {
            single.reset();
            single.visits.push(*content);
            for piece in 0..pieces {
                single.push_piece(batch.piece(visit as usize, pieces, piece));
            }
            let found = match self.process_batch(rule, Run::Fresh, &single)? {
                Ok(given) => {
                    if self.settle(rule, given, visit, answer) {
                        return Ok(());
                    }
                    fault("output-max", &output_max(&self.rules[rule].loaded.config().limits))
                }
                Err(found) => found,
            };
            self.counters[rule].count_fault(found.code);
            answer.verdicts.verdicts.push(NOTHING);
            answer.faults.push((visit, found));
            Ok(())
        });
        self.single = single;
        result
    }
}

/// The verdict of a visit that faulted.
const NOTHING: Verdict = Verdict { state: Change::Keep, wake: Wake::Keep };

impl Rules for Host {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn process(&mut self, rule: RuleIndex, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        if batch.visits.is_empty() {
            return Ok(());
        }
        let counters = &mut self.counters[rule];
        counters.calls += 1;
        counters.visits += batch.visits.len() as u64;
        if let Ok(given) = self.process_batch(rule, Run::Used, batch)?
            && self.settle(rule, given, 0, answer)
        {
            return Ok(());
        }
        self.process_singly(rule, batch, answer)
    }

    fn migrate(&mut self, rule: RuleIndex, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        let migrate = |instance: &mut Instance, fuel, limits: &Limits| {
            let migrated = instance.migrate(fuel, limits, version, state)?;
            if let Ok(state) = &migrated {
                check::state(state.len(), limits).map_err(Failure::Fault)?;
            }
            Ok(migrated)
        };
        let stalled = |stalled: Stalled| format!("rule {} gave no answer in wall-clock time; retry", stalled.rule);
        if let Ok(migrated) = self.call(rule, Run::Used, migrate).map_err(stalled)? {
            return migrated;
        }
        let migrated = self.call(rule, Run::Fresh, migrate).map_err(stalled)?;
        migrated.unwrap_or_else(|fault| Err(format!("{}: {}", fault.code, fault.reason)))
    }
}

/// A fresh instance. It could be made at load with the same bytes and settings, so where it cannot be made it is the machine's fault.
fn fresh(loaded: &Loaded) -> Result<Instance, Failure> {
    let config = loaded.config();
    match Instance::configured(&loaded.component, &config.limits, &config.settings) {
        Ok(Ok(instance)) => Ok(instance),
        Ok(Err(message)) => Err(Failure::Stalled(format!("no instance can be configured: {message}"))),
        Err(failure) => Err(Failure::Stalled(format!("no instance can be made: {}", failure.reason()))),
    }
}
