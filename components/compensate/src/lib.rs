//! The rule `compensate`: from findings about payments to the commands that are safe, as `docs/spec/payment.md`, "Commands", says.
//!
//! Kept by terminal, because it must know what the till is doing now. Owns chains of commands of class A and `flush-pending-reversal`; owns
//! no findings (`correlate-payment` raises them) and no command that moves money.

pub mod chain;
pub mod names;
pub mod past;
pub mod payment;
pub mod printer;
pub mod rule;
pub mod settings;
pub mod till;
pub mod words;

mod calls;
mod desk;
mod news;
mod packed;

#[cfg(test)]
mod tests;

pub use rule::Compensate;

tillwatch_sdk::export!(Compensate);
