//! Sees to it that every partition of the input has an owner.
//!
//! A cooperative rebalance takes two rounds: in the first a partition is taken from its owner, in the second it is given to the next. A static
//! member that dies between them and comes back is handed what the first round left it, and no second round follows: as far as the group
//! knows nothing has changed. The partition then belongs to nobody until somebody joins or leaves. So every worker looks at the group from time
//! to time, and the first of them by name has the partitions dealt out again where one has had no owner in two looks: a guest that wants
//! no part of the input joins for a moment, and that is change enough.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError, channel},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    groups::GroupInfo,
};
use tillwatch_core::log::PartitionId;

use crate::{
    client,
    config::Config,
    context::{Observer, Pulse},
    wait::Deadline,
};

/// The state of a group in which what its members own is what they were given.
const STABLE: &str = "Stable";

/// Between two polls of the guest.
const GUEST_POLL: Duration = Duration::from_millis(50);

/// The looks of one worker.
pub(crate) struct Cover {
    every: Duration,
    next: Deadline,
    /// A look under way, in a thread of its own: a broker that is away makes it wait, and the worker must not.
    looking: Option<Receiver<BTreeSet<PartitionId>>>,
    /// What had no owner at the last look.
    before: BTreeSet<PartitionId>,
}

impl Cover {
    pub(crate) fn new(config: &Config) -> Self {
        let every = Duration::from_millis(u64::from(config.timeouts.session_ms) / 2);
        Self { every, next: Deadline::after(every), looking: None, before: BTreeSet::new() }
    }

    /// Goes on looking. `client` knows the group and has not joined it.
    pub(crate) fn watch(&mut self, config: &Config, client: &Arc<BaseConsumer<Observer>>, pulse: &Arc<Pulse>) {
        match self.looking.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return,
            Some(Ok(without)) => self.before = without,
            // None, or one that failed and is none; the next one tells.
            None | Some(Err(TryRecvError::Disconnected)) => {}
        }
        self.looking = None;
        if !self.next.over() {
            return;
        }
        self.next = Deadline::after(self.every);
        let (told, looking) = channel();
        let (client, config, pulse) = (Arc::clone(client), config.clone(), Arc::clone(pulse));
        let (wait, before) = (self.every, self.before.clone());
        thread::spawn(move || {
            let Ok((without, first)) = look(&client, &config, wait) else { return };
            let still = without.intersection(&before).next().is_some();
            if still && first && deal_out(&config, &pulse, wait).is_err() {
                return;
            }
            // Nobody waits for it once the log is closed.
            let _ = told.send(if still { BTreeSet::new() } else { without });
        });
        self.looking = Some(looking);
    }
}

/// Joins the group under a name of its own and without a part in the input, and leaves it.
fn deal_out(config: &Config, pulse: &Arc<Pulse>, wait: Duration) -> Result<(), KafkaError> {
    let observer = Observer { pulse: Arc::clone(pulse) };
    let guest: BaseConsumer<Observer> = client::guest(config).create_with_context(observer)?;
    guest.subscribe(&[&config.changelog])?;
    let until = Deadline::after(wait);
    while guest.assignment()?.count() == 0 && !until.over() {
        // What it reads of the changelog is nothing to anybody.
        drop(guest.poll(GUEST_POLL));
    }
    Ok(())
}

/// The partitions without an owner, and whether it is this worker who must act.
type Seen = (BTreeSet<PartitionId>, bool);

/// One look; nothing has no owner while the group is changing.
fn look(client: &BaseConsumer<Observer>, config: &Config, wait: Duration) -> Result<Seen, KafkaError> {
    let metadata = client.fetch_metadata(Some(&config.input), wait)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == config.input);
    let partitions: BTreeSet<PartitionId> =
        topic.into_iter().flat_map(|topic| topic.partitions()).map(rdkafka::metadata::MetadataPartition::id).collect();
    let groups = client.fetch_group_list(Some(&config.group), wait)?;
    let group = groups.groups().iter().find(|group| group.name() == config.group);
    Ok(group.filter(|group| group.state() == STABLE).map_or_else(Seen::default, |group| {
        let owned = owned(group, &config.input);
        let first = group.members().iter().map(|member| member.client_id()).filter(|id| client::is_worker(id)).min();
        let without = owned.map_or_else(BTreeSet::new, |owned| partitions.difference(&owned).copied().collect());
        (without, first == Some(client::name(config).as_str()))
    }))
}

/// What the members of a group own of a topic; none where one member's assignment cannot be read.
fn owned(group: &GroupInfo, topic: &str) -> Option<BTreeSet<PartitionId>> {
    let mut owned = BTreeSet::new();
    for assignment in group.members().iter().filter_map(|member| member.assignment()) {
        owned.extend(assigned(assignment, topic)?);
    }
    Some(owned)
}

/// The partitions of a topic in a member's assignment, as `ConsumerProtocolAssignment` of Kafka's protocol has it.
fn assigned(mut bytes: &[u8], topic: &str) -> Option<Vec<PartitionId>> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Some(partitions);
    }
    let _version = i16::from_be_bytes(take(&mut bytes)?);
    for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
        let length = usize::from(u16::from_be_bytes(take(&mut bytes)?));
        let (name, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
            let partition = PartitionId::from_be_bytes(take(&mut bytes)?);
            if name == topic.as_bytes() {
                partitions.push(partition);
            }
        }
    }
    Some(partitions)
}

/// The next bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An assignment: topics with their partitions, and no user data.
    fn assignment(topics: &[(&str, &[PartitionId])]) -> Vec<u8> {
        let mut bytes = 1_i16.to_be_bytes().to_vec();
        bytes.extend(u32::try_from(topics.len()).expect("few").to_be_bytes());
        for (name, partitions) in topics {
            bytes.extend(u16::try_from(name.len()).expect("short").to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(u32::try_from(partitions.len()).expect("few").to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
        }
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    }

    #[test]
    fn an_assignment_names_the_partitions_of_each_topic() {
        let bytes = assignment(&[("in", &[0, 2]), ("other", &[7]), ("in", &[5])]);
        assert_eq!(assigned(&bytes, "in"), Some(vec![0, 2, 5]));
        assert_eq!(assigned(&bytes, "other"), Some(vec![7]));
        assert_eq!(assigned(&bytes, "none"), Some(vec![]));
        assert_eq!(assigned(&[], "in"), Some(vec![]), "a member that was given nothing");
    }

    #[test]
    fn an_assignment_that_is_cut_is_not_taken_for_one_of_less() {
        let whole = assignment(&[("in", &[0, 2]), ("other", &[7])]);
        let read = whole.len() - 4;
        for length in 1..read {
            assert_eq!(assigned(&whole[..length], "in"), None, "{length} of {read} bytes");
        }
    }
}
