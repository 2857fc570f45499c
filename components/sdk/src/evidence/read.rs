//! Reading evidence back in the second stage.
//!
//! A record is a flat map of CBOR: names, and texts, numbers or flags. What reads it knows no more of CBOR than that; a general reader would
//! make a component half as large again.

use super::{Census, Cohorts, Ended, Notice, Sign, Stuck};
use crate::{Out, Visit};

/// A value as it stands in a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field<'a> {
    Text(&'a str),
    Integer(i64),
    Number(f64),
    Flag,
}

/// The fields of a record, in their order.
pub struct Fields<'a>(Vec<(&'a str, Field<'a>)>);

impl<'a> Fields<'a> {
    fn of(cbor: &'a [u8]) -> Option<Self> {
        let mut rest = cbor;
        let (5, count) = head(&mut rest)? else { return None };
        let mut fields = Vec::new();
        for _ in 0..count {
            let Field::Text(name) = field(&mut rest)? else { return None };
            fields.push((name, field(&mut rest)?));
        }
        rest.is_empty().then_some(Self(fields))
    }

    fn get(&self, name: &str) -> Option<Field<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    fn text(&self, name: &str) -> String {
        if let Some(Field::Text(text)) = self.get(name) { text.to_owned() } else { String::new() }
    }

    fn integer(&self, name: &str) -> i64 {
        if let Some(Field::Integer(integer)) = self.get(name) { integer } else { 0 }
    }

    fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Field::Number(number)) => number,
            #[allow(clippy::cast_precision_loss, reason = "a number that was whole was written as such")]
            Some(Field::Integer(integer)) => integer as f64,
            _ => 0.0,
        }
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.get(name).is_some())
    }

    fn cohorts(&self) -> Cohorts {
        Cohorts {
            region: self.text("region"),
            site: self.text("site"),
            terminal: self.text("terminal"),
            acquirer: self.text("acquirer"),
            host: self.text("host"),
            app_version: self.text("app_version"),
            operator: self.text("operator"),
        }
    }
}

/// Major type and argument of the next item; lengths that are not given, and tags, are none of a record's.
fn head(rest: &mut &[u8]) -> Option<(u8, u64)> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    let bytes = match first & 31 {
        small @ 0..=23 => return Some((first >> 5, u64::from(small))),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let (argument, tail) = rest.split_at_checked(bytes)?;
    *rest = tail;
    Some((first >> 5, argument.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))))
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let first = *rest.first()?;
    let (major, argument) = head(rest)?;
    Some(match (major, first & 31) {
        (0, _) => Field::Integer(i64::try_from(argument).ok()?),
        (1, _) => Field::Integer(-1 - i64::try_from(argument).ok()?),
        (3, _) => {
            let (text, tail) = rest.split_at_checked(usize::try_from(argument).ok()?)?;
            *rest = tail;
            Field::Text(std::str::from_utf8(text).ok()?)
        }
        (7, 20 | 21) => Field::Flag,
        (7, 25) => Field::Number(half(u16::try_from(argument).ok()?)),
        (7, 26) => Field::Number(f64::from(f32::from_bits(u32::try_from(argument).ok()?))),
        (7, 27) => Field::Number(f64::from_bits(argument)),
        _ => return None,
    })
}

/// IEEE 754 binary16, in which a writer puts what fits.
fn half(bits: u16) -> f64 {
    /// Two to the power of -24, the least that is not zero.
    const LEAST: f64 = f64::from_bits((1_023 - 24) << 52);
    let (exponent, fraction) = (u64::from(bits >> 10) & 31, f64::from(bits & 1_023));
    let size = match exponent {
        0 => fraction * LEAST,
        31 => f64::INFINITY,
        _ => (1_024.0 + fraction) * f64::from_bits((1_023 + exponent - 25) << 52),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// What can be read from a record.
pub trait Record: Sized {
    /// Reads it; none where something is missing.
    fn of(fields: &Fields<'_>) -> Option<Self>;
}

impl Record for Census {
    fn of(fields: &Fields<'_>) -> Option<Self> {
        fields.has(&["payments", "from", "until"]).then(|| Self {
            cohorts: fields.cohorts(),
            payments: fields.integer("payments"),
            from: fields.integer("from"),
            until: fields.integer("until"),
        })
    }
}

impl Record for Stuck {
    fn of(fields: &Fields<'_>) -> Option<Self> {
        fields.has(&["finding", "kind", "txn"]).then(|| Self {
            cohorts: fields.cohorts(),
            finding: fields.text("finding"),
            kind: fields.text("kind"),
            txn: fields.text("txn"),
            broke_at: fields.text("broke_at"),
            amount: fields.integer("amount"),
            currency: fields.text("currency"),
            cause: fields.text("cause"),
            confidence: fields.number("confidence"),
        })
    }
}

impl Record for Ended {
    fn of(fields: &Fields<'_>) -> Option<Self> {
        fields.has(&["finding", "kind", "resolution"]).then(|| Self {
            cohorts: fields.cohorts(),
            finding: fields.text("finding"),
            kind: fields.text("kind"),
            resolution: fields.text("resolution"),
            after_ms: fields.integer("after_ms"),
        })
    }
}

impl Record for Sign {
    fn of(fields: &Fields<'_>) -> Option<Self> {
        fields.has(&["cause", "about", "strength"]).then(|| Self {
            cohorts: fields.cohorts(),
            cause: fields.text("cause"),
            about: fields.text("about"),
            what: fields.text("what"),
            strength: fields.number("strength"),
            count: fields.integer("count"),
            of: fields.integer("of"),
            value: fields.number("value"),
            event: fields.text("event"),
            event_id: fields.text("event_id"),
            event_time: fields.integer("event_time"),
        })
    }
}

impl Record for Notice {
    fn of(fields: &Fields<'_>) -> Option<Self> {
        fields.has(&["about", "from", "until"]).then(|| Self {
            cohorts: fields.cohorts(),
            about: fields.text("about"),
            from: fields.integer("from"),
            until: fields.integer("until"),
        })
    }
}

/// The record of a visit. What cannot be read is a fault of the visit and goes to the dead letters: another program wrote it. The rule
/// declares `data`.
pub fn read<T: Record>(visit: &Visit<'_>, out: &mut Out<'_>) -> Option<T> {
    let record = visit.data().and_then(Fields::of).as_ref().and_then(T::of);
    if record.is_none() {
        out.fail("the evidence is no flat map, or lacks a field of its type (docs/spec/events.md)");
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::data;

    #[test]
    fn what_was_written_is_read() {
        let cohorts = Cohorts { region: "R".to_owned(), host: "主机".to_owned(), ..Cohorts::default() };
        for strength in [0.5, -0.7, 0.1, 1.0, 0.333_251_953_125] {
            let sign = Sign {
                cohorts: cohorts.clone(),
                cause: "N4".to_owned(),
                about: "host:A/主机".to_owned(),
                what: "p95".to_owned(),
                strength,
                count: 300,
                of: 70_000,
                value: 1_234.5,
                event: "pos.host.sample".to_owned(),
                event_id: "e".to_owned(),
                event_time: 1_795_339_800_000,
            };
            let bytes = data(&sign.derived());
            assert_eq!(Fields::of(&bytes).as_ref().and_then(Sign::of), Some(sign));
        }
        let census = Census { cohorts, payments: 3, from: -5, until: 0 };
        let bytes = data(&census.derived());
        assert_eq!(Fields::of(&bytes).as_ref().and_then(Census::of), Some(census));
        assert!(Fields::of(&bytes).as_ref().and_then(Stuck::of).is_none(), "it lacks a finding");
        for end in 0..bytes.len() {
            assert!(Fields::of(&bytes[..end]).is_none(), "cut at {end}");
        }
        assert!(Fields::of(&[0xbf, 0xff]).is_none() && Fields::of(&[0x80]).is_none());
    }

    #[test]
    fn halves_are_what_ciborium_reads() {
        for bits in (0..=u16::MAX).step_by(7).filter(|bits| (bits >> 10) & 31 != 31) {
            let bytes = [0xf9, bits.to_be_bytes()[0], bits.to_be_bytes()[1]];
            let known: f64 = ciborium::from_reader(&bytes[..]).expect("a half");
            assert_eq!(half(bits).to_bits(), known.to_bits(), "{bits:#x}");
        }
    }
}
