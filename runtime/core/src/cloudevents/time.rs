//! RFC 3339 texts to milliseconds. The shape is checked here, since jiff reads more than RFC 3339; the calendar is jiff's.

use tillwatch_wit::contract::Instant;

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
    use super::parse;

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
