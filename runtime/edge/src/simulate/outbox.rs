//! Events on their way into the log: their text, the delays of the network, duplicates, and terminals that cannot send.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;
use tillwatch_core::{Instant, output::rfc3339};

use super::dice::Dice;

/// One record as the log takes it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// When the log takes it in.
    pub ingest: Instant,
    /// The record's key: the terminal.
    pub key: String,
    /// The event: structured CloudEvents JSON, one line without its end, with `ingesttime`.
    pub line: String,
}

/// The fields of an event's data.
pub(super) type Data = Vec<(&'static str, Value)>;

/// An event before its journey.
pub(super) struct Draft<'a> {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: &'static str,
    pub(super) subject: Option<&'a str>,
    /// By the sender's clock.
    pub(super) time: Instant,
    pub(super) key: &'a str,
    pub(super) data: Data,
}

/// What has been sent and not yet taken in, by ingest time.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<(Instant, u64), Emitted>,
    sent: u64,
}

/// How an event travels.
pub(super) struct Journey {
    /// When the log takes it in.
    pub(super) ingest: Instant,
    /// When it takes it in a second time.
    pub(super) again: Option<Instant>,
}

impl Journey {
    /// Draws one for an event sent at `at`.
    pub(super) fn draw(at: Instant, faults: &super::Faults, dice: &mut Dice) -> Self {
        let mut ingest = at + dice.between(20, 120);
        if dice.chance(faults.out_of_order) {
            ingest += dice.between(50, 280);
        }
        if dice.chance(faults.straggler) {
            ingest += dice.between(500, 3_000);
        }
        let again = dice.chance(faults.duplicate).then(|| ingest + dice.between(1, 2_000));
        Self { ingest, again }
    }
}

impl Outbox {
    /// Sends an event.
    pub(super) fn send(&mut self, draft: &Draft<'_>, journey: &Journey) {
        for ingest in [Some(journey.ingest), journey.again].into_iter().flatten() {
            let line = serde_json::to_string(&Line { draft, ingest }).expect("invariant: an event of texts is JSON");
            self.sent += 1;
            self.waiting.insert((ingest, self.sent), Emitted { ingest, key: draft.key.to_owned(), line });
        }
    }

    /// When the next one is taken in.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((ingest, _), _)| *ingest)
    }

    /// Takes out the next one.
    pub(super) fn pop(&mut self) -> Option<Emitted> {
        self.waiting.pop_first().map(|(_, emitted)| emitted)
    }
}

struct Line<'a> {
    draft: &'a Draft<'a>,
    ingest: Instant,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let draft = self.draft;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &draft.id)?;
        map.serialize_entry("source", &draft.source)?;
        map.serialize_entry("type", draft.kind)?;
        if let Some(subject) = draft.subject {
            map.serialize_entry("subject", subject)?;
        }
        map.serialize_entry("time", &rfc3339(draft.time))?;
        map.serialize_entry("ingesttime", &rfc3339(self.ingest))?;
        map.serialize_entry("partitionkey", draft.key)?;
        map.serialize_entry("datacontenttype", "application/json")?;
        map.serialize_entry("data", &Fields(&draft.data))?;
        map.end()
    }
}

struct Fields<'a>(&'a Data);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
