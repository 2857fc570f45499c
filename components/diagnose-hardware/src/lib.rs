//! The rule `diagnose-hardware`: causes H1 to H4 of `docs/spec/domain.md`, section 3, which one terminal alone can tell.
//!
//! Kept by terminal. Owns cause, confidence, evidence and remedy of `not-printed` (H1) and `not-shown` (H4), the findings `scanner-fault`
//! (H2), `device-damage` (H3) and `app-fault` (H4), and the signs of all four for the second stage. Sends nothing.

pub mod app;
pub mod device;
pub mod printer;
pub mod rule;
pub mod scanner;
pub mod settings;

#[cfg(test)]
mod tests;

pub use rule::DiagnoseHardware;

tillwatch_sdk::export!(DiagnoseHardware);
