//! The rule `diagnose-network`: evidence of causes N1 to N4 (`docs/spec/domain.md`, section 3), and of how many payments there are and how
//! many are stuck, which every cohort is compared by.
//!
//! Kept by terminal. Owns the signs of the line and the host at one terminal, and what is normal for its round trips. Names no cause: none
//! of the four can be told from one terminal alone. Raises nothing and sends nothing.

pub mod baseline;
pub mod rule;
pub mod settings;

#[cfg(test)]
mod tests;

pub use rule::DiagnoseNetwork;

tillwatch_sdk::export!(DiagnoseNetwork);
