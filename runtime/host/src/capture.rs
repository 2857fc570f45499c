//! What a guest prints: kept up to a bound, for the reason of a trap, and never an error for the guest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// What one `write` may bring at most; the guest's library splits longer texts.
const PERMIT_BYTES: usize = 64 << 10;

/// A bounded text that streams append to; clones share it.
#[derive(Clone)]
pub(crate) struct Captured {
    kept: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
}

impl Captured {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { kept: Arc::default(), bytes_max }
    }

    pub(crate) fn clear(&self) {
        self.kept().clear();
    }

    /// What was printed since the last `clear`, on one line, without the lines that tell how to get a backtrace; empty if nothing.
    pub(crate) fn line(&self) -> String {
        let kept = self.kept();
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("note: run with"))
            .collect();
        lines.join(" ")
    }

    fn kept(&self) -> MutexGuard<'_, Vec<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    /// Asked for by later WASI versions only, which are not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut kept = self.kept();
        let room = self.bytes_max.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_text_is_dropped_and_the_guest_sees_no_error() {
        let captured = Captured::new(4);
        let mut stream = captured.clone();
        stream.write(Bytes::from_static(b"abc")).expect("writes");
        stream.write(Bytes::from_static(b"def")).expect("writes");
        assert_eq!(captured.line(), "abcd");
        captured.clear();
        assert_eq!(captured.line(), "");
    }

    #[test]
    fn a_panic_message_becomes_one_line() {
        let captured = Captured::new(1000);
        let text =
            "\nthread 'main' panicked at src/rule.rs:3:5:\nboom\nnote: run with `RUST_BACKTRACE=1` environment\n";
        captured.clone().write(Bytes::from(text)).expect("writes");
        assert_eq!(captured.line(), "thread 'main' panicked at src/rule.rs:3:5: boom");
    }
}
