//! What the figures of Tillwatch are measured with: one traffic for all programs compared, and one way to tell a figure.
//!
//! Owns the generated events ([`traffic`]), the engine as it is measured ([`engine`]), the clock and the memory of the machine ([`machine`]),
//! the programs and the Kafka that stand beside it ([`process`], [`broker`], [`bare`]) and the form of a figure ([`figure`]). Each program in
//! `src/bin` owns a family of figures. Owns no promise: what a figure should reach stands beside it, and whether it does is told, never
//! asserted.

pub mod bare;
pub mod broker;
pub mod engine;
pub mod figure;
pub mod machine;
pub mod process;
pub mod traffic;
