//! What a worker must be told to use Kafka, checked once, all errors at once.
//!
//! Owns the plain structs, their defaults and their validation. Does not own how they become librdkafka's properties (`client`), nor how a
//! config file is written (edge). A password is a [`Secret`]: it is never printed.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use tillwatch_core::{log::Topic, stage::Stage};

/// librdkafka properties that may be set beside what Tillwatch sets itself. Everything that the promise of exactly-once rests on, and
/// everything that has a key of its own, is not among them.
pub const PROPERTIES: [&str; 22] = [
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.rack",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "metadata.max.age.ms",
    "queue.buffering.max.kbytes",
    "queued.max.messages.kbytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
];

/// Characters of a group, slot or transactional id; Kafka puts them in file names and the offset metadata must stay under 4 KiB.
const NAME_CHARS_MAX: usize = 200;
/// Kafka's own bound on a topic's name.
const TOPIC_CHARS_MAX: usize = 249;

/// How to reach Kafka, and which part of it is this worker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to begin: `host:port`, one is enough.
    pub brokers: Vec<String>,
    /// Encryption and credentials.
    pub security: Security,
    /// The consumer group; all workers of one deployment share it.
    pub group: String,
    /// This worker's name, unique in the group and the same after every restart. Two live workers with one slot fence each other.
    pub slot: String,
    /// Which stage this worker is of; the second reads the topic of evidence.
    pub stage: Stage,
    /// The input topic.
    pub input: String,
    /// The output topics.
    pub outputs: Topics,
    /// The changelog topic; it has as many partitions as the input.
    pub changelog: String,
    /// Takes the timestamps that senders wrote as ingest times, for backfills and tests. Off: a record without `LogAppendTime` is an error.
    pub recorded_timestamps: bool,
    /// Appends nothing to the input: time goes on by the worker's clock where the input is silent and read to its end.
    pub local_ticks: bool,
    /// Further librdkafka properties, of [`PROPERTIES`] only.
    pub properties: BTreeMap<String, String>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Config {
    /// A configuration with the default topics, unencrypted.
    #[must_use]
    pub fn new(brokers: Vec<String>, group: impl Into<String>, slot: impl Into<String>) -> Self {
        Self {
            brokers,
            security: Security::default(),
            group: group.into(),
            slot: slot.into(),
            stage: Stage::First,
            input: "pos.events".to_owned(),
            outputs: Topics::default(),
            changelog: "tillwatch.changelog".to_owned(),
            recorded_timestamps: false,
            local_ticks: false,
            properties: BTreeMap::new(),
            timeouts: Timeouts::default(),
        }
    }

    /// The id under which this worker's transactions run; the same after every restart.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        format!("{}-{}", self.group, self.slot)
    }

    /// Checks everything that can be checked without a broker.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn validate(&self) -> Result<(), Vec<Invalid>> {
        let mut wrong = Vec::new();
        self.check_brokers(&mut wrong);
        for (key, name) in [("group", &self.group), ("slot", &self.slot)] {
            check_name(key, name, NAME_CHARS_MAX, &mut wrong);
        }
        check_name("input", &self.input, TOPIC_CHARS_MAX, &mut wrong);
        check_name("changelog", &self.changelog, TOPIC_CHARS_MAX, &mut wrong);
        for topic in Topic::ALL {
            check_name(Topics::key(topic), self.outputs.name(topic), TOPIC_CHARS_MAX, &mut wrong);
        }
        self.check_topics_differ(&mut wrong);
        self.security.check(&mut wrong);
        for key in self.properties.keys() {
            if !PROPERTIES.contains(&key.as_str()) {
                let what = format!("librdkafka property {key} may not be set; allowed are {}", PROPERTIES.join(", "));
                wrong.push(Invalid { key: "properties", what });
            }
        }
        self.timeouts.check(&mut wrong);
        if wrong.is_empty()
            && let Err(refused) = crate::client::member(self).create_native_config()
        {
            let what = crate::error::of(&refused, "as they are").what;
            wrong.push(Invalid { key: "properties", what });
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn check_brokers(&self, wrong: &mut Vec<Invalid>) {
        if self.brokers.is_empty() {
            wrong.push(Invalid { key: "brokers", what: "no broker given; give at least one as host:port".to_owned() });
        }
        for broker in &self.brokers {
            let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(['/', ',', ' ']));
            if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
                wrong.push(Invalid { key: "brokers", what: format!("{broker:?} is not host:port") });
            }
        }
    }

    fn check_topics_differ(&self, wrong: &mut Vec<Invalid>) {
        for topic in Topic::ALL {
            for (key, other) in [("input", &self.input), ("changelog", &self.changelog)] {
                let reads = self.stage == Stage::Second && topic == Topic::Evidence && key == "input";
                if self.outputs.name(topic) == other && !reads {
                    let what = format!("{other} is also the topic of `{key}`; outputs need a topic of their own");
                    wrong.push(Invalid { key: Topics::key(topic), what });
                }
            }
        }
        if self.input == self.changelog {
            wrong.push(Invalid { key: "changelog", what: format!("{} is also the topic of `input`", self.input) });
        }
    }
}

/// Names of the output topics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the topic of the same name in docs/spec/events.md")]
pub struct Topics {
    pub findings: String,
    pub commands: String,
    pub evidence: String,
    pub incidents: String,
    pub dead_letters: String,
    pub shadow: String,
}

impl Default for Topics {
    fn default() -> Self {
        let name = |topic: Topic| topic.name().to_owned();
        Self {
            findings: name(Topic::Findings),
            commands: name(Topic::Commands),
            evidence: name(Topic::Evidence),
            incidents: name(Topic::Incidents),
            dead_letters: name(Topic::DeadLetters),
            shadow: name(Topic::Shadow),
        }
    }
}

impl Topics {
    /// The name of an output topic.
    #[must_use]
    pub fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Findings => &self.findings,
            Topic::Commands => &self.commands,
            Topic::Evidence => &self.evidence,
            Topic::Incidents => &self.incidents,
            Topic::DeadLetters => &self.dead_letters,
            Topic::Shadow => &self.shadow,
        }
    }

    fn key(topic: Topic) -> &'static str {
        match topic {
            Topic::Findings => "outputs.findings",
            Topic::Commands => "outputs.commands",
            Topic::Evidence => "outputs.evidence",
            Topic::Incidents => "outputs.incidents",
            Topic::DeadLetters => "outputs.dead_letters",
            Topic::Shadow => "outputs.shadow",
        }
    }
}

/// Encryption and credentials; neither: plain text, for a network that is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// TLS to the broker.
    pub tls: Option<Tls>,
    /// A user name and password.
    pub sasl: Option<Sasl>,
}

impl Security {
    fn check(&self, wrong: &mut Vec<Invalid>) {
        if let Some(tls) = &self.tls {
            let files =
                [("security.tls.ca", &tls.ca), ("security.tls.cert", &tls.cert), ("security.tls.key", &tls.key)];
            for (key, path) in files {
                if let Some(path) = path
                    && let Err(error) = std::fs::File::open(path)
                {
                    wrong.push(Invalid { key, what: format!("{} cannot be read: {error}", path.display()) });
                }
            }
            if tls.cert.is_some() != tls.key.is_some() {
                let what = "a client certificate needs both `cert` and `key`".to_owned();
                wrong.push(Invalid { key: "security.tls.cert", what });
            }
        }
        if let Some(sasl) = &self.sasl {
            if sasl.username.is_empty() {
                wrong.push(Invalid { key: "security.sasl.username", what: "is empty".to_owned() });
            }
            if sasl.password.expose().is_empty() {
                wrong.push(Invalid { key: "security.sasl.password", what: "is empty".to_owned() });
            }
        }
    }
}

/// TLS settings; PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificate authorities; none: the system's.
    pub ca: Option<PathBuf>,
    /// This client's certificate.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The private key's password.
    pub key_password: Option<Secret>,
}

/// SASL settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// Which mechanism the broker wants.
    pub mechanism: Mechanism,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// SASL mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password as it is: with TLS only.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        })
    }
}

impl FromStr for Mechanism {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.to_string() == text)
            .ok_or_else(|| {
                format!("{text:?} is no SASL mechanism that is known; use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
            })
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How long to wait for what, ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Silence after which the group takes a worker for dead and gives its partitions to others.
    pub session_ms: u32,
    /// Time between two polls after which the group takes a worker for stuck; more than the longest restore.
    pub poll_interval_ms_max: u32,
    /// After this the broker ends a transaction by itself; also how long a commit is tried.
    pub transaction_ms: u32,
    /// How long one question to the broker may take.
    pub request_ms: u32,
    /// How long a restore waits for the transactions of others to be decided.
    pub restore_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            session_ms: 10_000,
            poll_interval_ms_max: 300_000,
            transaction_ms: 10_000,
            request_ms: 10_000,
            restore_ms: 120_000,
        }
    }
}

impl Timeouts {
    /// Bounds from librdkafka and from what works: (key, value, least, most).
    fn check(&self, wrong: &mut Vec<Invalid>) {
        let bounds = [
            ("timeouts.session_ms", self.session_ms, 1_000, 300_000),
            ("timeouts.poll_interval_ms_max", self.poll_interval_ms_max, 1_000, 3_600_000),
            ("timeouts.transaction_ms", self.transaction_ms, 1_000, 900_000),
            ("timeouts.request_ms", self.request_ms, 100, 300_000),
            ("timeouts.restore_ms", self.restore_ms, 1_000, 3_600_000),
        ];
        for (key, value, least, most) in bounds {
            if value < least || value > most {
                wrong.push(Invalid { key, what: format!("{value} is not between {least} and {most}") });
            }
        }
        if self.poll_interval_ms_max < self.session_ms {
            let what = format!("{} is less than `session_ms`, {}", self.poll_interval_ms_max, self.session_ms);
            wrong.push(Invalid { key: "timeouts.poll_interval_ms_max", what });
        }
    }
}

/// One thing that is wrong in a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the key below the Kafka table.
    pub key: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

fn check_name(key: &'static str, name: &str, chars_max: usize, wrong: &mut Vec<Invalid>) {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > chars_max || name == "." || name == ".." || !name.bytes().all(legal) {
        let what = format!("{name:?} is not 1 to {chars_max} letters, digits, dots, hyphens and underscores");
        wrong.push(Invalid { key, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config::new(vec!["kafka-1:9092".to_owned()], "tillwatch", "edge-1-0")
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(valid().validate(), Ok(()));
    }

    #[test]
    fn all_errors_come_at_once_with_their_keys() {
        let mut config = valid();
        config.brokers = vec!["kafka".to_owned(), "http://x:1".to_owned()];
        config.slot = "a b".to_owned();
        config.outputs.shadow = config.input.clone();
        config.changelog = String::new();
        config.properties.insert("enable.idempotence".to_owned(), "false".to_owned());
        config.timeouts.session_ms = 1;
        config.security.tls = Some(Tls { cert: Some("/does/not/exist".into()), ..Tls::default() });
        config.security.sasl =
            Some(Sasl { mechanism: Mechanism::Plain, username: "u".to_owned(), password: Secret::new("") });
        let keys: Vec<_> = config.validate().expect_err("invalid").into_iter().map(|wrong| wrong.key).collect();
        assert_eq!(
            keys,
            [
                "brokers",
                "brokers",
                "slot",
                "changelog",
                "outputs.shadow",
                "security.tls.cert",
                "security.tls.cert",
                "security.sasl.password",
                "properties",
                "timeouts.session_ms",
            ]
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = valid();
        config.security.sasl = Some(Sasl {
            mechanism: Mechanism::ScramSha512,
            username: "till".to_owned(),
            password: Secret::new("hunter2"),
        });
        config.security.tls = Some(Tls { key_password: Some(Secret::new("hunter3")), ..Tls::default() });
        let printed = format!("{config:?}");
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(printed.contains("till"), "{printed}");
    }

    #[test]
    fn mechanisms_are_read_as_written() {
        assert_eq!("SCRAM-SHA-512".parse(), Ok(Mechanism::ScramSha512));
        assert!("GSSAPI".parse::<Mechanism>().expect_err("unknown").contains("GSSAPI"));
    }

    #[test]
    fn every_allowed_property_is_known_to_librdkafka() {
        for property in PROPERTIES {
            let value = match property {
                "broker.address.family" => "v4",
                "client.dns.lookup" => "use_all_dns_ips",
                "client.rack" => "rack-1",
                "compression.type" => "gzip",
                "compression.level" => "1",
                "fetch.wait.max.ms" | "reconnect.backoff.ms" | "reconnect.backoff.max.ms" => "1000",
                "queued.max.messages.kbytes" => "65536",
                "socket.keepalive.enable" => "false",
                "ssl.cipher.suites" => "ECDHE-RSA-AES256-GCM-SHA384",
                "ssl.endpoint.identification.algorithm" => "none",
                _ => "70000000",
            };
            let mut config = valid();
            config.properties.insert(property.to_owned(), value.to_owned());
            assert_eq!(config.validate(), Ok(()));
            let made = crate::client::producer(&config).create_native_config();
            let why = made.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!why.contains("No such configuration property"), "{property}: {why}");
        }
    }
}
