//! One module a target; each has `run`, which panics where what it reads breaks a promise.

pub mod component;
pub mod decode;
pub mod state;
pub mod stored;

/// A target: its name, which is the name of its folders too, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Target; 4] =
    [("component", component::run), ("decode", decode::run), ("state", state::run), ("stored", stored::run)];
