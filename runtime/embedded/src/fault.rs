//! The errors of this log, each with who must act. Their codes are headings of `docs/runbook.md`.

use std::{io, path::Path};

use tillwatch_core::log::{LogError, Who};

use crate::acknowledged::Lost;

/// The disk does not take or give bytes.
pub(crate) fn disk(path: &Path, doing: &str, error: &dyn std::fmt::Display) -> LogError {
    LogError {
        code: "log-disk",
        what: format!(
            "{doing} in {} failed: {error}. Nothing half-written remains. See to free space and to write permission; the call may \
             then be made again",
            path.display()
        ),
        who: Who::Operations,
        retry: true,
    }
}

/// Bytes that are not what was written.
pub(crate) fn corrupt(what: String) -> LogError {
    LogError { code: "log-corrupt", what, who: Who::Operations, retry: false }
}

/// A broken promise between this crate and its caller.
pub(crate) fn misuse(what: String) -> LogError {
    LogError { code: "log-misuse", what, who: Who::Us, retry: false }
}

/// A setting that does not fit the log.
pub(crate) fn config(code: &'static str, what: String) -> LogError {
    LogError { code, what, who: Who::Config, retry: false }
}

/// A second process.
pub(crate) fn locked(path: &Path) -> LogError {
    LogError {
        code: "log-locked",
        what: format!(
            "{} is in use by another tillwatch process, and a log has one writer. Stop that process, or give this one a directory \
             of its own",
            path.display()
        ),
        who: Who::Operations,
        retry: false,
    }
}

/// The log has less than it had acknowledged.
pub(crate) fn behind(path: &Path, acknowledged: u64, found: u64, lost: &[Lost]) -> LogError {
    let missing = lost.iter().map(|lost| format!("; missing: {lost}")).collect::<String>();
    LogError {
        code: "log-behind",
        what: format!(
            "{} was acknowledged up to commit {acknowledged} and has only {found}{missing}. The disk has lost or garbled data: restore \
             the directory from a copy, or start once with accept-loss to go on without what is missing",
            path.display()
        ),
        who: Who::Operations,
        retry: false,
    }
}

/// The storage engine's errors.
pub(crate) fn engine(path: &Path, doing: &str, error: &fjall::Error) -> LogError {
    match error {
        fjall::Error::Io(_) | fjall::Error::Storage(fjall::LsmError::Io(_)) => disk(path, doing, error),
        fjall::Error::Poisoned => disk(path, doing, &"an earlier write failed, the engine must be opened again"),
        fjall::Error::Locked => locked(path),
        other => corrupt(format!("{doing} in {} failed: {other}. Restore the directory from a copy", path.display())),
    }
}

/// An I/O error of a file beside the engine's.
pub(crate) fn io<'a>(path: &'a Path, doing: &'a str) -> impl Fn(io::Error) -> LogError + 'a {
    move |error| disk(path, doing, &error)
}
