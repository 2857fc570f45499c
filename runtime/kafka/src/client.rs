//! From a [`Config`] to the properties of each librdkafka client.
//!
//! Owns which property has which value and why. What the promise of exactly-once rests on is set last, so that nothing can override it.

use std::time::Duration;

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use crate::config::Config;

/// Bytes of one output record that the client lets through; a dead letter holds a whole input record. The topics have their own bound.
const MESSAGE_BYTES_MAX: u32 = 8 << 20;

/// What the name of a worker's clients begins with.
const WORKER: &str = "tillwatch-";

/// The name of a worker's clients in the brokers' logs and quotas, and in the list of the group's members.
pub(crate) fn name(config: &Config) -> String {
    format!("{WORKER}{}", config.slot)
}

/// Whether a member of the group is a worker by its client's name.
pub(crate) fn is_worker(name: &str) -> bool {
    name.starts_with(WORKER)
}

/// What all clients share: address, names, security, the operator's own properties.
pub(crate) fn common(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set_log_level(RDKafkaLogLevel::Notice);
    // Reconnecting is cheap and a till waits; the default backs off to 10 s.
    client.set("reconnect.backoff.max.ms", "1000");
    client.set("socket.keepalive.enable", "true");
    client.set("compression.type", "lz4");
    // A broker holds a fetch for this long, and partitions that were just assigned wait for it; the default is 500. Until then it waits for so
    // much: by default one record is enough, and a sender that flushes every 5 ms wakes broker and worker for each flush (ADR 0027).
    client.set("fetch.wait.max.ms", "50");
    client.set("fetch.min.bytes", "65536");
    for (key, value) in &config.properties {
        client.set(key, value);
    }
    client.set("bootstrap.servers", config.brokers.join(","));
    client.set("client.id", name(config));
    client.set("allow.auto.create.topics", "false");
    let security = &config.security;
    client.set(
        "security.protocol",
        match (&security.tls, &security.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        },
    );
    if let Some(tls) = &security.tls {
        let files =
            [("ssl.ca.location", &tls.ca), ("ssl.certificate.location", &tls.cert), ("ssl.key.location", &tls.key)];
        for (key, path) in files {
            if let Some(path) = path {
                client.set(key, path.display().to_string());
            }
        }
        if let Some(password) = &tls.key_password {
            client.set("ssl.key.password", password.expose());
        }
    }
    if let Some(sasl) = &security.sasl {
        client.set("sasl.mechanism", sasl.mechanism.to_string());
        client.set("sasl.username", &sasl.username);
        client.set("sasl.password", sasl.password.expose());
    }
    client
}

/// A consumer that knows the group but has not joined it: for committed offsets, changelogs, tools.
pub(crate) fn consumer(config: &Config, isolation: &str) -> ClientConfig {
    let mut client = common(config);
    client.set("group.id", &config.group);
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    // How long a partition rests once its queue was full; the default is a second, which halves the speed of every restore.
    client.set("fetch.queue.backoff.ms", "10");
    // A position that has fallen out of the log is lost input: it must be seen, never skipped.
    client.set("auto.offset.reset", "error");
    client.set("isolation.level", isolation);
    client
}

/// A member of the group for a moment, not a worker and not static.
pub(crate) fn guest(config: &Config) -> ClientConfig {
    let mut client = joining(config);
    client.set("client.id", format!("guest-of-{}", name(config)));
    client
}

/// What every member of the group has.
fn joining(config: &Config) -> ClientConfig {
    let mut client = consumer(config, "read_committed");
    client.set("group.protocol", "classic");
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("session.timeout.ms", config.timeouts.session_ms.to_string());
    client.set("heartbeat.interval.ms", (config.timeouts.session_ms / 5).clamp(200, 3_000).to_string());
    client.set("max.poll.interval.ms", config.timeouts.poll_interval_ms_max.to_string());
    client
}

/// The worker's own consumer: a static member of the group.
pub(crate) fn member(config: &Config) -> ClientConfig {
    let mut client = joining(config);
    client.set("group.instance.id", &config.slot);
    client.set("statistics.interval.ms", "1000");
    client
}

/// A consumer for reading a topic to its end: large fetches, and the end is told 10 ms after the last record.
pub(crate) fn reader(config: &Config) -> ClientConfig {
    let mut client = consumer(config, "read_committed");
    client.set("enable.partition.eof", "true");
    client.set("fetch.wait.max.ms", "10");
    client.set("fetch.message.max.bytes", (4 << 20).to_string());
    client
}

/// A producer without transactions: ticks, tools.
pub(crate) fn producer(config: &Config) -> ClientConfig {
    let mut client = common(config);
    client.set("enable.idempotence", "true");
    client.set("partitioner", "murmur2_random");
    client.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    client
}

/// The transactional producer under an id: the worker's own, or a dead member's to end what it left open.
pub(crate) fn transactional(config: &Config, id: &str) -> ClientConfig {
    let mut client = producer(config);
    client.set("transactional.id", id);
    client.set("transaction.timeout.ms", config.timeouts.transaction_ms.to_string());
    // A burst is produced at once and then waited for.
    client.set("linger.ms", "1");
    client.set("queue.buffering.max.messages", "1000000");
    client
}

/// `timeouts.request_ms`.
pub(crate) fn request(config: &Config) -> Duration {
    Duration::from_millis(config.timeouts.request_ms.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mechanism, Sasl, Secret, Tls};

    #[test]
    fn what_exactly_once_rests_on_cannot_be_overridden() {
        let mut config = Config::new(vec!["b:1".to_owned()], "g", "s");
        for key in
            ["isolation.level", "enable.idempotence", "transactional.id", "enable.auto.commit", "auto.offset.reset"]
        {
            config.properties.insert(key.to_owned(), "bad".to_owned());
        }
        assert_eq!(member(&config).get("isolation.level"), Some("read_committed"));
        assert_eq!(member(&config).get("enable.auto.commit"), Some("false"));
        assert_eq!(member(&config).get("auto.offset.reset"), Some("error"));
        let producer = transactional(&config, &config.transactional_id());
        assert_eq!(producer.get("transactional.id"), Some("g-s"));
        assert_eq!(producer.get("enable.idempotence"), Some("true"));
    }

    #[test]
    fn librdkafka_takes_every_kind_of_client() {
        let mut config = Config::new(vec!["b:1".to_owned()], "g", "s");
        config.security.tls = Some(Tls::default());
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
            config.security.sasl = Some(Sasl { mechanism, username: "u".to_owned(), password: Secret::new("p") });
            let clients = [member(&config), reader(&config), producer(&config), transactional(&config, "t")];
            for client in clients {
                assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
                client.create_native_config().expect("valid properties");
            }
        }
    }
}
