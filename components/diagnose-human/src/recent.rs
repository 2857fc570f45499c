//! The latest of something, with the time over which it counts, and the finding that enough of it makes.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{Evidence, Instant, Out, Visit, cause::Verdict, standing};

/// Events that are remembered of one kind; of more, the oldest is forgotten.
pub const RECENT_MAX: usize = 20;

/// Bytes of an id that is kept.
const NAME_BYTES_MAX: usize = 96;

/// The latest events of one kind, and whether they are a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    events: Vec<(Instant, String, String)>,
    standing: standing::Standing,
}

impl Recent {
    /// One more, at its own time; how many there are.
    pub fn add(&mut self, window_ms: i64, visit: &Visit<'_>) -> usize {
        if self.events.len() == RECENT_MAX {
            self.events.remove(0);
        }
        let id = visit.id().filter(|id| id.len() <= NAME_BYTES_MAX).unwrap_or_default();
        self.events.push((visit.when(), visit.event().to_owned(), id.to_owned()));
        self.retain(visit.at() - window_ms);
        self.events.len()
    }

    /// When the latest of them was.
    #[must_use]
    pub fn latest(&self) -> Option<Instant> {
        self.events.iter().map(|(when, ..)| *when).max()
    }

    /// When the next of them counts no longer; none: there is none.
    #[must_use]
    pub fn wake(&self, window_ms: i64) -> Option<Instant> {
        self.events.iter().map(|(when, ..)| when.saturating_add(window_ms)).min()
    }

    /// Those that are too old are forgotten; with the last the finding is over.
    pub fn forget(&mut self, window_ms: i64, kind: standing::Kind<'_>, now: Instant, out: &mut Out<'_>) {
        self.retain(now - window_ms);
        if self.events.is_empty() {
            self.standing.over(kind, "mended", out);
        }
    }

    /// They are a finding.
    pub fn say(&mut self, kind: standing::Kind<'_>, verdict: &Verdict, out: &mut Out<'_>) {
        let rows = self.events.iter().filter(|(_, _, id)| !id.is_empty());
        let rows = rows.map(|(when, event, id)| Evidence { event: event.clone(), id: id.clone(), time: *when });
        self.standing.say(kind, verdict, rows.collect(), out);
    }

    /// Another operator comes: nothing of it is theirs.
    pub fn end(&mut self, kind: standing::Kind<'_>, out: &mut Out<'_>) {
        self.events.clear();
        self.standing.over(kind, "expired", out);
    }

    fn retain(&mut self, from: Instant) {
        self.events.retain(|(when, ..)| *when > from);
    }
}
