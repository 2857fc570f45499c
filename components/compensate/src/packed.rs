//! The layout of a till's state: a head, what is known of the till, its payments, and those that are past. Every event of a terminal reads one and
//! most write one, so nothing in it is looked for (`docs/adr/0024-a-till-has-a-layout-of-its-own.md`).
//!
//! Numbers are little-endian and have all of their bytes. What a payment has only while somebody is called for is written by postcard, with its
//! length before it: few payments have any.

use tillwatch_sdk::{Instant, State, decode_state, encode_state};

use crate::{
    names::Names,
    past::Past,
    payment::{Facts, Payment, Work},
    printer::{Condition, Printer},
    till::{Sale, Till},
};

// The head's bits; the printer's condition lies above them.
const HEARD: u8 = 1;
const LATEST: u8 = 1 << 1;
const LATEST_CARD: u8 = 1 << 2;
/// The latest sale is by card: it is written once.
const SAME: u8 = 1 << 3;
const CONDITION_AT: u8 = 4;

// The places of a payment's bits: its facts come first.
const FACTS: u32 = 9;
const INSTANTS_AT: u32 = FACTS;
const INSTANTS: u32 = 8;
const WORK_AT: u32 = INSTANTS_AT + INSTANTS;

/// About what a payment takes that nobody is called for.
const PAYMENT_BYTES: usize = 192;
/// About what the rest of a till takes beside those that are past.
const TILL_BYTES: usize = 64;

impl State for Till {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        read(bytes).ok_or_else(|| format!("the state is no till's ({} bytes)", bytes.len()))
    }

    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let (condition, fault) = match &self.printer.condition {
            Condition::Unknown => (0, None),
            Condition::Well => (1, None),
            Condition::Passing => (2, None),
            Condition::NeedsHands(fault) => (3, Some(fault)),
        };
        let payments =
            u8::try_from(self.payments.len()).map_err(|_| "a till with more than 255 payments".to_owned())?;
        bytes.reserve(TILL_BYTES + self.payments.len() * PAYMENT_BYTES + self.past.bytes().len());
        let bit = |there: bool, bit: u8| if there { bit } else { 0 };
        let same = self.latest.is_some() && self.latest == self.latest_card;
        let card = self.latest_card.filter(|_| !same);
        let bits = bit(self.heard.is_some(), HEARD)
            | bit(self.latest.is_some(), LATEST)
            | bit(card.is_some(), LATEST_CARD)
            | bit(same, SAME)
            | condition << CONDITION_AT;
        bytes.extend_from_slice(&[bits, payments]);
        self.heard.iter().for_each(|heard| bytes.extend_from_slice(&heard.to_le_bytes()));
        for sale in self.latest.iter().chain(&card) {
            bytes.extend_from_slice(&sale.hash.to_le_bytes());
            bytes.extend_from_slice(&sale.at.to_le_bytes());
        }
        if condition != 0 {
            bytes.extend_from_slice(&self.printer.since.to_le_bytes());
        }
        if let Some(fault) = fault {
            bytes.push(u8::try_from(fault.len()).map_err(|_| "a printer's fault of more than 255 bytes".to_owned())?);
            bytes.extend_from_slice(fault.as_bytes());
        }
        self.payments.iter().try_for_each(|payment| append(payment, bytes))?;
        bytes.extend_from_slice(self.past.bytes());
        Ok(())
    }
}

fn append(payment: &Payment, bytes: &mut Vec<u8>) -> Result<(), String> {
    let instants = instants(payment);
    let idle = payment.work.is_none();
    let mut bits = u32::from(!idle) << WORK_AT;
    for (place, fact) in facts(&payment.facts).into_iter().enumerate() {
        bits |= u32::from(fact) << place;
    }
    for (place, instant) in instants.iter().enumerate() {
        bits |= u32::from(instant.is_some()) << (INSTANTS_AT as usize + place);
    }
    bytes.extend_from_slice(&bits.to_le_bytes());
    for number in [payment.since, payment.touched, payment.reversal_ms] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    instants.iter().flatten().for_each(|instant| bytes.extend_from_slice(&instant.to_le_bytes()));
    payment.names.append(bytes);
    if !idle {
        let work = encode_state(&payment.work)?;
        let length = u32::try_from(work.len()).map_err(|_| "a payment of more than 4 GiB".to_owned())?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&work);
    }
    Ok(())
}

fn facts(facts: &Facts) -> [bool; FACTS as usize] {
    [
        facts.approved,
        facts.declined,
        facts.not_paid,
        facts.delivered,
        facts.goods,
        facts.money_back,
        facts.contradiction,
        facts.hands_off,
        facts.goods_told,
    ]
}

fn instants(payment: &Payment) -> [Option<Instant>; INSTANTS as usize] {
    [
        payment.authorize_time,
        payment.authorized_at,
        payment.gives_up_at,
        payment.answer_by,
        payment.answered_at,
        payment.reversal_at,
        payment.late_at,
        payment.paid_at,
    ]
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn piece<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (piece, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(piece)
    }

    fn number(&mut self) -> Option<i64> {
        self.piece().map(|number| i64::from_le_bytes(*number))
    }

    fn sale(&mut self) -> Option<Sale> {
        Some(Sale { hash: self.piece().map(|hash| u64::from_le_bytes(*hash))?, at: self.number()? })
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

fn read(bytes: &[u8]) -> Option<Till> {
    let mut rest = Rest(bytes);
    let [bits, payments] = *rest.piece()?;
    let mut till = Till::default();
    if bits & HEARD != 0 {
        till.heard = Some(rest.number()?);
    }
    if bits & LATEST != 0 {
        till.latest = Some(rest.sale()?);
    }
    if bits & LATEST_CARD != 0 {
        till.latest_card = Some(rest.sale()?);
    }
    if bits & SAME != 0 {
        till.latest_card = till.latest;
    }
    till.printer = read_printer(bits >> CONDITION_AT, &mut rest)?;
    // Room for one that comes.
    till.payments.reserve(usize::from(payments) + 1);
    for _ in 0..payments {
        till.payments.push(read_payment(&mut rest)?);
    }
    till.past = Past::read(rest.0)?;
    Some(till)
}

fn read_printer(condition: u8, rest: &mut Rest<'_>) -> Option<Printer> {
    if condition == 0 {
        return Some(Printer::default());
    }
    let since = rest.number()?;
    let condition = match condition {
        1 => Condition::Well,
        2 => Condition::Passing,
        3 => {
            let [length] = *rest.piece()?;
            Condition::NeedsHands(std::str::from_utf8(rest.bytes(usize::from(length))?).ok()?.to_owned())
        }
        _ => return None,
    };
    Some(Printer { condition, since })
}

fn read_payment(rest: &mut Rest<'_>) -> Option<Payment> {
    let bits = u32::from_le_bytes(*rest.piece()?);
    if bits >> (WORK_AT + 1) != 0 {
        return None;
    }
    let bit = |place: u32| bits >> place & 1 != 0;
    let (since, touched, reversal_ms) = (rest.number()?, rest.number()?, rest.number()?);
    let mut instants = [None; INSTANTS as usize];
    for (place, instant) in (INSTANTS_AT..).zip(&mut instants) {
        if bit(place) {
            *instant = Some(rest.number()?);
        }
    }
    let [authorize_time, authorized_at, gives_up_at, answer_by, answered_at, reversal_at, late_at, paid_at] = instants;
    let (names, behind) = Names::split(rest.0)?;
    rest.0 = behind;
    let work = if bit(WORK_AT) {
        let length = u32::from_le_bytes(*rest.piece()?);
        let work: Work = decode_state(rest.bytes(usize::try_from(length).ok()?)?).ok()?;
        // One that is none is not written.
        Some(work).filter(|work| !work.is_none())?
    } else {
        Work::default()
    };
    Some(Payment {
        names,
        since,
        touched,
        authorize_time,
        authorized_at,
        gives_up_at,
        answer_by,
        reversal_ms,
        answered_at,
        reversal_at,
        late_at,
        paid_at,
        facts: Facts {
            approved: bit(0),
            declined: bit(1),
            not_paid: bit(2),
            delivered: bit(3),
            goods: bit(4),
            money_back: bit(5),
            contradiction: bit(6),
            hands_off: bit(7),
            goods_told: bit(8),
        },
        work,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::Plan,
        past::Gone,
        payment::Finding,
        words::{Kind, Need, Needs},
    };

    /// A till that has everything, with a payment for every fact and every instant alone.
    fn full() -> Till {
        let mut till = Till { heard: Some(-1), ..Till::default() };
        till.began("A01:M1:T1:1:7", true, i64::MAX);
        till.printer.heard("jam", 5);
        for number in 0..u8::try_from(FACTS + INSTANTS).expect("few") {
            let mut payment = Payment::new(&format!("A01:M1:T1:1:{number}"), "card", "A01", i64::from(number));
            payment.reversal_ms = -9;
            let instant = |place: u32| (u32::from(number) == FACTS + place).then_some(i64::from(number) << 40);
            payment.facts = Facts {
                approved: number == 0,
                declined: number == 1,
                not_paid: number == 2,
                delivered: number == 3,
                goods: number == 4,
                money_back: number == 5,
                contradiction: number == 6,
                hands_off: number == 7,
                goods_told: number == 8,
            };
            if let Some(time) = instant(0) {
                payment.set_authorize(Some(("编号", time)));
            }
            payment.authorized_at = instant(1);
            payment.gives_up_at = instant(2);
            payment.answer_by = instant(3);
            payment.answered_at = instant(4);
            payment.reversal_at = instant(5);
            payment.late_at = instant(6);
            payment.paid_at = instant(7);
            till.payments.push(payment);
        }
        let payment = &mut till.payments[3];
        payment.begin(Kind::Guide, Plan::GuidePrinter { fault: "no-paper".to_owned() }, Needs::of(Need::NotPrinted));
        payment.work.findings.push(Finding { need: Need::NotPrinted, id: "f".to_owned(), cause: None });
        till.payments[4].work.left_to_sale = Some((Needs::of(Need::LateApproval), 7));
        till.past.put(9, Gone { authorized: true, delivered: true }, 1);
        till.past.put(10, Gone { authorized: false, delivered: false }, 2);
        till
    }

    #[test]
    fn a_till_reads_back_whatever_it_has() {
        for word in ["jam", "ok", "busy"] {
            let mut till = full();
            till.printer.heard(word, 6);
            let bytes = encode_state(&till).expect("is written");
            assert_eq!(Till::read(&bytes), Ok(till));
        }
        let mut till = full();
        till.began("A01:M1:T1:1:8", false, i64::MAX);
        assert_eq!(Till::read(&encode_state(&till).expect("is written")), Ok(till), "another sale, not by card");
        let mut till = Till::default();
        assert_eq!(encode_state(&till), Ok(vec![0, 0]));
        till.payments.push(Payment::new("t", "r", "a", 7));
        assert_eq!(Till::read(&encode_state(&till).expect("is written")), Ok(till));
    }

    #[test]
    fn what_no_till_was_written_as_is_an_error_and_never_a_panic() {
        let bytes = encode_state(&full()).expect("is written");
        let two_past = 34;
        for length in
            (0..bytes.len()).filter(|length| length + two_past != bytes.len() && length + two_past / 2 != bytes.len())
        {
            assert!(Till::read(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(Till::read(&[&bytes[..], b"x"].concat()).is_err(), "a byte more");
        for place in 0..bytes.len() {
            for byte in [0, 0x55, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = byte;
                if let Ok(till) = Till::read(&bytes) {
                    till.payments.iter().for_each(|payment| assert!(payment.names.txn().len() < bytes.len()));
                }
            }
        }
    }
}
