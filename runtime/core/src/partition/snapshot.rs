//! State as it lies in the changelog and in snapshots: one key a record, so that only what changed is written. Version 1.
//!
//! Keys begin with a letter for what they hold and go on with length-prefixed parts; values begin with the format's version.

use std::fmt;

use serde::{Deserialize, Serialize};
use tillwatch_wit::contract::Instant;

use super::{
    Partition,
    keyed::NEVER,
    ledger::Stored,
    merge::Inputs,
    watch::{Clock, Sight},
};
use crate::{
    log::{Changes, INSTANT_MAX, Position},
    output::{self, Class, Data, Finding, Id, Output, Reason},
    rules::Rules,
};

/// Format of values.
const VERSION: u8 = 1;

/// Records that the changelog has of one bucket of hashes, at most: a commit makes one for some thousands of events, and a
/// bucket is open for a sixtieth of the window.
const BUCKET_RECORDS_MAX: u32 = 1 << 24;

/// What counts one by one does not come so far.
const COUNT_MAX: u64 = u32::MAX as u64 / 2;

/// No clock says this: whoever wrote it was not this program, and arithmetic with it would not be safe.
fn beyond(at: Instant) -> bool {
    !(-INSTANT_MAX..=INSTANT_MAX).contains(&at)
}

/// A changelog record that cannot be what this program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptState {
    /// The record's key, printable.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for CorruptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "changelog record {} is unusable: {}; the partition does not start on a guess: restore the changelog or see docs/runbook.md#changelog-corrupt",
            self.key, self.what
        )
    }
}

impl std::error::Error for CorruptState {}

/// State that a rule does not take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeError {
    /// The rule.
    pub rule: String,
    /// The version that its stored state has.
    pub version: u32,
    /// The rule's own words.
    pub reason: String,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rule {} does not take over its state of version {}: {}; go back to the rule's former version or give it a migration",
            self.rule, self.version, self.reason
        )
    }
}

impl std::error::Error for ResumeError {}

/// Appends a key.
fn key(kind: u8, parts: &[&[u8]]) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| {
        bytes.push(kind);
        parts.iter().for_each(|piece| part(bytes, piece));
    }
}

/// Appends a part of a key.
fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).expect("invariant: key parts are short").to_be_bytes());
    bytes.extend_from_slice(part);
}

/// What all state of a rule has in common.
#[derive(Debug)]
pub(super) struct StoredRule {
    /// How its keys begin.
    key: Vec<u8>,
    /// The format of what it writes.
    pub(super) state_version: u32,
}

impl StoredRule {
    pub(super) fn new(rule: &str, state_version: u32) -> Self {
        let mut bytes = Vec::new();
        key(b's', &[rule.as_bytes()])(&mut bytes);
        Self { key: bytes, state_version }
    }
}

fn parts(key: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = key.get(1..)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (part, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(part);
        rest = tail;
    }
    Some(parts)
}

/// Appends a value.
fn value(content: &impl Serialize) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| {
        bytes.push(VERSION);
        *bytes = postcard::to_extend(content, std::mem::take(bytes)).expect("invariant: state is serialisable");
    }
}

/// A slot's value: state version, wake-up, state.
#[derive(Deserialize)]
struct SlotValue<'a> {
    state_version: u32,
    wake: Option<Instant>,
    #[serde(borrow)]
    state: &'a [u8],
}

/// A held command.
#[derive(Serialize, Deserialize)]
struct Held {
    id: String,
    source: String,
    time: Instant,
    subject: Option<String>,
    key: String,
    command: String,
    kind: String,
    class: u8,
    target: String,
    txn: Option<String>,
    not_before: Instant,
    expires_at: Instant,
    preconditions: Vec<String>,
    attempt: u32,
    max_attempts: u32,
    finding: Option<String>,
    cause: Option<String>,
    dry_run: bool,
    evidence: super::ledger::StoredEvidence,
    details: super::ledger::StoredDetails,
}

impl Held {
    fn of(output: &Output) -> Option<Self> {
        let Data::Command(command) = &output.data else { return None };
        Some(Self {
            id: output.id.as_str().to_owned(),
            source: output.source.clone(),
            time: output.time,
            subject: output.subject.clone(),
            key: output.key.clone(),
            command: command.command.as_str().to_owned(),
            kind: command.kind.clone(),
            class: command.class as u8,
            target: command.target.clone(),
            txn: command.txn.clone(),
            not_before: command.not_before,
            expires_at: command.expires_at,
            preconditions: command.preconditions.clone(),
            attempt: command.attempt,
            max_attempts: command.max_attempts,
            finding: command.reason.finding.clone(),
            cause: command.reason.cause.clone(),
            dry_run: command.dry_run,
            evidence: super::ledger::store_evidence(&command.reason.evidence),
            details: super::ledger::store_details(&command.details),
        })
    }

    fn output(self) -> Output {
        let class = match self.class {
            0 => Class::A,
            1 => Class::B,
            _ => Class::C,
        };
        Output {
            id: Id::from_text(self.id),
            source: self.source,
            time: self.time,
            subject: self.subject,
            key: self.key,
            data: Data::Command(output::Command {
                command: Id::from_text(self.command),
                kind: self.kind,
                class,
                target: self.target,
                txn: self.txn,
                not_before: self.not_before,
                expires_at: self.expires_at,
                preconditions: self.preconditions,
                attempt: self.attempt,
                max_attempts: self.max_attempts,
                reason: Reason {
                    finding: self.finding,
                    cause: self.cause,
                    evidence: super::ledger::load_evidence(self.evidence),
                },
                requires_approval: class == Class::C,
                dry_run: self.dry_run,
                details: super::ledger::load_details(self.details),
            }),
        }
    }
}

impl Partition {
    /// Whether anything changed since the last [`Partition::changes`].
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.keyed.has_changes() || self.dedup.has_changes() || self.ledger.has_changes() || self.watch.has_changes()
    }

    /// Drains what changed since the last call: each key once. Meant between steps, for the commit that has these steps' outputs.
    pub fn changes(&mut self, changes: &mut Changes) {
        if !std::mem::replace(&mut self.meta_written, true) {
            let rules: Vec<(&str, &str)> =
                self.routes.rules.iter().map(|rule| (rule.id.as_str(), rule.version.as_str())).collect();
            changes.add(key(b'm', &[]), Some(value(&rules)));
        }
        let routes = &self.routes;
        self.keyed.drain_changes(|rule, terminal, slot_key, slot| {
            slot_change(changes, &routes.rules[rule as usize].stored, terminal, slot_key, slot);
        });
        self.dedup.drain_changes(|bucket, record, hashes| {
            dedup_change(changes, bucket, record, hashes);
        });
        self.ledger.drain_changes(&mut |terminal, finding, content| {
            finding_change(changes, terminal, finding, content);
        });
        self.watch.drain_clocks(&mut |terminal, clock| clock_change(changes, terminal, clock));
        self.watch.drain_held(&mut |number, output| held_change(changes, number, output));
        if std::mem::take(&mut self.watch.sight_changed) {
            changes.add(key(b'w', &[]), Some(value(&self.watch.sight)));
        }
        if let Some(merge) = &mut self.merge
            && let Some(inputs) = merge.settle(self.order.position().low)
        {
            changes.add(key(b'i', &[]), Some(value(inputs)));
        }
    }

    /// Everything that is state, and the position it belongs to. Waiting events are not in it: reading goes on at the position's `low`.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut changes = Changes::default();
        for (_, slot) in self.keyed.iter() {
            let terminal = self.keyed.terminals.name(slot.terminal);
            let rule = &self.routes.rules[slot.rule as usize].stored;
            slot_change(&mut changes, rule, terminal, slot.key_bytes(), Some((slot.state(), slot.wake)));
        }
        self.orphans.iter().for_each(|(key, value)| changes.push(key, Some(value)));
        self.dedup.all(&mut |bucket, hashes| dedup_change(&mut changes, bucket, 0, Some(hashes)));
        for (terminal, finding) in self.ledger.iter() {
            finding_change(&mut changes, terminal, finding.finding.as_str(), Some(finding));
        }
        let (clocks, held) = self.watch.all();
        clocks.for_each(|(terminal, clock)| clock_change(&mut changes, terminal, Some(clock)));
        held.for_each(|(number, output)| held_change(&mut changes, *number, Some(output)));
        changes.add(key(b'w', &[]), Some(value(&self.watch.sight)));
        let position = self.position();
        if let Some(merge) = &self.merge {
            changes.add(key(b'i', &[]), Some(value(&merge.at(position.low))));
        }
        let numbers = [
            position.low,
            position.ingest_low,
            position.high,
            position.ingest_high,
            position.floor,
            position.floor_from,
        ];
        let records: Vec<(&[u8], Option<&[u8]>)> = changes.iter().collect();
        let mut snapshot = Vec::new();
        value(&(numbers, records))(&mut snapshot);
        snapshot
    }

    /// Puts a snapshot into a fresh partition and resumes it; gives the offset to go on reading at.
    ///
    /// # Errors
    /// [`CorruptState`] as text where the snapshot is not one, [`ResumeError`] as text where a rule refuses its state.
    pub fn restore(&mut self, snapshot: &[u8], rules: &mut dyn Rules) -> Result<i64, String> {
        type Content = ([i64; 6], Vec<(Vec<u8>, Option<Vec<u8>>)>);
        let corrupt = |what: &str| CorruptState { key: "snapshot".to_owned(), what: what.to_owned() }.to_string();
        let body = match snapshot.split_first() {
            Some((&VERSION, body)) => body,
            Some((version, _)) => return Err(corrupt(&format!("format {version} is not known"))),
            None => return Err(corrupt("it is empty")),
        };
        let (numbers, records): Content = postcard::from_bytes(body).map_err(|error| corrupt(&error.to_string()))?;
        for (key, value) in &records {
            self.load(key, value.as_deref()).map_err(|error| error.to_string())?;
        }
        let [low, ingest_low, high, ingest_high, floor, floor_from] = numbers;
        let position = Position { low, ingest_low, high, ingest_high, floor, floor_from };
        if !position.is_sound() {
            return Err(corrupt("its position is none that a partition can have"));
        }
        let from = self.resume(Some(position), rules).map_err(|error| error.to_string())?;
        Ok(from.unwrap_or(low))
    }

    /// Takes in one changelog record, in the changelog's order, before [`Partition::resume`].
    ///
    /// # Errors
    /// The record is none that this program wrote.
    pub fn load(&mut self, record: &[u8], content: Option<&[u8]>) -> Result<(), CorruptState> {
        self.load_record(record, content).ok_or_else(|| {
            let what = match content.and_then(<[u8]>::first) {
                Some(&version) if version != VERSION => format!("format {version} is not known to this version"),
                _ => "its key or value does not decode".to_owned(),
            };
            CorruptState { key: record.escape_ascii().to_string(), what }
        })
    }

    fn load_record(&mut self, record: &[u8], content: Option<&[u8]>) -> Option<()> {
        let parts = parts(record)?;
        let body = match content.map(<[u8]>::split_first) {
            None => None,
            Some(Some((&VERSION, body))) => Some(body),
            Some(_) => return None,
        };
        let text = |index: usize| parts.get(index).and_then(|part| std::str::from_utf8(part).ok());
        let number =
            |index: usize| parts.get(index).and_then(|part| Some(i64::from_be_bytes((*part).try_into().ok()?)));
        match record.first()? {
            b's' => self.load_slot(record, (text(0)?, text(1)?, text(2)?), content, body)?,
            b'd' => {
                let bucket = number(0)?;
                let sequence = u32::try_from(number(1)?).ok()?;
                if beyond(bucket) || sequence > BUCKET_RECORDS_MAX {
                    return None;
                }
                match body {
                    Some(body) => self.dedup.load(bucket, sequence, &postcard::from_bytes::<Vec<u128>>(body).ok()?),
                    None => self.dedup.unload(bucket),
                }
            }
            b'f' => {
                let finding = body.map(postcard::from_bytes::<Stored>).transpose().ok()?.map(Finding::from);
                let (terminal, id) = (text(0)?, text(1)?);
                if finding.as_ref().is_some_and(|finding| finding.finding.as_str() != id || beyond(finding.opened_at)) {
                    return None;
                }
                self.ledger.load(terminal, id, finding);
            }
            b'k' => {
                let clock = body.map(postcard::from_bytes::<Clock>).transpose().ok()?;
                if clock.as_ref().is_some_and(|clock| clock.instants().into_iter().any(beyond)) {
                    return None;
                }
                self.watch.load_clock(text(0)?, clock);
            }
            b'h' => {
                let held = body.map(postcard::from_bytes::<Held>).transpose().ok()?;
                self.watch.load_held(u64::try_from(number(0)?).ok()?, held.map(Held::output));
            }
            b'w' => {
                let sight = body.map_or(Some(Sight::default()), |body| postcard::from_bytes::<Sight>(body).ok())?;
                if sight.instants().any(beyond) || sight.counts().any(|count| count > COUNT_MAX) {
                    return None;
                }
                self.watch.sight = sight;
            }
            b'i' => {
                let inputs = body.map(postcard::from_bytes::<Inputs>).transpose().ok()?;
                if !self.merge.as_mut()?.load(inputs) {
                    return None;
                }
            }
            b'm' => {}
            _ => return None,
        }
        Some(())
    }

    fn load_slot(
        &mut self,
        record: &[u8],
        (rule, terminal, slot_key): (&str, &str, &str),
        content: Option<&[u8]>,
        body: Option<&[u8]>,
    ) -> Option<()> {
        let Some(index) = self.routes.rules.iter().position(|known| known.id == rule) else {
            match content {
                Some(content) => self.orphans.insert(record.to_vec(), content.to_vec()),
                None => self.orphans.remove(record),
            };
            return Some(());
        };
        let number = u16::try_from(index).expect("invariant: at most RULES_MAX rules");
        let Some(body) = body else {
            self.keyed.load(number, terminal, slot_key, None);
            return Some(());
        };
        let slot: SlotValue<'_> = postcard::from_bytes(body).ok()?;
        let wake = slot.wake.unwrap_or(NEVER);
        if wake < -INSTANT_MAX {
            return None;
        }
        let loaded = self.keyed.load(number, terminal, slot_key, Some((slot.state, wake)));
        // The last record of a key counts, whatever versions earlier ones had.
        match loaded {
            Some(loaded) if slot.state_version != self.routes.rules[index].stored.state_version => {
                self.migrating.insert(loaded, slot.state_version);
            }
            Some(loaded) => drop(self.migrating.remove(&loaded)),
            None => {}
        }
        Some(())
    }

    /// Goes on after all loads: migrates states, and gives the offset to read from; none: from the beginning.
    ///
    /// # Errors
    /// A rule refuses its stored state.
    pub fn resume(&mut self, position: Option<Position>, rules: &mut dyn Rules) -> Result<Option<i64>, ResumeError> {
        for (slot, version) in std::mem::take(&mut self.migrating) {
            let (rule, state) = (self.keyed.slot(slot).rule, self.keyed.slot(slot).state().to_vec());
            let refused = |reason| ResumeError { rule: self.routes.rules[rule as usize].id.clone(), version, reason };
            let migrated = rules.migrate(rule as usize, version, &state).map_err(refused)?;
            self.keyed.replace(slot, &migrated);
        }
        if let Some(position) = &position {
            self.order.resume(position);
        }
        Ok(position.map(|position| position.low))
    }
}

fn slot_change(
    changes: &mut Changes,
    rule: &StoredRule,
    terminal: &str,
    slot_key: &[u8],
    slot: Option<(&[u8], Instant)>,
) {
    let content = slot.map(|(state, wake)| {
        move |bytes: &mut Vec<u8>| {
            // As postcard writes a `SlotValue`, which would take the state byte by byte.
            bytes.push(VERSION);
            varint(bytes, rule.state_version.into());
            if wake == NEVER {
                bytes.push(0);
            } else {
                bytes.push(1);
                // Signed numbers: those that are near 0 are short.
                varint(bytes, (wake << 1 ^ wake >> 63).cast_unsigned());
            }
            varint(bytes, state.len() as u64);
            bytes.extend_from_slice(state);
        }
    });
    let key = |bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&rule.key);
        part(bytes, terminal.as_bytes());
        part(bytes, slot_key);
    };
    changes.add(key, content);
}

fn dedup_change(changes: &mut Changes, bucket: i64, record: u32, hashes: Option<&[u128]>) {
    let parts = [bucket.to_be_bytes(), i64::from(record).to_be_bytes()];
    let content = hashes.map(|hashes| {
        move |bytes: &mut Vec<u8>| {
            // As postcard writes the list.
            bytes.push(VERSION);
            varint(bytes, hashes.len() as u64);
            hashes.iter().for_each(|hash| long_varint(bytes, *hash));
        }
    });
    changes.add(key(b'd', &[&parts[0], &parts[1]]), content);
}

/// Bits that are written as eight bytes.
const SEVENS: u32 = 56;

/// Says of each of eight bytes that another follows.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Appends a number as postcard writes it, seven bits a byte with the lowest first, and the highest bit of each but the last set.
fn varint(bytes: &mut Vec<u8>, number: u64) {
    if number >> SEVENS != 0 {
        return long_varint(bytes, number.into());
    }
    let last = (u64::BITS - 1).saturating_sub(number.leading_zeros()) / 7;
    let end = bytes.len() + last as usize + 1;
    bytes.extend_from_slice(&(spread(number.into()) | MORE & ((1 << (8 * last)) - 1)).to_le_bytes());
    bytes.truncate(end);
}

/// The same for what may be longer. Eight bytes at once: there is a hash for every event, and a branch at each of its bytes was 2 % of an event's
/// instructions.
fn long_varint(bytes: &mut Vec<u8>, number: u128) {
    let mut room = [0; 3 * size_of::<u64>()];
    for (at, word) in (0_u32..).zip(room.as_chunks_mut().0) {
        *word = (spread(number >> (at * SEVENS)) | MORE).to_le_bytes();
    }
    let length = (u128::BITS - number.leading_zeros()).div_ceil(7).max(1) as usize;
    room[length - 1] &= 0x7f;
    let end = bytes.len() + length;
    bytes.extend_from_slice(&room);
    bytes.truncate(end);
}

/// The lowest 56 bits, seven in each byte.
#[allow(clippy::cast_possible_truncation, reason = "the lowest are wanted")]
fn spread(number: u128) -> u64 {
    let halves = number as u64;
    let halves = (halves & 0x0fff_ffff) | ((halves & 0x00ff_ffff_f000_0000) << 4);
    let quarters = (halves & 0x0000_3fff_0000_3fff) | ((halves & 0x0fff_c000_0fff_c000) << 2);
    (quarters & 0x007f_007f_007f_007f) | ((quarters & 0x3f80_3f80_3f80_3f80) << 1)
}

fn finding_change(changes: &mut Changes, terminal: &str, finding: &str, content: Option<&Finding>) {
    let content = content.map(Stored::from);
    changes.add(key(b'f', &[terminal.as_bytes(), finding.as_bytes()]), content.as_ref().map(value));
}

fn clock_change(changes: &mut Changes, terminal: &str, clock: Option<&Clock>) {
    changes.add(key(b'k', &[terminal.as_bytes()]), clock.map(value));
}

fn held_change(changes: &mut Changes, number: u64, output: Option<&Output>) {
    let number = i64::try_from(number).expect("invariant: numbers count up from 0").to_be_bytes();
    changes.add(key(b'h', &[&number]), output.and_then(Held::of).as_ref().map(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_number_is_written_as_postcard_writes_it(number: u128, bits in 0..u128::BITS) {
            for number in [number >> bits, u128::MAX >> bits, 1 << bits, 0] {
                let mut bytes = b"before".to_vec();
                long_varint(&mut bytes, number);
                proptest::prop_assert_eq!(&bytes[6..], postcard::to_allocvec(&number).expect("is written"));
                if let Ok(number) = u64::try_from(number) {
                    bytes.truncate(6);
                    varint(&mut bytes, number);
                    proptest::prop_assert_eq!(&bytes[6..], postcard::to_allocvec(&number).expect("is written"));
                }
            }
        }

        #[test]
        fn a_slot_is_written_as_postcard_writes_it(
            wake in proptest::prop_oneof![proptest::prelude::any::<i64>(), proptest::prelude::Just(NEVER), -9..9_i64],
            state_version: u32,
            state: Vec<u8>,
        ) {
            let rule = StoredRule::new("r", state_version);
            let mut changes = Changes::default();
            slot_change(&mut changes, &rule, "T1", b"k", Some((&state, wake)));
            let wake = (wake != NEVER).then_some(wake);
            let value = postcard::to_allocvec(&(VERSION, state_version, wake, &state)).expect("is written");
            let written = changes.pairs().next().expect("one");
            proptest::prop_assert_eq!(written.0, [&b"s"[..], &[0, 0, 0, 1], b"r", &[0, 0, 0, 2], b"T1", &[0, 0, 0, 1], b"k"].concat());
            proptest::prop_assert_eq!(written.1, Some(value));
        }
    }
}
