//! Every limit of the core, with its name, default and unit. What happens at each is in its line, counted, and tested.

/// Limits and windows of one partition; the config's `[engine]` table has the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the order of events waits for stragglers, ms. The watermark is the ingest time less this.
    pub lateness_ms: u32,
    /// How far a terminal's clock may be off before `clock-skew`, ms.
    pub skew_ms_max: u32,
    /// Events in a row with the same delay, from which a slow clock is told from a backlog.
    pub skew_samples: u32,
    /// How long a (source, id) is remembered, ms.
    pub dedup_window_ms: u32,
    /// How many (source, id) are remembered in a partition; the oldest gives way.
    pub dedup_entries_max: usize,
    /// How many events may wait in a partition; past that the oldest is handed out ahead of the watermark.
    pub waiting_events_max: usize,
    /// How many bytes of events may wait in a partition; as above.
    pub waiting_bytes_max: usize,
    /// Bytes of one record (key, headers and value); longer ones go to the dead letters.
    pub record_bytes_max: usize,
    /// Depth of nesting in a payload; deeper ones go to the dead letters.
    pub depth_max: usize,
    /// Bytes of one text in a payload; longer ones go to the dead letters.
    pub text_bytes_max: usize,
    /// Bytes of one state, whatever a rule's own limit is: a state is one record of the changelog. A larger one is the fault `state-max`.
    pub state_bytes_max: usize,
    /// Keys with state or a wake-up that one rule has in a partition; one more is a fault `keys-max` of that visit.
    pub keys_max: usize,
    /// Rounds of derived events after one event; deeper is a fault `rounds-max`.
    pub rounds_max: u32,
    /// Actions of one visit; more are a fault `bad-output`.
    pub actions_max: usize,
    /// Visits of one call.
    pub visits_max: usize,
    /// Open findings of one rule in a partition; one more is a fault `findings-max`.
    pub findings_max: usize,
    /// Faults of one rule within `faults_window_ms` before it is quarantined.
    pub faults_max: u32,
    /// See `faults_max`, ms of watermark.
    pub faults_window_ms: u32,
    /// How long a quarantine lasts, ms of watermark.
    pub quarantine_ms: u32,
    /// Commands held back while the feed is blind; the oldest gives way and is counted.
    pub held_commands_max: usize,
    /// How often an idle partition gets a tick, ms.
    pub tick_every_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lateness_ms: 500,
            skew_ms_max: 120_000,
            skew_samples: 8,
            dedup_window_ms: 3_600_000,
            dedup_entries_max: 8_000_000,
            waiting_events_max: 262_144,
            waiting_bytes_max: 256 << 20,
            record_bytes_max: 1 << 20,
            depth_max: 32,
            text_bytes_max: 64 << 10,
            state_bytes_max: 512 << 10,
            keys_max: 8_000_000,
            rounds_max: 4,
            actions_max: 256,
            visits_max: 64,
            findings_max: 1_000_000,
            faults_max: 20,
            faults_window_ms: 60_000,
            quarantine_ms: 600_000,
            held_commands_max: 100_000,
            tick_every_ms: 1_000,
        }
    }
}
