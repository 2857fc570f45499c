//! The rule `diagnose-printer`: says of a missing receipt whether the printer is to blame (cause H1 of `docs/spec/domain.md`, section 3).
//!
//! Kept by terminal. Owns cause, confidence, evidence and remedy of `not-printed`; raises nothing and sends nothing.

pub mod decide;
pub mod rule;
pub mod words;

#[cfg(test)]
mod tests;

pub use rule::DiagnosePrinter;

tillwatch_sdk::export!(DiagnosePrinter);
