//! The topics Tillwatch needs: what must be true of each, checking it, creating what is missing.
//!
//! Owns the settings and why they are wanted. Changes nothing that exists: a difference is a [`Problem`] that says what to do.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::{Metadata, MetadataTopic},
};
use tillwatch_core::log::{LogError, Topic, Who};

use crate::{
    client,
    config::Config,
    context::{Observer, Pulse},
    error,
    restore::Restore,
    wait::Deadline,
};

/// What topics are to be like beyond what Tillwatch cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Partitions of input and outputs: the most workers that can share the work.
    pub partitions: i32,
    /// Copies of each record.
    pub replication: i32,
    /// Copies that must be written before a record counts as written.
    pub min_insync: i32,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { partitions: 12, replication: 3, min_insync: 2 }
    }
}

/// Something about a topic that is not as it must or should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The brokers cannot be asked.
    Unreachable(LogError),
    /// It does not exist.
    Missing {
        /// The topic.
        topic: String,
    },
    /// It has another number of partitions than it must have.
    Partitions {
        /// The topic.
        topic: String,
        /// How many it must have.
        want: usize,
        /// How many it has.
        have: usize,
        /// Whether Tillwatch cannot work so.
        fatal: bool,
    },
    /// It has another number of copies than asked for.
    Replication {
        /// The topic.
        topic: String,
        /// How many were asked for.
        want: usize,
        /// How many it has.
        have: usize,
    },
    /// A setting is different.
    Setting {
        /// The topic.
        topic: String,
        /// The setting's name.
        key: &'static str,
        /// What it should be.
        want: String,
        /// What it is.
        have: String,
        /// Whether Tillwatch cannot work so.
        fatal: bool,
    },
    /// The broker refused to create it.
    Refused {
        /// The topic.
        topic: String,
        /// The broker's answer.
        why: String,
    },
}

impl Problem {
    /// Its heading in `docs/runbook.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(error) => error.code,
            Self::Missing { .. } => "topic-missing",
            Self::Partitions { .. } => "topic-partitions",
            Self::Replication { .. } | Self::Setting { .. } => "topic-settings",
            Self::Refused { .. } => "topic-refused",
        }
    }

    /// Whether Tillwatch cannot work until it is mended; otherwise it is advice.
    #[must_use]
    pub fn fatal(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Missing { .. } | Self::Refused { .. } => true,
            Self::Partitions { fatal, .. } | Self::Setting { fatal, .. } => *fatal,
            Self::Replication { .. } => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "{}", error.what),
            Self::Missing { topic } => {
                write!(f, "topic {topic} does not exist: create it with `tillwatch topics create`")
            }
            Self::Partitions { topic, want, have, .. } => write!(
                f,
                "topic {topic} has {have} partitions and must have {want}: stop all workers, then add partitions with kafka-topics.sh \
                 --alter --topic {topic} --partitions {want}, or create it anew if it has too many"
            ),
            Self::Replication { topic, want, have } => {
                write!(f, "topic {topic} has {have} replicas, not {want}: use kafka-reassign-partitions.sh")
            }
            Self::Setting { topic, key, want, have, .. } => write!(
                f,
                "topic {topic} has {key}={have}, not {want}: kafka-configs.sh --alter --topic {topic} --add-config {key}={want}"
            ),
            Self::Refused { topic, why } => write!(f, "the broker refused to create topic {topic}: {why}"),
        }
    }
}

/// How a setting is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Must be this; Tillwatch cannot work otherwise.
    Must,
    /// Should be this.
    Should,
    /// Must be this number or more.
    AtLeast,
}

/// A dead letter holds a whole input record, in base64 where it is JSON.
const DEAD_LETTER_BYTES: i64 = 4 << 20;

/// How long the client's events are waited for after a call has failed.
const EVENTS_WAIT: Duration = Duration::from_millis(50);

/// What a topic must and should have.
struct Role {
    topic: String,
    settings: Vec<(&'static str, String, Rule)>,
}

fn roles(config: &Config) -> Vec<Role> {
    let set = |key, value: &str, rule| (key, value.to_owned(), rule);
    let mut input = vec![set("cleanup.policy", "delete", Rule::Must)];
    if !config.recorded_timestamps {
        input.push(set("message.timestamp.type", "LogAppendTime", Rule::Must));
    }
    // The defaults keep tombstones for 24 h and never compact the segment that is written to: restores would read it all.
    let changelog = vec![
        set("cleanup.policy", "compact", Rule::Must),
        set("segment.bytes", "33554432", Rule::Should),
        set("segment.ms", "600000", Rule::Should),
        set("min.cleanable.dirty.ratio", "0.3", Rule::Should),
        set("delete.retention.ms", "600000", Rule::Should),
    ];
    let mut roles = vec![
        Role { topic: config.input.clone(), settings: input },
        Role { topic: config.changelog.clone(), settings: changelog },
    ];
    for topic in Topic::ALL {
        if config.outputs.name(topic) == config.input {
            continue;
        }
        let mut settings = vec![set("cleanup.policy", "delete", Rule::Must)];
        if topic == Topic::DeadLetters {
            settings.push(set("max.message.bytes", &DEAD_LETTER_BYTES.to_string(), Rule::AtLeast));
        }
        roles.push(Role { topic: config.outputs.name(topic).to_owned(), settings });
    }
    roles
}

/// How many partitions the topics have between which time is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) input: u32,
    pub(crate) evidence: i32,
}

/// Topics by name: partitions, and the fewest replicas of one.
type Found = BTreeMap<String, (usize, usize)>;

/// Checks every topic; `wanted` adds what only the operator can know.
#[must_use]
pub fn check(config: &Config, wanted: Option<&Wanted>) -> Vec<Problem> {
    match Asked::open(config).and_then(|asked| asked.check(config, wanted)) {
        Ok(problems) => problems,
        Err(error) => vec![Problem::Unreachable(error)],
    }
}

/// Creates the topics that are missing, and then checks all. A changelog gets as many partitions as the input has.
///
/// # Errors
/// What is still not as it must be.
pub fn create(config: &Config, wanted: &Wanted) -> Result<Vec<String>, Vec<Problem>> {
    let unreachable = |error| vec![Problem::Unreachable(error)];
    let asked = Asked::open(config).map_err(unreachable)?;
    let found = asked.found(config).map_err(unreachable)?;
    let inputs =
        found.get(&config.input).and_then(|(count, _)| i32::try_from(*count).ok()).unwrap_or(wanted.partitions);
    let (names, mut problems) = asked.create(config, wanted, inputs, &found).map_err(unreachable)?;
    let all_found = || {
        let found = asked.found(config)?;
        Ok(names.iter().all(|name| found.contains_key(name)).then_some(()))
    };
    // Those that are not are named by the check.
    let _ = asked.until_known(config, all_found).map_err(unreachable)?;
    problems.extend(asked.check(config, None).map_err(unreachable)?);
    if problems.iter().any(Problem::fatal) { Err(problems) } else { Ok(names) }
}

/// Whether a worker can start on these topics: those that it needs are there, and the changelog fits the input. Else the configuration names
/// what is not there, and a restart does not help.
pub(crate) fn ready(config: &Config, client: &BaseConsumer<Observer>) -> Result<Counts, LogError> {
    let found = found(config, client)?;
    let problems: Vec<Problem> = counts(config, &found);
    let count = |topic| found.get(topic).map_or(0, |(count, _)| *count);
    let Some(first) = problems.first() else {
        let few = "invariant: a topic has fewer than 2^31 partitions";
        return Ok(Counts {
            input: u32::try_from(count(&config.input)).expect(few),
            evidence: i32::try_from(count(&config.outputs.evidence)).expect(few),
        });
    };
    let what: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(LogError { code: first.code(), what: what.join("; "), who: Who::Config, retry: false })
}

/// All topics that this user may see, or the one that is named. A topic that it may not see is an error where it is named: among all of
/// them it is only not there.
pub(crate) fn metadata(
    client: &BaseConsumer<Observer>,
    config: &Config,
    topic: Option<&str>,
    what: impl Fn() -> String,
) -> Result<Metadata, LogError> {
    const DENIED: RDKafkaErrorCode = RDKafkaErrorCode::TopicAuthorizationFailed;
    let answer = client.fetch_metadata(topic, client::request(config));
    let pulse = &client.context().pulse;
    match answer {
        Ok(metadata) => {
            pulse.reached();
            let denied =
                |found: &&MetadataTopic| found.error().is_some_and(|code| RDKafkaErrorCode::from(code) == DENIED);
            match metadata.topics().iter().find(denied) {
                Some(found) => Err(error::of_code(DENIED, &format!("{}: topic {} is not shown", what(), found.name()))),
                None => Ok(metadata),
            }
        }
        Err(failure) => {
            // The call says only that it has waited; the reason is among the client's events.
            while client.poll(EVENTS_WAIT).is_some() {}
            Err(pulse.explain(&failure, &what()))
        }
    }
}

fn found(config: &Config, client: &BaseConsumer<Observer>) -> Result<Found, LogError> {
    let what = || format!("asking {} for its topics", config.brokers.join(","));
    let answer = metadata(client, config, None, what)?;
    let replicas = |topic: &MetadataTopic| {
        topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0)
    };
    let found: Found = answer
        .topics()
        .iter()
        .filter(|topic| !topic.partitions().is_empty())
        .map(|topic| (topic.name().to_owned(), (topic.partitions().len(), replicas(topic))))
        .collect();
    for role in roles(config).iter().filter(|role| !found.contains_key(&role.topic)) {
        metadata(client, config, Some(&role.topic), what)?;
    }
    Ok(found)
}

/// Missing topics, and a changelog that does not fit the input.
fn counts(config: &Config, found: &Found) -> Vec<Problem> {
    let mut problems: Vec<Problem> = roles(config)
        .into_iter()
        .filter(|role| !found.contains_key(&role.topic))
        .map(|role| Problem::Missing { topic: role.topic })
        .collect();
    if let (Some((want, _)), Some((have, _))) = (found.get(&config.input), found.get(&config.changelog))
        && want != have
    {
        let topic = config.changelog.clone();
        problems.push(Problem::Partitions { topic, want: *want, have: *have, fatal: true });
    }
    problems
}

/// The clients that questions are asked with.
struct Asked {
    restore: Restore,
    admin: AdminClient<Observer>,
}

impl Asked {
    fn open(config: &Config) -> Result<Self, LogError> {
        let pulse = Arc::new(Pulse::default());
        let restore = Restore::open(config, &pulse)?;
        let admin = AdminClient::from_config_and_context(&client::common(config), Observer { pulse })
            .map_err(|error| error::of(&error, "starting the admin client"))?;
        Ok(Self { restore, admin })
    }

    fn found(&self, config: &Config) -> Result<Found, LogError> {
        found(config, self.restore.client())
    }

    fn options(config: &Config) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(client::request(config)))
            .operation_timeout(Some(client::request(config)))
    }

    fn check(&self, config: &Config, wanted: Option<&Wanted>) -> Result<Vec<Problem>, LogError> {
        let found = self.found(config)?;
        let mut problems = counts(config, &found);
        for role in roles(config) {
            let Some(&(partitions, replicas)) = found.get(&role.topic) else { continue };
            let topic = role.topic.clone();
            if let Some(wanted) = wanted {
                let want = usize::try_from(wanted.partitions).unwrap_or(0);
                if role.topic != config.changelog && want != partitions {
                    problems.push(Problem::Partitions { topic: topic.clone(), want, have: partitions, fatal: false });
                }
                let want = usize::try_from(wanted.replication).unwrap_or(0);
                if want != replicas {
                    problems.push(Problem::Replication { topic: topic.clone(), want, have: replicas });
                }
            }
            let settings = self.settings(config, &topic)?;
            let insync = wanted.map(|wanted| ("min.insync.replicas", wanted.min_insync.to_string(), Rule::Should));
            for (key, want, rule) in role.settings.into_iter().chain(insync) {
                let have = settings.get(key).cloned().unwrap_or_default();
                if !fits(&have, &want, rule) {
                    let fatal = rule != Rule::Should;
                    problems.push(Problem::Setting { topic: topic.clone(), key, want, have, fatal });
                }
            }
        }
        Ok(problems)
    }

    /// The settings of a topic that is there.
    fn settings(&self, config: &Config, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        let what = || format!("asking for the settings of topic {topic}");
        // Who has not heard of it answers nothing, and the binding shows no error.
        let described = || Ok(Some(self.described(config, topic, what)?).filter(|settings| !settings.is_empty()));
        let settings = self.until_known(config, described)?;
        settings.ok_or_else(|| error::of_code(RDKafkaErrorCode::UnknownTopicOrPartition, &what()))
    }

    /// Asks again, for the time of a request, while the answer is none: of several brokers one may not have heard of a new topic yet.
    fn until_known<T>(
        &self,
        config: &Config,
        ask: impl Fn() -> Result<Option<T>, LogError>,
    ) -> Result<Option<T>, LogError> {
        let deadline = Deadline::after(client::request(config));
        loop {
            let answer = ask()?;
            if answer.is_some() || deadline.over() {
                return Ok(answer);
            }
            self.restore.client().poll(Duration::from_millis(20));
        }
    }

    /// What one broker says of a topic's settings.
    fn described(
        &self,
        config: &Config,
        topic: &str,
        what: impl Fn() -> String,
    ) -> Result<BTreeMap<String, String>, LogError> {
        let asked = [ResourceSpecifier::Topic(topic)];
        let answer = pollster::block_on(self.admin.describe_configs(&asked, &Self::options(config)))
            .map_err(|error| error::of(&error, &what()))?;
        let resource = answer
            .into_iter()
            .next()
            .ok_or(RDKafkaErrorCode::UnknownTopicOrPartition)
            .and_then(|resource| resource)
            .map_err(|code| error::of_code(code, &what()))?;
        Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    fn create(
        &self,
        config: &Config,
        wanted: &Wanted,
        inputs: i32,
        found: &Found,
    ) -> Result<(Vec<String>, Vec<Problem>), LogError> {
        let roles: Vec<Role> = roles(config).into_iter().filter(|role| !found.contains_key(&role.topic)).collect();
        let insync = wanted.min_insync.to_string();
        let topics: Vec<NewTopic<'_>> = roles
            .iter()
            .map(|role| {
                let partitions = if role.topic == config.changelog { inputs } else { wanted.partitions };
                let topic = NewTopic::new(&role.topic, partitions, TopicReplication::Fixed(wanted.replication));
                let topic = topic.set("min.insync.replicas", &insync);
                role.settings.iter().fold(topic, |topic, (key, value, _)| topic.set(key, value))
            })
            .collect();
        if topics.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let answer = pollster::block_on(self.admin.create_topics(&topics, &Self::options(config)))
            .map_err(|failure: KafkaError| error::of(&failure, "creating topics"))?;
        let mut names = Vec::new();
        let mut problems = Vec::new();
        for result in answer {
            match result {
                Ok(name) => names.push(name),
                // Somebody else was faster; it is checked like any other.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => problems.push(Problem::Refused { topic, why: code.to_string() }),
            }
        }
        Ok((names, problems))
    }
}

fn fits(have: &str, want: &str, rule: Rule) -> bool {
    match rule {
        Rule::AtLeast => have.parse::<i64>().ok() >= want.parse().ok(),
        Rule::Must | Rule::Should => have == want,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(vec!["b:1".to_owned()], "g", "s")
    }

    #[test]
    fn a_changelog_must_have_the_inputs_partitions() {
        let mut found: Found = roles(&config()).into_iter().map(|role| (role.topic, (4, 1))).collect();
        assert_eq!(counts(&config(), &found), []);
        found.insert("tillwatch.changelog".to_owned(), (3, 1));
        found.remove("pos.shadow");
        let problems = counts(&config(), &found);
        assert_eq!(problems[0], Problem::Missing { topic: "pos.shadow".to_owned() });
        assert_eq!(problems[1].code(), "topic-partitions");
        assert!(problems.iter().all(Problem::fatal));
        assert!(problems[1].to_string().contains("tillwatch.changelog has 3 partitions and must have 4"));
    }

    #[test]
    fn settings_are_compared_as_each_needs() {
        assert!(fits("4194304", "4194304", Rule::AtLeast));
        assert!(fits("9000000", "4194304", Rule::AtLeast));
        assert!(!fits("1048588", "4194304", Rule::AtLeast));
        assert!(!fits("", "4194304", Rule::AtLeast));
        assert!(!fits("CreateTime", "LogAppendTime", Rule::Must));
    }

    #[test]
    fn recorded_timestamps_need_no_log_append_time() {
        let mut config = config();
        let wants =
            |config: &Config| roles(config)[0].settings.iter().any(|(key, ..)| *key == "message.timestamp.type");
        assert!(wants(&config));
        config.recorded_timestamps = true;
        assert!(!wants(&config));
    }
}
