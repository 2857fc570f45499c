//! What a rule has seen of its terminal and not yet told: kept in the rule's state, told once an interval.

use serde::{Deserialize, Serialize};
use tillwatch_wit::{contract::Instant, table::FieldId};

use super::{Census, Cohorts, Sign};
use crate::{Out, Texts, Visit, hash, run::same, texts::Lent};

/// What a rule declares in its `FIELDS` so that a [`Collector`] learns the cohorts; beside them `id`, for the events that signs name.
pub const FIELDS: [FieldId; 6] =
    [FieldId::REGION, FieldId::SITE, FieldId::ACQUIRER, FieldId::HOST, FieldId::OPERATOR, FieldId::APP_VERSION];

/// Names that a collector keeps: the terminal's, and one for each of [`FIELDS`].
const NAMES: usize = 1 + FIELDS.len();

/// Signs of one interval; of more, those that came first stay.
pub const SIGNS_MAX: usize = 24;

/// Longer names of cohorts, signs and events are not kept.
pub const NAME_BYTES_MAX: usize = 96;

/// How long a rule collects before it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// At most so long after something that speaks of a fault, ms.
    pub interval_ms: i64,
    /// At most so long after something that is only counted, ms, and at least half of it.
    pub calm_ms: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval_ms: 10_000, calm_ms: 30_000 }
    }
}

impl Pace {
    /// When what was only counted at a moment is told: each terminal has moments of its own. Where all of a region begin at once, as they do after an
    /// outage, they would otherwise all tell at once, and again each time.
    fn calm_due(&self, terminal: &str, at: Instant) -> Instant {
        let half = self.calm_ms / 2;
        let moments = i64::try_from(hash(terminal) % half.unsigned_abs()).expect("invariant: it is below an i64");
        let earliest = at.saturating_add(half);
        earliest.saturating_add(moments.saturating_sub(earliest).rem_euclid(half))
    }

    /// That both make sense.
    ///
    /// # Errors
    /// The key, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        for (key, value) in [("interval_ms", self.interval_ms), ("calm_ms", self.calm_ms)] {
            if !(1_000..=300_000).contains(&value) {
                return Err(format!(
                    "`evidence.{key}`: {value} is not between 1000 (a second) and 300000 (five minutes)"
                ));
            }
        }
        Ok(())
    }
}

/// A sign as a rule names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    /// The cause that it speaks for.
    pub cause: &'a str,
    /// Its name; the signature of an error where there are many.
    pub what: &'a str,
    /// How strongly it speaks, percent.
    pub percent: u8,
}

/// What was seen of one sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Cause and name of the sign; type and id of the first event that says so, empty where there is none.
    texts: Texts,
    percent: u8,
    count: u32,
    of: u32,
    value: Option<i64>,
    event_time: Instant,
}

/// What was seen since it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    since: Instant,
    due: Instant,
    payments: u32,
    /// By cause and name, in their order.
    signs: Vec<Seen>,
}

/// Collects evidence of one terminal in a rule's state. It is the first field of that: [`Collector::knows`] looks for it there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collector {
    /// Names of cohorts: terminal, region, site, acquirer, host, operator, version.
    names: Texts,
    open: Option<Box<Open>>,
}

impl Collector {
    /// Whether the collector at the beginning of a state, as it is stored, would learn nothing of an event: for [`Rule::ignores`](crate::Rule::ignores).
    #[must_use]
    pub fn knows(state: &[u8], terminal: &[u8], visit: &Visit<'_>) -> bool {
        Lent::beginning(state).is_some_and(|names| {
            said(terminal, visit).iter().enumerate().all(|(index, name)| !is_news(name, names.bytes(index)))
        })
    }

    /// Learns the cohorts from an event's common fields; the host is the last one of which a gateway told. What was collected in the company
    /// before is told first, so that each record speaks of one. `terminal` is its id as it came; empty for events that are about none.
    ///
    /// # Panics
    /// Where a name is no UTF-8: the host hands on none.
    pub fn learn(&mut self, terminal: &[u8], visit: &Visit<'_>, out: &mut Out<'_>) {
        let said = said(terminal, visit);
        let (mut news, mut moved) = (false, false);
        // Most events say what is known; bytes are compared, and what is the same is no text again.
        let differs: [bool; NAMES] = std::array::from_fn(|index| {
            let (name, known) = (said[index], self.names.bytes(index));
            let differs = is_news(name, known);
            (news, moved) = (news | differs, moved | (differs && !known.is_empty()));
            differs
        });
        if !news {
            return;
        }
        if moved {
            self.tell(visit.at(), out);
        }
        for index in (0..said.len()).filter(|index| differs[*index]) {
            let name = std::str::from_utf8(said[index]).expect("invariant: the host hands on UTF-8");
            self.names.set(index, name);
        }
    }

    /// What the terminal belongs to.
    #[must_use]
    pub fn cohorts(&self) -> Cohorts {
        let name = |index| self.names.get(index).to_owned();
        Cohorts {
            terminal: name(0),
            region: name(1),
            site: name(2),
            acquirer: name(3),
            host: name(4),
            operator: name(5),
            app_version: name(6),
        }
    }

    /// Its region; empty where it is not known.
    #[must_use]
    pub fn region(&self) -> &str {
        self.names.get(1)
    }

    /// When it has to be told; none: nothing was seen.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.due)
    }

    /// A payment has begun.
    pub fn begun(&mut self, pace: &Pace, visit: &Visit<'_>) {
        let open = self.open(pace, false, visit);
        open.payments = open.payments.saturating_add(1);
    }

    /// Something speaks for a cause.
    pub fn sign(&mut self, pace: &Pace, visit: &Visit<'_>, kind: Kind<'_>, value: Option<i64>) {
        self.count(pace, visit, kind, (1, 1), value);
    }

    /// Something was looked at and was well: it speaks against a cause.
    pub fn well(&mut self, pace: &Pace, visit: &Visit<'_>, kind: Kind<'_>, value: Option<i64>) {
        self.count(pace, visit, kind, (0, 1), value);
    }

    /// So many of so many observations speak for a cause. `value` is the number that tells; the greatest is kept.
    pub fn count(
        &mut self,
        pace: &Pace,
        visit: &Visit<'_>,
        kind: Kind<'_>,
        (count, of): (u32, u32),
        value: Option<i64>,
    ) {
        let open = self.open(pace, count > 0, visit);
        let index = match open.signs.binary_search_by(|Seen { texts, .. }| {
            (texts.bytes(0), texts.bytes(1)).cmp(&(kind.cause.as_bytes(), kind.what.as_bytes()))
        }) {
            Ok(index) => index,
            Err(_) if open.signs.len() == SIGNS_MAX || kind.what.len() > NAME_BYTES_MAX => return,
            Err(index) => {
                let texts = Texts::of([kind.cause, kind.what]);
                open.signs.insert(index, Seen { texts, ..Seen::default() });
                index
            }
        };
        let seen = &mut open.signs[index];
        seen.percent = seen.percent.max(kind.percent);
        seen.count = seen.count.saturating_add(count);
        seen.of = seen.of.saturating_add(of);
        seen.value = seen.value.max(value);
        if count > 0
            && seen.texts.bytes(2).is_empty()
            && let Some(id) = visit.id().filter(|id| id.len() <= NAME_BYTES_MAX)
        {
            seen.texts.set(2, visit.event());
            seen.texts.set(3, id);
            seen.event_time = visit.time();
        }
    }

    /// Tells what was seen, if it is time.
    pub fn tell_due(&mut self, now: Instant, out: &mut Out<'_>) {
        if self.due().is_some_and(|due| due <= now) {
            self.tell(now, out);
        }
    }

    /// Tells what was seen, and begins anew.
    pub fn tell(&mut self, until: Instant, out: &mut Out<'_>) {
        let Some(open) = self.open.take() else { return };
        let cohorts = self.cohorts();
        if open.payments > 0 {
            let payments = i64::from(open.payments);
            out.derive(Census { cohorts: cohorts.clone(), payments, from: open.since, until }.derived());
        }
        for seen in open.signs {
            let strength = f64::from(seen.percent) / 100.0;
            let [cause, what, event, event_id] = [0, 1, 2, 3].map(|index| seen.texts.get(index).to_owned());
            #[allow(clippy::cast_precision_loss, reason = "measurements of a till are small")]
            let value = seen.value.unwrap_or(0) as f64;
            let sign = Sign {
                about: about(&cause, &cohorts),
                cohorts: cohorts.clone(),
                cause,
                what,
                strength: if seen.count > 0 { strength } else { -strength },
                count: i64::from(seen.count),
                of: i64::from(seen.of),
                value,
                event,
                event_id,
                event_time: seen.event_time,
            };
            out.derive(sign.derived());
        }
    }

    fn open(&mut self, pace: &Pace, fault: bool, visit: &Visit<'_>) -> &mut Open {
        let at = visit.at();
        let open = self.open.get_or_insert_with(|| Box::new(Open { since: at, due: Instant::MAX, ..Open::default() }));
        if fault {
            open.due = open.due.min(at.saturating_add(pace.interval_ms));
        } else if open.due > at.saturating_add(pace.calm_ms) {
            // Otherwise it is told in time as it is: the terminal's name is looked at once an interval.
            open.due = pace.calm_due(self.names.get(0), at);
        }
        open
    }
}

/// What an event says of who it is about, in the order of a collector's names.
fn said<'a>(terminal: &'a [u8], visit: &Visit<'a>) -> [&'a [u8]; NAMES] {
    let [region, site, acquirer, host, operator, app_version] = FIELDS.map(|field| visit.piece_of(field));
    [terminal, region, site, acquirer, host, operator, app_version]
}

/// Whether a name is another than is known, and can be kept.
fn is_news(name: &[u8], known: &[u8]) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !same(name, known)
}

/// What would be at fault by a cause: the site by its line and its ledger, the host, the version, the operator, and the terminal by everything
/// else and where the others are not known.
fn about(cause: &str, cohorts: &Cohorts) -> String {
    let Cohorts { terminal, site, acquirer, host, operator, app_version, .. } = cohorts;
    let named = |word: &str, id: &str| (!id.is_empty()).then(|| format!("{word}:{id}"));
    let scope = match cause {
        "N1" | "N2" | "N3" | "S2" => named("site", site),
        "N4" if host.is_empty() => named("acquirer", acquirer),
        "N4" => named("host", &format!("{acquirer}/{host}")),
        "S1" | "S3" => named("version", app_version),
        "P1" | "P2" | "P3" | "P4" => named("operator", operator),
        _ => None,
    };
    scope.unwrap_or_else(|| format!("terminal:{terminal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohorts() -> Cohorts {
        Cohorts {
            region: "R".to_owned(),
            site: "S".to_owned(),
            terminal: "T".to_owned(),
            acquirer: "A".to_owned(),
            host: "h".to_owned(),
            app_version: "v".to_owned(),
            operator: "o".to_owned(),
        }
    }

    #[test]
    fn a_cause_is_about_its_cohort_and_without_one_about_the_terminal() {
        for (cause, scope) in [
            ("N1", "site:S"),
            ("N4", "host:A/h"),
            ("H1", "terminal:T"),
            ("S1", "version:v"),
            ("S2", "site:S"),
            ("S4", "terminal:T"),
            ("P3", "operator:o"),
        ] {
            assert_eq!(about(cause, &cohorts()), scope);
            let alone = Cohorts { terminal: "T".to_owned(), ..Cohorts::default() };
            assert_eq!(about(cause, &alone), "terminal:T");
        }
        assert_eq!(about("N4", &Cohorts { host: String::new(), ..cohorts() }), "acquirer:A");
    }

    #[test]
    fn what_is_only_counted_is_told_in_time_and_by_each_terminal_at_moments_of_its_own() {
        let pace = Pace::default();
        let mut moments = [0; 15];
        for terminal in (0..3_000).map(|number| format!("T{number:07}")) {
            let due = pace.calm_due(&terminal, 0);
            moments[usize::try_from(due / 1_000).unwrap() - 15] += 1;
            for at in [-1, 0, 1, 14_999, 15_000, 1_795_339_801_250, Instant::MIN] {
                let next = pace.calm_due(&terminal, at);
                assert!((at + 15_000..at + 30_000).contains(&next), "{terminal} at {at}: {next}");
                assert_eq!((i128::from(next) - i128::from(due)) % 15_000, 0, "{terminal}");
            }
        }
        assert!(moments.iter().all(|told| (150..250).contains(told)), "of 3,000 in each second: {moments:?}");
        let odd = Pace { calm_ms: 1_001, ..pace };
        assert!((500..=1_001).contains(&odd.calm_due("T1", 0)));
        assert_eq!(pace.calm_due("T1", Instant::MAX), Instant::MAX);
    }

    #[test]
    fn paces_out_of_range_are_named() {
        assert_eq!(Pace::default().check(), Ok(()));
        let wrong = Pace { interval_ms: 999, ..Pace::default() };
        assert!(wrong.check().unwrap_err().contains("evidence.interval_ms"));
    }
}
