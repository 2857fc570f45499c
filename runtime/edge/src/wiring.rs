//! From the configuration to what the core, the logs and the driver take.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tillwatch_core::{
    cloudevents::{Encoding, Format, Mode},
    log::{LogError, Topic, Who},
    partition::{Settings, SilentSource},
    stage::Stage,
};
use tillwatch_embedded::{Retention, TopicOptions};
use tillwatch_kafka::{self as kafka, admin::Wanted};

use crate::{
    clock::Clock,
    config::{self, Config, Security, StageName},
    driver::Options,
};

/// What the core takes, for the first stage.
#[must_use]
pub fn settings(config: &Config) -> Arc<Settings> {
    settings_of(config, Stage::First)
}

/// What the core takes, for a stage. Sources speak to the first alone.
#[must_use]
pub fn settings_of(config: &Config, stage: Stage) -> Arc<Settings> {
    let silent = config.feed.silent_sources.iter().filter(|_| stage == Stage::First);
    Arc::new(Settings {
        limits: config.engine.limits(),
        dry_run: config.commands.dry_run,
        silent_sources: silent
            .map(|source| SilentSource { prefix: source.prefix.clone(), silent_ms: source.silent_ms })
            .collect(),
        topic: input(config, stage).to_owned(),
        stage,
    })
}

/// The topic that a stage reads.
#[must_use]
pub fn input(config: &Config, stage: Stage) -> &str {
    match stage {
        Stage::First => &config.topics.events,
        Stage::Second => &config.topics.evidence,
    }
}

/// Whether this process runs a stage.
#[must_use]
pub fn runs(config: &Config, stage: Stage) -> bool {
    config.stages.run.contains(&match stage {
        Stage::First => StageName::First,
        Stage::Second => StageName::Second,
    })
}

/// How outputs are written.
#[must_use]
pub fn encoding(config: &Config) -> Encoding {
    Encoding {
        mode: match config.output.mode {
            config::Mode::Binary => Mode::Binary,
            config::Mode::Structured => Mode::Structured,
        },
        format: match config.output.format {
            config::Format::Cbor => Format::Cbor,
            config::Format::Json => Format::Json,
        },
    }
}

/// What the driver takes.
#[must_use]
pub fn options(config: &Config) -> Options {
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    let recorded = config.log.kind == config::LogKind::Kafka && config.kafka.recorded_timestamps;
    Options {
        commit_every: ms(config.commit.every_ms),
        pending_bytes_max: config.commit.bytes_max,
        records_max: config.commit.records_max,
        tick_every: ms(config.engine.tick_every_ms),
        lag_ms_max: (!recorded).then(|| i64::from(config.feed.lag_ms_max)),
        unreachable_max: ms(config.feed.unreachable_ms_max),
        settle: ms(config.feed.settle_ms),
        watermark_every: None,
        idle_max: ms(config.stages.idle_ms_max),
    }
}

/// Worker threads to run: as configured, or one a core, and never more than there can be work for.
#[must_use]
pub fn workers(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = if config.log.workers == 0 { cores } else { config.log.workers };
    match config.log.kind {
        config::LogKind::Kafka => wanted,
        config::LogKind::Embedded => wanted.min(config.embedded.partitions as usize),
    }
}

/// Worker threads of the second stage: evidence is little.
pub const SECOND_WORKERS: usize = 1;

/// What the Kafka client takes, for one worker of a stage. The second has a group, a changelog and transactions of its own; its time is not
/// the broker's.
///
/// # Errors
/// As [`kafka`].
pub fn kafka_of(config: &Config, stage: Stage, slot: usize) -> Result<kafka::Config, LogError> {
    let mut to = kafka(config, slot)?;
    if stage == Stage::Second {
        to.stage = stage;
        to.group.push_str("-second");
        to.input.clone_from(&config.topics.evidence);
        to.changelog.clone_from(&config.topics.second_changelog);
        to.recorded_timestamps = true;
        to.local_ticks = false;
    }
    Ok(to)
}

/// What the Kafka client takes, for one worker of the first stage.
///
/// # Errors
/// A secret's file that cannot be read any more, or a name that this machine does not have.
pub fn kafka(config: &Config, slot: usize) -> Result<kafka::Config, LogError> {
    let from = &config.kafka;
    let instance = if from.instance.is_empty() { host_name()? } else { from.instance.clone() };
    let mut to = kafka::Config::new(from.brokers.clone(), from.group.clone(), format!("{instance}-{slot}"));
    to.security = security(from)?;
    to.input.clone_from(&config.topics.events);
    to.changelog.clone_from(&config.topics.changelog);
    to.outputs = kafka::Topics {
        findings: config.topics.findings.clone(),
        commands: config.topics.commands.clone(),
        evidence: config.topics.evidence.clone(),
        incidents: config.topics.incidents.clone(),
        dead_letters: config.topics.dead_letters.clone(),
        shadow: config.topics.shadow.clone(),
    };
    to.properties.clone_from(&from.properties);
    to.recorded_timestamps = from.recorded_timestamps;
    to.local_ticks = from.local_ticks;
    to.timeouts = kafka::Timeouts {
        session_ms: from.session_ms,
        poll_interval_ms_max: from.poll_interval_ms_max,
        transaction_ms: from.transaction_ms,
        request_ms: from.request_ms,
        restore_ms: from.restore_ms,
    };
    Ok(to)
}

/// What the topics should be like.
#[must_use]
pub fn wanted(config: &Config) -> Wanted {
    let number = |value: u32| i32::try_from(value).expect("invariant: the configuration was checked");
    Wanted {
        partitions: number(config.kafka.partitions),
        replication: i32::from(config.kafka.replication),
        min_insync: i32::from(config.kafka.min_insync),
    }
}

fn security(from: &config::Kafka) -> Result<kafka::Security, LogError> {
    let path = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
    let tls = matches!(from.security, Security::Ssl | Security::SaslSsl);
    let sasl = matches!(from.security, Security::SaslPlaintext | Security::SaslSsl);
    let tls = if tls {
        let key_password = (!from.key_password_file.is_empty()).then(|| secret(&from.key_password_file)).transpose()?;
        let (ca, cert, key) = (path(&from.ca_file), path(&from.certificate_file), path(&from.key_file));
        Some(kafka::Tls { ca, cert, key, key_password })
    } else {
        None
    };
    let sasl = if sasl {
        let mechanism = from.sasl_mechanism.parse().map_err(|_| refused("kafka.sasl_mechanism is not known"))?;
        Some(kafka::Sasl { mechanism, username: from.username.clone(), password: secret(&from.password_file)? })
    } else {
        None
    };
    Ok(kafka::Security { tls, sasl })
}

fn secret(path: &str) -> Result<kafka::Secret, LogError> {
    let secret = config::Secret::read(path).map_err(|error| refused(&format!("{path}: {error}")))?;
    Ok(kafka::Secret::new(secret.reveal().to_owned()))
}

fn refused(what: &str) -> LogError {
    LogError { code: "kafka-config", what: what.to_owned(), who: Who::Config, retry: false }
}

fn host_name() -> Result<String, LogError> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        return Err(refused("kafka.instance is empty and this machine has no host name: set kafka.instance"));
    }
    Ok(name.to_owned())
}

/// What the embedded log takes.
#[must_use]
pub fn embedded(config: &Config, clock: Arc<dyn Clock>) -> tillwatch_embedded::Options {
    let partitions = i32::try_from(config.embedded.partitions).expect("invariant: the configuration was checked");
    let mut options = tillwatch_embedded::Options::new(partitions, Arc::new(move || clock.now()));
    let age_ms_max = i64::from(config.embedded.keep_hours) * 3_600_000;
    let retention = Retention { age_ms_max, ..Retention::default() };
    options.input = TopicOptions { name: config.topics.events.clone(), partitions, retention };
    let outputs = Topic::ALL.iter().map(|topic| {
        let name = config.topics.name(*topic).to_owned();
        (*topic, TopicOptions { name, partitions: 1, retention })
    });
    options.outputs = outputs.collect();
    options
}

/// Names of the output topics by what they are for.
#[must_use]
pub fn names(config: &Config) -> BTreeMap<Topic, String> {
    Topic::ALL.iter().map(|topic| (*topic, config.topics.name(*topic).to_owned())).collect()
}
