//! A rule run natively, through the same codecs of pieces, state and settings as in WebAssembly: for tests, tools and measurements.

mod data;
mod key;
mod said;
mod thorough;

pub use data::data;
pub use key::Key;
pub use said::said;
pub use thorough::Thorough;

use tillwatch_wit::contract::{Batch, Descriptor, Instant, Trigger, Verdicts, Visit};

use crate::{Rule, describe, make, run};

/// A visit in time, for batches made by hand.
#[must_use]
pub fn visit(at: Instant, trigger: Trigger) -> Visit {
    Visit { at, time: at, late: false, trigger }
}

/// The four functions of the rule's world, without WebAssembly.
pub trait Component {
    /// What the rule is.
    fn describe(&self) -> Descriptor;

    /// Takes JSON settings.
    ///
    /// # Errors
    /// What is wrong with them, for a person; the settings before stay.
    fn configure(&mut self, settings: &str) -> Result<(), String>;

    /// Visits every key of the batch; `verdicts` is reset first.
    fn process(&mut self, batch: &Batch, verdicts: &mut Verdicts);

    /// Turns state of format `version` into today's.
    ///
    /// # Errors
    /// Why it cannot.
    fn migrate(&mut self, version: u32, state: &[u8]) -> Result<Vec<u8>, String>;
}

/// A rule as a [`Component`].
#[derive(Debug)]
pub struct Native<R>(R);

impl<R: Rule> Native<R> {
    /// With the default settings.
    ///
    /// # Errors
    /// The rule's own message where it has no usable defaults.
    pub fn new() -> Result<Self, String> {
        make("").map(Self)
    }

    /// With JSON settings.
    ///
    /// # Errors
    /// As [`Component::configure`].
    pub fn with_settings(settings: &str) -> Result<Self, String> {
        make(settings).map(Self)
    }
}

impl<R: Rule> Component for Native<R> {
    fn describe(&self) -> Descriptor {
        describe::<R>()
    }

    fn configure(&mut self, settings: &str) -> Result<(), String> {
        self.0 = make(settings)?;
        Ok(())
    }

    fn process(&mut self, batch: &Batch, verdicts: &mut Verdicts) {
        verdicts.reset();
        let Verdicts { verdicts, states, actions } = verdicts;
        verdicts.extend(run(&self.0, batch.visits.iter().copied(), &batch.ends, &batch.bytes, states, actions));
    }

    fn migrate(&mut self, version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        R::migrate(version, state)
    }
}
