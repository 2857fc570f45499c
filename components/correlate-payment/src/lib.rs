//! `correlate-payment`: follows each payment through answer, delivery, display and receipt, and says at which one it stopped.
//!
//! Owns the findings about one payment (`docs/spec/payment.md`, "Stages"), `unresolved` included. Owns no command: `compensate` acts on
//! what is found here. `rule` reads events, `state` is what is remembered, `packed` and `tail` how it is written, `step` gathers what one visit
//! changes, `stages` and `extras` are the two tables of the specification. How its ambiguous places are read: `docs/adr/0006-reading-of-payment-md.md`.

mod extras;
mod kind;
mod packed;
mod rule;
mod stages;
mod state;
mod step;
mod tail;

pub use kind::Kind;
pub use rule::CorrelatePayment;

tillwatch_sdk::export!(CorrelatePayment);
