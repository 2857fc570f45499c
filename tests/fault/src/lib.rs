//! What tests of faults need beside [`tillwatch_it::running`]: brokers of their own that may be killed, a proxy that loses answers, and
//! chance from a seed that is printed.
//!
//! `TILLWATCH_FAULT_SEED` and `TILLWATCH_FAULT_EVENTS` make a run another or a longer one; `cargo xtask fault` sets them. Holds no test:
//! those are in `tests/`, one file for each kind of fault.

pub mod brokers;
pub mod chance;
pub mod proxy;
