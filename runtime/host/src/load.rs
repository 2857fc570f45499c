//! From a file to a rule that may run: read, compiled or taken from the cache, its imports, exports, descriptor and settings checked.
//!
//! Owns every reason to refuse a component. What is loaded is compiled once and shared by all workers.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tillwatch_core::rules::Descriptor;
use wasmtime::component::Component;

use crate::bindings::RulePre;
use crate::cache::{Cache, Found};
use crate::check::Capabilities;
use crate::describe;
use crate::engine::Engine;
use crate::instance::{Failure, Instance};
use crate::limits::Limits;
use crate::probe;
use crate::wasi::{self, State};

/// Bytes of a component's file; a larger one is refused. Python components have 18 MB.
pub const COMPONENT_BYTES_MAX: u64 = 128 << 20;

/// A rule as the operator asks for it.
#[derive(Clone, Debug)]
pub struct RuleConfig {
    /// Its id; the component must say the same.
    pub id: String,
    /// The component's file.
    pub path: PathBuf,
    /// JSON for its `configure`.
    pub settings: String,
    /// What its instances may spend.
    pub limits: Limits,
    /// Capabilities granted; none: whatever it declares, for rules that come with the program.
    pub grants: Option<Vec<String>>,
}

/// Why a rule does not run. Every message names the file; none of them goes away by retrying, except where it says so.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("rule {id}: {}: {error}", path.display())]
    Read {
        /// The rule asked for.
        id: String,
        /// Its file.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// The file is no rule that can run here.
    #[error("rule {id}: {}: {problem}", path.display())]
    Refused {
        /// The rule asked for.
        id: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: Refusal,
    },
}

/// What is wrong with a component.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Too large.
    #[error("the file has more than {COMPONENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Other bytes.
    #[error("not a WebAssembly component that can be compiled: {0}; build it for wasm32-wasip2")]
    NotAComponent(String),
    /// It asks for something outside.
    #[error("imports {0:?}; a rule is a pure function and gets no such thing; build it without")]
    Import(String),
    /// It is not of the world `rule`.
    #[error("not a rule of tillwatch:rule@0.1.0: {0}; build it with the SDK of this version")]
    World(String),
    /// Its descriptor breaks the contract.
    #[error("its descriptor is wrong: {0}")]
    Descriptor(String),
    /// Another rule than the one asked for.
    #[error("the component calls itself {0:?}; correct the id or the path")]
    Id(String),
    /// It wants to do what nobody allowed.
    #[error("wants the capability {0:?}, which is not granted; add it to the rule's grants if it may do that")]
    Capability(String),
    /// The rule's own words about its settings.
    #[error("does not accept its settings: {0}")]
    Settings(String),
    /// It faults before its first visit.
    #[error("fails while it {doing}: {reason}")]
    Faulty {
        /// `starts`, `describes itself`, `is configured` or `is tried`.
        doing: &'static str,
        /// Code and reason.
        reason: String,
    },
    /// Its answers depend on more than settings, visit and state.
    #[error(
        "answers {0} differently when its instance was visited before; a rule keeps nothing between visits, and nothing that it says may \
         depend on an address or on the order of a HashMap (docs/rules.md); repair the rule"
    )]
    Unsteady(String),
    /// Out of wall-clock time.
    #[error("gave no answer while it {doing}: {reason}; the machine may be overloaded, retrying may help")]
    Stalled {
        /// As in `Faulty`.
        doing: &'static str,
        /// What the backstop says.
        reason: String,
    },
}

/// Something that whoever runs this should know, though the rule is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadWarning {
    /// A file of the cache was not what the cache wrote; it was not used, and has been replaced.
    CacheAltered {
        /// The file.
        path: PathBuf,
    },
    /// The compiled form could not be kept; the next start compiles again.
    CacheUnwritable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        reason: String,
    },
}

impl LoadWarning {
    /// A heading of `docs/runbook.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CacheAltered { .. } => "cache-altered",
            Self::CacheUnwritable { .. } => "cache-unwritable",
        }
    }
}

impl fmt::Display for LoadWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CacheAltered { path } => {
                let path = path.display();
                write!(
                    f,
                    "{path} was altered since it was written; not used, compiled anew and replaced; find out who writes there"
                )
            }
            Self::CacheUnwritable { path, reason } => {
                write!(f, "{} cannot be written: {reason}; the next start compiles again", path.display())
            }
        }
    }
}

/// Loads rules for one engine.
#[derive(Clone)]
pub struct Loader {
    engine: Engine,
    cache: Option<Cache>,
}

/// A rule that may run: compiled, checked, shared by all workers.
pub struct Loaded {
    pub(crate) component: RulePre<State>,
    pub(crate) capabilities: Capabilities,
    descriptor: Descriptor,
    config: RuleConfig,
    digest: String,
    warnings: Vec<LoadWarning>,
    _engine: Engine,
}

impl Loaded {
    /// What the rule says it is; checked.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What was asked for.
    #[must_use]
    pub fn config(&self) -> &RuleConfig {
        &self.config
    }

    /// BLAKE3 of the component's bytes, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What whoever runs this should know.
    #[must_use]
    pub fn warnings(&self) -> &[LoadWarning] {
        &self.warnings
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Loader {
    /// Without a cache every load compiles.
    #[must_use]
    pub fn new(engine: Engine, cache: Option<Cache>) -> Self {
        Self { engine, cache }
    }

    /// Reads and checks a rule; it has been described and configured once when this returns.
    ///
    /// # Errors
    /// Whatever speaks against running it.
    pub fn load(&self, config: &RuleConfig) -> Result<Arc<Loaded>, LoadError> {
        let read = |error| LoadError::Read { id: config.id.clone(), path: config.path.clone(), error };
        let mut bytes = Vec::new();
        let file = File::open(&config.path).map_err(read)?;
        file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
        self.load_bytes(config, &bytes)
    }

    /// As `load`, from bytes; the path stands in messages only.
    ///
    /// # Errors
    /// Whatever speaks against running it.
    pub fn load_bytes(&self, config: &RuleConfig, bytes: &[u8]) -> Result<Arc<Loaded>, LoadError> {
        let loaded = self.check(config, bytes).map(Arc::new).map_err(|problem| refused(config, problem))?;
        probe::steady(&loaded)?;
        Ok(loaded)
    }

    fn check(&self, config: &RuleConfig, bytes: &[u8]) -> Result<Loaded, Refusal> {
        if bytes.len() as u64 > COMPONENT_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let digest = blake3::hash(bytes);
        let mut warnings = Vec::new();
        let component = self.compile(bytes, &digest, &mut warnings)?;
        let component = link(&self.engine, &component)?;
        let mut instance = Instance::new(&component, &config.limits).map_err(|failure| faulty("starts", failure))?;
        let descriptor = instance.describe(&config.limits).map_err(|failure| faulty("describes itself", failure))?;
        let problems = describe::problems(&descriptor);
        if !problems.is_empty() {
            return Err(Refusal::Descriptor(problems.join("; ")));
        }
        if descriptor.id != config.id {
            return Err(Refusal::Id(descriptor.id));
        }
        if let Some(grants) = &config.grants
            && let Some(capability) = descriptor.capabilities.iter().find(|wanted| !grants.contains(wanted))
        {
            return Err(Refusal::Capability(capability.clone()));
        }
        configured(&component, config)?;
        Ok(Loaded {
            capabilities: Capabilities::new(&descriptor.capabilities),
            component,
            descriptor,
            config: config.clone(),
            digest: digest.to_string(),
            warnings,
            _engine: self.engine.clone(),
        })
    }

    fn compile(
        &self,
        bytes: &[u8],
        digest: &blake3::Hash,
        warnings: &mut Vec<LoadWarning>,
    ) -> Result<Component, Refusal> {
        let engine = self.engine.wasm();
        let compile =
            || Component::from_binary(engine, bytes).map_err(|error| Refusal::NotAComponent(format!("{error:#}")));
        let Some(cache) = &self.cache else { return compile() };
        match cache.find(engine, digest) {
            Found::Component(component) => return Ok(*component),
            Found::Altered => warnings.push(LoadWarning::CacheAltered { path: cache.path(digest) }),
            Found::Nothing | Found::Stale => {}
        }
        let component = compile()?;
        let kept = component
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|compiled| cache.keep(engine, digest, &compiled).map_err(|error| error.to_string()));
        if let Err(reason) = kept {
            warnings.push(LoadWarning::CacheUnwritable { path: cache.path(digest), reason });
        }
        Ok(component)
    }
}

/// A new instance with the settings; used at load, and by a host at its start.
pub(crate) fn configured(component: &RulePre<State>, config: &RuleConfig) -> Result<Instance, Refusal> {
    Instance::configured(component, &config.limits, &config.settings)
        .map_err(|failure| faulty("is configured", failure))?
        .map_err(Refusal::Settings)
}

pub(crate) fn refused(config: &RuleConfig, problem: Refusal) -> LoadError {
    LoadError::Refused { id: config.id.clone(), path: Path::to_owned(&config.path), problem }
}

fn link(engine: &Engine, component: &Component) -> Result<RulePre<State>, Refusal> {
    let imports = component.component_type();
    for (name, _) in imports.imports(engine.wasm()) {
        if !wasi::is_served(name) {
            return Err(Refusal::Import(name.to_owned()));
        }
    }
    let world = |error: wasmtime::Error| Refusal::World(format!("{error:#}"));
    let linker = wasi::linker(engine.wasm()).map_err(world)?;
    let component = linker.instantiate_pre(component).map_err(world)?;
    RulePre::new(component).map_err(world)
}

fn faulty(doing: &'static str, failure: Failure) -> Refusal {
    match failure {
        Failure::Stalled(reason) => Refusal::Stalled { doing, reason },
        fault @ Failure::Fault(_) => Refusal::Faulty { doing, reason: fault.reason() },
    }
}
