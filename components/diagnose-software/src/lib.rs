//! The rule `diagnose-software`: evidence of causes S1 to S4 (`docs/spec/domain.md`, section 3), and what one terminal alone can tell of them.
//!
//! Kept by terminal. Owns the signs of all four for the second stage, the cause of `unsynced` (S2), and the finding `outdated` (S4). Whether
//! a version fails more than others (S1), or one pair of version and host (S3), only the second stage can tell. Sends nothing.

pub mod behind;
pub mod rule;
pub mod settings;

#[cfg(test)]
mod tests;

pub use rule::DiagnoseSoftware;

tillwatch_sdk::export!(DiagnoseSoftware);
