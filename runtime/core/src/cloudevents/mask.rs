//! Card numbers in strings: found and masked before anything else sees an event.
//!
//! A card number is a maximal run of 13 to 19 ASCII digits that passes the Luhn check. Its first six and last four digits stay, the others
//! become `*`, so nothing changes its length and ranges of a payload stay valid. Digits grouped by spaces or dashes are no run: `docs/spec/events.md`
//! speaks of numbers, and ids, dates and amounts in groups would be hit. In JSON the escapes `\u0030` to `\u0039` count as the digits that
//! they are; in CBOR the chunks of one text count as one text. Numbers that are no strings are left alone.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::general_purpose::{GeneralPurpose, NO_PAD},
};
use tillwatch_wit::mask::{DIGITS_MAX, DIGITS_MIN, KEPT_FIRST, KEPT_LAST, MASK};

use super::cbor;

/// Base64 that begins and ends anywhere.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));
/// How deep base64 in base64 is looked into: an event in the data of an event in a line.
const NESTED_MAX: usize = 3;
/// How often bytes are looked at in every way until none finds a number; of what is not clean by then no letter and no digit stays. Hardly
/// any bytes need a third time.
const PASSES_MAX: usize = 16;
/// Characters of base64 that the shortest card number takes, at least.
const BASE64_CHARACTERS_MIN: usize = DIGITS_MIN * 4 / 3;

/// Whether a payload has to be looked at closely. Quick, and true too often: a run long enough, or something that may hide one (a JSON escape, a
/// CBOR text in chunks).
#[must_use]
pub fn suspect(payload: &[u8]) -> bool {
    const TEXT_IN_CHUNKS: u8 = 0x7f;
    memchr::memchr2(b'\\', TEXT_IN_CHUNKS, payload).is_some() || long_run(payload)
}

/// Masks runs wherever they are. True where something was masked.
pub fn plain(bytes: &mut [u8]) -> bool {
    if !long_run(bytes) {
        return false;
    }
    let mut run = Run::default();
    let mut masked = false;
    for at in 0..bytes.len() {
        if bytes[at].is_ascii_digit() {
            run.push(at, bytes[at]);
        } else {
            masked |= run.finish(bytes);
        }
    }
    masked | run.finish(bytes)
}

/// Masks runs in the strings of a JSON text. True where something was masked.
pub fn json(bytes: &mut [u8]) -> bool {
    let mut run = Run::default();
    let (mut masked, mut inside, mut at) = (false, false, 0);
    while at < bytes.len() {
        let width = match bytes[at] {
            b'"' => {
                inside = !inside;
                masked |= run.finish(bytes);
                1
            }
            digit @ b'0'..=b'9' if inside => {
                run.push(at, digit);
                1
            }
            b'\\' if inside => {
                let (letter, width) = escape(&bytes[at..]);
                match letter.filter(u8::is_ascii_digit) {
                    Some(digit) => run.push(at, digit),
                    None => masked |= run.finish(bytes),
                }
                width
            }
            _ => {
                masked |= run.finish(bytes);
                1
            }
        };
        at += width;
    }
    masked | run.finish(bytes)
}

/// Masks runs in the texts and byte strings of CBOR, as far as it can be read. True where something was masked.
pub fn cbor(bytes: &mut [u8]) -> bool {
    let mut strings = Vec::new();
    cbor::strings(bytes, &mut |start, end, joined| strings.push((start, end, joined)));
    let mut run = Run::default();
    let mut masked = false;
    for (start, end, joined) in strings {
        if !joined {
            masked |= run.finish(bytes);
        }
        for at in start..end {
            if bytes[at].is_ascii_digit() {
                run.push(at, bytes[at]);
            } else {
                masked |= run.finish(bytes);
            }
        }
    }
    masked | run.finish(bytes)
}

/// Masks runs in whatever way the bytes may be read: for what could not be. True where something was masked. A second time finds nothing.
pub fn thoroughly(bytes: &mut [u8]) -> bool {
    in_every_way(bytes, NESTED_MAX, PASSES_MAX)
}

/// What one way masks may be a number in another: the rest of a run too long to be one, a header of CBOR that was a digit.
fn in_every_way(bytes: &mut [u8], nested: usize, passes: usize) -> bool {
    for pass in 0..passes {
        let mut masked = plain(bytes) | json(bytes) | cbor(bytes);
        if nested > 0 {
            masked |= base64(bytes, false, nested - 1);
            masked |= bytes.contains(&b'\\') && base64(bytes, true, nested - 1);
        }
        if !masked {
            return pass > 0;
        }
    }
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_alphanumeric()) {
        *byte = MASK;
    }
    true
}

/// Masks runs that base64 hides, whatever stands around it and however it is cut; `escaped` as JSON may escape its letters. True where
/// something was masked.
fn base64(bytes: &mut [u8], escaped: bool, nested: usize) -> bool {
    let (mut masked, mut at) = (false, 0);
    let mut text = Vec::new();
    while at <= bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (place, (letter, width)) = match rest {
            // Before a stroke the backslash may as well stay away.
            [b'\\', b'/', ..] => (at + 1, (Some(b'/'), 2)),
            [b'\\', ..] if escaped => (at, escape(rest)),
            _ => (at, (rest.first().copied(), 1)),
        };
        match letter.filter(|letter| letter.is_ascii_alphanumeric() || b"+/".contains(letter)) {
            Some(letter) => text.push((place, letter)),
            None => {
                // Where the first group of four begins is not known.
                for shift in 0..4.min(text.len()) {
                    masked |= groups(bytes, &mut text[shift..], nested);
                }
                text.clear();
            }
        }
        at += width;
    }
    masked
}

/// Masks runs in groups of base64 without padding: letters and where they stand.
fn groups(bytes: &mut [u8], text: &mut [(usize, u8)], nested: usize) -> bool {
    // One character more than whole bytes has is no base64.
    let whole = text.len() - usize::from(text.len() % 4 == 1);
    let text = &mut text[..whole];
    if text.len() < BASE64_CHARACTERS_MIN {
        return false;
    }
    let letters: Vec<u8> = text.iter().map(|(_, letter)| *letter).collect();
    let Ok(mut content) = BASE64.decode(letters) else { return false };
    if !in_every_way(&mut content, nested, PASSES_MAX) {
        return false;
    }
    for ((place, letter), byte) in text.iter_mut().zip(BASE64.encode(&content).bytes()) {
        *letter = byte;
        if bytes[*place] == b'\\' {
            bytes[*place..*place + ESCAPE_BYTES].copy_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            bytes[*place] = byte;
        }
    }
    true
}

/// What an escape of JSON by its code takes: `\u0031`.
const ESCAPE_BYTES: usize = 6;

/// What an escape of JSON stands for, where its code is one of ASCII, and how many bytes it takes.
fn escape(bytes: &[u8]) -> (Option<u8>, usize) {
    let code = bytes.get(..ESCAPE_BYTES).and_then(|escape| escape.strip_prefix(b"\\u"));
    let Some(code) = code.filter(|code| code.iter().all(u8::is_ascii_hexdigit)) else { return (None, 2) };
    let code = std::str::from_utf8(code).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
    (code.filter(u8::is_ascii), ESCAPE_BYTES)
}

/// Whether there are [`DIGITS_MIN`] digits in a row. Looks at every thirteenth byte only, where that is a digit half a run before it and behind it,
/// and closely where one of those is a digit too.
pub(super) fn long_run(bytes: &[u8]) -> bool {
    const HALF: usize = DIGITS_MIN / 2;
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = DIGITS_MIN - 1;
    while at < bytes.len() {
        if digit(at) && (digit(at - HALF) || digit(at + HALF)) {
            let before = bytes[..at].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            // The last one first, where a run that is too short has ended already.
            let missing = bytes.get(at..at + DIGITS_MIN.saturating_sub(before));
            if missing.is_some_and(|bytes| bytes.iter().rev().all(u8::is_ascii_digit)) {
                return true;
            }
        }
        at += DIGITS_MIN;
    }
    false
}

/// The digits in a row so far, and where they stand.
#[derive(Default)]
struct Run {
    places: [usize; DIGITS_MAX],
    digits: [u8; DIGITS_MAX],
    length: usize,
}

impl Run {
    fn push(&mut self, place: usize, digit: u8) {
        if self.length < DIGITS_MAX {
            self.places[self.length] = place;
            self.digits[self.length] = digit - b'0';
        }
        self.length += 1;
    }

    /// Ends the run; masks it where it is a card number.
    fn finish(&mut self, bytes: &mut [u8]) -> bool {
        let length = std::mem::take(&mut self.length);
        if !(DIGITS_MIN..=DIGITS_MAX).contains(&length) || !luhn(&self.digits[..length]) {
            return false;
        }
        for &place in &self.places[KEPT_FIRST..length - KEPT_LAST] {
            if bytes[place] == b'\\' {
                bytes[place..place + ESCAPE_BYTES].copy_from_slice(b"\\u002a");
            } else {
                bytes[place] = MASK;
            }
        }
        true
    }
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| match (index % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        plain(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn card_numbers_keep_six_and_four() {
        for (text, masked) in [
            ("4111111111111111", "411111******1111"),
            ("card 4222222222222 read", "card 422222***2222 read"),
            ("A4111111111111111B", "A411111******1111B"),
            ("4111111111111111 4111111111111111", "411111******1111 411111******1111"),
            ("6304000000000000000", "630400*********0000"),
            ("4111111111111112", "4111111111111112"),
            ("411111111111111", "411111111111111"),
            ("41111111111111110000", "41111111111111110000"),
            ("4111 1111 1111 1111", "4111 1111 1111 1111"),
            ("0000000000000", "000000***0000"),
        ] {
            assert_eq!(plainly(text), masked, "{text}");
        }
    }

    #[test]
    fn what_may_hide_a_number_is_suspect_wherever_it_stands() {
        for length in 0..40 {
            for byte in 0..=u8::MAX {
                let plain = vec![b'x'; length];
                assert!(!suspect(&plain));
                for place in 0..length {
                    let mut bytes = plain.clone();
                    bytes[place] = byte;
                    assert_eq!(suspect(&bytes), byte == b'\\' || byte == 0x7f, "{byte} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn in_json_only_strings_and_escapes_too() {
        let mut bytes = br#"{"4111111111111111":4111111111111111,"a\\u0034":"\u0034111111111111111","b":"\\u00341111111111111111","c\"4111111111111111":1}"#.to_vec();
        assert!(json(&mut bytes));
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"411111******1111":4111111111111111,"a\\u0034":"\u003411111******1111","b":"\\u00341111111111111111","c\"411111******1111":1}"#
        );
        let mut hidden = br#""41111111\u0031\u00311\u00311111""#.to_vec();
        assert!(json(&mut hidden));
        assert_eq!(String::from_utf8(hidden).unwrap(), r#""411111**\u002a\u002a*\u002a1111""#);
    }

    #[test]
    fn in_json_the_code_of_an_escape_is_no_part_of_a_run() {
        let mut bytes = br#""\u0017055555555555561 \u0430111110111111111 \u00e94111111111111111""#.to_vec();
        assert!(json(&mut bytes));
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#""\u0017055555*****5561 \u0430111110*****1111 \u00e9411111******1111""#
        );
    }

    #[test]
    fn what_one_way_leaves_another_does_not_find() {
        // A text of CBOR with 18 digits, and behind it so many that together they are too many for a number.
        let mut bytes = b"\x72000000000000000000000000000000\xff".to_vec();
        assert!(!plain(&mut bytes.clone()));
        assert!(thoroughly(&mut bytes));
        assert!(!thoroughly(&mut bytes), "{}", bytes.escape_ascii());
    }

    #[test]
    fn base64_in_base64_hides_nothing_as_deep_as_it_is_looked_into() {
        use base64::engine::general_purpose::STANDARD;
        let mut text = br#"{"x":"\u00341111111\u00311111111"}"#.to_vec();
        for depth in 0..=NESTED_MAX {
            let mut bytes = text.clone();
            assert!(thoroughly(&mut bytes), "{depth}");
            for _ in 0..depth {
                bytes = STANDARD.decode(bytes).unwrap();
            }
            assert_eq!(bytes.escape_ascii().to_string(), r#"{\"x\":\"\\u003411111**\\u002a***1111\"}"#, "{depth}");
            text = STANDARD.encode(text).into_bytes();
        }
    }

    #[test]
    fn of_what_does_not_come_clean_no_letter_and_no_digit_stays() {
        let mut bytes = b"card 4111111111111111, \xe6\xb1\x89".to_vec();
        assert!(in_every_way(&mut bytes, NESTED_MAX, 1));
        assert_eq!(bytes, b"**** ****************, \xe6\xb1\x89");
    }

    #[test]
    fn base64_hides_nothing_wherever_it_is_cut() {
        use base64::engine::general_purpose::STANDARD;
        let around: [&[u8]; 7] = [b"", b"a", b"ab", b"abc", b"abcd", b"\xff", b"ab?"];
        for (before, after, escaped) in around
            .into_iter()
            .flat_map(|before| around.map(|after| [false, true].map(|escaped| (before, after, escaped))))
            .flatten()
        {
            let text = |number: &[u8]| {
                let encoded = STANDARD.encode([before, number, after].concat()).replace('/', "\\/");
                let encoded = if escaped { encoded.replace('T', "\\u0054") } else { encoded };
                format!("{{\"x\":\"{encoded}\"}}").into_bytes()
            };
            let content = |json: &[u8]| {
                let json: serde_json::Value = serde_json::from_slice(json).unwrap();
                STANDARD.decode(json["x"].as_str().unwrap()).unwrap().escape_ascii().to_string()
            };
            let mut bytes = text(b"4111111111111111");
            assert!(base64(&mut bytes, escaped, 0), "{before:?} {after:?} {escaped}");
            assert_eq!(content(&bytes), content(&text(b"411111******1111")));
            assert!(!base64(&mut text(b"4111111111111112"), escaped, 0), "{before:?} {after:?} {escaped}");
            if escaped {
                assert!(!base64(&mut text(b"4111111111111111"), false, 0), "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn in_cbor_chunks_of_a_text_are_one_text() {
        let mut bytes = b"\x9f\x7f\x6841111111\x6811111111\xff\x6841111111\x6811111111\xff".to_vec();
        assert!(cbor(&mut bytes));
        assert_eq!(bytes, b"\x9f\x7f\x68411111**\x68****1111\xff\x6841111111\x6811111111\xff");
    }

    /// Whether a Luhn-valid maximal run of 13 to 19 digits is in the text, read the slow and obvious way.
    fn leaks(text: &str) -> bool {
        text.split(|c: char| !c.is_ascii_digit()).any(|run| {
            (13..=19).contains(&run.len()) && luhn(&run.bytes().map(|digit| digit - b'0').collect::<Vec<_>>())
        })
    }

    proptest! {
        #[test]
        fn nothing_leaks_and_nothing_else_changes(text in "([0-9]{11,21}|[a-z ]{0,3}|4111111111111111|汉){0,6}") {
            let masked = plainly(&text);
            prop_assert!(!leaks(&masked));
            prop_assert_eq!(masked.len(), text.len());
            prop_assert_eq!(masked == text, !leaks(&text));
            prop_assert!(suspect(text.as_bytes()) || masked == text);
            prop_assert!(masked == text || tillwatch_wit::mask::shows(masked.as_bytes()));
        }

        #[test]
        fn thorough_is_thorough_at_once(
            parts in proptest::collection::vec(prop_oneof![
                "[0-9]{1,30}", "[m-r\\x7f\\[\\]]{1,3}", r#"(\\u00[0-9a]{2}|"|\\|MDAw|MDAwMDAw|ODg4){1,6}"#
            ], 0..8),
        ) {
            let mut bytes = parts.concat().into_bytes();
            let before = bytes.clone();
            prop_assert_eq!(thoroughly(&mut bytes), bytes != before);
            prop_assert!(!thoroughly(&mut bytes), "{}", bytes.escape_ascii());
        }

        #[test]
        fn the_quick_look_agrees_with_a_slow_one(text in "[0-9a]{0,60}") {
            let slow = text.split('a').any(|run| run.len() >= 13);
            prop_assert_eq!(long_run(text.as_bytes()), slow);
        }
    }
}
