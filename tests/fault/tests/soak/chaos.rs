//! Members and one of three brokers die at random moments while hundreds of thousands of events come in; afterwards everything was said once.
//! Three, because one alone that is killed between the request to end a transaction and its marker loses the marker (KAFKA-20734).

use std::fmt;
use std::time::Duration;

use tillwatch_fault::brokers::Brokers;
use tillwatch_fault::chance::{Chance, events, seed};
use tillwatch_it::running::deployment::{Deployment, PARTITIONS, SIGHTED};
use tillwatch_it::running::process::{Member, tillwatch};
use tillwatch_it::running::verdict::Outputs;

/// How many blows fall on members in a run of [`EVENTS`]; a longer run has as many more.
const KILLS: u64 = 20;

/// How many events those fall among.
const EVENTS: u64 = 200_000;

/// Outputs of every type that so many events lead to at least.
const LEAST: u64 = 100;

/// Between two looks at how far the input is.
const LOOK: Duration = Duration::from_millis(100);

/// How often the input is looked at before it counts as standing still.
const LOOKS_MAX: usize = 3_000;

/// How long the simulator may take to have everything acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(60);

/// Events of the simulator come at about this rate, one machine's share of a large fleet.
const FLEET: &str =
    "simulate --to kafka --pace real --faults demo --terminals 12000 --sites 100 --payments-per-hour 180 --duration 2h";

/// What a blow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// kill -9 of a member, which starts again at once.
    Kill(usize),
    /// kill -9 of a member, which stays away until the next blow.
    KillAndWait(usize),
    /// kill -9 of a broker, and of a member while it is away.
    KillBroker(usize),
    /// SIGTERM for a broker.
    EndBroker,
}

/// The blows of a seed, each when the input has so many records.
struct Plan {
    seed: u64,
    blows: Vec<(u64, Blow)>,
}

impl Plan {
    fn new(seed: u64, events: u64) -> Self {
        let mut chance = Chance::new(seed);
        let rounds = events.div_ceil(EVENTS);
        let moment = |chance: &mut Chance| events / 20 + chance.below(events * 9 / 10);
        let mut blows = Vec::new();
        for _ in 0..rounds {
            for _ in 0..KILLS - 1 {
                let member = *chance.one(&[0, 1]);
                let blow = *chance.one(&[Blow::Kill(member), Blow::KillAndWait(member)]);
                blows.push((moment(&mut chance), blow));
            }
            let member = *chance.one(&[0, 1]);
            blows.push((moment(&mut chance), Blow::KillBroker(member)));
            blows.push((moment(&mut chance), Blow::EndBroker));
        }
        blows.sort_by_key(|(at, _)| *at);
        Self { seed, blows }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {:?}", self.seed, self.blows)
    }
}

/// Two members, each there or not.
struct Members<'a> {
    deployment: &'a Deployment,
    running: [Option<Member>; 2],
}

impl Members<'_> {
    fn start(&mut self) {
        for (member, name) in self.running.iter_mut().zip(["a", "b"]) {
            member.get_or_insert_with(|| self.deployment.member(name));
        }
    }

    fn kill(&mut self, member: usize) {
        self.running[member].take().into_iter().for_each(Member::kill);
    }
}

/// Waits until the input has so many records.
fn grown(deployment: &Deployment, simulator: &Member, records: u64) {
    for _ in 0..LOOKS_MAX {
        if deployment.inputs().is_some_and(|inputs| inputs.unsigned_abs() >= records) {
            return;
        }
        simulator.lives(LOOK);
    }
    panic!("the input stands still at {:?} records, {records} were waited for", deployment.inputs());
}

/// What nobody can read, between the events.
fn rubbish(deployment: &Deployment, number: usize) {
    for partition in 0..PARTITIONS {
        for value in [Some(&b"\xff\xfe"[..]), Some(format!("{{\"cut\": {number}").as_bytes()), None] {
            deployment.send(Some(partition), "RUBBISH", value);
        }
    }
}

fn count(said: &Outputs, event_type: &str) -> usize {
    said.values().filter(|output| output["type"] == event_type).count()
}

#[test]
fn kills_of_members_and_of_the_broker_lose_nothing_and_double_nothing_on_kafka() {
    let (seed, events) = (seed(), events());
    let plan = Plan::new(seed, events);
    println!("{plan}");
    let mut brokers = Brokers::three();
    let deployment = Deployment::at(&brokers.cluster.bootstrap(), "chaos").replicated();
    deployment.configure(SIGHTED);
    deployment.create();
    let mut members = Members { deployment: &deployment, running: [None, None] };
    members.start();
    let mut command = tillwatch(FLEET.split(' '));
    command.arg("--seed").arg(seed.to_string()).arg("--config").arg(deployment.config());
    command.env("TILLWATCH_KAFKA__REQUEST_MS", "120000");
    let simulator = Member::start(command);

    for (number, (at, blow)) in plan.blows.iter().enumerate() {
        grown(&deployment, &simulator, *at);
        members.start();
        rubbish(&deployment, number);
        match *blow {
            Blow::Kill(member) => {
                members.kill(member);
                members.start();
            }
            Blow::KillAndWait(member) => members.kill(member),
            Blow::KillBroker(member) => {
                brokers.cluster.kill(0).expect("it can be killed");
                members.kill(member);
                brokers.cluster.restart(0).expect("it comes back");
                members.start();
            }
            Blow::EndBroker => brokers.terminate(),
        }
    }
    grown(&deployment, &simulator, events + events / 20);
    members.start();
    simulator.signal("TERM");
    let (code, told) = simulator.ends(FLUSH_MAX);
    assert_eq!(code, Some(0), "{told}");
    let sent: u64 = told
        .lines()
        .find_map(|line| line.split_once(" records, ")?.0.parse().ok())
        .unwrap_or_else(|| panic!("the simulator says how many records it made:\n{told}"));
    assert!(sent >= events, "{sent} events are fewer than {events}");

    deployment.read();
    let mut said = Vec::new();
    deployment.fall_silent(&mut said);
    let said = deployment.judge(said);
    for event_type in
        ["pos.finding.raised", "pos.finding.updated", "pos.finding.cleared", "pos.command", "pos.command.cancelled"]
    {
        let least = usize::try_from(events * LEAST / EVENTS).expect("a few");
        assert!(count(&said, event_type) > least, "{} of {event_type}", count(&said, event_type));
    }
    assert_eq!(count(&said, "pos.dead-letter"), plan.blows.len() * 3 * usize::try_from(PARTITIONS).expect("a few"));
    println!("{sent} events, {} outputs, each once; a broker was restarted twice, members {} times", said.len(), KILLS);
    members.running.into_iter().flatten().for_each(Member::stop);
    brokers.remove();
}
