//! Every case of `tests/cases` through the driver of a deployment and the built components, on both logs: in one partition the outputs are
//! the golden ones byte for byte and in their order, spread over three they are those of each key.
//!
//! No case of the first stage is left out; the logs run the second in `second`. A line that cannot be read is a record with the same bytes; its dead letter is the same but for the header that
//! says what a record is.

mod embedded;
mod kafka;

use std::sync::{Mutex, MutexGuard, OnceLock};

use tillwatch_core::Instant;
use tillwatch_it::{
    cases::{Case, Components, logged::Written},
    machine,
};

/// Engines at work at a time: most of each one's time goes into waiting for the log.
const ENGINES: usize = 6;

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    let all =
        || Case::all(&machine::root().join("tests/cases")).into_iter().filter(|case| !case.setup.second).collect();
    CASES.get_or_init(all)
}

/// The components, loaded once for all tests.
fn components() -> MutexGuard<'static, Components> {
    static COMPONENTS: OnceLock<(tempfile::TempDir, Mutex<Components>)> = OnceLock::new();
    let (_, components) = COMPONENTS.get_or_init(|| {
        let cache = tempfile::tempdir().expect("a folder");
        let components = Mutex::new(Components::new(cache.path()));
        (cache, components)
    });
    components.lock().expect("no test has panicked while it loaded a component")
}

/// Where time has come to at the end of a case.
fn end(written: &[Written]) -> Instant {
    written.iter().map(|record| record.ingest).max().expect("a case has records")
}
