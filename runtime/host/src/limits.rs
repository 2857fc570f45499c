//! What a rule may spend, each with its name, default and unit. Owns no checks: those stand where the thing is spent.

/// Limits of one rule's instances. A visit that passes one is a fault of that visit alone, and the same on every replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel of one visit, about one unit an instruction; more is the fault `fuel`. A call with many visits gets half of it, see `Host`.
    pub fuel_per_visit: u64,
    /// Fuel of instantiating, describing and configuring an instance; more refuses the rule.
    pub fuel_load: u64,
    /// Bytes of linear memory of an instance; a trap after more was asked for is the fault `memory`.
    pub memory_bytes_max: usize,
    /// Table elements of an instance; a trap after more were asked for is the fault `memory`.
    pub table_elements_max: usize,
    /// Bytes that one call may answer: states, texts and a fixed sum for each action, detail and list entry; more is the fault `output-max`.
    pub output_bytes_max: usize,
    /// Actions of one visit; more are the fault `bad-output`.
    pub actions_max: usize,
    /// Bytes of one state; a larger one is the fault `state-max`.
    pub state_bytes_max: usize,
    /// Bytes kept of what a rule prints in one call, for the reason of a trap; the rest is dropped.
    pub stderr_bytes_max: usize,
    /// An instance whose memory has grown past this is replaced after the call and counted as recycled.
    pub recycle_bytes: usize,
    /// Wall-clock backstop of one call, ms. Never a verdict: the call is made again in a fresh instance.
    pub epoch_deadline_ms: u32,
    /// How often a call is made again after the backstop fired before the host says that it stalls.
    pub stall_retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_per_visit: 200_000_000,
            fuel_load: 2_000_000_000,
            memory_bytes_max: 64 << 20,
            table_elements_max: 100_000,
            output_bytes_max: 1 << 20,
            actions_max: 256,
            state_bytes_max: 64 << 10,
            stderr_bytes_max: 4 << 10,
            recycle_bytes: 32 << 20,
            epoch_deadline_ms: 10_000,
            stall_retries: 3,
        }
    }
}
