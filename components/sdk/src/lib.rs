//! What a Tillwatch rule in Rust depends on, and all that it depends on.
//!
//! Owns the [`Rule`] trait, the typed view of a visit ([`Visit`]), the collector of what a rule wants done ([`Out`]), the codecs of pieces
//! and state behind them, what several rules share (the settings and words of payments in [`payment`], causes in [`cause`], evidence for the
//! second stage in [`evidence`], own findings in [`standing`]) and the export to WebAssembly
//! ([`export!`]). [`native`] runs the same rule through the same codecs without WebAssembly, for tests and tools. Owns no rule, no clock
//! and no I/O. How to write a rule: `docs/rules.md`.

// The generated bindings name the crate as an integrator's crate does.
#[cfg(target_arch = "wasm32")]
extern crate self as tillwatch_sdk;

mod hash;
mod out;
mod run;
mod settings;
mod state;
mod texts;
mod visit;

pub mod cause;
pub mod evidence;
pub mod native;
pub mod payment;
pub mod rare;
pub mod standing;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;

/// The examples of `docs/rules.md`, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rules.md")]
struct Rules;

use serde::de::DeserializeOwned;

pub use hash::hash;
pub use out::Out;
pub use tillwatch_wit::{
    contract::{
        Batch, Cancelled, Cleared, Command, Derived, Descriptor, Details, Evidence, Finding, Incident, Instant, Report,
        Scope, Severity, Told, Trigger, Turn, Updated, Value, Verdicts,
    },
    ids,
    table::{FieldId, TypeId},
};
pub use visit::{Visit, place};

/// A rule: a pure function from (state, visit) to (state, wake-up, actions). It keeps nothing between visits but its settings.
pub trait Rule: Sized {
    /// Its id: lower case letters, digits and `-`, at most 64.
    const ID: &'static str;
    /// Its semantic version; stands in every finding.
    const VERSION: &'static str;
    /// What its state is kept by.
    const KEY: Scope;
    /// The version of [`Rule::State`]'s format: one more whenever the type changes, with a [`Rule::migrate`] that reads the older ones.
    const STATE_VERSION: u32 = 1;
    /// The event types that it wants; `custom` stands for every type that the runtime does not know.
    const EVENTS: &'static [&'static str];
    /// The fields that it reads; reading another one is a panic that names it.
    const FIELDS: &'static [FieldId];
    /// What it may do: `finding:<kind>`, `update:<kind>`, `command:<kind>`, `derive:<type>`, `incident:<cause>`. Anything else that it does is a fault.
    const CAPABILITIES: &'static [&'static str];

    /// Its settings, from JSON. Use `#[serde(default, deny_unknown_fields)]`, so that a misspelt key is an error and a missing one is not.
    type Settings: DeserializeOwned + Default;
    /// What it remembers of a key between visits. Small: it is written with every change. Any serde type; one that encodes to nothing, as
    /// `()`, is none.
    type State: State;

    /// Makes the rule.
    ///
    /// # Errors
    /// What is wrong with the settings, for a person, beginning with the path of the key: the rule is then not loaded.
    fn new(settings: Self::Settings) -> Result<Self, String>;

    /// Whether an event certainly changes nothing and says nothing, judged by the state as it is stored; empty where there is none. Then it is not
    /// even read, and the wake-up stays: for events of which nearly all are like this. No is always right, and what is judged here must be what
    /// [`Rule::on_event`] would do: [`native::Thorough`] holds that.
    fn ignores(&self, visit: &Visit<'_>, state: &[u8]) -> bool {
        let _ = (visit, state);
        false
    }

    /// One event. A state of `None` at the end is forgotten, and the wake-up with it.
    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<Self::State>, out: &mut Out<'_>);

    /// The wake-up that [`Out::wake_at`] asked for: the watermark is strictly past it. Events at that same instant came before.
    fn on_wake(&self, visit: &Visit<'_>, state: &mut Option<Self::State>, out: &mut Out<'_>);

    /// Turns state of format `version` into today's; see [`decode_state`] and [`encode_state`].
    ///
    /// # Errors
    /// Why it cannot: the load is then refused.
    fn migrate(version: u32, state: &[u8]) -> Result<Vec<u8>, String> {
        let _ = state;
        Err(format!("{} {} does not read state of format {version}", Self::ID, Self::VERSION))
    }
}

pub use run::{describe, same};
pub use settings::make;
pub use state::{State, decode_state, encode_state};
pub use texts::{TEXTS_MAX, Texts};

#[doc(hidden)]
pub use run::run;

/// Makes the WebAssembly component of a rule: `tillwatch_sdk::export!(MyRule);`, once, in a `cdylib` crate.
///
/// On other targets it makes nothing, so that the same crate is tested natively.
#[macro_export]
macro_rules! export {
    ($rule:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, reason = "the canonical ABI's entry points are made here")]
        mod tillwatch_exports {
            use super::*;

            ::std::thread_local! {
                static RULE: ::std::cell::RefCell<::std::option::Option<$rule>> = const { ::std::cell::RefCell::new(None) };
            }

            struct Component;

            impl $crate::guest::bindings::Guest for Component {
                fn describe() -> $crate::Descriptor {
                    $crate::describe::<$rule>()
                }

                fn configure(settings: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    let rule = $crate::make::<$rule>(&settings)?;
                    RULE.with_borrow_mut(|slot| *slot = Some(rule));
                    Ok(())
                }

                fn process(batch: $crate::guest::bindings::Batch) -> $crate::guest::bindings::Verdicts {
                    RULE.with_borrow(|rule| {
                        $crate::guest::process(rule.as_ref().expect("invariant: configure comes before process"), batch)
                    })
                }

                fn migrate(
                    version: u32,
                    state: ::std::vec::Vec<u8>,
                ) -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                    <$rule as $crate::Rule>::migrate(version, &state)
                }
            }

            $crate::guest::bindings::export!(Component with_types_in $crate::guest::bindings);
        }
    };
}
