//! The rule `incident`, of the second stage: why payments are stuck, and findings with one cause together as one incident.
//!
//! Kept by region, where all cohorts of its terminals meet (ADR 0015). Owns the choice of the cohort ([`scan`]), the choice of the cause
//! ([`judge`]), the life of an incident and its words. Raises no finding and sends no command.

pub mod judge;
mod life;
pub mod members;
pub mod peers;
pub mod queue;
pub mod rule;
pub mod scan;
pub mod settings;
pub mod sheet;
pub mod signs;
pub mod state;
pub mod tally;
pub mod upkeep;
mod words;

#[cfg(test)]
mod tests;

pub use rule::IncidentRule;

tillwatch_sdk::export!(IncidentRule);
