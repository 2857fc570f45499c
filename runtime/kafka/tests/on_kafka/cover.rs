//! Every partition has an owner again, whatever the group has forgotten.

use std::collections::BTreeSet;

use tillwatch_core::log::{Log as _, Polled};
use tillwatch_kafka::KafkaLog;

use crate::support::{fill, joined, other, poll, restore, topics, until};

/// How often two workers are polled, 100 ms each, before a partition counts as forgotten.
const POLLS_MAX: usize = 600;

#[test]
fn a_worker_that_dies_between_the_two_rounds_of_a_rebalance_leaves_no_partition_without_an_owner() {
    let mut config = topics("cover", "w0", 4);
    config.timeouts.session_ms = 6_000;
    fill(&config, 0, 40);
    let (mut first, restored) = joined(&config);
    assert_eq!(restored.len(), 4);
    let mut second = KafkaLog::connect(&other(&config, "w1")).expect("connected");
    let mut seen = Vec::new();
    until(&mut first, &mut seen, |polled, _| {
        poll(&mut second, &mut Vec::new());
        matches!(polled, Polled::Revoking(_))
    });
    // It never answers, as one that was killed; its successor is handed what was not taken from it, and the group sees no reason to go on.
    let mut successor = KafkaLog::connect(&config).expect("connected");
    let mut owned = BTreeSet::new();
    for _ in 0..POLLS_MAX {
        for log in [&mut successor, &mut second] {
            match poll(log, &mut seen) {
                Polled::Assigned(partitions) => {
                    for partition in partitions {
                        let position = restore(log, partition).position;
                        log.start(partition, position.map(|position| position.low)).expect("started");
                        assert!(owned.insert(partition), "{partition} has two owners");
                    }
                }
                Polled::Revoking(partitions) | Polled::Lost(partitions) => {
                    log.release(&partitions).expect("released");
                    owned.retain(|partition| !partitions.contains(partition));
                }
                Polled::Records => {}
            }
        }
        if owned.len() == 4 {
            break;
        }
    }
    assert_eq!(owned, BTreeSet::from([0, 1, 2, 3]));
    second.close().expect("closed");
    successor.close().expect("closed");
    drop(first);
}
