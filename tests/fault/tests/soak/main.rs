//! What `cargo xtask fault` runs and the suite does not: hundreds of thousands of events under kills of members and brokers, commits that
//! the broker does not answer, and a restart with a hundred thousand open payments. Not in the suite until each gives the same verdict every
//! time on a machine of two busy cores.

mod chaos;
mod restore;
mod unknown;
