//! Asking a running process to stop, once, from anywhere; and waiting that such a request cuts short.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// A request to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<(Mutex<bool>, Condvar)>);

impl Shutdown {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks; more than once is the same as once.
    pub fn request(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn requested(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody asks, at most `wait`; whether somebody has.
    #[must_use]
    pub fn wait(&self, wait: Duration) -> bool {
        let asked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(asked, wait, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// SIGTERM and SIGINT ask from now on; a second one ends the process at once.
    ///
    /// # Errors
    /// When the system does not let signals be handled.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let shutdown = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if shutdown.requested() {
                    std::process::exit(128 + signal);
                }
                shutdown.request();
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_by_every_clone_and_ends_waiting() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert!(!other.wait(Duration::ZERO));
        let waiting = thread::spawn(move || other.wait(Duration::from_secs(3600)));
        shutdown.request();
        assert!(waiting.join().expect("it does not panic"));
        assert!(shutdown.requested());
    }
}
