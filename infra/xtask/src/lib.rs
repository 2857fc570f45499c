//! What it takes to build, test and try Tillwatch on a machine that has nothing but Rust.
//!
//! Owns the provisioning of what cargo cannot fetch (system libraries, the WebAssembly target, Apache Kafka), the building of the
//! components, the running of the whole test suite and of the measurements. Owns nothing that runs in production, and no crate
//! under `runtime/` or `components/` depends on it. Integration tests use it for the workspace's paths and for a Kafka cluster
//! that they may kill.

pub mod bench;
pub mod components;
pub mod fault;
pub mod fuzz;
pub mod instructions;
pub mod jars;
pub mod kafka;
pub mod process;
pub mod release;
pub mod score;
pub mod suite;
pub mod system;
pub mod wasm;
pub mod workspace;
