//! A seeded fleet of terminals, for demonstrations, load and tests.
//!
//! Owns how terminals, gateways, acquirers, printers, order systems and people behave (`docs/spec/domain.md`, section 1), the faults that
//! befall them, now and then anywhere (`faults.rs`) or injected at one place and time with a cause (`inject.rs`), how these show in
//! telemetry, how terminals act on commands, and the truth about every payment and injected fault. A pure discrete-event core: time is an
//! argument, the same options and commands give the same bytes. Owns no I/O and no verdict: it knows what happened, not what Tillwatch says
//! about it; the findings that a truth expects follow from `docs/spec/payment.md` with its default windows.

mod befall;
mod cause;
mod device;
mod dice;
mod faults;
mod fleet;
mod hosts;
mod inject;
mod options;
mod orders;
mod outbox;
mod payment;
mod people;
mod reversal;
mod sale;
mod scenario;
mod scope;
mod signs;
mod spells;
mod terminal;
mod truth;

pub use cause::{Cause, Family};
pub use faults::{Faults, Preset};
pub use fleet::Fleet;
pub use inject::{Inject, Injected, parse_length};
pub use options::{Options, OptionsError};
pub use orders::Order;
pub use outbox::Emitted;
pub use scenario::{Scenario, ScenarioError};
pub use scope::{Level, Scope};
pub use truth::Truth;

#[cfg(test)]
mod tests;
