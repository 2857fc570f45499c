//! Terminals (partition keys) of one partition by number, so that slots and visits name them in four bytes. A number lives as long as
//! something refers to it.

use xxhash_rust::xxh3::xxh3_64;

use super::index::Index;
use crate::line::{LINE_BYTES, fetch};

/// Number of a terminal in its partition.
pub(super) type Terminal = u32;

/// Half a line of memory, so that none lies in two.
#[derive(Debug)]
#[repr(align(32))]
struct Entry {
    name: Box<str>,
    references: u32,
    /// The flush in which it is pending.
    pending: u64,
}

const _: () = assert!(size_of::<Entry>() == LINE_BYTES / 2);

/// The table.
#[derive(Debug, Default)]
pub(super) struct Terminals {
    entries: Vec<Entry>,
    free: Vec<Terminal>,
    index: Index,
}

impl Terminals {
    /// The terminal's number, with one reference more.
    ///
    /// # Panics
    /// When a new name is no UTF-8: the decoder has checked that it is.
    pub(super) fn hold(&mut self, name: &[u8]) -> Terminal {
        let hash = Self::hash(name);
        if let Some(terminal) = self.index.find(hash, |number| self.entries[number as usize].name.as_bytes() == name) {
            self.entries[terminal as usize].references += 1;
            return terminal;
        }
        let name = std::str::from_utf8(name).expect("invariant: the decoder checked UTF-8");
        let entry = Entry { name: name.into(), references: 1, pending: 0 };
        let terminal = match self.free.pop() {
            Some(terminal) => {
                self.entries[terminal as usize] = entry;
                terminal
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("invariant: keys_max bounds the terminals")
            }
        };
        self.index.insert(hash, terminal);
        terminal
    }

    /// What a name is looked up by.
    pub(super) fn hash(name: &[u8]) -> u64 {
        xxh3_64(name)
    }

    /// Asks for what a name of this hash is looked for in, see `ahead`.
    pub(super) fn fetch_index(&self, hash: u64) {
        self.index.fetch(hash);
    }

    /// The number that a name of this hash probably has, looked up without a look at any name, see `ahead`.
    pub(super) fn guess(&self, hash: u64) -> Option<Terminal> {
        self.index.guess(hash)
    }

    /// Fetches the entry.
    pub(super) fn fetch(&self, terminal: Terminal) {
        fetch(&self.entries, terminal as usize);
    }

    /// Fetches the name; of a number whose entry was fetched.
    pub(super) fn fetch_name(&self, terminal: Terminal) {
        fetch(self.name(terminal).as_bytes(), 0);
    }

    /// As [`Terminals::hold`], quicker where the guess was right.
    pub(super) fn hold_guessed(&mut self, name: &[u8], guess: Option<Terminal>) -> Terminal {
        if let Some(terminal) = guess
            && let entry = &mut self.entries[terminal as usize]
            && entry.references > 0
            && entry.name.as_bytes() == name
        {
            entry.references += 1;
            return terminal;
        }
        self.hold(name)
    }

    /// One reference more to a number that is held.
    pub(super) fn hold_again(&mut self, terminal: Terminal) {
        self.entries[terminal as usize].references += 1;
    }

    /// One reference less; the last one frees the number.
    pub(super) fn release(&mut self, terminal: Terminal) {
        let entry = &mut self.entries[terminal as usize];
        entry.references -= 1;
        if entry.references == 0 {
            let hash = Self::hash(entry.name.as_bytes());
            self.index.remove(hash, terminal);
            self.free.push(terminal);
        }
    }

    pub(super) fn name(&self, terminal: Terminal) -> &str {
        &self.entries[terminal as usize].name
    }

    /// Whether the terminal is pending in flush number `flush`.
    pub(super) fn pending(&self, terminal: Terminal, flush: u64) -> bool {
        self.entries[terminal as usize].pending == flush
    }

    pub(super) fn set_pending(&mut self, terminal: Terminal, flush: u64) {
        self.entries[terminal as usize].pending = flush;
    }
}
