//! What telemetry says for a cause, by cause and scope.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{Instant, evidence::Sign};

use crate::{
    sheet::{Sheet, cells},
    state::{NAME_BYTES_MAX, percent},
};

/// Signs by cause and scope; one that says that all is well gives way, then the one that was seen longest ago.
pub const SIGNS_MAX: usize = 128;
/// A sign whose cause has a longer name is none.
const CAUSE_BYTES_MAX: usize = 16;
/// An event whose type has a longer name is not kept.
const TYPE_BYTES_MAX: usize = 64;

/// See the module. The text of a row: cause, scope, and type and id of the event that says it best, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signs(Sheet<{ Seen::BYTES }>);

/// What telemetry says for a cause, of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Observations that say so, and all, since `since`; more than 2^32 - 1 are as many.
    pub count: u32,
    /// See `count`.
    pub of: u32,
    /// The same of the slot before.
    before: (u32, u32),
    /// The strongest of those that say so, percent.
    pub percent: u8,
    /// When the slot began.
    since: Instant,
    /// When it was last seen.
    pub last: Instant,
    /// When the event was that says it best.
    event_time: Instant,
    /// Bytes of the cause's name, the scope's, and that of the event's type.
    lengths: [u8; 3],
}

impl Seen {
    const BYTES: usize = 4 * 4 + 1 + 3 * 8 + 3;

    fn lengths(row: &[u8; Self::BYTES]) -> [u8; 3] {
        cells(&row[41..])
    }

    /// What gives way first is least: says that all is well, and was seen longest ago.
    fn standing(row: &[u8; Self::BYTES]) -> (bool, Instant) {
        (row[16] > 0, Instant::from_le_bytes(cells(&row[25..])))
    }

    fn read(row: &[u8; Self::BYTES]) -> Self {
        let number = |at: usize| u32::from_le_bytes(cells(&row[at..]));
        let instant = |at: usize| Instant::from_le_bytes(cells(&row[at..]));
        Self {
            count: number(0),
            of: number(4),
            before: (number(8), number(12)),
            percent: row[16],
            since: instant(17),
            last: instant(25),
            event_time: instant(33),
            lengths: Self::lengths(row),
        }
    }

    fn write(&self, row: &mut [u8]) {
        let numbers = [self.count, self.of, self.before.0, self.before.1];
        row.chunks_exact_mut(4).zip(numbers).for_each(|(cell, number)| cell.copy_from_slice(&number.to_le_bytes()));
        row[16] = self.percent;
        let instants = [self.since, self.last, self.event_time];
        row[17..41].chunks_exact_mut(8).zip(instants).for_each(|(cell, at)| cell.copy_from_slice(&at.to_le_bytes()));
        row[41..].copy_from_slice(&self.lengths);
    }

    /// Observations that say so, and all, of the last one to two slots.
    #[must_use]
    pub fn sums(&self) -> (i64, i64) {
        (i64::from(self.count) + i64::from(self.before.0), i64::from(self.of) + i64::from(self.before.1))
    }

    /// A slot is over: what was seen long ago says nothing of now.
    fn slide(&mut self, at: Instant, slot_ms: i64) {
        let passed = at - self.since;
        if passed >= slot_ms {
            self.before = if passed < 2 * slot_ms { (self.count, self.of) } else { (0, 0) };
            (self.count, self.of, self.since) = (0, 0, at);
        }
    }
}

/// A sign.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// What it is about.
    pub about: &'a str,
    /// What was seen.
    pub seen: Seen,
    /// Type and id of the event that says it best; empty where there is none.
    event: (&'a str, &'a str),
}

impl Of<'_> {
    /// The event that says it best: type, id, time.
    #[must_use]
    pub fn event(&self) -> Option<(String, String, Instant)> {
        let (event, id) = self.event;
        (!id.is_empty()).then(|| (event.to_owned(), id.to_owned(), self.seen.event_time))
    }
}

impl Signs {
    /// Signs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a cause.
    pub fn of(&self, cause: &str) -> impl Iterator<Item = Of<'_>> {
        let of_it = |text: &[u8], row: &[u8; Seen::BYTES]| {
            usize::from(Seen::lengths(row)[0]) == cause.len() && text.starts_with(cause.as_bytes())
        };
        let rows = self.0.iter().enumerate().filter(move |(_, (text, row))| of_it(text, row));
        rows.map(|(number, (_, row))| {
            let seen = Seen::read(row);
            let [cause, about, event] = seen.lengths.map(usize::from);
            let (about, event_and_id) = self.0.text(number)[cause..].split_at(about);
            Of { about, seen, event: event_and_id.split_at(event) }
        })
    }

    fn find(&self, cause: &str, about: &str) -> Option<usize> {
        let (cause, about) = (cause.as_bytes(), about.as_bytes());
        self.0.iter().position(|(text, row)| {
            let [of, long, _] = Seen::lengths(row).map(usize::from);
            of == cause.len() && long == about.len() && text.starts_with(cause) && text[of..].starts_with(about)
        })
    }

    /// Telemetry points somewhere.
    pub fn add(&mut self, sign: &Sign, at: Instant) {
        if sign.about.len() > NAME_BYTES_MAX || sign.cause.len() > CAUSE_BYTES_MAX {
            return;
        }
        let row = self.find(&sign.cause, &sign.about).unwrap_or_else(|| self.begin(&sign.cause, &sign.about));
        let mut seen = Seen::read(&self.0.cells(row));
        // Shares are those of two minutes, counts those of five (docs/spec/domain.md, section 3). A new one begins with this slot: the one at
        // the beginning of time is long over.
        seen.slide(at, if matches!(sign.cause.as_str(), "N1" | "N4") { 60_000 } else { crate::tally::WINDOW_MS / 2 });
        if sign.strength > 0.0 {
            seen.percent = seen.percent.max(percent(sign.strength));
        }
        seen.last = at;
        let number = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        seen.count = seen.count.saturating_add(number(sign.count));
        seen.of = seen.of.saturating_add(number(sign.of.max(sign.count)));
        let [cause, about, event] = &mut seen.lengths;
        let known = usize::from(*cause) + usize::from(*about) < self.0.text(row).len();
        let fits = sign.event_id.len() <= NAME_BYTES_MAX && sign.event.len() <= TYPE_BYTES_MAX;
        if !known && fits && !sign.event_id.is_empty() {
            *event = length(&sign.event);
            seen.event_time = sign.event_time;
            self.0.append(row, &sign.event);
            self.0.append(row, &sign.event_id);
        }
        seen.write(self.0.cells_mut(row));
    }

    /// A new one, the last.
    fn begin(&mut self, cause: &str, about: &str) -> usize {
        if self.len() >= SIGNS_MAX {
            let standing = self.0.iter().map(|(_, row)| Seen::standing(row)).enumerate();
            standing.min_by_key(|(_, standing)| *standing).into_iter().for_each(|(least, _)| self.0.remove(least));
        }
        let row = self.len();
        self.0.insert(row, cause);
        self.0.append(row, about);
        Seen { lengths: [length(cause), length(about), 0], ..Seen::default() }.write(self.0.cells_mut(row));
        row
    }

    /// Forgets what is past.
    pub fn forget(&mut self, now: Instant, sign_ms: i64) {
        self.0.retain(|row| now - Seen::standing(&row).1 < sign_ms);
    }
}

fn length(name: &str) -> u8 {
    u8::try_from(name.len()).expect("invariant: longer names are refused")
}
