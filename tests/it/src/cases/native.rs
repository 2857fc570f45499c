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
        Self::of(setup.rules().iter().map(|rule| made(rule, &setup.settings(rule), false)).collect())
    }

    /// The same rules, which look at every event whatever they would ignore.
    ///
    /// # Panics
    /// As [`NativeRules::new`].
    #[must_use]
    pub fn thorough(setup: &Setup) -> Self {
        Self::of(setup.rules().iter().map(|rule| made(rule, &setup.settings(rule), true)).collect())
    }

    /// The built-in rules of these ids, with their default settings.
    ///
    /// # Panics
    /// Where one does not exist.
    #[must_use]
    pub fn built_in(ids: &[&str]) -> Self {
        Self::of(ids.iter().map(|id| made(id, "{}", false)).collect())
    }

    /// One built-in rule so often, each under a name of its own.
    ///
    /// # Panics
    /// Where it does not exist or does not take its settings.
    #[must_use]
    pub fn copies(id: &str, settings: &str, count: usize) -> Self {
        let mut rules = Self::of((0..count).map(|_| made(id, settings, false)).collect());
        for (copy, descriptor) in rules.descriptors.iter_mut().enumerate().skip(1) {
            descriptor.id = format!("{id}-{copy}");
        }
        rules
    }
}

/// `thorough`: it looks at what it would ignore.
fn made(rule: &str, settings: &str, thorough: bool) -> Box<dyn Component> {
    make(rule, settings, thorough).unwrap_or_else(|error| panic!("{rule}: {error}"))
}

fn native<R: Rule + 'static>(settings: &str, thorough: bool) -> Result<Box<dyn Component>, String> {
    Ok(if thorough {
        Box::new(Native::<Thorough<R>>::with_settings(settings)?)
    } else {
        Box::new(Native::<R>::with_settings(settings)?)
    })
}

fn make(rule: &str, settings: &str, thorough: bool) -> Result<Box<dyn Component>, String> {
    match rule {
        "correlate-payment" => native::<CorrelatePayment>(settings, thorough),
        "compensate" => native::<Compensate>(settings, thorough),
        "diagnose-network" => native::<DiagnoseNetwork>(settings, thorough),
        "diagnose-hardware" => native::<DiagnoseHardware>(settings, thorough),
        "diagnose-software" => native::<DiagnoseSoftware>(settings, thorough),
        "diagnose-human" => native::<DiagnoseHuman>(settings, thorough),
        "incident" => native::<IncidentRule>(settings, thorough),
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
