//! Runs a rule over a batch: reads pieces, writes verdicts. The same code natively and in WebAssembly.

use tillwatch_wit::{
    contract::{Action, Change, Descriptor, Trigger, Verdict, Wake},
    table::FieldId,
};

use crate::{
    Out, Rule, State, Visit,
    visit::{FIXED_PIECES, Positions, positions},
};

/// What the rule is, as the host asks for it.
#[must_use]
pub fn describe<R: Rule>() -> Descriptor {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Descriptor {
        id: R::ID.to_owned(),
        version: R::VERSION.to_owned(),
        key: R::KEY,
        state_version: R::STATE_VERSION,
        events: owned(R::EVENTS),
        fields: R::FIELDS.iter().map(|field: &FieldId| field.field().name.to_owned()).collect(),
        capabilities: owned(R::CAPABILITIES),
    }
}

struct Table<R>(std::marker::PhantomData<R>);

impl<R: Rule> Table<R> {
    const POSITIONS: Positions = positions(R::FIELDS);
}

/// Visits every key of a batch, one with each verdict that is taken. What is put and done goes behind what is in `states` and `actions`.
#[doc(hidden)]
pub fn run<R: Rule>(
    rule: &R,
    visits: impl Iterator<Item = tillwatch_wit::contract::Visit>,
    ends: &[u32],
    bytes: &[u8],
    states: &mut Vec<u8>,
    actions: &mut Vec<(u32, Action)>,
) -> impl Iterator<Item = Verdict> {
    let pieces = FIXED_PIECES + R::FIELDS.len();
    let mut start = 0;
    // One for all visits, so that it is not moved about, and its memory is used again.
    let mut state = None;
    visits.zip(ends.chunks_exact(pieces)).zip(0..).map(move |((visit, ends), index)| {
        let visit = Visit { visit, events: R::EVENTS, positions: const { &Table::<R>::POSITIONS }, start, ends, bytes };
        start = ends[pieces - 1] as usize;
        let before = (states.len(), actions.len());
        attempt(rule, index, &visit, &mut state, states, actions).unwrap_or_else(|reason| {
            // Nothing stays of it.
            states.truncate(before.0);
            actions.truncate(before.1);
            Verdict { state: Change::Fail(reason), wake: Wake::Keep }
        })
    })
}

/// One visit; of one that fails, what it has appended so far is the caller's to take back.
fn attempt<R: Rule>(
    rule: &R,
    index: u32,
    visit: &Visit<'_>,
    state: &mut Option<R::State>,
    states: &mut Vec<u8>,
    actions: &mut Vec<(u32, Action)>,
) -> Result<Verdict, String> {
    let before = visit.piece(0);
    let event = matches!(visit.visit.trigger, Trigger::Event(_));
    if event && rule.ignores(visit, before) {
        return Ok(Verdict { state: Change::Keep, wake: Wake::Keep });
    }
    if before.is_empty() {
        *state = None;
    } else {
        R::State::read_into(state, before)?;
    }
    let mut out = Out::new(index, actions);
    if event {
        rule.on_event(visit, state, &mut out);
    } else {
        rule.on_wake(visit, state, &mut out);
    }
    let Out { wake, failed, .. } = out;
    if let Some(reason) = failed {
        return Err(reason);
    }
    let Some(state) = state else {
        return Ok(if before.is_empty() {
            Verdict { state: Change::Keep, wake: wake.unwrap_or(Wake::Keep) }
        } else {
            Verdict { state: Change::Clear, wake: wake.unwrap_or(Wake::Never) }
        });
    };
    let start = states.len();
    state.append(states)?;
    let length = match u32::try_from(states.len() - start) {
        Ok(0) => return Err("the state encodes to nothing, which means that there is none".to_owned()),
        Ok(length) => length,
        Err(_) => return Err("the state is larger than 4 GiB".to_owned()),
    };
    let change = if same(&states[start..], before) {
        states.truncate(start);
        Change::Keep
    } else {
        Change::Put(length)
    };
    Ok(Verdict { state: change, wake: wake.unwrap_or(Wake::Keep) })
}

/// Whether two pieces are the same. Words at a time: `==` compares bytes one by one in WebAssembly, with a call for it, and a region's state has
/// tens of thousands.
#[inline]
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(end), Some(other_end)) = (one.last_chunk(), other.last_chunk()) else {
        return short(one) == short(other);
    };
    // The last word may overlap the one before.
    let mut words = one.as_chunks().0.iter().zip(other.as_chunks().0);
    u64::from_ne_bytes(*end) == u64::from_ne_bytes(*other_end)
        && words.all(|(one, other)| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other))
}

/// A piece of fewer than eight bytes as a number; one of as many bytes that differs is another number.
#[inline]
fn short(piece: &[u8]) -> u64 {
    if let (Some(begin), Some(end)) = (piece.first_chunk(), piece.last_chunk()) {
        return u64::from(u32::from_ne_bytes(*begin)) << 32 | u64::from(u32::from_ne_bytes(*end));
    }
    let byte = |place: usize| piece.get(place).map_or(0, |byte| u64::from(*byte));
    byte(0) | byte(1) << 8 | byte(2) << 16
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn states_are_the_same_where_no_byte_differs() {
        let state: Vec<u8> = (0..40).collect();
        for length in 0..state.len() {
            assert!(same(&state[..length], &state.clone()[..length]));
            assert!(!same(&state[..length], &state[..=length]), "{length}");
            for place in 0..length {
                let mut other = state[..length].to_vec();
                other[place] ^= 128;
                assert!(!same(&state[..length], &other), "{place} of {length}");
            }
        }
    }
}
