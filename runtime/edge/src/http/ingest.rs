//! `POST /events`: `CloudEvents` over HTTP (binary, structured, batch) into the embedded log.
//!
//! An answer of 200 means durable. Every event is decoded first: one that cannot be read is refused with its reason and nothing of the
//! request is kept, so that a sender learns of it; card numbers are masked before the log sees them.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tillwatch_core::{
    cloudevents::Decoder,
    limits::Limits,
    log::{LogError, RawRecord},
    output::rfc3339,
    partition::Body,
};
use tillwatch_embedded::{NewRecord, Store, To};

use super::Context;
use crate::{clock::Clock, config::Secret};

const STRUCTURED: &str = "application/cloudevents+json";
const STRUCTURED_CBOR: &str = "application/cloudevents+cbor";
const BATCH: &str = "application/cloudevents-batch+json";

/// What taking events in needs.
pub struct Ingest {
    /// Where they go.
    pub store: Store,
    /// Who may send; none: nobody.
    pub token: Option<Secret>,
    /// Name of the input topic.
    pub topic: String,
    /// Limits of a record.
    pub limits: Limits,
    /// Gives ingest times.
    pub clock: Arc<dyn Clock>,
}

/// Why a request was not taken.
#[derive(Debug)]
enum Refusal {
    Closed,
    Unauthorized,
    TooLarge,
    Unsupported(String),
    Unreadable(String),
    Busy,
    Log(LogError),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Closed => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Log(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let text = match &self {
            Self::Closed => "events are taken by the embedded log only, and only with http.token_file set\n".to_owned(),
            Self::Unauthorized => "send the bearer token of http.token_file\n".to_owned(),
            Self::TooLarge => "the body is longer than http.body_bytes_max\n".to_owned(),
            Self::Unsupported(kind) => format!("{kind:?} is not taken: send ce- headers, {STRUCTURED} or {BATCH}\n"),
            Self::Unreadable(reason) => format!("{reason}\n"),
            Self::Busy => "too many requests at a time: send again\n".to_owned(),
            Self::Log(error) => format!("{error}\n"),
        };
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized => {
                drop(headers.insert(header::WWW_AUTHENTICATE, "Bearer".parse().expect("invariant: a legal header")))
            }
            Self::Busy | Self::Log(_) => {
                drop(headers.insert(header::RETRY_AFTER, "1".parse().expect("invariant: a legal header")))
            }
            _ => {}
        }
        response
    }
}

/// The handler.
pub(super) async fn events(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let metrics = context.metrics.clone();
    let response = match take_in(context, headers, body).await {
        Ok(taken) => {
            metrics.ingested_events.inc_by(taken as u64);
            (StatusCode::OK, format!("{{\"taken\":{taken}}}\n")).into_response()
        }
        Err(refusal) => refusal.into_response(),
    };
    metrics.ingest(response.status().as_u16());
    response
}

async fn take_in(
    context: Arc<Context>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<usize, Refusal> {
    let ingest = context.ingest.as_ref().ok_or(Refusal::Closed)?;
    let token = ingest.token.as_ref().ok_or(Refusal::Closed)?;
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !token.matches(given.trim()) {
        return Err(Refusal::Unauthorized);
    }
    let body = body.map_err(|_| Refusal::TooLarge)?;
    if context.shutdown.requested() {
        return Err(Refusal::Busy);
    }
    let room = context.room.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;
    let context = context.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let _room = room;
        let ingest = context.ingest.as_ref().expect("invariant: checked before");
        ingest.append(&headers, &body)
    });
    taken.await.unwrap_or_else(|error| Err(Refusal::Unreadable(format!("the request could not be handled: {error}"))))
}

/// One record as the log takes it.
struct Ready {
    key: String,
    headers: Vec<(String, String)>,
    value: Vec<u8>,
}

impl Ingest {
    fn append(&self, headers: &HeaderMap, body: &[u8]) -> Result<usize, Refusal> {
        let mut decoder = Decoder::new(&self.topic, &self.limits);
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let ready = match media.as_str() {
            BATCH => self.batch(&mut decoder, body)?,
            STRUCTURED | STRUCTURED_CBOR => vec![self.structured(&mut decoder, &media, body)?],
            _ if headers.contains_key("ce-specversion") => vec![self.binary(&mut decoder, headers, kind, body)?],
            _ => return Err(Refusal::Unsupported(media)),
        };
        let views: Vec<Vec<(&str, &[u8])>> = ready
            .iter()
            .map(|record| record.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect())
            .collect();
        let records: Vec<NewRecord<'_>> = ready
            .iter()
            .zip(&views)
            .map(|(record, headers)| NewRecord {
                key: Some(record.key.as_bytes()),
                headers,
                value: Some(&record.value),
            })
            .collect();
        if !records.is_empty() {
            self.store.append(To::Key, &records, self.clock.now()).map_err(Refusal::Log)?;
        }
        Ok(records.len())
    }

    fn batch(&self, decoder: &mut Decoder, body: &[u8]) -> Result<Vec<Ready>, Refusal> {
        let events: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body)
            .map_err(|error| Refusal::Unreadable(format!("the batch is no JSON array: {error}")))?;
        let place = |index: usize, refusal| match refusal {
            Refusal::Unreadable(reason) => Refusal::Unreadable(format!("event {index} of the batch: {reason}")),
            other => other,
        };
        let each = events.iter().enumerate();
        each.map(|(index, event)| {
            self.structured(decoder, STRUCTURED, event.get().as_bytes()).map_err(|refusal| place(index, refusal))
        })
        .collect()
    }

    fn structured(&self, decoder: &mut Decoder, media: &str, body: &[u8]) -> Result<Ready, Refusal> {
        let headers = [("content-type", media.as_bytes())];
        let event = self.decode(decoder, &headers, body)?;
        let headers = vec![("content-type".to_owned(), media.to_owned())];
        Ok(Ready { key: event.key().to_owned(), headers, value: event.payload().to_vec() })
    }

    fn binary(&self, decoder: &mut Decoder, headers: &HeaderMap, kind: &str, body: &[u8]) -> Result<Ready, Refusal> {
        let mut given = vec![("content-type".to_owned(), kind.as_bytes().to_vec())];
        for (name, value) in headers {
            if let Some(attribute) = name.as_str().strip_prefix("ce-") {
                given.push((format!("ce_{attribute}"), percent_decoded(value.as_bytes())));
            }
        }
        let view: Vec<(&str, &[u8])> = given.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let event = self.decode(decoder, &view, body)?;
        let mut kept = vec![
            ("content-type".to_owned(), kind.to_owned()),
            ("ce_specversion".to_owned(), "1.0".to_owned()),
            ("ce_id".to_owned(), event.id().to_owned()),
            ("ce_source".to_owned(), event.source().to_owned()),
            ("ce_type".to_owned(), event.type_name().to_owned()),
            ("ce_partitionkey".to_owned(), event.key().to_owned()),
        ];
        if !event.subject().is_empty() {
            kept.push(("ce_subject".to_owned(), event.subject().to_owned()));
        }
        kept.extend(event.time().map(|time| ("ce_time".to_owned(), rfc3339(time))));
        Ok(Ready { key: event.key().to_owned(), headers: kept, value: event.payload().to_vec() })
    }

    fn decode(
        &self,
        decoder: &mut Decoder,
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> Result<tillwatch_core::event::Event, Refusal> {
        let raw = RawRecord { offset: 0, ingest: self.clock.now(), key: None, value: Some(body), headers };
        match decoder.decode(0, raw).body {
            Body::Event(event) if event.key().is_empty() => Err(Refusal::Unreadable(
                "missing-attribute: the event has no `partitionkey`, the terminal's id".to_owned(),
            )),
            Body::Event(event) => Ok(event),
            Body::Tick(_) | Body::Passed(_) | Body::LeftOut(_) => {
                Err(Refusal::Unreadable("reserved-type: ticks are the log's own".to_owned()))
            }
            Body::Unreadable(letter) => Err(Refusal::Unreadable(format!("{}: {}", letter.code, letter.reason))),
        }
    }
}

/// Attribute values in HTTP headers are percent-encoded (`CloudEvents` HTTP binding 3.1.3.2).
fn percent_decoded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            out.push(byte);
            rest = &after[2..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_and_nothing_else() {
        assert_eq!(percent_decoded(b"a%20b%E4%BD%A0"), "a b\u{4f60}".as_bytes());
        assert_eq!(percent_decoded(b"100%"), b"100%");
        assert_eq!(percent_decoded(b"%zz"), b"%zz");
    }
}
