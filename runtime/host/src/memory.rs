//! How much memory an instance has, and whether it was refused more.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// Core instances, memories and tables of one component; a rule is one module with adapters.
const PARTS_MAX: usize = 64;

/// Counts linear memory over all memories of one store. A growth past the limit fails in the guest, which may cope (a garbage
/// collector does); a trap in the same call is then the fault `memory`.
pub(crate) struct Memory {
    bytes: usize,
    bytes_max: usize,
    elements: usize,
    elements_max: usize,
    refused: bool,
}

impl Memory {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.memory_bytes_max,
            elements: 0,
            elements_max: limits.table_elements_max,
            refused: false,
        }
    }

    /// Bytes in use by the instance.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more was asked for since `forget_refusal`.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn forget_refusal(&mut self) {
        self.refused = false;
    }
}

/// Grows `sum` by what one part grows by, within `max`.
fn grow(sum: &mut usize, current: usize, desired: usize, max: usize) -> bool {
    let grown = sum.saturating_add(desired.saturating_sub(current));
    let granted = grown <= max;
    if granted {
        *sum = grown;
    }
    granted
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted =
            maximum.is_none_or(|maximum| desired <= maximum) && grow(&mut self.bytes, current, desired, self.bytes_max);
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = maximum.is_none_or(|maximum| desired <= maximum)
            && grow(&mut self.elements, current, desired, self.elements_max);
        self.refused |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_past_the_limit_is_refused_and_remembered() {
        let mut memory = Memory::new(&Limits { memory_bytes_max: 100, ..Limits::default() });
        assert!(memory.memory_growing(0, 60, None).expect("decides"));
        assert!(!memory.memory_growing(0, 60, None).expect("decides"), "the second memory counts too");
        assert!(memory.was_refused());
        memory.forget_refusal();
        assert!(memory.memory_growing(60, 100, None).expect("decides"));
        assert_eq!((memory.bytes(), memory.was_refused()), (100, false));
    }

    #[test]
    fn table_elements_are_limited() {
        let mut memory = Memory::new(&Limits { table_elements_max: 10, ..Limits::default() });
        assert!(memory.table_growing(0, 10, None).expect("decides"));
        assert!(!memory.table_growing(10, 11, None).expect("decides"));
        assert!(memory.was_refused());
    }
}
