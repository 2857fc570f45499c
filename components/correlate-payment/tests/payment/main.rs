//! The rule against every line of `docs/spec/payment.md`, "Stages", and against itself with random histories.

mod extras;
mod properties;
mod script;
mod stages;
