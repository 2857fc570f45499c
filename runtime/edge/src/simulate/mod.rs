//! A seeded fleet of terminals, for demonstrations, load and tests.
//!
//! Owns how terminals, gateways, acquirers, printers, order systems and people behave (`docs/spec/domain.md`, section 1), the faults that
//! befall them, how terminals act on commands, and the truth about every payment. A pure discrete-event core: time is an argument, the same
//! options and commands give the same bytes. Owns no I/O and no verdict: it knows what happened, not what Tillwatch says about it; the
//! findings that a truth expects follow from `docs/spec/payment.md` with its default windows.

mod device;
mod dice;
mod faults;
mod fleet;
mod options;
mod orders;
mod outbox;
mod payment;
mod reversal;
mod sale;
mod terminal;
mod truth;

pub use faults::Faults;
pub use fleet::Fleet;
pub use options::{Options, OptionsError};
pub use orders::Order;
pub use outbox::Emitted;
pub use truth::Truth;

#[cfg(test)]
mod tests;
