//! What `cargo xtask fault` runs and the suite does not: hundreds of thousands of events under kills of members and brokers, and commits that
//! the broker does not answer. Not in the suite until each has come to a verdict within its time on a machine of two busy cores.

mod chaos;
mod unknown;
