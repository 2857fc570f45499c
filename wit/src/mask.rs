//! What a masked card number looks like: the decoder makes it, rules know it again. Owns neither the search for card numbers nor what is
//! done with a name that lost its middle.

/// Digits of the shortest card number (ISO/IEC 7812).
pub const DIGITS_MIN: usize = 13;
/// Digits of the longest card number (ISO/IEC 7812).
pub const DIGITS_MAX: usize = 19;
/// Digits that stay in front (the issuer, as PCI DSS allows to show).
pub const KEPT_FIRST: usize = 6;
/// Digits that stay at the end.
pub const KEPT_LAST: usize = 4;
/// What stands in place of a digit.
pub const MASK: u8 = b'*';

/// Whether a text shows a masked card number: as a name it may stand for more than one thing.
#[must_use]
pub fn shows(text: &[u8]) -> bool {
    // Every event is asked, and hardly one says yes: this looks at words, what follows at bytes.
    if !text.contains(&MASK) {
        return false;
    }
    let digits = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = 0;
    while at < text.len() {
        let stars = text[at..].iter().take_while(|byte| **byte == MASK).count();
        let hidden = DIGITS_MIN - KEPT_FIRST - KEPT_LAST..=DIGITS_MAX - KEPT_FIRST - KEPT_LAST;
        if hidden.contains(&stars)
            && digits(&mut text[..at].iter().rev()) == KEPT_FIRST
            && digits(&mut text[at + stars..].iter()) == KEPT_LAST
        {
            return true;
        }
        at += stars.max(1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::shows;

    #[test]
    fn a_mask_is_six_digits_stars_and_four_digits() {
        for (text, masked) in [
            ("411111******1111", true),
            ("A01:M0000042:202611******0042", true),
            ("a-422222***2222-b", true),
            ("*:630400*********0000", true),
            ("411111**1111", false),
            ("411111**********1111", false),
            ("4111111******1111", false),
            ("411111******11111", false),
            ("4111111111111111", false),
            ("******", false),
            ("", false),
        ] {
            assert_eq!(shows(text.as_bytes()), masked, "{text}");
        }
    }
}
