//! How states write the length of a text: one byte, or 255 and four bytes, little-endian.

/// Stands as the length of a text that has four bytes more for it.
const LONG: u8 = u8::MAX;

/// Bytes of a length, at most.
pub const LENGTH_BYTES_MAX: usize = 5;

/// A length as it is written, and how many of the bytes that are.
#[inline]
#[must_use]
pub fn length(length: u32) -> ([u8; LENGTH_BYTES_MAX], usize) {
    let [a, b, c, d] = length.to_le_bytes();
    if length < u32::from(LONG) { ([a, 0, 0, 0, 0], 1) } else { ([LONG, a, b, c, d], LENGTH_BYTES_MAX) }
}

/// Splits a length off; none where there is no whole one.
#[inline]
#[must_use]
pub fn split_length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first != LONG {
        return Some((u32::from(first), rest));
    }
    let (length, rest) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*length), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_reads_back_and_a_part_of_one_is_none() {
        for number in [0, 1, 253, 254, 255, 256, 65_536, u32::MAX] {
            let (bytes, count) = length(number);
            assert_eq!(count, if number < 255 { 1 } else { 5 });
            assert_eq!(split_length(&[&bytes[..count], b"rest"].concat()), Some((number, &b"rest"[..])));
            assert!((0..count).all(|part| split_length(&bytes[..part]).is_none()), "{number}");
        }
    }
}
