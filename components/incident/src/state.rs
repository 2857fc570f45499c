//! What is remembered of a region: which payments are stuck, what is open, and beside them how many each cohort had and what telemetry points to. Every list
//! has a bound; what gives way is in its line.

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Instant, TEXTS_MAX, Texts,
    evidence::{Cohorts, Notice, Stuck},
    ids, same,
};

use crate::{
    members::Members,
    peers::Peers,
    queue::{self, Queue},
    signs::Signs,
    tally::{Tally, WINDOW_MS},
};

/// Stuck payments that wait to be judged; when one more comes, they are judged at once. Those of incidents that nothing explains yet have
/// what room is left: the oldest give way, and keep what they were told.
pub const WAITING_MAX: usize = 128;
/// Announced windows; the one that ends first gives way. Where an incident of maintenance has seen more announced, all of its scope counts as
/// announced.
pub const NOTICES_MAX: usize = 64;
/// A payment that begins at the end of announced maintenance is found stuck after so long at the latest, ms: a card's terminal gives up after 60 s
/// (docs/spec/domain.md, section 2).
pub const AFTER_MS: i64 = 70_000;
/// Places of which announcements come together; where more come at once, the others are their own.
pub const PLACES_MAX: usize = 64;
/// Open incidents; what would be one more is judged and no incident.
pub const INCIDENTS_MAX: usize = 32;
/// Findings of all open incidents whose end is awaited; the end of more is not in the report.
pub const MEMBERS_MAX: usize = 2_048;
/// Scopes and causes whose incidents are counted; the oldest gives way, and begins at 1 again.
pub const GENERATIONS_MAX: usize = 256;
/// An incident goes on until so many payments more would be stuck if it did: none by chance is one in twenty then.
pub const MISSED_MIN: u64 = 3;
/// Longer names are not kept: such a record speaks of the region alone.
pub const NAME_BYTES_MAX: usize = 96;
/// Bytes of a transaction key; of a payment with a longer one there is no incident.
pub const TXN_BYTES_MAX: usize = 128;
/// Bytes of every other text of a stuck payment; it is as with [`TXN_BYTES_MAX`].
pub const TEXT_BYTES_MAX: usize = 48;
/// Ways of an incident's payments to end that are told apart; the rest of them are `other`.
pub const ENDED_MAX: usize = 8;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Payments begun, by cohort.
    pub payments: Tally,
    /// Stuck payments that no incident explains yet.
    pub waiting: Queue,
    /// By cause and what would be at fault.
    pub signs: Signs,
    /// What was announced.
    pub notices: Vec<Announced>,
    /// What is open.
    pub incidents: Vec<Open>,
    /// What is usual of operators.
    pub peers: Peers,
    /// How many incidents there were, by scope and cause.
    pub generations: Vec<((String, String), u32)>,
    /// Announcements that no incident tells of yet.
    pub gathering: Option<Gathering>,
}

/// A stuck payment that waits to be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its finding, that one's kind, the transaction key, the currency, the cause that a rule of the terminal has found, and scopes from
    /// [`Waiting::SCOPES`] on.
    texts: Texts,
    /// Since when.
    pub at: Instant,
    /// Minor units.
    pub amount: i64,
    /// How sure the cause is, percent.
    pub percent: u8,
    /// It was judged alone, and waits only for company.
    pub told: bool,
}

impl Waiting {
    const CAUSE: usize = 4;
    const SCOPES: usize = 5;

    /// Of a record that came then.
    #[must_use]
    pub fn new(stuck: &Stuck, at: Instant) -> Self {
        let cohort = Cohort::of(&stuck.cohorts);
        let own = [&stuck.finding, &stuck.kind, &stuck.txn, &stuck.currency, &stuck.cause];
        let texts = Texts::of(own.into_iter().chain(&cohort.0).map(String::as_str));
        Self { texts, at, amount: stuck.amount, percent: percent(stuck.confidence), told: false }
    }

    /// Its finding.
    #[must_use]
    pub fn finding(&self) -> &str {
        self.texts.get(0)
    }

    /// Whether its finding is this.
    #[must_use]
    pub fn is(&self, finding: &str) -> bool {
        same(self.texts.bytes(0), finding.as_bytes())
    }

    /// Kind of that.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.texts.get(1)
    }

    /// The transaction key.
    #[must_use]
    pub fn txn(&self) -> &str {
        self.texts.get(2)
    }

    /// ISO 4217.
    #[must_use]
    pub fn currency(&self) -> &str {
        self.texts.get(3)
    }

    /// What a rule of the terminal has found.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.texts.get(Self::CAUSE)
    }

    /// Where it is, narrow scopes first.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        (Self::SCOPES..TEXTS_MAX).map(|index| self.texts.get(index)).filter(|scope| !scope.is_empty())
    }

    /// Whether it is part of a scope.
    #[must_use]
    pub fn within(&self, scope: &str) -> bool {
        (Self::SCOPES..TEXTS_MAX).any(|index| same(self.texts.bytes(index), scope.as_bytes()))
    }

    /// The scope of a word, as `site`.
    #[must_use]
    pub fn named(&self, word: &str) -> Option<&str> {
        self.scopes().find(|scope| scope.strip_prefix(word).is_some_and(|rest| rest.starts_with(':')))
    }
}

/// The scopes that a record speaks of, narrow ones first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cohort(pub Vec<String>);

impl Cohort {
    /// Of a record.
    #[must_use]
    pub fn of(cohorts: &Cohorts) -> Self {
        let Cohorts { region, site, terminal, acquirer, host, app_version, operator } = cohorts;
        let host = if host.is_empty() { String::new() } else { format!("{acquirer}/{host}") };
        let named = [
            ("terminal", terminal),
            ("operator", operator),
            ("site", site),
            ("host", &host),
            ("acquirer", acquirer),
            ("version", app_version),
        ];
        let fits = |id: &str| !id.is_empty() && id.len() <= NAME_BYTES_MAX;
        let narrow = named.into_iter().filter(|(_, id)| fits(id)).map(|(word, id)| format!("{word}:{id}"));
        let region = if fits(region) { region } else { tillwatch_sdk::evidence::NOWHERE };
        Self(narrow.chain([format!("region:{region}")]).collect())
    }

    /// Whether it is part of a scope.
    #[must_use]
    pub fn within(&self, scope: &str) -> bool {
        self.0.iter().any(|own| own == scope)
    }

    /// The scope of a word, as `site`.
    #[must_use]
    pub fn named(&self, word: &str) -> Option<&str> {
        self.0.iter().find(|scope| word_of(scope) == word).map(String::as_str)
    }
}

/// The word of a scope, as `site` of `site:S0012`.
#[must_use]
pub fn word_of(scope: &str) -> &str {
    scope.split_once(':').map_or("", |(word, _)| word)
}

/// Maintenance as it was announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Of what.
    pub about: String,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
}

/// An open incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// What it is about.
    pub scope: String,
    /// Where the chain breaks.
    pub family: crate::scan::Family,
    /// The decision.
    pub cause: String,
    /// How sure, percent.
    pub percent: u8,
    /// What else it may be.
    pub runner_up: Option<String>,
    /// Of this scope and cause.
    pub generation: u32,
    /// Findings so far.
    pub findings: u64,
    /// Payments so far.
    pub payments: u64,
    /// Money at risk so far.
    pub money: Vec<(String, i64)>,
    /// Events that it rests on.
    pub evidence: Vec<(String, String, Instant)>,
    /// Its first finding.
    pub first_at: Instant,
    /// When it was opened.
    pub opened_at: Instant,
    /// When a finding joined last.
    pub joined_at: Instant,
    /// When something of it was said last.
    pub said_at: Instant,
    /// Something has changed since.
    pub changed: bool,
    /// Announced.
    pub maintenance: bool,
    /// Findings that are not over.
    pub members: Members,
    /// How the others ended.
    pub ended: Vec<(String, u64)>,
    /// Scopes, other than its own, that every member was part of: what may explain it.
    pub shared: Vec<String>,
    /// Ids of what it explains.
    pub inhibits: Vec<String>,
    /// The id of what explains it.
    pub inhibited_by: Option<String>,
    /// It was opened as `undetermined`, and is not by now.
    pub renamed: bool,
    /// Its payments, for as long as nothing explains them.
    pub undecided: Queue,
    /// How many announcements of it are not over.
    pub announced: u64,
    /// When the last of them ends, or has ended.
    pub until: Instant,
    /// Kinds of its findings that were mended.
    pub mended: Vec<(String, u64)>,
    /// Payments begun in its scope, up to the last that says that it goes on.
    pub begun: u64,
    /// Payments begun since, and those of them that are stuck.
    pub since: (u64, u64),
}

impl Open {
    /// The cause that it was opened with: its name is of that one.
    #[must_use]
    pub fn opened_as(&self) -> &str {
        if self.renamed { "undetermined" } else { &self.cause }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> String {
        ids::incident(&self.scope, self.opened_as(), self.generation)
    }

    /// Whether it takes what is stuck there and was not announced by name: more was announced than is remembered, or it was over so lately that
    /// what is found stuck began before.
    #[must_use]
    pub fn covers(&self, now: Instant) -> bool {
        let over = now - self.until;
        if over < 0 { self.announced > NOTICES_MAX as u64 } else { over < AFTER_MS }
    }

    /// Whether so many went well since the last that was stuck that, at the ratio of before, [`MISSED_MIN`] of them would have been. What is
    /// announced is over when it is.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let begun = self.begun.max(self.payments);
        self.maintenance || self.since.0.saturating_mul(self.payments) >= begun.saturating_mul(MISSED_MIN)
    }

    /// Whether what was announced goes on.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> bool {
        self.announced > 0 && now < self.until
    }
}

/// Announcements that come together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gathering {
    /// When the first came.
    pub since: Instant,
    /// When the last of them ends.
    pub until: Instant,
    /// How many by place: a site for its terminals, a host for itself.
    pub places: Vec<(String, u64)>,
}

/// The entry of a key in a short list; a new one comes last. Small lists in place of maps keep the component small.
pub fn entry<K: PartialEq, N: Default>(list: &mut Vec<(K, N)>, key: K) -> &mut N {
    let index = list.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        list.push((key, N::default()));
        list.len() - 1
    });
    &mut list[index].1
}

impl Region {
    /// Nothing is remembered. A comparison with the default would cost 3 KB of the component.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payments.is_empty()
            && self.waiting.is_empty()
            && self.signs.is_empty()
            && self.notices.is_empty()
            && self.incidents.is_empty()
            && self.generations.is_empty()
            && self.peers == Peers::default()
            && self.gathering.is_none()
    }

    /// Payments were begun.
    pub fn count(&mut self, cohorts: &Cohort, at: Instant, payments: i64) {
        self.payments.catch_up(at);
        let payments = u32::try_from(payments.max(0)).unwrap_or(u32::MAX);
        for scope in &cohorts.0 {
            // Terminals and operators are many: they are counted from when something is stuck there.
            let wanted = || !queue::WORDS.contains(&word_of(scope)) || self.waiting.has(scope);
            self.payments.add(scope, payments, wanted);
        }
        for open in self.incidents.iter_mut().filter(|open| cohorts.within(&open.scope)) {
            open.since.0 = open.since.0.saturating_add(payments.into());
        }
    }

    /// Maintenance was announced, or is over.
    pub fn notice(&mut self, notice: &Notice) {
        self.notices.retain(|known| known.about != notice.about);
        if notice.until <= notice.from || notice.about.len() > NAME_BYTES_MAX {
            return;
        }
        if self.notices.len() >= NOTICES_MAX {
            let first = (0..self.notices.len()).min_by_key(|index| self.notices[*index].until);
            first.map(|index| self.notices.remove(index));
        }
        self.notices.push(Announced { about: notice.about.clone(), from: notice.from, until: notice.until });
    }

    /// A payment is stuck, or its terminal knows more; gives whether it is new.
    pub fn stuck(&mut self, stuck: &Stuck, at: Instant) -> bool {
        let texts = [&stuck.finding, &stuck.kind, &stuck.currency, &stuck.cause];
        if stuck.txn.len() > TXN_BYTES_MAX || texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return false;
        }
        let undecided = self.incidents.iter_mut().map(|open| &mut open.undecided);
        for queue in [&mut self.waiting].into_iter().chain(undecided) {
            let Some(index) = queue.iter().position(|known| known.is(&stuck.finding)) else { continue };
            // The finding and what its terminal knows come at one instant, in any order.
            if !stuck.cause.is_empty() {
                let known = &mut queue[index];
                known.texts.set(Waiting::CAUSE, &stuck.cause);
                known.percent = percent(stuck.confidence);
            }
            return false;
        }
        if self.incidents.iter().any(|incident| incident.members.has(&stuck.finding)) {
            return false;
        }
        self.waiting.push(Waiting::new(stuck, at));
        true
    }

    /// Forgets what is past.
    pub fn forget(&mut self, now: Instant, sign_ms: i64) {
        self.payments.slide(now);
        self.waiting.retain(|waiting| now - waiting.at < WINDOW_MS);
        self.signs.forget(now, sign_ms);
        self.notices.retain(|notice| notice.until > now);
    }

    /// Whether a terminal knows that the customer left or did not confirm: that is no fault of any place, and makes no incident.
    #[must_use]
    pub fn is_customers(&self, txn: &str) -> bool {
        self.waiting.iter().any(|waiting| waiting.txn() == txn && waiting.cause() == "customer")
    }

    /// Payments of undecided incidents give way to those that wait.
    pub fn make_room(&mut self) {
        let undecided: usize = self.incidents.iter().map(|open| open.undecided.len()).sum();
        for _ in WAITING_MAX..self.waiting.len() + undecided {
            let oldest = |open: &&mut Open| open.undecided.first().map_or(Instant::MAX, |first| first.at);
            if let Some(open) = self.incidents.iter_mut().min_by_key(oldest) {
                open.undecided.remove(0);
            }
        }
    }

    /// Findings of open incidents whose end is awaited.
    #[must_use]
    pub fn members(&self) -> usize {
        self.incidents.iter().map(|incident| incident.members.len()).sum()
    }

    /// The next generation of incidents of a scope and cause.
    pub fn next_generation(&mut self, scope: &str, cause: &str) -> u32 {
        let key = (scope.to_owned(), cause.to_owned());
        if self.generations.len() >= GENERATIONS_MAX && !self.generations.iter().any(|(known, _)| *known == key) {
            self.generations.remove(0);
        }
        let generation = entry(&mut self.generations, key);
        *generation += 1;
        *generation
    }
}

/// A share as whole percent.
#[must_use]
pub fn percent(share: f64) -> u8 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to 0 to 100")]
    let percent = (share * 100.0 + 0.5).clamp(0.0, 100.0) as u8;
    percent
}
