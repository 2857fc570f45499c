//! Tillwatch at an edge: configuration, driver, command line, HTTP and telemetry around the pure core.
//!
//! Owns the wiring of log, decoder, core and rules, the wall clock, and everything that people and machines see of a running process. Owns
//! no decision about payments: those are the core's and the rules'. `main` is thin; tests call what it calls.

pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod driver;
pub mod feedback;
pub mod http;
pub mod replay;
pub mod rules;
pub mod run;
pub mod shutdown;
pub mod simulate;
pub mod telemetry;
pub mod wiring;
