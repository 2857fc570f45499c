//! The rule `diagnose-human`: causes P1 to P4 of `docs/spec/domain.md`, section 3, as far as one till can tell.
//!
//! Kept by terminal; what is remembered is of the operator on duty and forgotten when another comes. Owns the findings `operator-help`
//! (P1), `prompts-unanswered` (P2), `customers-waiting` (P3) and `operator-slips` (P4), addressed to the operator's pseudonym, and the signs
//! of all four for the second stage, which compares operators. Sends nothing, and P3 is evidence and never a verdict.

pub mod help;
pub mod recent;
pub mod rule;
pub mod settings;
pub mod slips;

#[cfg(test)]
mod tests;

pub use rule::DiagnoseHuman;

tillwatch_sdk::export!(DiagnoseHuman);
