//! Runs rules as WebAssembly components: what `tillwatch_core::rules::Rules` asks for, on wasmtime.
//!
//! Owns loading (imports denied by default, the descriptor checked, the precompiled cache), the limits of each instance, and the verdict
//! on whatever a rule does wrong: a fault of one visit, the same on every replay. Owns no state between visits, no quarantine (core
//! counts faults in watermark time) and no policy on which rules to run. Not to be called inside an async runtime's context.

mod bindings;
mod cache;
mod capture;
mod check;
mod convert;
mod counters;
mod describe;
mod engine;
mod host;
mod instance;
mod limits;
mod lists;
mod load;
mod memory;
mod probe;
mod wasi;

pub use cache::{Cache, CacheError};
pub use counters::{Counters, FAULT_CODES};
pub use engine::{Engine, EngineError};
pub use host::{Host, Stall};
pub use limits::Limits;
pub use load::{COMPONENT_BYTES_MAX, LoadError, LoadWarning, Loaded, Loader, Refusal, RuleConfig};
