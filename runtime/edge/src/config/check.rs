//! What the types of the file cannot hold.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{BUILT_IN, Config, LogKind, Problem, Secret, Security};
use crate::{clock::parse_rfc3339, wiring};

/// Everything wrong with a configuration whose types are right.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    match config.log.kind {
        LogKind::Kafka => kafka(config, &mut found),
        LogKind::Embedded => embedded(config, &mut found),
    }
    topics(config, &mut found);
    if config.log.kind == LogKind::Kafka {
        client(config, &mut found);
    }
    stages(config, &mut found);
    engine(config, &mut found);
    feed(config, &mut found);
    maintenance(config, &mut found);
    rules(config, &mut found);
    let commit = &config.commit;
    range("commit.every_ms", u64::from(commit.every_ms), 1, 10_000, &mut found);
    range("commit.bytes_max", commit.bytes_max as u64, 64 << 10, 1 << 30, &mut found);
    range("commit.records_max", commit.records_max as u64, 1, 1_000_000, &mut found);
    range("log.workers", config.log.workers as u64, 0, 256, &mut found);
    if config.http.listen.parse::<SocketAddr>().is_err() {
        found.push(Problem::new(
            "http.listen",
            format!("{:?} is no address with a port. Write it as 127.0.0.1:8480", config.http.listen),
        ));
    }
    range("http.body_bytes_max", config.http.body_bytes_max as u64, 1 << 10, 64 << 20, &mut found);
    range("http.requests_max", config.http.requests_max as u64, 1, 10_000, &mut found);
    secret("http.token_file", &config.http.token_file, &mut found);
    found
}

fn range(key: &str, value: u64, least: u64, most: u64, found: &mut Vec<Problem>) {
    if value < least || value > most {
        found.push(Problem::new(key, format!("{value} is out of range. Choose {least} to {most}")));
    }
}

fn secret(key: &str, path: &str, found: &mut Vec<Problem>) {
    if !path.is_empty()
        && let Err(error) = Secret::read(path)
    {
        found.push(Problem::new(key, format!("{path}: {error}. Put the secret into this file, on its first line")));
    }
}

fn readable(key: &str, path: &str, found: &mut Vec<Problem>) {
    if !path.is_empty()
        && let Err(error) = std::fs::File::open(path)
    {
        found.push(Problem::new(key, format!("{path}: {error}. Name a file that can be read")));
    }
}

fn kafka(config: &Config, found: &mut Vec<Problem>) {
    let kafka = &config.kafka;
    if kafka.brokers.is_empty() {
        found.push(Problem::new("kafka.brokers", "names no broker. Give at least one as host:port"));
    }
    for broker in &kafka.brokers {
        let port = broker.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if !matches!(port, Some((host, Ok(_))) if !host.is_empty()) {
            found.push(Problem::new("kafka.brokers", format!("{broker:?} has no port. Write it as host:9092")));
        }
    }
    if kafka.group.is_empty() {
        found.push(Problem::new("kafka.group", "is empty. Give the consumer group a name"));
    }
    range("kafka.partitions", u64::from(kafka.partitions), 1, 10_000, found);
    range("kafka.replication", u64::from(kafka.replication), 1, 10, found);
    range("kafka.min_insync", u64::from(kafka.min_insync), 1, u64::from(kafka.replication).max(1), found);
    range("kafka.session_ms", u64::from(kafka.session_ms), 1_000, 300_000, found);
    range("kafka.poll_interval_ms_max", u64::from(kafka.poll_interval_ms_max), 10_000, 3_600_000, found);
    range("kafka.transaction_ms", u64::from(kafka.transaction_ms), 1_000, 900_000, found);
    range("kafka.request_ms", u64::from(kafka.request_ms), 1_000, 300_000, found);
    range("kafka.restore_ms", u64::from(kafka.restore_ms), 1_000, 86_400_000, found);
    let sasl = matches!(kafka.security, Security::SaslPlaintext | Security::SaslSsl);
    if sasl {
        if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&kafka.sasl_mechanism.as_str()) {
            let what = format!("{:?} is not known. Choose PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", kafka.sasl_mechanism);
            found.push(Problem::new("kafka.sasl_mechanism", what));
        }
        if kafka.username.is_empty() {
            found.push(Problem::new("kafka.username", "is empty, and kafka.security asks for one. Set it"));
        }
        if kafka.password_file.is_empty() {
            found.push(Problem::new("kafka.password_file", "is empty, and kafka.security asks for one. Name the file"));
        }
    }
    secret("kafka.password_file", &kafka.password_file, found);
    secret("kafka.key_password_file", &kafka.key_password_file, found);
    readable("kafka.ca_file", &kafka.ca_file, found);
    readable("kafka.certificate_file", &kafka.certificate_file, found);
    readable("kafka.key_file", &kafka.key_file, found);
}

/// What the Kafka client refuses by itself, where it is not said already.
fn client(config: &Config, found: &mut Vec<Problem>) {
    match wiring::kafka(config, 0) {
        Err(error) if found.is_empty() => found.push(Problem::new("kafka", error.what)),
        Err(_) => {}
        Ok(client) => {
            for wrong in client.validate().err().unwrap_or_default() {
                let key = client_key(wrong.key);
                if !found.iter().any(|problem| problem.key == key) {
                    found.push(Problem::new(key, format!("{}. Correct it", wrong.what)));
                }
            }
        }
    }
}

/// The key in the file of what the client calls otherwise.
fn client_key(key: &str) -> String {
    match key {
        "slot" => "kafka.instance".to_owned(),
        "input" => "topics.events".to_owned(),
        "changelog" => "topics.changelog".to_owned(),
        "security.tls.ca" => "kafka.ca_file".to_owned(),
        "security.tls.cert" => "kafka.certificate_file".to_owned(),
        "security.tls.key" => "kafka.key_file".to_owned(),
        "security.sasl.username" => "kafka.username".to_owned(),
        "security.sasl.password" => "kafka.password_file".to_owned(),
        _ => match key.split_once('.') {
            Some(("outputs", topic)) => format!("topics.{topic}"),
            Some((_, inner)) => format!("kafka.{inner}"),
            None => format!("kafka.{key}"),
        },
    }
}

fn embedded(config: &Config, found: &mut Vec<Problem>) {
    if config.embedded.path.is_empty() {
        found.push(Problem::new("embedded.path", "is empty. Name a directory for the log"));
    }
    range("embedded.partitions", u64::from(config.embedded.partitions), 1, 1_024, found);
    range("embedded.keep_hours", u64::from(config.embedded.keep_hours), 1, 24 * 366, found);
}

fn topics(config: &Config, found: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (key, name) in config.topics.all() {
        let key = format!("topics.{key}");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 249 || !name.chars().all(legal) {
            let what = format!("{name:?} is no topic name. Use 1 to 249 letters, digits, '.', '_' and '-'");
            found.push(Problem::new(&key, what));
        }
        if let Some(other) = seen.insert(name, key.clone()) {
            found.push(Problem::new(key, format!("{name:?} is the name of {other} too. Give each its own")));
        }
    }
}

fn stages(config: &Config, found: &mut Vec<Problem>) {
    let stages = &config.stages;
    if stages.run.is_empty() {
        found.push(Problem::new("stages.run", "names no stage. Choose \"first\", \"second\" or both"));
    }
    range("stages.watermark_every_ms", u64::from(stages.watermark_every_ms), 50, 60_000, found);
    range("stages.idle_ms_max", u64::from(stages.idle_ms_max), 5_000, 3_600_000, found);
}

fn engine(config: &Config, found: &mut Vec<Problem>) {
    let engine = &config.engine;
    range("engine.lateness_ms", u64::from(engine.lateness_ms), 0, 600_000, found);
    range("engine.skew_ms_max", u64::from(engine.skew_ms_max), 1_000, 86_400_000, found);
    range("engine.tick_every_ms", u64::from(engine.tick_every_ms), 100, 60_000, found);
    range("engine.visits_max", engine.visits_max as u64, 1, 4_096, found);
    range("engine.record_bytes_max", engine.record_bytes_max as u64, 1_024, 64 << 20, found);
    range("engine.depth_max", engine.depth_max as u64, 4, 128, found);
    for (key, value) in [
        ("engine.waiting_events_max", engine.waiting_events_max),
        ("engine.waiting_bytes_max", engine.waiting_bytes_max),
        ("engine.text_bytes_max", engine.text_bytes_max),
        ("engine.state_bytes_max", engine.state_bytes_max),
        ("engine.keys_max", engine.keys_max),
        ("engine.actions_max", engine.actions_max),
        ("engine.findings_max", engine.findings_max),
        ("engine.dedup_entries_max", engine.dedup_entries_max),
    ] {
        range(key, value as u64, 1, u64::from(u32::MAX), found);
    }
}

fn feed(config: &Config, found: &mut Vec<Problem>) {
    range("feed.lag_ms_max", u64::from(config.feed.lag_ms_max), 1_000, 86_400_000, found);
    range("feed.unreachable_ms_max", u64::from(config.feed.unreachable_ms_max), 1_000, 3_600_000, found);
    range("feed.settle_ms", u64::from(config.feed.settle_ms), 0, 3_600_000, found);
    for (index, source) in config.feed.silent_sources.iter().enumerate() {
        let key = format!("feed.silent_sources[{index}]");
        if source.prefix.is_empty() {
            found.push(Problem::new(format!("{key}.prefix"), "is empty. Give the beginning of the sources' names"));
        }
        range(&format!("{key}.silent_ms"), u64::from(source.silent_ms), 1_000, 86_400_000, found);
    }
}

/// Words of scopes at which maintenance can be.
const SCOPES: [&str; 7] = ["terminal", "site", "acquirer", "host", "version", "operator", "region"];

/// Windows that can be planned at a time, past ones included.
const WINDOWS_MAX: usize = 64;

/// Bytes of a scope's name, and of a reason.
const WINDOW_TEXT_BYTES_MAX: usize = 96;

fn maintenance(config: &Config, found: &mut Vec<Problem>) {
    let windows = &config.maintenance.windows;
    if windows.len() > WINDOWS_MAX {
        let what = format!("has {} windows. Keep at most {WINDOWS_MAX}: remove those that are over", windows.len());
        found.push(Problem::new("maintenance.windows", what));
    }
    for (index, window) in windows.iter().enumerate() {
        let mut wrong = |field: &str, what: String| {
            found.push(Problem::new(format!("maintenance.windows[{index}].{field}"), what));
        };
        let scope = window
            .scope
            .split_once(':')
            .filter(|(word, id)| SCOPES.contains(word) && !id.is_empty() && (*word != "host" || id.contains('/')));
        if scope.is_none_or(|(_, id)| id.len() > WINDOW_TEXT_BYTES_MAX) {
            let words = SCOPES.join(", ");
            wrong(
                "scope",
                format!(
                    "{:?} is no scope. Write one of {words} with its id, as site:S0012 or host:A01/H1",
                    window.scope
                ),
            );
        }
        let mut moment = |field: &str, text: &str| {
            let read = parse_rfc3339(text);
            read.map_err(|error| wrong(field, format!("{error}. Correct the value"))).ok()
        };
        let (from, until) = (moment("from", &window.from), moment("until", &window.until));
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            wrong("until", format!("{} is not after from, {}. Correct one of them", window.until, window.from));
        }
        if window.reason.trim().is_empty() || window.reason.len() > WINDOW_TEXT_BYTES_MAX {
            wrong(
                "reason",
                format!("has {} bytes. Say why, in 1 to {WINDOW_TEXT_BYTES_MAX} bytes", window.reason.len()),
            );
        }
    }
    if !windows.is_empty() && config.rules.get("incident").is_some_and(|rule| rule.settings.contains_key("maintenance"))
    {
        let what = "comes from maintenance.windows. Put all of it there";
        found.push(Problem::new("rules.incident.settings.maintenance", what));
    }
}

fn rules(config: &Config, found: &mut Vec<Problem>) {
    for (id, rule) in &config.rules {
        if !BUILT_IN.contains(&id.as_str()) && rule.enabled && rule.path.is_empty() {
            found.push(Problem::new(
                format!("rules.{id}.path"),
                format!("is empty, and {id} is not built in. Name the component's file"),
            ));
        }
        readable(&format!("rules.{id}.path"), &rule.path, found);
        let (key, most) = (format!("rules.{id}.limits.state_bytes_max"), config.engine.state_bytes_max);
        range(&key, rule.limits.state_bytes_max as u64, 1, most as u64, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        check(&config).into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_defaults_are_fine() {
        assert_eq!(keys(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn brokers_have_ports_and_secrets_have_files() {
        let found = keys(|config| {
            config.kafka.brokers = vec!["somewhere".to_owned()];
            config.kafka.security = Security::SaslSsl;
        });
        assert_eq!(found, ["kafka.brokers", "kafka.sasl_mechanism", "kafka.username", "kafka.password_file"]);
    }

    #[test]
    fn what_the_kafka_client_would_refuse_is_named_by_its_key_in_the_file() {
        let found = keys(|config| {
            config.kafka.group = "no spaces".to_owned();
            config.kafka.instance = "neither here".to_owned();
            config.kafka.certificate_file = "/dev/null".to_owned();
            config.kafka.security = Security::Ssl;
            config.kafka.session_ms = 20_000;
            config.kafka.poll_interval_ms_max = 10_000;
            config.kafka.properties.insert("enable.idempotence".to_owned(), "false".to_owned());
        });
        let expected = [
            "kafka.group",
            "kafka.instance",
            "kafka.certificate_file",
            "kafka.properties",
            "kafka.poll_interval_ms_max",
        ];
        assert_eq!(found, expected);
        let found = keys(|config| {
            config.kafka.properties.insert("fetch.max.bytes".to_owned(), "many".to_owned());
        });
        assert_eq!(found, ["kafka.properties"]);
    }

    #[test]
    fn a_process_runs_a_stage_and_does_not_wait_for_ever() {
        let found = keys(|config| {
            config.stages.run.clear();
            config.stages.idle_ms_max = 0;
            config.topics.second_changelog = config.topics.changelog.clone();
        });
        assert_eq!(found, ["topics.second_changelog", "stages.run", "stages.idle_ms_max"]);
    }

    #[test]
    fn topics_have_names_of_their_own() {
        let found = keys(|config| {
            config.topics.findings = "pos.events".to_owned();
            config.topics.shadow = "no spaces".to_owned();
        });
        assert_eq!(found, ["topics.findings", "topics.shadow"]);
    }

    #[test]
    fn a_window_of_maintenance_has_a_scope_an_end_after_its_beginning_and_a_reason() {
        let window = |scope: &str, from: &str, until: &str, reason: &str| super::super::MaintenanceWindow {
            scope: scope.to_owned(),
            from: from.to_owned(),
            until: until.to_owned(),
            reason: reason.to_owned(),
        };
        let (from, until) = ("2026-12-01T22:00:00Z", "2026-12-02T10:00:00+08:00");
        assert_eq!(
            keys(|config| config.maintenance.windows = vec![window("host:A01/H1", from, until, "why")]),
            [""; 0]
        );
        let found = keys(|config| {
            config.maintenance.windows = vec![
                window("till:7", from, until, "why"),
                window("host:H1", from, "tomorrow", ""),
                window("site:", from, from, "why"),
            ];
        });
        let at = |rest: &str| format!("maintenance.windows{rest}");
        let expected = ["[0].scope", "[1].scope", "[1].until", "[1].reason", "[2].scope", "[2].until"].map(at);
        assert_eq!(found, expected);
        let found = keys(|config| {
            config.maintenance.windows = vec![window("site:S1", from, until, "why"); WINDOWS_MAX + 1];
            let settings = &mut config.rules.get_mut("incident").expect("built in").settings;
            settings.insert("maintenance".to_owned(), toml::Value::Array(Vec::new()));
        });
        assert_eq!(found, ["maintenance.windows", "rules.incident.settings.maintenance"]);
    }

    #[test]
    fn a_plug_in_needs_a_file_and_a_range_is_held() {
        let found = keys(|config| {
            config.rules.insert("mine".to_owned(), super::super::Rule::default());
            config.http.listen = "8480".to_owned();
            config.feed.lag_ms_max = 0;
            config.http.token_file = "/nowhere/token".to_owned();
        });
        assert_eq!(found, ["feed.lag_ms_max", "rules.mine.path", "http.listen", "http.token_file"]);
    }
}
