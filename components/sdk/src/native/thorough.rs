//! A rule that looks at every event, whatever it would ignore: what comes out must be the same.

use tillwatch_wit::{contract::Scope, table::FieldId};

use crate::{Out, Rule, Visit};

/// A rule without its [`Rule::ignores`].
#[derive(Debug)]
pub struct Thorough<R>(R);

impl<R: Rule> Rule for Thorough<R> {
    const ID: &'static str = R::ID;
    const VERSION: &'static str = R::VERSION;
    const KEY: Scope = R::KEY;
    const STATE_VERSION: u32 = R::STATE_VERSION;
    const EVENTS: &'static [&'static str] = R::EVENTS;
    const FIELDS: &'static [FieldId] = R::FIELDS;
    const CAPABILITIES: &'static [&'static str] = R::CAPABILITIES;

    type Settings = R::Settings;
    type State = R::State;

    fn new(settings: R::Settings) -> Result<Self, String> {
        R::new(settings).map(Self)
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<R::State>, out: &mut Out<'_>) {
        self.0.on_event(visit, state, out);
    }

    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<R::State>, out: &mut Out<'_>) {
        self.0.on_wake(visit, state, out);
    }

    fn migrate(version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        R::migrate(version, state)
    }
}
