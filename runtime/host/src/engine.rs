//! The wasmtime engine, configured for answers that are the same on every machine, and the ticker behind the stall backstop.
//!
//! Owns the one wall-clock influence of this crate: the epoch. It is never a verdict.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use wasmtime::Config;

/// How often the epoch moves, ms; the grain of `Limits::epoch_deadline_ms`.
pub(crate) const EPOCH_TICK_MS: u32 = 50;

/// Native stack of a guest, bytes: fixed, so that a recursion is refused at the same depth everywhere.
const STACK_BYTES_MAX: usize = 512 << 10;

/// One for a process; clones share it. Ends its ticker thread with the last clone.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    _ticker: Arc<Ticker>,
}

/// The engine could not be made on this machine.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine does not start on this machine: {reason}; retrying does not help")]
pub struct EngineError {
    /// The engine's or the operating system's words.
    pub reason: String,
}

impl Engine {
    /// An engine with fuel and epochs on, NaN canonicalised, and no feature whose result may differ between machines.
    ///
    /// # Errors
    /// Where this machine's processor is not supported, or no thread can be started.
    pub fn new() -> Result<Self, EngineError> {
        let wasm =
            wasmtime::Engine::new(&config()).map_err(|error| EngineError { reason: error.root_cause().to_string() })?;
        let ticker = Ticker::start(wasm.clone()).map_err(|error| EngineError { reason: error.to_string() })?;
        Ok(Self { wasm, _ticker: Arc::new(ticker) })
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_component_model(true)
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        // Backtraces hold addresses of this build, and a fault's reason is the same on every replay.
        .wasm_backtrace_max_frames(None);
    config
}

/// Ends its thread when dropped: the thread's receiver is disconnected.
struct Ticker {
    _alive: Sender<()>,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let (alive, gone) = channel::<()>();
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            let tick = Duration::from_millis(u64::from(EPOCH_TICK_MS));
            while gone.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { _alive: alive })
    }
}
