//! Keyed state: opaque bytes and one wake-up per (rule, terminal, key), with what changed since the last commit and what a faulted flush
//! must take back. Owns the timer index. The key of a terminal-keyed rule is empty.

use tillwatch_wit::contract::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    ahead::TOGETHER,
    index::Index,
    moment::turn,
    pieces::Pieces,
    terminals::{Terminal, Terminals},
    timers::Timers,
};
use crate::line::{LINE_BYTES, fetch_bytes};

/// A wake-up that never comes.
pub(super) const NEVER: Instant = Instant::MAX;

/// State and wake-up of one (rule, terminal, key): one line of memory, since each is looked at by itself.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) rule: u16,
    changed: bool,
    stored: bool,
    used: bool,
    pub(super) terminal: Terminal,
    generation: u32,
    /// What it is looked up by, see [`Keyed::hash`].
    hash: u64,
    /// Where in `body` the key ends and the state begins.
    key_end: u32,
    pub(super) wake: Instant,
    /// Key and state in one piece, so that a visit finds both together and a new state seldom wants new memory.
    body: Vec<u8>,
}

const _: () = assert!(size_of::<Slot>() == LINE_BYTES);

impl Slot {
    pub(super) fn key(&self) -> &str {
        std::str::from_utf8(self.key_bytes()).expect("invariant: the key came in as text")
    }

    pub(super) fn key_bytes(&self) -> &[u8] {
        &self.body[..self.key_end as usize]
    }

    pub(super) fn state(&self) -> &[u8] {
        &self.body[self.key_end as usize..]
    }

    fn is_of(&self, (rule, terminal): (u16, Terminal), key: &[u8]) -> bool {
        self.rule == rule && self.terminal == terminal && self.key_bytes() == key
    }

    fn set_state(&mut self, state: &[u8]) {
        self.body.truncate(self.key_end as usize);
        let length = self.body.len() + state.len();
        if self.body.capacity() < length {
            self.body.reserve_exact(room(length) - self.body.len());
        }
        self.body.extend_from_slice(state);
    }

    /// Gives back what it has too much of: a payment that is finished is small, and stays for a while.
    fn trim(&mut self) {
        if self.body.capacity() > self.body.len() + SPARE_BYTES_MAX {
            self.body.shrink_to_fit();
        }
    }

    /// Fetches key and state, of a large one only the first lines.
    fn fetch(&self) {
        fetch_bytes(&self.body[..self.body.len().min(LINES * LINE_BYTES)]);
    }

    fn live(&self) -> bool {
        !self.state().is_empty() || self.wake != NEVER
    }
}

/// Key and state have room in steps of so many bytes, so that a state that grows a little stays where it is.
const ROOM_BYTES: usize = 16;

/// An allocator keeps so much of its own beside what it gives, in steps of [`ROOM_BYTES`]: what is asked for fits without a rest.
const BESIDE_BYTES: usize = 8;

/// More room than this is given back.
const SPARE_BYTES_MAX: usize = 128;

/// A new state has room for this part of itself more: a payment's grows when its host answers, and stays where it is.
const GROWTH_DIVISOR: usize = 4;

/// The room for so many bytes of key and state.
fn room(length: usize) -> usize {
    (length + BESIDE_BYTES).next_multiple_of(ROOM_BYTES) - BESIDE_BYTES
}

/// Lines of a slot that are read ahead, at most: a payment has three or four.
const LINES: usize = 8;

struct Undo {
    slot: u32,
    /// Where in `old` its state begins, where that was replaced.
    state: Option<usize>,
    wake: Instant,
}

/// A stored key that the changelog must forget, with its hash; its terminal is held until then.
#[derive(Clone, Copy)]
struct Gone {
    hash: u64,
    rule: u16,
    terminal: Terminal,
    key_bytes: u32,
}

/// All state of a partition's rules.
#[derive(Default)]
pub(super) struct Keyed {
    slots: Pieces<Slot>,
    free: Vec<u32>,
    index: Index,
    /// Slots in use by rule.
    held: Vec<usize>,
    timers: Timers,
    pub(super) terminals: Terminals,
    changed: Vec<u32>,
    gone: Vec<Gone>,
    /// Their keys, one behind the other.
    gone_keys: Vec<u8>,
    undo: Vec<Undo>,
    /// States that were replaced, one behind the other.
    old: Vec<u8>,
    wakes: usize,
    /// What is due at `due_at`, the last one first to go.
    due: Vec<(u32, u32)>,
    due_at: Instant,
}

impl Keyed {
    /// What a key is looked up by.
    pub(super) fn hash(rule: u16, terminal: Terminal, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, (u64::from(terminal) << 16) | u64::from(rule))
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Keys of one rule.
    pub(super) fn held_by(&self, rule: u16) -> usize {
        self.held.get(usize::from(rule)).copied().unwrap_or(0)
    }

    pub(super) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// The slot of a key with its hash.
    pub(super) fn find(&self, hash: u64, owner: (u16, Terminal), key: &[u8]) -> Option<u32> {
        self.index.find(hash, |number| self.slots[number as usize].is_of(owner, key))
    }

    /// As [`Keyed::find`], quicker where [`Keyed::guess`], asked since the last key came or went, was right.
    pub(super) fn find_guessed(
        &self,
        guess: Option<u32>,
        hash: u64,
        owner: (u16, Terminal),
        key: &[u8],
    ) -> Option<u32> {
        let guess = guess?;
        if self.slots[guess as usize].is_of(owner, key) { Some(guess) } else { self.find(hash, owner, key) }
    }

    /// The slot that a key of this hash probably has, looked up without a look at any slot, see `ahead`; none where no key has it.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.index.guess(hash)
    }

    /// Asks for what a key of this hash is looked for in, see `ahead`.
    pub(super) fn fetch_index(&self, hash: u64) {
        self.index.fetch(hash);
    }

    /// Fetches slots, then what they hold, see `ahead`.
    pub(super) fn fetch(&self, numbers: impl Iterator<Item = u32> + Clone) {
        fetch_slots(&self.slots, numbers);
    }

    /// Makes a slot with room for so many bytes of key and state.
    fn insert(&mut self, hash: u64, (rule, terminal): (u16, Terminal), key: &[u8], length: usize) -> u32 {
        self.terminals.hold_again(terminal);
        if self.held.len() <= usize::from(rule) {
            self.held.resize(usize::from(rule) + 1, 0);
        }
        self.held[usize::from(rule)] += 1;
        let mut slot = Slot {
            rule,
            changed: false,
            stored: false,
            used: true,
            terminal,
            generation: 0,
            hash,
            key_end: u32::try_from(key.len()).expect("invariant: a key is part of a record"),
            wake: NEVER,
            body: Vec::with_capacity(room(length)),
        };
        slot.body.extend_from_slice(key);
        let number = match self.free.pop() {
            Some(number) => {
                slot.generation = self.slots[number as usize].generation + 1;
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("invariant: keys_max is under 4 billion")
            }
        };
        self.index.insert(hash, number);
        number
    }

    /// Applies a visit's verdict to what [`Keyed::find`] found in this flush; `state` none: it stays. The old values can be taken back until
    /// [`Keyed::settle`].
    pub(super) fn apply<'a>(
        &mut self,
        found: Option<u32>,
        (hash, owner): (u64, (u16, Terminal)),
        key: impl FnOnce() -> &'a [u8],
        state: Option<&[u8]>,
        wake: Option<Instant>,
    ) {
        let empty = state.is_none_or(<[u8]>::is_empty) && wake.is_none_or(|wake| wake == NEVER);
        let number = match found {
            Some(number) => number,
            None if empty => return,
            None => {
                let key = key();
                let length = key.len() + state.map_or(0, <[u8]>::len);
                self.insert(hash, owner, key, length + length / GROWTH_DIVISOR)
            }
        };
        let slot = &mut self.slots[number as usize];
        // Rules say their wake-up at every visit, mostly the one that stands: what is as it was is no change, and nothing for the changelog.
        let state = state.filter(|state| *state != slot.state());
        let wake = wake.filter(|wake| *wake != slot.wake);
        if state.is_none() && wake.is_none() {
            return;
        }
        let old = state.map(|state| {
            let start = self.old.len();
            self.old.extend_from_slice(slot.state());
            slot.set_state(state);
            start
        });
        self.undo.push(Undo { slot: number, state: old, wake: slot.wake });
        if let Some(wake) = wake {
            self.set_wake(number, wake);
        }
        self.mark(number);
    }

    /// Takes a slot's wake-up away as it fires.
    pub(super) fn fire(&mut self, number: u32) {
        self.undo.push(Undo { slot: number, state: None, wake: self.slots[number as usize].wake });
        self.set_wake(number, NEVER);
        self.mark(number);
    }

    /// Moves a wake-up, as for a rule in quarantine.
    pub(super) fn postpone(&mut self, number: u32, wake: Instant) {
        self.set_wake(number, wake);
        self.mark(number);
    }

    fn set_wake(&mut self, number: u32, wake: Instant) {
        let slot = &mut self.slots[number as usize];
        if slot.wake == wake {
            return;
        }
        self.wakes += usize::from(wake != NEVER);
        self.wakes -= usize::from(slot.wake != NEVER);
        slot.wake = wake;
        if wake != NEVER {
            self.timers.push(wake, number, slot.generation);
        }
    }

    fn mark(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        if !slot.changed {
            slot.changed = true;
            self.changed.push(number);
        }
    }

    /// Takes back everything since the last [`Keyed::settle`].
    pub(super) fn take_back(&mut self) {
        let mut touched = Vec::with_capacity(self.undo.len());
        while let Some(undo) = self.undo.pop() {
            if let Some(start) = undo.state {
                self.slots[undo.slot as usize].set_state(&self.old[start..]);
                self.old.truncate(start);
            }
            self.set_wake(undo.slot, undo.wake);
            touched.push(undo.slot);
        }
        for slot in touched {
            self.sweep(slot);
        }
    }

    /// Makes everything since the last settling final, and frees slots that hold nothing.
    pub(super) fn settle(&mut self) {
        while let Some(undo) = self.undo.pop() {
            self.sweep(undo.slot);
        }
        self.old.clear();
        if self.timers.len() > 2 * self.wakes + 4096 {
            let slots = &self.slots;
            self.timers.compact(|deadline, slot, generation| wanted(slots, deadline, slot, generation));
        }
    }

    fn sweep(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        if slot.live() {
            slot.trim();
        } else if slot.used {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.used = false;
        slot.changed = false;
        let (rule, terminal, hash) = (slot.rule, slot.terminal, slot.hash);
        if slot.stored {
            self.gone.push(Gone { hash, rule, terminal, key_bytes: slot.key_end });
            self.gone_keys.extend_from_slice(slot.key_bytes());
            self.terminals.hold_again(terminal);
        }
        slot.body = Vec::new();
        slot.key_end = 0;
        self.index.remove(hash, number);
        self.held[usize::from(rule)] -= 1;
        self.terminals.release(terminal);
        self.free.push(number);
    }

    /// The earliest wake-up before `before`, by (deadline, payments before terminals, key, terminal, rule as `rank` orders them).
    pub(super) fn first_due(&mut self, before: Instant, rank: &[u16]) -> Option<(Instant, u32)> {
        let Self { slots, index, timers, due, due_at, terminals, .. } = self;
        while due.last().is_some_and(|&(slot, generation)| !wanted(slots, *due_at, slot, generation)) {
            due.pop();
        }
        let first = timers.first(
            before,
            |slot| slots.fetch::<1>(slot as usize),
            |deadline, slot, generation| wanted(slots, deadline, slot, generation),
        );
        if due.is_empty() || first.is_some_and(|first| first < *due_at) {
            for (slot, generation) in due.drain(..) {
                timers.push(*due_at, slot, generation);
            }
            match first {
                Some(first) if first < before => *due_at = first,
                _ => return None,
            }
        }
        if *due_at >= before {
            return None;
        }
        let coming = timers.coming();
        fetch_slots(slots, coming.iter().map(|&(_, number, _)| number));
        for &(_, number, _) in coming {
            let slot = &slots[number as usize];
            terminals.fetch(slot.terminal);
            index.fetch(slot.hash);
        }
        let known = due.len();
        while let Some((slot, generation)) = timers.take(*due_at) {
            if wanted(slots, *due_at, slot, generation) {
                due.push((slot, generation));
            }
        }
        if due.len() > known {
            let order = |&(number, _): &(u32, u32)| {
                let slot = &slots[number as usize];
                (turn(slot.key_bytes(), terminals.name(slot.terminal), rank[slot.rule as usize]), number)
            };
            due.retain(|&(slot, generation)| wanted(slots, *due_at, slot, generation));
            due.sort_by(|a, b| order(b).cmp(&order(a)));
            due.dedup();
        }
        due.last().map(|&(slot, _)| (*due_at, slot))
    }

    /// The earliest deadline of all; meant between steps.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        let slots = &self.slots;
        self.timers.earliest(|deadline, slot, generation| wanted(slots, deadline, slot, generation))
    }

    /// Puts in what a changelog record says; gives the slot, where there is one.
    pub(super) fn load(
        &mut self,
        rule: u16,
        terminal: &str,
        key: &str,
        value: Option<(&[u8], Instant)>,
    ) -> Option<u32> {
        let number = self.terminals.hold(terminal.as_bytes());
        let hash = Self::hash(rule, number, key.as_bytes());
        let found = self.find(hash, (rule, number), key.as_bytes());
        let loaded = match (found, value) {
            (None, None) => None,
            (Some(slot), None) => {
                self.set_wake(slot, NEVER);
                self.slots[slot as usize].stored = false;
                self.remove(slot);
                None
            }
            (found, Some((state, wake))) => {
                let length = key.len() + state.len();
                let slot = found.unwrap_or_else(|| self.insert(hash, (rule, number), key.as_bytes(), length));
                self.slots[slot as usize].set_state(state);
                self.slots[slot as usize].stored = true;
                self.set_wake(slot, wake);
                Some(slot)
            }
        };
        self.terminals.release(number);
        loaded
    }

    /// Replaces a state without a visit, as migration does.
    pub(super) fn replace(&mut self, number: u32, state: &[u8]) {
        self.slots[number as usize].set_state(state);
        self.mark(number);
    }

    /// Every slot in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0u32..).zip(self.slots.iter()).filter(|(_, slot)| slot.used)
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty() || !self.gone.is_empty()
    }

    /// Gives every changed key once: `Some(slot)` to write, none to forget.
    pub(super) fn drain_changes(&mut self, mut each: impl FnMut(u16, &str, &[u8], Option<(&[u8], Instant)>)) {
        let (mut gone, mut keys) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.gone_keys));
        let mut rest = &keys[..];
        for group in gone.chunks(TOGETHER) {
            for gone in group {
                self.terminals.fetch(gone.terminal);
                self.fetch_index(gone.hash);
            }
            for &Gone { hash, rule, terminal, key_bytes } in group {
                let (key, others) = rest.split_at(key_bytes as usize);
                rest = others;
                // One that has come again meanwhile is among the changed.
                if self.find(hash, (rule, terminal), key).is_none() {
                    each(rule, self.terminals.name(terminal), key, None);
                }
                self.terminals.release(terminal);
            }
        }
        gone.clear();
        keys.clear();
        (self.gone, self.gone_keys) = (gone, keys);
        let mut changed = std::mem::take(&mut self.changed);
        for group in changed.chunks(TOGETHER) {
            self.fetch(group.iter().copied());
            let terminals = group.iter().map(|number| self.slots[*number as usize].terminal);
            terminals.clone().for_each(|terminal| self.terminals.fetch(terminal));
            terminals.for_each(|terminal| self.terminals.fetch_name(terminal));
            for &number in group {
                let slot = &mut self.slots[number as usize];
                if slot.used && slot.changed {
                    slot.changed = false;
                    slot.stored = true;
                    let (terminal, state) = (self.terminals.name(slot.terminal), &slot.body[slot.key_end as usize..]);
                    each(slot.rule, terminal, &slot.body[..slot.key_end as usize], Some((state, slot.wake)));
                }
            }
        }
        changed.clear();
        self.changed = changed;
    }
}

/// Fetches slots, then what they hold.
fn fetch_slots(slots: &Pieces<Slot>, numbers: impl Iterator<Item = u32> + Clone) {
    numbers.clone().for_each(|number| slots.fetch::<1>(number as usize));
    numbers.for_each(|number| slots[number as usize].fetch());
}

fn wanted(slots: &Pieces<Slot>, deadline: Instant, slot: u32, generation: u32) -> bool {
    let slot = &slots[slot as usize];
    slot.used && slot.generation == generation && slot.wake == deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Vec<(String, Vec<u8>, Option<Vec<u8>>)>;

    fn put(keyed: &mut Keyed, terminal: Terminal, key: &[u8], state: &[u8]) {
        let (hash, owner) = (Keyed::hash(0, terminal, key), (0, terminal));
        let found = keyed.find(hash, owner, key);
        keyed.apply(found, (hash, owner), || key, Some(state), None);
        keyed.settle();
    }

    fn told(keyed: &mut Keyed) -> Told {
        let mut told = Told::new();
        keyed.drain_changes(|_, terminal, key, slot| {
            told.push((terminal.to_owned(), key.to_vec(), slot.map(|(state, _)| state.to_vec())));
        });
        told
    }

    #[test]
    fn a_key_that_goes_is_told_once_with_its_terminal_and_not_where_it_comes_again() {
        let mut keyed = Keyed::default();
        let terminal = keyed.terminals.hold(b"T1");
        put(&mut keyed, terminal, b"a", b"1");
        put(&mut keyed, terminal, b"b", b"1");
        put(&mut keyed, terminal, b"never stored", b"1");
        put(&mut keyed, terminal, b"never stored", b"");
        let text = "T1".to_owned();
        let both = [b"a", b"b"].map(|key| (text.clone(), key.to_vec(), Some(b"1".to_vec())));
        assert_eq!(told(&mut keyed), both);
        for key in [b"a", b"b"] {
            put(&mut keyed, terminal, key, b"");
        }
        put(&mut keyed, terminal, b"a", b"2");
        let expected = [(text.clone(), b"b".to_vec(), None), (text.clone(), b"a".to_vec(), Some(b"2".to_vec()))];
        assert_eq!(told(&mut keyed), expected);
        assert_eq!(told(&mut keyed), []);
        // Only what must be told holds the terminal now, and then nothing.
        put(&mut keyed, terminal, b"a", b"");
        keyed.terminals.release(terminal);
        assert_eq!(told(&mut keyed), [(text, b"a".to_vec(), None)]);
        assert_eq!(keyed.terminals.hold(b"T2"), terminal, "its number is free");
    }
}
