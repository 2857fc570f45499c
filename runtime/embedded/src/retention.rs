//! Which records have stayed long enough. Pure.

use tillwatch_core::Instant;

use crate::{engine::Tail, options::Retention};

/// How far the begin of a partition moves, given its oldest records as (offset, ingest time, bytes): past every record older than the age
/// bound, and as far as the bytes bound asks; never to `keep` or past it, and at most `max` records.
pub(crate) fn cut<E>(
    tail: &Tail,
    retention: Retention,
    keep: i64,
    now: Instant,
    max: usize,
    oldest: impl Iterator<Item = Result<(i64, Instant, u64), E>>,
) -> Result<Tail, E> {
    let mut cut = *tail;
    let dead = now.saturating_sub(retention.age_ms_max);
    for row in oldest.take(max) {
        let (offset, ingest, bytes) = row?;
        if offset >= keep || (ingest >= dead && cut.bytes <= retention.bytes_max) {
            break;
        }
        cut.start = offset + 1;
        cut.bytes = cut.bytes.saturating_sub(bytes);
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Ten records of 10 bytes, one a second from 0 on.
    fn start(retention: Retention, keep: i64, now: Instant, max: usize) -> i64 {
        let tail = Tail { start: 0, end: 10, ingest: Some(9_000), bytes: 100 };
        let rows = (0..10).map(|offset| Ok::<_, Infallible>((offset, offset * 1_000, 10)));
        let cut = cut(&tail, retention, keep, now, max, rows).unwrap();
        assert_eq!(cut.bytes, 100 - 10 * u64::try_from(cut.start).unwrap());
        cut.start
    }

    #[test]
    fn age_and_bytes_bound_what_stays() {
        let roomy = Retention { age_ms_max: i64::MAX, bytes_max: u64::MAX };
        assert_eq!(start(roomy, 10, i64::MAX, 100), 0);
        assert_eq!(start(Retention { age_ms_max: 5_000, ..roomy }, 10, 9_000, 100), 4, "what is 5 s old stays");
        assert_eq!(start(Retention { bytes_max: 35, ..roomy }, 10, 9_000, 100), 7);
        assert_eq!(start(Retention { age_ms_max: 0, bytes_max: 0 }, 10, 20_000, 100), 10);
    }

    #[test]
    fn what_a_restart_needs_stays_and_one_look_is_bounded() {
        let none = Retention { age_ms_max: 0, bytes_max: 0 };
        assert_eq!(start(none, 3, 20_000, 100), 3);
        assert_eq!(start(none, 0, 20_000, 100), 0);
        assert_eq!(start(none, 10, 20_000, 2), 2);
    }
}
