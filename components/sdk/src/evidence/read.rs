//! Reading evidence back in the second stage.

use serde::de::DeserializeOwned;

use crate::{Out, Visit};

/// The record of a visit, as one of this module's types. What cannot be read is a fault of the visit and goes to the dead letters: another
/// program wrote it. The rule declares `data`.
pub fn read<T: DeserializeOwned>(visit: &Visit<'_>, out: &mut Out<'_>) -> Option<T> {
    match visit.read_data() {
        Some(Ok(record)) => Some(record),
        Some(Err(error)) => {
            out.fail(format!("{} cannot be read: {error}", visit.event()));
            None
        }
        None => {
            out.fail(format!("{} has no data", visit.event()));
            None
        }
    }
}
