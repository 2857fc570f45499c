//! Lines of memory, as processors fetch them.
//!
//! Owns how one is asked for before it is wanted. Asking decides nothing, waits for nothing and reads nothing that a program sees; when and
//! for what it is done is `partition::ahead`'s (ADR 0019, ADR 0032).

use prefetch_index::prefetch_index;

/// A line of memory.
pub(crate) const LINE_BYTES: usize = 64;

/// Asks for the line that an item begins in.
#[inline]
pub(crate) fn fetch<T>(items: &[T], index: usize) {
    prefetch_index(items, index);
}

/// Asks for every line that these bytes lie in, wherever in its line the first of them is.
#[inline]
pub(crate) fn fetch_bytes(bytes: &[u8]) {
    (0..bytes.len()).step_by(LINE_BYTES).for_each(|byte| fetch(bytes, byte));
    if let Some(last) = bytes.len().checked_sub(1) {
        fetch(bytes, last);
    }
}
