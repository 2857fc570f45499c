//! RFC 3339 texts to milliseconds. The shape is checked here, since jiff reads more than RFC 3339; the calendar is jiff's.

use tillwatch_wit::contract::Instant;

/// Reads times. Most are of the same hour as one before: the calendar is asked once an hour, which is where its time goes.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// The last hour in UTC as it was written, `2026-11-22T09:`, and when it began.
    hour: Option<([u8; HOUR_BYTES], Instant)>,
}

const HOUR_BYTES: usize = "2026-11-22T09:".len();

impl Times {
    /// As [`parse`].
    pub(super) fn parse(&mut self, text: &[u8]) -> Option<Instant> {
        let split = text.split_first_chunk();
        let passed = split.and_then(|(_, rest)| within_hour(rest));
        if let (Some((hour, _)), Some(passed), Some((known, began))) = (split, passed, &self.hour)
            && hour == known
        {
            return Some(began + passed);
        }
        let instant = parse(std::str::from_utf8(text).ok()?)?;
        self.hour = split.zip(passed).map(|((hour, _), passed)| (*hour, instant - passed)).or(self.hour);
        Some(instant)
    }
}

/// What follows the hour in UTC, `30:01[.25]Z`, in ms since it began; none for what is written otherwise, and for leap seconds.
fn within_hour(text: &[u8]) -> Option<i64> {
    let ([a, b, b':', c, d], rest) = text.split_first_chunk()? else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    let (minutes, seconds) = (10 * digit(*a)? + digit(*b)?, 10 * digit(*c)? + digit(*d)?);
    let fraction = match rest {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            (0..3).fold(0, |ms, at| 10 * ms + digits.get(at).map_or(0, |byte| i64::from(byte - b'0')))
        }
        _ => return None,
    };
    (minutes < 60 && seconds < 60).then_some((60 * minutes + seconds) * 1_000 + fraction)
}

/// The instant of an RFC 3339 date-time, cut to milliseconds; none where the text is none.
pub(super) fn parse(text: &str) -> Option<Instant> {
    if !shaped(text.as_bytes()) {
        return None;
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(timestamp.as_nanosecond().div_euclid(1_000_000)).and_then(|ms| Instant::try_from(ms).ok())
}

/// Whether it has the form `2026-11-22T09:30:01[.25](Z|+08:00)`.
fn shaped(text: &[u8]) -> bool {
    const FORM: &[u8; 19] = b"0000-00-00T00:00:00";
    let Some((head, mut rest)) = text.split_at_checked(FORM.len()) else { return false };
    let fits = |byte: u8, form: u8| match form {
        b'0' => byte.is_ascii_digit(),
        b'T' => byte == b'T' || byte == b't',
        _ => byte == form,
    };
    if !head.iter().zip(FORM).all(|(&byte, &form)| fits(byte, form)) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', offset @ ..] => {
            offset.len() == 5 && offset.iter().zip(b"00:00").all(|(&byte, &form)| fits(byte, form))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Times, parse};

    #[test]
    fn reads_what_rfc_3339_allows() {
        for (text, ms) in [
            ("2025-11-22T09:40:01.250Z", 1_763_804_401_250),
            ("2025-11-22t09:40:01.25z", 1_763_804_401_250),
            ("2025-11-22T17:40:01.250+08:00", 1_763_804_401_250),
            ("2025-11-22T09:40:01.250999Z", 1_763_804_401_250),
            ("1970-01-01T00:00:00-00:00", 0),
            ("1969-12-31T23:59:59.9995Z", -1),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_was_read_before_changes_nothing() {
        let mut times = Times::default();
        let hours = ["2025-11-22T09:", "2025-11-22T10:", "1969-12-31T23:", "2025-11-22t09:", "2025-02-30T09:"];
        let rests = [
            "40:01Z",
            "40:01.2Z",
            "40:01.25Z",
            "59:59.999999999Z",
            "59:59.9999999999Z",
            "00:00.Z",
            "00:60Z",
            "60:00Z",
            "0:00:0Z",
            "40:01+00:00",
            "40:01.250+08:00",
            "40:01z",
            "40:01.2५Z",
            "40-01Z",
            "4a:01Z",
            "40:01.25xZ",
            "40:01.xyzZ",
            "",
        ];
        // Each hour after each other one, and every rest in both orders: what is remembered is of another text each time.
        for step in 0..4 * hours.len() * rests.len() {
            let text = format!("{}{}", hours[step / 2 % hours.len()], rests[step * 7 % rests.len()]);
            assert_eq!(times.parse(text.as_bytes()), parse(&text), "{text}");
            assert_eq!(times.parse(text.as_bytes()), parse(&text), "{text}, again");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2025-11-22",
            "2025-11-22T09:40:01",
            "2025-11-22 09:40:01Z",
            "2025-11-22T09:40Z",
            "2025-11-22T09:40:01.Z",
            "2025-13-22T09:40:01Z",
            "2025-02-30T09:40:01Z",
            "2025-11-22T25:40:01Z",
            "2025-11-22T09:40:01+0800",
            "2025-11-22T09:40:01Z[UTC]",
            "+002025-11-22T09:40:01Z",
            "1763804401250",
            "２０２５-11-22T09:40:01Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
