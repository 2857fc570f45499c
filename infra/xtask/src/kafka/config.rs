//! What a broker is told: its ports and its `server.properties`.
//!
//! Owns no process. Free ports are looked for below the range that the kernel hands out by itself, so that a broker that was
//! killed finds its port free again.

use super::secured;
use anyhow::{Result, bail};
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Most brokers that one machine is asked to carry.
pub(super) const BROKERS_MAX: u16 = 9;

/// Where free ports are looked for: Linux hands out those from 32768 on, macOS those from 49152 on.
const PORTS: Range<u16> = 20_000..32_000;

/// How often a port is drawn before giving up.
const PORT_TRIES_MAX: usize = 200;

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many brokers, each a controller too.
    pub brokers: u16,
    /// Where data, logs and process ids go. Emptied at the start.
    pub dir: PathBuf,
    /// The first broker's port, the others follow; none: any that is free.
    pub port: Option<u16>,
    /// `host:port` that clients of the first broker are told to connect to; none: its own. Brokers have a way of their own.
    pub advertised: Option<String>,
    /// Whether the brokers are to live on when the terminal sends an interrupt.
    pub detached: bool,
    /// More lines of `server.properties`; they win over those written here.
    pub settings: Vec<(String, String)>,
    /// Whether clients are also served with TLS, passwords and rights, on a port of its own.
    pub secured: bool,
}

impl Options {
    /// One broker on any free port, with nothing beside what is written here.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { brokers: 1, dir, port: None, advertised: None, detached: false, settings: Vec::new(), secured: false }
    }
}

/// One broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its `node.id`, from 1.
    pub id: u16,
    /// Where clients connect.
    pub port: u16,
    /// Where the other controllers connect.
    pub controller_port: u16,
    /// Where the other brokers connect, and the broker itself.
    pub broker_port: u16,
    /// Where clients connect with TLS and a password.
    pub secure_port: Option<u16>,
}

impl Node {
    /// The name of its folder, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("node-{}", self.id)
    }

    /// `host:port` for clients.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` for clients with TLS and a password.
    #[must_use]
    pub fn secure_address(&self) -> Option<String> {
        self.secure_port.map(|port| format!("127.0.0.1:{port}"))
    }

    /// Its folder in that of the cluster.
    #[must_use]
    pub fn folder(&self, dir: &Path) -> PathBuf {
        dir.join(self.name())
    }
}

/// Gives every broker its ports.
pub(super) fn nodes(options: &Options) -> Result<Vec<Node>> {
    if options.brokers == 0 || options.brokers > BROKERS_MAX {
        bail!("{} brokers asked for: from 1 to {BROKERS_MAX} can be started", options.brokers);
    }
    let mut ports = Ports::default();
    let mut nodes = Vec::new();
    for id in 1..=options.brokers {
        let port = match options.port {
            Some(first) => ports.take(first.saturating_add(id - 1))?,
            None => ports.draw()?,
        };
        let secure_port = options.secured.then(|| ports.draw()).transpose()?;
        nodes.push(Node { id, port, controller_port: ports.draw()?, broker_port: ports.draw()?, secure_port });
    }
    Ok(nodes)
}

/// The `server.properties` of one broker.
pub(super) fn properties(node: &Node, nodes: &[Node], options: &Options) -> String {
    let Options { dir, settings: more, .. } = options;
    let replicas = nodes.len().min(3);
    let in_sync = if replicas == 3 { 2 } else { 1 };
    let voters =
        nodes.iter().map(|n| format!("{}@127.0.0.1:{}", n.id, n.controller_port)).collect::<Vec<_>>().join(",");
    let secured = node.secure_address();
    let served = |address: String| {
        let secured = secured.as_ref().map(|secured| format!(",SASL_SSL://{secured}")).unwrap_or_default();
        format!("PLAINTEXT://{address},REPLICATION://127.0.0.1:{}{secured}", node.broker_port)
    };
    let advertised = options.advertised.clone().filter(|_| node.id == 1).unwrap_or_else(|| node.address());
    let mut own = vec![
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.id.to_string()),
        ("controller.quorum.voters", voters),
        ("listeners", format!("{},CONTROLLER://127.0.0.1:{}", served(node.address()), node.controller_port)),
        ("advertised.listeners", served(advertised)),
        ("inter.broker.listener.name", "REPLICATION".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,REPLICATION:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("log.dirs", node.folder(dir).join("data").display().to_string()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("default.replication.factor", replicas.to_string()),
        ("min.insync.replicas", in_sync.to_string()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", replicas.to_string()),
        ("transaction.state.log.min.isr", in_sync.to_string()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        // Nobody else is about to join. What bounds clients is left as a broker in production has it.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // As docs/runbook.md advises: without it compaction takes a whole processor for seconds.
        ("log.cleaner.io.max.bytes.per.second", "20000000".to_owned()),
    ];
    if secured.is_some() {
        own.extend(secured::properties(dir));
    }
    let mut text = String::new();
    let own = own.iter().map(|(key, value)| (*key, value.as_str()));
    let more = more.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in own.filter(|(key, _)| !more.clone().any(|(other, _)| other == *key)).chain(more.clone()) {
        writeln!(text, "{key}={value}").expect("invariant: writing to a string cannot fail");
    }
    text
}

/// A random Kafka cluster id: 16 bytes in 22 characters of base64, the last of which holds four zero bits.
pub(super) fn cluster_id() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    let mut id: String = (0..21).map(|_| char::from(LETTERS[usize::from(random() % 32)])).collect();
    id.push('A');
    id
}

/// Ports that are free, held until all have been chosen.
#[derive(Default)]
struct Ports(Vec<TcpListener>);

impl Ports {
    fn draw(&mut self) -> Result<u16> {
        for _ in 0..PORT_TRIES_MAX {
            let port = PORTS.start + random() % (PORTS.end - PORTS.start);
            if self.take(port).is_ok() {
                return Ok(port);
            }
        }
        bail!("no free port from {} to {} after {PORT_TRIES_MAX} tries", PORTS.start, PORTS.end)
    }

    fn take(&mut self, port: u16) -> Result<u16> {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => self.0.push(listener),
            Err(error) => bail!("port {port} cannot be used: {error}; choose another by --port, or leave it out"),
        }
        Ok(port)
    }
}

fn random() -> u16 {
    // The seed of a new `RandomState` is random, and nothing here needs more than that.
    u16::try_from(RandomState::new().hash_one(0) & 0xffff).expect("invariant: masked to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::{BROKERS_MAX, Options, PORTS, cluster_id, nodes, properties};
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn options(brokers: u16) -> Options {
        Options { brokers, ..Options::new(PathBuf::from("/k")) }
    }

    #[test]
    fn every_broker_has_ports_of_its_own() {
        let nodes = nodes(&options(BROKERS_MAX)).expect("ports are free");
        let ports: BTreeSet<_> =
            nodes.iter().flat_map(|node| [node.port, node.controller_port, node.broker_port]).collect();
        assert_eq!(ports.len(), usize::from(BROKERS_MAX) * 3);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn a_number_of_brokers_out_of_range_is_refused() {
        for brokers in [0, BROKERS_MAX + 1] {
            let error = nodes(&options(brokers)).expect_err("out of range").to_string();
            assert_eq!(error, format!("{brokers} brokers asked for: from 1 to 9 can be started"));
        }
    }

    #[test]
    fn one_broker_keeps_one_replica_and_many_keep_three() {
        for (brokers, replicas, in_sync) in [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2)] {
            let nodes = nodes(&options(brokers)).expect("ports are free");
            let text = properties(&nodes[0], &nodes, &options(brokers));
            assert!(text.contains(&format!("\ntransaction.state.log.replication.factor={replicas}\n")), "{text}");
            assert!(text.contains(&format!("\ntransaction.state.log.min.isr={in_sync}\n")), "{text}");
            assert!(text.contains("\nlog.dirs=/k/node-1/data\n"), "{text}");
        }
    }

    #[test]
    fn clients_of_the_first_broker_may_be_told_another_address() {
        let options = Options { advertised: Some("127.0.0.1:9".to_owned()), ..options(2) };
        let nodes = nodes(&options).expect("ports are free");
        let [first, second] = [0, 1].map(|node| properties(&nodes[node], &nodes, &options));
        let own = format!(
            "\nadvertised.listeners=PLAINTEXT://127.0.0.1:9,REPLICATION://127.0.0.1:{}\n",
            nodes[0].broker_port
        );
        assert!(first.contains(&own), "{first}");
        assert!(second.contains(&format!("\nadvertised.listeners=PLAINTEXT://{},", nodes[1].address())), "{second}");
    }

    #[test]
    fn a_setting_of_the_caller_wins() {
        let settings = vec![("min.insync.replicas".to_owned(), "7".to_owned()), ("a.b".to_owned(), "c".to_owned())];
        let options = Options { settings, ..options(1) };
        let nodes = nodes(&options).expect("ports are free");
        let text = properties(&nodes[0], &nodes, &options);
        assert_eq!(text.matches("min.insync.replicas=").count(), 1);
        assert!(text.ends_with("min.insync.replicas=7\na.b=c\n"), "{text}");
    }

    #[test]
    fn cluster_ids_differ_and_have_the_length_of_a_uuid() {
        let (one, other) = (cluster_id(), cluster_id());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
