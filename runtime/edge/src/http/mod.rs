//! The HTTP side: `/healthz`, `/readyz`, `/metrics`, and `POST /events` for the embedded log.
//!
//! One thread with a small runtime of its own; nothing of it is on the data path of the workers.

mod ingest;
#[cfg(test)]
mod tests;

use std::{fmt, io, net::SocketAddr, sync::Arc, thread, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, runtime, sync::Semaphore};

pub use self::ingest::Ingest;
use crate::{
    config,
    driver::{Shared, Status},
    shutdown::Shutdown,
    telemetry::{Metrics, events},
};

/// Threads that may wait for the log's disk at a time.
const BLOCKING_MAX: usize = 8;

/// Why HTTP could not begin.
#[derive(Debug)]
pub enum HttpError {
    /// The address cannot be had.
    Listen(String, io::Error),
    /// The token's file cannot be read.
    Token(String, io::Error),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                write!(f, "http-listen: cannot listen on {address}: {error}. Choose another http.listen")
            }
            Self::Token(path, error) => {
                write!(f, "http-token: cannot read {path}: {error}. Put the token into the file of http.token_file")
            }
        }
    }
}

impl std::error::Error for HttpError {}

/// What the handlers share.
struct Context {
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    shutdown: Shutdown,
    ingest: Option<Ingest>,
    room: Arc<Semaphore>,
}

/// A server that runs.
pub struct Server {
    thread: thread::JoinHandle<()>,
    /// Where it listens: the port is the system's choice where the configuration says 0.
    pub address: SocketAddr,
}

impl Server {
    /// Asks everything to stop and waits until the server has.
    pub fn stop(self, shutdown: &Shutdown) {
        shutdown.request();
        if self.thread.join().is_err() {
            tracing::error!("http: the server's thread panicked");
        }
    }
}

/// Begins to listen and to answer.
///
/// # Errors
/// [`HttpError`].
pub fn serve(config: &config::Http, shared: &Shared, ingest: Option<Ingest>) -> Result<Server, HttpError> {
    let refused = |error| HttpError::Listen(config.listen.clone(), error);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX + 1)
        .build()
        .map_err(refused)?;
    let listener = runtime.block_on(TcpListener::bind(&config.listen)).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let open = ingest.as_ref().is_some_and(|ingest| ingest.token.is_some());
    let context = Arc::new(Context {
        metrics: shared.metrics.clone(),
        status: shared.status.clone(),
        shutdown: shared.shutdown.clone(),
        ingest,
        room: Arc::new(Semaphore::new(config.requests_max)),
    });
    let router = router(context, config.body_bytes_max);
    let shutdown = shared.shutdown.clone();
    let work = move || {
        let served = runtime
            .block_on(async { axum::serve(listener, router).with_graceful_shutdown(asked_to_stop(shutdown)).await });
        if let Err(error) = served {
            tracing::error!("http: {error}");
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    let thread = thread::Builder::new().name("http".to_owned()).spawn(work).map_err(refused)?;
    events::Listening { address, ingest: open }.emit();
    Ok(Server { thread, address })
}

async fn asked_to_stop(shutdown: Shutdown) {
    let waited = tokio::task::spawn_blocking(move || while !shutdown.wait(Duration::from_secs(3600)) {});
    if let Err(error) = waited.await {
        tracing::error!("http: {error}");
    }
}

fn router(context: Arc<Context>, body_bytes_max: usize) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/events", post(ingest::events))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(context)
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(context): State<Arc<Context>>) -> Response {
    if context.shutdown.requested() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if context.status.ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "partitions are not restored yet\n").into_response()
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.encode()).into_response()
}
