//! The rules of cases as components: each compiled once, and configured once for every settings that a case has.

use std::{collections::HashMap, path::Path, sync::Arc};

use tillwatch_host::{Cache, Engine, Host, Limits, Loaded, Loader, RuleConfig};

use super::Setup;
use crate::machine;

/// The components as built.
pub struct Components {
    loader: Loader,
    loaded: HashMap<(String, String), Arc<Loaded>>,
}

impl Components {
    /// Nothing loaded yet; compiled code is kept in this folder.
    ///
    /// # Panics
    /// Where the folder cannot be used.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        let cache = Cache::open(cache.join("compiled")).expect("a folder for compiled components");
        let loader = Loader::new(Engine::new().expect("an engine"), Some(cache));
        Self { loader, loaded: HashMap::new() }
    }

    /// What the case wants, with its settings; [`Host::new`] makes rules of it.
    ///
    /// # Panics
    /// Where a component is not there, or does not take its settings.
    pub fn load(&mut self, setup: &Setup) -> Vec<Arc<Loaded>> {
        let ids = setup.rules();
        ids.into_iter().map(|id| self.one(&id, setup.settings(&id))).collect()
    }

    /// Rules that are ready to run.
    ///
    /// # Panics
    /// As [`Components::load`].
    pub fn rules(&mut self, setup: &Setup) -> Host {
        Host::new(&self.load(setup)).expect("the rules start")
    }

    fn one(&mut self, id: &str, settings: String) -> Arc<Loaded> {
        let known = self.loaded.entry((id.to_owned(), settings.clone()));
        let path = machine::components().join(format!("{id}.wasm"));
        let config = RuleConfig { id: id.to_owned(), path, settings, limits: Limits::default(), grants: None };
        let load = || self.loader.load(&config).unwrap_or_else(|error| panic!("{error}"));
        Arc::clone(known.or_insert_with(load))
    }
}
