//! The built-in rules without WebAssembly, through the same codecs.

use tillwatch_compensate::Compensate;
use tillwatch_core::rules::{Answer, Batch, Descriptor, Rules, Stalled};
use tillwatch_correlate_payment::CorrelatePayment;
use tillwatch_diagnose_hardware::DiagnoseHardware;
use tillwatch_diagnose_human::DiagnoseHuman;
use tillwatch_diagnose_network::DiagnoseNetwork;
use tillwatch_diagnose_software::DiagnoseSoftware;
use tillwatch_incident::IncidentRule;
use tillwatch_sdk::{
    Rule,
    native::{Component, Native, Thorough},
};

use super::Setup;

/// The rules of a case.
pub struct NativeRules {
    descriptors: Vec<Descriptor>,
    rules: Vec<Box<dyn Component>>,
}

impl NativeRules {
    /// These rules, built in or not.
    #[must_use]
    pub fn of(rules: Vec<Box<dyn Component>>) -> Self {
        Self { descriptors: rules.iter().map(|rule| rule.describe()).collect(), rules }
    }

    /// The rules that the case wants, with its settings.
    ///
    /// # Panics
    /// Where one does not exist or does not take its settings.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self::of(setup.rules().iter().map(|rule| made(rule, &setup.settings(rule))).collect())
    }

    /// The same rules, which look at every event whatever they would ignore.
    ///
    /// # Panics
    /// As [`NativeRules::new`].
    #[must_use]
    pub fn thorough(setup: &Setup) -> Self {
        let thorough = |rule: &String| {
            make::<Looking>(rule, &setup.settings(rule)).unwrap_or_else(|error| panic!("{rule}: {error}"))
        };
        Self::of(setup.rules().iter().map(thorough).collect())
    }

    /// The built-in rules of these ids, with their default settings.
    ///
    /// # Panics
    /// Where one does not exist.
    #[must_use]
    pub fn built_in(ids: &[&str]) -> Self {
        Self::of(ids.iter().map(|id| made(id, "{}")).collect())
    }

    /// One built-in rule so often, each under a name of its own.
    ///
    /// # Panics
    /// Where it does not exist or does not take its settings.
    #[must_use]
    pub fn copies(id: &str, settings: &str, count: usize) -> Self {
        let mut rules = Self::of((0..count).map(|_| made(id, settings)).collect());
        for (copy, descriptor) in rules.descriptors.iter_mut().enumerate().skip(1) {
            descriptor.id = format!("{id}-{copy}");
        }
        rules
    }
}

fn made(rule: &str, settings: &str) -> Box<dyn Component> {
    make::<AsItIs>(rule, settings).unwrap_or_else(|error| panic!("{rule}: {error}"))
}

/// How a rule is run.
trait Manner {
    fn made<R: Rule + 'static>(settings: &str) -> Result<Box<dyn Component>, String>;
}

struct AsItIs;

impl Manner for AsItIs {
    fn made<R: Rule + 'static>(settings: &str) -> Result<Box<dyn Component>, String> {
        Ok(Box::new(Native::<R>::with_settings(settings)?))
    }
}

/// At every event.
struct Looking;

impl Manner for Looking {
    fn made<R: Rule + 'static>(settings: &str) -> Result<Box<dyn Component>, String> {
        Ok(Box::new(Native::<Thorough<R>>::with_settings(settings)?))
    }
}

fn make<M: Manner>(rule: &str, settings: &str) -> Result<Box<dyn Component>, String> {
    match rule {
        "correlate-payment" => M::made::<CorrelatePayment>(settings),
        "compensate" => M::made::<Compensate>(settings),
        "diagnose-network" => M::made::<DiagnoseNetwork>(settings),
        "diagnose-hardware" => M::made::<DiagnoseHardware>(settings),
        "diagnose-software" => M::made::<DiagnoseSoftware>(settings),
        "diagnose-human" => M::made::<DiagnoseHuman>(settings),
        "incident" => M::made::<IncidentRule>(settings),
        _ => Err("no such rule is built in".to_owned()),
    }
}

impl Rules for NativeRules {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn process(&mut self, rule: usize, batch: &Batch, answer: &mut Answer) -> Result<(), Stalled> {
        self.rules[rule].process(batch, &mut answer.verdicts);
        Ok(())
    }

    fn migrate(&mut self, rule: usize, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        self.rules[rule].migrate(version, state)
    }
}
