//! The configuration as it stands in the file: one struct a section, every key with a default.
//!
//! What each key means is written once, in `defaults.toml`, which `tillwatch config --defaults` prints and `docs/config.md` repeats; tests
//! hold the three together. An empty text means "not set".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tillwatch_core::limits::Limits;

/// The rules that the binary brings along.
pub const BUILT_IN: [&str; 7] = [
    "correlate-payment",
    "compensate",
    "diagnose-network",
    "diagnose-hardware",
    "diagnose-software",
    "diagnose-human",
    "incident",
];

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Config {
    pub log: Log,
    pub stages: Stages,
    pub kafka: Kafka,
    pub embedded: Embedded,
    pub topics: Topics,
    pub engine: Engine,
    pub output: Output,
    pub commands: Commands,
    pub feed: Feed,
    pub maintenance: Maintenance,
    pub commit: Commit,
    pub http: Http,
    pub telemetry: Telemetry,
    pub components: Components,
    pub rules: BTreeMap<String, Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: Log::default(),
            stages: Stages::default(),
            kafka: Kafka::default(),
            embedded: Embedded::default(),
            topics: Topics::default(),
            engine: Engine::default(),
            output: Output::default(),
            commands: Commands::default(),
            feed: Feed::default(),
            maintenance: Maintenance::default(),
            commit: Commit::default(),
            http: Http::default(),
            telemetry: Telemetry::default(),
            components: Components::default(),
            rules: BUILT_IN.iter().map(|id| ((*id).to_owned(), Rule::built_in(id))).collect(),
        }
    }
}

/// Where records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum LogKind {
    Kafka,
    Embedded,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Log {
    pub kind: LogKind,
    pub workers: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self { kind: LogKind::Kafka, workers: 0 }
    }
}

/// A stage by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum StageName {
    First,
    Second,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Stages {
    pub run: Vec<StageName>,
    pub watermark_every_ms: u32,
    pub idle_ms_max: u32,
}

impl Default for Stages {
    fn default() -> Self {
        Self { run: vec![StageName::First, StageName::Second], watermark_every_ms: 500, idle_ms_max: 30_000 }
    }
}

/// How the connection to the brokers is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum Security {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Kafka {
    pub brokers: Vec<String>,
    pub group: String,
    pub instance: String,
    pub security: Security,
    pub sasl_mechanism: String,
    pub username: String,
    pub password_file: String,
    pub ca_file: String,
    pub certificate_file: String,
    pub key_file: String,
    pub key_password_file: String,
    pub partitions: u32,
    pub replication: u16,
    pub min_insync: u16,
    pub recorded_timestamps: bool,
    pub local_ticks: bool,
    pub session_ms: u32,
    pub poll_interval_ms_max: u32,
    pub transaction_ms: u32,
    pub request_ms: u32,
    pub restore_ms: u32,
    pub properties: BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: vec!["localhost:9092".to_owned()],
            group: "tillwatch".to_owned(),
            instance: String::new(),
            security: Security::Plaintext,
            sasl_mechanism: String::new(),
            username: String::new(),
            password_file: String::new(),
            ca_file: String::new(),
            certificate_file: String::new(),
            key_file: String::new(),
            key_password_file: String::new(),
            partitions: 12,
            replication: 3,
            min_insync: 2,
            recorded_timestamps: false,
            local_ticks: false,
            session_ms: 10_000,
            poll_interval_ms_max: 300_000,
            transaction_ms: 10_000,
            request_ms: 10_000,
            restore_ms: 600_000,
            properties: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Embedded {
    pub path: String,
    pub partitions: u32,
    pub keep_hours: u32,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { path: "/var/lib/tillwatch".to_owned(), partitions: 4, keep_hours: 48 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Topics {
    pub events: String,
    pub changelog: String,
    pub second_changelog: String,
    pub findings: String,
    pub commands: String,
    pub evidence: String,
    pub incidents: String,
    pub dead_letters: String,
    pub shadow: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            events: "pos.events".to_owned(),
            changelog: "tillwatch.changelog".to_owned(),
            second_changelog: "tillwatch.changelog.second".to_owned(),
            findings: "pos.findings".to_owned(),
            commands: "pos.commands".to_owned(),
            evidence: "pos.evidence".to_owned(),
            incidents: "pos.incidents".to_owned(),
            dead_letters: "pos.dead-letters".to_owned(),
            shadow: "pos.shadow".to_owned(),
        }
    }
}

impl Topics {
    /// The name of an output topic.
    #[must_use]
    pub fn name(&self, topic: tillwatch_core::log::Topic) -> &str {
        use tillwatch_core::log::Topic;
        match topic {
            Topic::Findings => &self.findings,
            Topic::Commands => &self.commands,
            Topic::Evidence => &self.evidence,
            Topic::Incidents => &self.incidents,
            Topic::DeadLetters => &self.dead_letters,
            Topic::Shadow => &self.shadow,
        }
    }

    /// Every topic with its key in the file.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &str); 9] {
        [
            ("events", &self.events),
            ("changelog", &self.changelog),
            ("second_changelog", &self.second_changelog),
            ("findings", &self.findings),
            ("commands", &self.commands),
            ("evidence", &self.evidence),
            ("incidents", &self.incidents),
            ("dead_letters", &self.dead_letters),
            ("shadow", &self.shadow),
        ]
    }
}

/// The section `[engine]` has the names of [`Limits`], each once: a limit added there and not here does not compile.
macro_rules! engine {
    ($($name:ident: $kind:ty),+ $(,)?) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(missing_docs, reason = "defaults.toml documents every key")]
        pub struct Engine {
            $(pub $name: $kind),+
        }

        impl Default for Engine {
            fn default() -> Self {
                let Limits { $($name),+ } = Limits::default();
                Self { $($name),+ }
            }
        }

        impl Engine {
            /// As the core takes them.
            #[must_use]
            pub fn limits(&self) -> Limits {
                Limits { $($name: self.$name),+ }
            }
        }
    };
}

engine! {
    lateness_ms: u32,
    skew_ms_max: u32,
    skew_samples: u32,
    dedup_window_ms: u32,
    dedup_entries_max: usize,
    waiting_events_max: usize,
    waiting_bytes_max: usize,
    record_bytes_max: usize,
    depth_max: usize,
    text_bytes_max: usize,
    state_bytes_max: usize,
    keys_max: usize,
    rounds_max: u32,
    actions_max: usize,
    visits_max: usize,
    findings_max: usize,
    faults_max: u32,
    faults_window_ms: u32,
    quarantine_ms: u32,
    held_commands_max: usize,
    tick_every_ms: u32,
}

/// How a CloudEvent lies in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum Mode {
    Binary,
    Structured,
}

/// How data is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum Format {
    Cbor,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Output {
    pub mode: Mode,
    pub format: Format,
}

impl Default for Output {
    fn default() -> Self {
        Self { mode: Mode::Binary, format: Format::Cbor }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Commands {
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct SilentSource {
    pub prefix: String,
    pub silent_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Feed {
    pub silent_sources: Vec<SilentSource>,
    pub lag_ms_max: u32,
    pub unreachable_ms_max: u32,
    pub settle_ms: u32,
}

impl Default for Feed {
    fn default() -> Self {
        Self { silent_sources: Vec::new(), lag_ms_max: 60_000, unreachable_ms_max: 5_000, settle_ms: 5_000 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Maintenance {
    pub windows: Vec<MaintenanceWindow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct MaintenanceWindow {
    pub scope: String,
    pub from: String,
    pub until: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Commit {
    pub every_ms: u32,
    pub bytes_max: usize,
    pub records_max: usize,
}

impl Default for Commit {
    fn default() -> Self {
        Self { every_ms: 100, bytes_max: 16 << 20, records_max: 10_000 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Http {
    pub listen: String,
    pub token_file: String,
    pub body_bytes_max: usize,
    pub requests_max: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8480".to_owned(),
            token_file: String::new(),
            body_bytes_max: 4 << 20,
            requests_max: 64,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum LogFormat {
    Text,
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Telemetry {
    pub format: LogFormat,
    pub level: Level,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: Level::Info }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Components {
    pub path: String,
    pub cache: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct Rule {
    pub enabled: bool,
    pub path: String,
    pub grants: Vec<String>,
    pub limits: RuleLimits,
    pub settings: toml::Table,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            enabled: true,
            path: String::new(),
            grants: Vec::new(),
            limits: RuleLimits::default(),
            settings: toml::Table::new(),
        }
    }
}

impl Rule {
    /// The defaults of a built-in rule.
    #[must_use]
    pub fn built_in(id: &str) -> Self {
        let mut rule = Self::default();
        if id == "incident" {
            // A region with all that it may have at once (components/incident, `bounds`).
            rule.limits.state_bytes_max = 512 << 10;
        }
        rule
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "defaults.toml documents every key")]
pub struct RuleLimits {
    pub fuel_per_visit: u64,
    pub memory_bytes_max: usize,
    pub output_bytes_max: usize,
    pub state_bytes_max: usize,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self {
            fuel_per_visit: 100_000_000,
            memory_bytes_max: 128 << 20,
            output_bytes_max: 1 << 20,
            state_bytes_max: 64 << 10,
        }
    }
}
