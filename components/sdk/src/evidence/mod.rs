//! What rules of the first stage tell the second (`pos.evidence`, docs/spec/events.md): how many payments a terminal had, which are stuck
//! and which no more, and what its telemetry points to.
//!
//! A record is addressed to a scope by its detail `scope`, the record's key. Cohorts overlap (a terminal has a site, an acquirer, a version,
//! an operator), and to choose among them somebody must see them all: so every record goes to the region of its terminal, and names the
//! others as fields (ADR 0015). Never one record an event: a census and a sign sum up an interval, and payments seldom get stuck.

mod collect;
mod read;

use serde::{Deserialize, Serialize};
use tillwatch_wit::contract::{Derived, Details, Instant, Value};

pub use collect::{Collector, FIELDS, Kind, NAME_BYTES_MAX, Pace, SIGNS_MAX};
pub use read::{Fields, Record, read};

/// Type of [`Census`].
pub const CENSUS: &str = "pos.evidence.census";
/// Type of [`Stuck`].
pub const STUCK: &str = "pos.evidence.stuck";
/// Type of [`Ended`].
pub const ENDED: &str = "pos.evidence.ended";
/// Type of [`Sign`].
pub const SIGN: &str = "pos.evidence.sign";
/// Type of [`Notice`].
pub const NOTICE: &str = "pos.evidence.notice";

/// Stands for the region of a terminal that names none.
pub const NOWHERE: &str = "unknown";

/// Who else is in the same boat: what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cohorts {
    /// Region id.
    pub region: String,
    /// Site id.
    pub site: String,
    /// Terminal id.
    pub terminal: String,
    /// Acquirer id.
    pub acquirer: String,
    /// The acquirer's host, where it is known which.
    pub host: String,
    /// Version of the terminal's application.
    pub app_version: String,
    /// The operator's pseudonym.
    pub operator: String,
}

impl Cohorts {
    /// Where records about this terminal go: `region:<id>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("region:{}", if self.region.is_empty() { NOWHERE } else { &self.region })
    }

    fn tell(&self, record: &mut Told) {
        for (name, value) in [
            ("region", &self.region),
            ("site", &self.site),
            ("terminal", &self.terminal),
            ("acquirer", &self.acquirer),
            ("host", &self.host),
            ("app_version", &self.app_version),
            ("operator", &self.operator),
        ] {
            record.text(name, value);
        }
    }
}

/// A record as it grows: what is empty is left out.
struct Told {
    event: &'static str,
    details: Details,
}

impl Told {
    fn new(event: &'static str, scope: String, cohorts: &Cohorts) -> Self {
        let mut record = Self { event, details: vec![("scope".to_owned(), Value::Text(scope))] };
        cohorts.tell(&mut record);
        record
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.details.push((name.to_owned(), Value::from(text)));
        }
    }

    fn integer(&mut self, name: &str, integer: i64) {
        self.details.push((name.to_owned(), Value::Integer(integer)));
    }

    fn done(self) -> Derived {
        Derived { event: self.event.to_owned(), details: self.details }
    }
}

/// Payments that a terminal began in an interval: what the stuck ones are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Census {
    /// Whose; payments of another acquirer, version or operator are another record.
    #[serde(flatten)]
    pub cohorts: Cohorts,
    /// How many were begun.
    pub payments: i64,
    /// Beginning of the interval, ms.
    pub from: Instant,
    /// Its end.
    pub until: Instant,
}

impl Census {
    /// As an action.
    #[must_use]
    pub fn derived(&self) -> Derived {
        let mut record = Told::new(CENSUS, self.cohorts.address(), &self.cohorts);
        record.integer("payments", self.payments);
        record.integer("from", self.from);
        record.integer("until", self.until);
        record.done()
    }
}

/// A finding about a payment is open, or more is known of it: sent when it is raised, and again when its cause changes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Stuck {
    /// Where.
    #[serde(flatten)]
    pub cohorts: Cohorts,
    /// The finding's id.
    pub finding: String,
    /// Its kind.
    pub kind: String,
    /// The transaction key.
    pub txn: String,
    /// Where the chain broke.
    #[serde(default)]
    pub broke_at: String,
    /// Minor units; 0 where it is not known.
    #[serde(default)]
    pub amount: i64,
    /// ISO 4217.
    #[serde(default)]
    pub currency: String,
    /// The cause that a rule of the terminal has found already.
    #[serde(default)]
    pub cause: String,
    /// How sure that rule is, 0 to 1.
    #[serde(default)]
    pub confidence: f64,
}

impl Stuck {
    /// As an action.
    #[must_use]
    pub fn derived(&self) -> Derived {
        let mut record = Told::new(STUCK, self.cohorts.address(), &self.cohorts);
        for (name, text) in [
            ("finding", &self.finding),
            ("kind", &self.kind),
            ("txn", &self.txn),
            ("broke_at", &self.broke_at),
            ("currency", &self.currency),
            ("cause", &self.cause),
        ] {
            record.text(name, text);
        }
        if self.amount != 0 {
            record.integer("amount", self.amount);
        }
        if self.confidence > 0.0 {
            record.details.push(("confidence".to_owned(), Value::Number(self.confidence)));
        }
        record.done()
    }
}

/// A finding about a payment is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// Where.
    #[serde(flatten)]
    pub cohorts: Cohorts,
    /// The finding's id.
    pub finding: String,
    /// Its kind.
    pub kind: String,
    /// How it ended, as in `pos.finding.cleared`.
    pub resolution: String,
    /// How long after the deadline.
    #[serde(default)]
    pub after_ms: i64,
}

impl Ended {
    /// As an action.
    #[must_use]
    pub fn derived(&self) -> Derived {
        let mut record = Told::new(ENDED, self.cohorts.address(), &self.cohorts);
        record.text("finding", &self.finding);
        record.text("kind", &self.kind);
        record.text("resolution", &self.resolution);
        record.integer("after_ms", self.after_ms);
        record.done()
    }
}

/// What a terminal's telemetry of an interval points to; sent at most once an interval for each (cause, about, what).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Sign {
    /// Whose telemetry.
    #[serde(flatten)]
    pub cohorts: Cohorts,
    /// The cause that it speaks for: `N1` … `P4`, `maintenance` or `customer` (docs/spec/domain.md, section 3).
    pub cause: String,
    /// What would be at fault, as a scope: `site:S0012`, `host:A01/h1`, `version:4.2.0`, `terminal:T1`, `operator:…`.
    pub about: String,
    /// Which sign it is, by the names of `docs/evidence.md`; empty where the rule has but one for the cause.
    #[serde(default)]
    pub what: String,
    /// How strongly it speaks, above 0 to 1; negative down to -1 where it speaks against the cause: a sample that was well.
    pub strength: f64,
    /// Observations that say so.
    #[serde(default)]
    pub count: i64,
    /// Of how many in the interval.
    #[serde(default)]
    pub of: i64,
    /// The number that tells, as the round trip's 95th percentile; its meaning is the rule's.
    #[serde(default)]
    pub value: f64,
    /// Type of the event that says it best.
    #[serde(default)]
    pub event: String,
    /// Its id.
    #[serde(default)]
    pub event_id: String,
    /// Its time, ms.
    #[serde(default)]
    pub event_time: Instant,
}

impl Sign {
    /// As an action.
    #[must_use]
    pub fn derived(&self) -> Derived {
        let mut record = Told::new(SIGN, self.cohorts.address(), &self.cohorts);
        record.text("cause", &self.cause);
        record.text("about", &self.about);
        record.text("what", &self.what);
        record.details.push(("strength".to_owned(), Value::Number(self.strength)));
        record.integer("count", self.count);
        record.integer("of", self.of);
        record.details.push(("value".to_owned(), Value::Number(self.value)));
        record.text("event", &self.event);
        record.text("event_id", &self.event_id);
        record.integer("event_time", self.event_time);
        record.done()
    }
}

/// A maintenance window was announced, or called off by one whose end is past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Notice {
    /// Who announced it.
    #[serde(flatten)]
    pub cohorts: Cohorts,
    /// What is maintained, as a scope.
    pub about: String,
    /// Its begin, ms.
    pub from: Instant,
    /// Its end, ms.
    pub until: Instant,
}

impl Notice {
    /// As an action.
    #[must_use]
    pub fn derived(&self) -> Derived {
        let mut record = Told::new(NOTICE, self.cohorts.address(), &self.cohorts);
        record.text("about", &self.about);
        record.integer("from", self.from);
        record.integer("until", self.until);
        record.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohorts() -> Cohorts {
        Cohorts {
            region: "cn-east".to_owned(),
            site: "S0012".to_owned(),
            terminal: "T1".to_owned(),
            ..Cohorts::default()
        }
    }

    fn names(derived: &Derived) -> Vec<&str> {
        derived.details.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn what_is_empty_is_left_out_and_the_address_is_the_region() {
        let derived = Census { cohorts: cohorts(), payments: 3, from: 0, until: 30_000 }.derived();
        assert_eq!(names(&derived), ["scope", "region", "site", "terminal", "payments", "from", "until"]);
        assert_eq!(derived.details[0].1, Value::from("region:cn-east"));
        assert_eq!(Cohorts::default().address(), "region:unknown");
    }

    #[test]
    fn every_detail_has_the_type_that_the_field_table_gives_its_name() {
        use tillwatch_wit::table::{FieldId, Kind};
        let full = Cohorts {
            acquirer: "A".to_owned(),
            host: "h".to_owned(),
            app_version: "1".to_owned(),
            operator: "o".to_owned(),
            ..cohorts()
        };
        let texts = || "x".to_owned();
        let all = [
            Census { cohorts: full.clone(), payments: 1, from: 1, until: 2 }.derived(),
            Stuck {
                cohorts: full.clone(),
                finding: texts(),
                kind: texts(),
                txn: texts(),
                broke_at: texts(),
                amount: 1,
                currency: texts(),
                cause: texts(),
                confidence: 0.5,
            }
            .derived(),
            Ended { cohorts: full.clone(), finding: texts(), kind: texts(), resolution: texts(), after_ms: 1 }
                .derived(),
            Sign { cohorts: full.clone(), cause: texts(), about: texts(), strength: 1.0, ..Sign::default() }.derived(),
            Notice { cohorts: full, about: texts(), from: 1, until: 2 }.derived(),
        ];
        for (name, value) in all.iter().flat_map(|derived| &derived.details) {
            let Some(field) = FieldId::by_name(name) else { continue };
            let fits = matches!(
                (field.field().kind, value),
                (Kind::Text, Value::Text(_)) | (Kind::Integer, Value::Integer(_)) | (Kind::Number, Value::Number(_))
            );
            assert!(fits, "{name} is {:?} in the table", field.field().kind);
        }
    }
}
