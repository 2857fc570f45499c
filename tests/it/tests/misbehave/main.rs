//! Rules that misbehave, in the whole engine: core, host and real WebAssembly, beside the rules that come with Tillwatch.
//!
//! What must hold of every misbehaviour: it ends in its dead letter within its limit, its neighbours in the same call do not notice, the
//! outputs of the other rules are the bytes that they are without it, and none of that depends on how records are cut into batches or
//! on crashes between them.

mod quarantine;
mod scene;
mod table;
