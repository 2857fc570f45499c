//! A server on a port of the system's choice, asked over the wire.

use std::sync::Arc;

use tillwatch_core::{cloudevents::Encoding, limits::Limits, partition::Settings};
use tillwatch_embedded::Store;

use super::{Ingest, Server, serve};
use crate::{
    clock::Virtual,
    config::{Config, Http, Secret},
    driver::{Shared, Status},
    shutdown::Shutdown,
    telemetry::Metrics,
    wiring,
};

struct Bench {
    server: Option<Server>,
    shared: Shared,
    store: Store,
    _folder: tempfile::TempDir,
    base: String,
}

impl Bench {
    fn new(token: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Virtual::new(1_767_571_200_000));
        let mut config = Config::default();
        config.embedded.partitions = 2;
        let store = Store::open(folder.path(), wiring::embedded(&config, clock.clone())).expect("it opens");
        let shared = Shared {
            settings: Arc::new(Settings::default()),
            encoding: Encoding::default(),
            options: wiring::options(&config),
            metrics: Arc::new(Metrics::new()),
            status: Arc::new(Status::new(1)),
            shutdown: Shutdown::new(),
        };
        let ingest = Ingest {
            store: store.clone(),
            token: token.map(Secret::new),
            topic: "pos.events".to_owned(),
            limits: Limits::default(),
            clock,
        };
        let listen = "127.0.0.1:0".to_owned();
        let http = Http { listen, body_bytes_max: 4_096, ..Http::default() };
        let server = serve(&http, &shared, Some(ingest)).expect("it listens");
        let base = format!("http://{}", server.address);
        Self { server: Some(server), shared, store, _folder: folder, base }
    }

    fn post(&self, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = agent().post(format!("{}/events", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body))
    }

    fn get(&self, path: &str) -> (u16, String) {
        read(agent().get(format!("{}{path}", self.base)).call())
    }

    fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        for partition in 0..2 {
            let read = self.store.read("pos.events", partition, 0, 100, &mut |raw| {
                kept.push(String::from_utf8_lossy(raw.value.unwrap_or_default()).into_owned());
            });
            read.expect("it can be read");
        }
        kept
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(&self.shared.shutdown);
        }
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = response.expect("the server answers");
    let status = response.status().as_u16();
    (status, response.body_mut().read_to_string().expect("a text"))
}

const AUTHORIZED: (&str, &str) = ("authorization", "Bearer hush");
const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

fn event(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/t/1","type":"pos.payment.confirm","subject":"A:M:T1:1:7","partitionkey":"T1","time":"2026-01-05T00:00:00Z","data":{{"by":"cashier"}}}}"#
    )
}

#[test]
fn structured_binary_and_batched_events_are_kept() {
    let bench = Bench::new(Some("hush"));
    assert_eq!(bench.post(&[AUTHORIZED, STRUCTURED], &event("a")), (200, "{\"taken\":1}\n".to_owned()));
    let batch = format!("[{},{}]", event("b"), event("c"));
    assert_eq!(bench.post(&[AUTHORIZED, BATCH], &batch), (200, "{\"taken\":2}\n".to_owned()));
    let binary = [
        AUTHORIZED,
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "d"),
        ("ce-source", "/t/1"),
        ("ce-type", "pos.payment.confirm"),
        ("ce-subject", "A:M:T1:1:7"),
        ("ce-partitionkey", "T1"),
    ];
    assert_eq!(bench.post(&binary, r#"{"by":"cashier"}"#).0, 200);
    assert_eq!(bench.kept().len(), 4);
    assert!(bench.get("/metrics").1.contains("tillwatch_ingest_events_total 4\n"));
}

#[test]
fn who_has_no_token_sends_nothing() {
    let bench = Bench::new(Some("hush"));
    assert_eq!(bench.post(&[STRUCTURED], &event("a")).0, 401);
    assert_eq!(bench.post(&[STRUCTURED, ("authorization", "Bearer guess")], &event("a")).0, 401);
    let closed = Bench::new(None);
    assert_eq!(closed.post(&[AUTHORIZED, STRUCTURED], &event("a")).0, 403);
    assert!(bench.kept().is_empty() && closed.kept().is_empty());
}

#[test]
fn what_cannot_be_read_is_refused_whole_with_its_place() {
    let bench = Bench::new(Some("hush"));
    let batch = format!("[{},{{\"specversion\":\"1.0\"}}]", event("a"));
    let (status, text) = bench.post(&[AUTHORIZED, BATCH], &batch);
    assert_eq!(status, 400);
    assert!(text.starts_with("event 1 of the batch: "), "{text}");
    assert_eq!(bench.post(&[AUTHORIZED, ("content-type", "text/plain")], "hello").0, 415);
    assert_eq!(bench.post(&[AUTHORIZED, STRUCTURED], &"x".repeat(5_000)).0, 413);
    let tick = r#"{"specversion":"1.0","id":"tick","source":"tillwatch","type":"tillwatch.tick","blind":"over"}"#;
    assert_eq!(bench.post(&[AUTHORIZED, STRUCTURED], tick).0, 400);
    assert!(bench.kept().is_empty());
}

#[test]
fn card_numbers_do_not_get_into_the_log() {
    let bench = Bench::new(Some("hush"));
    let line = event("a").replace("cashier", "4111111111111111");
    assert_eq!(bench.post(&[AUTHORIZED, STRUCTURED], &line).0, 200);
    let kept = bench.kept();
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains("4111111111111111"), "{}", kept[0]);
}

#[test]
fn health_is_not_readiness() {
    let bench = Bench::new(None);
    assert_eq!(bench.get("/healthz").0, 200);
    assert_eq!(bench.get("/readyz").0, 503);
    bench.shared.status.set(0, crate::driver::Phase::Running);
    assert_eq!(bench.get("/readyz").0, 200);
    assert_eq!(bench.get("/elsewhere").0, 404);
}
