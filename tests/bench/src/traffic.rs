//! Ordinary traffic of card payments: authorize, the host's answer, the terminal's, display, receipt; of one payment in a hundred the
//! receipt is missing. A pure function of the payment's number: the same events for every program that is compared.
//!
//! Owns when what happens ([`Traffic`], plain rows), how a row looks as a record ([`Records`]), and the file of rows that programs in other
//! languages read ([`write`]). Owns no truth but one: [`Traffic::missing`] payments have no receipt.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, Write},
};

use serde::Serialize;
use tillwatch_core::{
    cloudevents::Decoder,
    limits::Limits,
    log::RawRecord,
    partition::{Body, Record},
};

/// The first payment's moment, ms.
pub const START_MS: i64 = 1_795_339_800_000;
/// Between an event and its record in the log, ms; the same for all, so that rows are in the order of the log.
pub const TRANSIT_MS: i64 = 60;
/// One payment in so many has no receipt.
pub const MISSING_EVERY: u64 = 100;
/// STANs have six digits, then they begin anew.
pub const STANS: u64 = 1_000_000;
const BATCH: &str = "000017";

/// What happens in a payment, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// `pos.payment.authorize`
    Authorize,
    /// `pos.payment.response`, leg `host`.
    Host,
    /// `pos.payment.response`, leg `terminal`.
    Terminal,
    /// `pos.payment.display`
    Display,
    /// `pos.print.result`, state `printed`.
    Print,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Authorize, Self::Host, Self::Terminal, Self::Display, Self::Print];
}

/// One event as plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// When it happened, ms.
    pub at: i64,
    /// Whose.
    pub payment: u64,
    /// What.
    pub step: Step,
}

/// How much traffic.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// New payments a second.
    pub payments_per_s: u64,
    /// Terminals; payment n is at terminal n modulo this.
    pub terminals: u64,
    /// What happens of a payment; the rest is left out, as where a measurement wants open payments.
    pub steps: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { payments_per_s: 1_000, terminals: 20_000, steps: Step::ALL.len() }
    }
}

/// Rows without end, by time.
#[derive(Clone, Debug)]
pub struct Traffic {
    shape: Shape,
    payments: u64,
    coming: BinaryHeap<Reverse<Row>>,
}

impl Traffic {
    /// From the first payment on.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { shape, payments: 0, coming: BinaryHeap::new() }
    }

    /// Whether a payment has no receipt.
    #[must_use]
    pub fn missing(payment: u64) -> bool {
        mix(payment).is_multiple_of(MISSING_EVERY)
    }

    fn begins(&self, payment: u64) -> i64 {
        START_MS + i64::try_from(payment * 1_000 / self.shape.payments_per_s).expect("invariant: a few years at most")
    }

    fn add(&mut self) {
        let payment = self.payments;
        self.payments += 1;
        let mut at = self.begins(payment);
        for (index, step) in Step::ALL.into_iter().take(self.shape.steps).enumerate() {
            if index > 0 {
                at += delay(payment, step);
            }
            if step != Step::Print || !Self::missing(payment) {
                self.coming.push(Reverse(Row { at, payment, step }));
            }
        }
    }
}

impl Iterator for Traffic {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while self.coming.peek().is_none_or(|Reverse(first)| first.at >= self.begins(self.payments)) {
            self.add();
        }
        self.coming.pop().map(|Reverse(row)| row)
    }
}

/// How long after the step before it, ms.
fn delay(payment: u64, step: Step) -> i64 {
    let dice = mix(payment.wrapping_mul(8).wrapping_add(step as u64));
    let (least, spread) = match step {
        Step::Authorize => (0, 1),
        Step::Host => (300, 900),
        Step::Terminal => (40, 120),
        Step::Display => (50, 200),
        Step::Print => (800, 2_500),
    };
    i64::try_from(least + dice % spread).expect("invariant: a few seconds")
}

/// splitmix64: short in every language.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes `count` rows, 24 bytes each, little-endian: s64 time in ms, u64 payment, u32 terminal, u32 step (the place in [`Step::ALL`]).
///
/// # Errors
/// What the writer says.
pub fn write(shape: Shape, count: usize, to: &mut impl Write) -> io::Result<()> {
    for row in Traffic::new(shape).take(count) {
        to.write_all(&row.at.to_le_bytes())?;
        to.write_all(&row.payment.to_le_bytes())?;
        let terminal = u32::try_from(row.payment % shape.terminals).expect("invariant: terminals are counted in u32");
        to.write_all(&terminal.to_le_bytes())?;
        to.write_all(&(row.step as u32).to_le_bytes())?;
    }
    to.flush()
}

/// Writes `count` records whole: s64 time in ms, then id, source, type and transaction key, then `data` as CBOR, each behind its length in two bytes; little-endian.
///
/// # Errors
/// What the writer says.
pub fn write_whole(shape: Shape, count: usize, to: &mut impl Write) -> io::Result<()> {
    for row in Traffic::new(shape).take(count) {
        let Bytes { headers, value, .. } = bytes(row, shape);
        to.write_all(&row.at.to_le_bytes())?;
        let said = |name| headers.iter().find(|(header, _)| *header == name).map(|(_, text)| text.as_bytes());
        let texts =
            ["ce_id", "ce_source", "ce_type", "ce_subject"].map(|name| said(name).expect("invariant: it is said"));
        for piece in texts.into_iter().chain([&*value]) {
            to.write_all(&u16::try_from(piece.len()).expect("invariant: pieces are short").to_le_bytes())?;
            to.write_all(piece)?;
        }
    }
    to.flush()
}

/// Payments below this number begin so long before the last of `count` rows that they have come to their end in every program, answer, receipt
/// and windows: what is found of them can be compared.
#[must_use]
pub fn settled(shape: Shape, count: usize) -> u64 {
    const SETTLED_MS: i64 = 60_000;
    let traffic = Traffic::new(shape);
    let last = traffic.clone().take(count).last().map_or(START_MS, |row| row.at);
    (0..).find(|payment| traffic.begins(*payment) + SETTLED_MS > last).expect("invariant: payments have no end")
}

/// The transaction key of a payment.
#[must_use]
pub fn subject(payment: u64, shape: Shape) -> String {
    let number = payment % shape.terminals;
    format!("A01:M{:07}:T{number:07}:{BATCH}:{:06}", number / 4, payment / shape.terminals % STANS)
}

/// The payment of a transaction key, where there are fewer than [`STANS`] a terminal.
#[must_use]
pub fn payment(subject: &str, shape: Shape) -> Option<u64> {
    let mut parts = subject.split(':').skip(2);
    let terminal: u64 = parts.next()?.strip_prefix('T')?.parse().ok()?;
    let stan: u64 = parts.nth(1)?.parse().ok()?;
    Some(stan * shape.terminals + terminal)
}

/// The `data` of an event, as terminals and gateways send it.
#[derive(Default, Serialize)]
struct Data<'a> {
    region: &'a str,
    site: &'a str,
    terminal: &'a str,
    merchant: &'a str,
    acquirer: &'a str,
    rail: &'a str,
    app_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
}

/// A record as bytes: CloudEvents in binary mode, CBOR.
#[derive(Clone, Debug)]
pub struct Bytes {
    /// When the log took it in.
    pub ingest: i64,
    /// The record's key: the terminal.
    pub key: String,
    /// `ce_id`, `ce_source`, `ce_type`, `ce_subject`, `ce_time`.
    pub headers: [(&'static str, String); 7],
    /// `data`, CBOR.
    pub value: Vec<u8>,
}

/// The record of a row.
#[must_use]
pub fn bytes(row: Row, shape: Shape) -> Bytes {
    let Row { at, payment, step } = row;
    let number = payment % shape.terminals;
    let terminal = format!("T{number:07}");
    let (site, merchant) = (format!("S{:05}", number / 4), format!("M{:07}", number / 4));
    let stan = format!("{:06}", payment / shape.terminals % STANS);
    let rrn = format!("{:012}", payment % 1_000_000_000);
    let common = Data {
        region: "cn-east",
        site: &site,
        terminal: &terminal,
        merchant: &merchant,
        acquirer: "A01",
        rail: "card",
        app_version: "4.12.0",
        ..Data::default()
    };
    let answer = |leg| Data { leg: Some(leg), outcome: Some("approved"), code: Some("00"), rrn: Some(&rrn), ..common };
    let (event_type, data) = match step {
        Step::Authorize => {
            let amount = Some(500 + payment % 20_000);
            let data = Data { amount, currency: Some("CNY"), stan: Some(&stan), batch: Some(BATCH), ..common };
            ("pos.payment.authorize", data)
        }
        Step::Host => ("pos.payment.response", answer("host")),
        Step::Terminal => ("pos.payment.response", answer("terminal")),
        Step::Display => ("pos.payment.display", Data { shown: Some("approved"), ..common }),
        Step::Print => ("pos.print.result", Data { state: Some("printed"), ..common }),
    };
    let mut value = Vec::with_capacity(256);
    ciborium::into_writer(&data, &mut value).expect("invariant: written to memory");
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        // Fewer digits in a row than a card number has: one in ten of those would be masked, and two masked alike be taken for duplicates.
        ("ce_id", format!("01JD9V4M6Z{:012}-{}", payment, step as u8)),
        ("ce_source", format!("/r/cn-east/s/{site}/t/{terminal}")),
        ("ce_type", event_type.to_owned()),
        ("ce_subject", subject(payment, shape)),
        ("ce_time", tillwatch_core::output::rfc3339(at)),
        ("content-type", "application/cbor".to_owned()),
    ];
    Bytes { ingest: at + TRANSIT_MS, key: terminal, headers, value }
}

/// Decoded records without end.
#[derive(Debug)]
pub struct Records {
    traffic: Traffic,
    decoder: Decoder,
    offset: i64,
}

impl Records {
    /// From the first payment on.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { traffic: Traffic::new(shape), decoder: Decoder::new("pos.events", &Limits::default()), offset: 0 }
    }

    /// The next `count` records.
    pub fn fill(&mut self, count: usize, records: &mut Vec<Record>) {
        for _ in 0..count {
            let row = self.traffic.next().expect("invariant: traffic has no end");
            records.push(self.record(row));
        }
    }

    fn record(&mut self, row: Row) -> Record {
        let bytes = bytes(row, self.traffic.shape);
        let headers: Vec<(&str, &[u8])> = bytes.headers.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let raw = RawRecord {
            offset: self.offset,
            ingest: bytes.ingest,
            key: Some(bytes.key.as_bytes()),
            value: Some(&bytes.value),
            headers: &headers,
        };
        self.offset += 1;
        let record = self.decoder.decode(0, raw);
        assert!(matches!(record.body, Body::Event(_)), "the generated record decodes: {:?}", record.body);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_time_and_one_receipt_in_a_hundred_is_missing() {
        let rows: Vec<Row> = Traffic::new(Shape::default()).take(50_000).collect();
        assert!(rows.is_sorted_by_key(|row| row.at));
        let whole = rows.iter().filter(|row| row.step == Step::Authorize && row.payment < 9_000);
        let missing = whole.filter(|row| Traffic::missing(row.payment)).count();
        assert_eq!(missing, (0..9_000).filter(|payment| Traffic::missing(*payment)).count());
        assert!((60..120).contains(&missing), "{missing} of 9,000");
    }

    #[test]
    fn a_transaction_key_tells_its_payment() {
        let shape = Shape::default();
        for number in [0, 1, 19_999, 20_000, 1_234_567] {
            assert_eq!(payment(&subject(number, shape), shape), Some(number));
        }
        assert_eq!(payment("A01:M1:order", shape), None);
    }

    #[test]
    fn a_file_of_rows_has_24_bytes_a_row() {
        let mut file = Vec::new();
        write(Shape::default(), 1_000, &mut file).expect("written to memory");
        assert_eq!(file.len(), 24_000);
        assert_eq!(file[..8], START_MS.to_le_bytes());
    }

    #[test]
    fn a_file_of_whole_events_has_all_that_their_records_say() {
        let mut file = Vec::new();
        write_whole(Shape::default(), 1, &mut file).expect("written to memory");
        let row = Traffic::new(Shape::default()).next().expect("traffic has no end");
        let record = bytes(row, Shape::default());
        let text =
            |name: &str| record.headers.iter().find(|(header, _)| *header == name).expect("it is said").1.clone();
        let mut expected = row.at.to_le_bytes().to_vec();
        let texts = [text("ce_id"), text("ce_source"), text("ce_type"), text("ce_subject")].map(String::into_bytes);
        for piece in texts.into_iter().chain([record.value]) {
            expected.extend(u16::try_from(piece.len()).expect("it is short").to_le_bytes());
            expected.extend(piece);
        }
        assert_eq!(file, expected);
    }
}
