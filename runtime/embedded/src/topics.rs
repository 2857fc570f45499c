//! The table of topics: names, numbers of partitions, and the flat index of every partition.
//!
//! Ids and partition counts are fixed once the log exists. A topic that options no longer name keeps its place.

use serde::{Deserialize, Serialize};
use tillwatch_core::{
    log::{LogError, PartitionId},
    stage::Stage,
};

use crate::{
    acknowledged::ENDS_MAX,
    fault,
    options::{Options, Retention, TopicOptions},
};

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) partitions: u32,
    /// Flat index of its first partition.
    pub(crate) first: usize,
    /// None where the options no longer name it: its records stay.
    pub(crate) retention: Option<Retention>,
}

/// A topic as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) partitions: u32,
}

/// All topics, by id.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    all: Vec<Topic>,
    /// Id of the input.
    input: usize,
    /// Id of each output in use.
    outputs: Vec<(tillwatch_core::log::Topic, usize)>,
}

impl Topics {
    /// Joins what is stored (by id) with what the options want; new topics come last.
    pub(crate) fn new(stored: Vec<Row>, options: &Options) -> Result<Self, LogError> {
        let mut table = Self { all: Vec::new(), input: 0, outputs: Vec::new() };
        for row in stored {
            table.push(row.name, row.partitions);
        }
        table.input = table.join(&options.input)?;
        for (output, topic) in &options.outputs {
            let id = table.join(topic)?;
            if id == table.input {
                return Err(fault::config("log-partitions", format!("{} is both the input and an output", topic.name)));
            }
            table.outputs.push((*output, id));
        }
        let count = table.count();
        let most = options.limits.partitions_max.min(ENDS_MAX);
        if count > most {
            let what =
                format!("the topics have {count} partitions together, at most {most} are possible (partitions_max)");
            return Err(fault::config("log-partitions", what));
        }
        Ok(table)
    }

    fn push(&mut self, name: String, partitions: u32) -> usize {
        let id = u16::try_from(self.all.len()).expect("invariant: partitions_max bounds the topics");
        let first = self.count();
        self.all.push(Topic { id, name, partitions, first, retention: None });
        usize::from(id)
    }

    fn join(&mut self, wanted: &TopicOptions) -> Result<usize, LogError> {
        let bad = |what: String| Err(fault::config("log-partitions", what));
        let name = &wanted.name;
        let Some(partitions) = u32::try_from(wanted.partitions).ok().filter(|count| *count > 0) else {
            return bad(format!("{name} is to have {} partitions; at least 1 is needed", wanted.partitions));
        };
        if usize::try_from(partitions).is_ok_and(|count| count > ENDS_MAX) {
            return bad(format!("{name} is to have {partitions} partitions, at most {ENDS_MAX} are possible"));
        }
        let id = match self.all.iter().position(|topic| topic.name == *name) {
            Some(id) if self.all[id].partitions == partitions => id,
            Some(id) => {
                let there = self.all[id].partitions;
                return bad(format!(
                    "{name} has {there} partitions in this log and the configuration says {partitions}. State follows its partition: \
                     configure {there}, or start with another directory"
                ));
            }
            None => self.push(name.clone(), partitions),
        };
        self.all[id].retention = Some(wanted.retention);
        Ok(id)
    }

    /// All topics, by id.
    pub(crate) fn all(&self) -> &[Topic] {
        &self.all
    }

    /// The input.
    pub(crate) fn input(&self) -> &Topic {
        &self.all[self.input]
    }

    /// An output; none where the options name none for it.
    pub(crate) fn output(&self, output: tillwatch_core::log::Topic) -> Option<&Topic> {
        self.outputs.iter().find(|(which, _)| *which == output).map(|(_, id)| &self.all[*id])
    }

    /// What a stage reads.
    pub(crate) fn of_stage(&self, stage: Stage) -> Result<&Topic, LogError> {
        match stage {
            Stage::First => Ok(self.input()),
            Stage::Second => self.output(tillwatch_core::log::Topic::Evidence).ok_or_else(|| {
                fault::misuse("the second stage reads the topic of evidence, which the options do not name".to_owned())
            }),
        }
    }

    /// Partitions of all topics.
    pub(crate) fn count(&self) -> usize {
        self.all.iter().map(Topic::count).sum()
    }

    /// The topic and partition of a flat index.
    pub(crate) fn at(&self, index: usize) -> (&Topic, u32) {
        let topic =
            self.all.iter().rev().find(|topic| topic.first <= index).expect("invariant: indexes are the table's");
        (topic, u32::try_from(index - topic.first).expect("invariant: partition counts are u32"))
    }

    /// The flat index of a partition, by the topic's name.
    pub(crate) fn index(&self, name: &str, partition: PartitionId) -> Result<usize, LogError> {
        let Some(topic) = self.all.iter().find(|topic| topic.name == name) else {
            let names: Vec<&str> = self.all.iter().map(|topic| topic.name.as_str()).collect();
            return Err(fault::config(
                "log-topic",
                format!("this log has no topic {name}; it has {}", names.join(", ")),
            ));
        };
        topic.index(partition)
    }
}

impl Topic {
    /// Partitions.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.partitions).expect("invariant: at most ENDS_MAX")
    }

    /// The flat index of a partition.
    pub(crate) fn index(&self, partition: PartitionId) -> Result<usize, LogError> {
        usize::try_from(partition)
            .ok()
            .filter(|index| *index < self.count())
            .map(|index| self.first + index)
            .ok_or_else(|| {
                let what = format!("{} has no partition {partition}, it has {}", self.name, self.partitions);
                fault::config("log-topic", what)
            })
    }

    /// The partition of a key: the same in every process, and for a given number of partitions for ever.
    pub(crate) fn partition_of(&self, key: &[u8]) -> PartitionId {
        PartitionId::try_from(crc32fast::hash(key) % self.partitions).expect("invariant: at most ENDS_MAX partitions")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn options() -> Options {
        Options::new(3, Arc::new(|| 0))
    }

    fn stored(table: &Topics) -> Vec<Row> {
        table.all().iter().map(|topic| Row { name: topic.name.clone(), partitions: topic.partitions }).collect()
    }

    #[test]
    fn partitions_have_one_index_each_and_keep_it_when_topics_come_and_go() {
        let table = Topics::new(Vec::new(), &options()).unwrap();
        assert_eq!(table.count(), 9);
        assert_eq!(table.index("pos.events", 2).unwrap(), 2);
        assert_eq!(table.index("pos.findings", 0).unwrap(), 3);
        let (topic, partition) = table.at(2);
        assert_eq!((topic.name.as_str(), partition), ("pos.events", 2));

        let mut later = options();
        later.outputs.remove(1);
        later.outputs.push((
            tillwatch_core::log::Topic::Commands,
            TopicOptions { name: "orders".to_owned(), partitions: 2, retention: Retention::default() },
        ));
        let again = Topics::new(stored(&table), &later).unwrap();
        assert_eq!(again.index("pos.findings", 0).unwrap(), 3);
        assert_eq!(again.index("orders", 1).unwrap(), 10);
        assert_eq!(again.all()[2].retention, None, "the topic that nobody names keeps its records");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let table = Topics::new(Vec::new(), &options()).unwrap();
        let error = Topics::new(stored(&table), &Options::new(4, Arc::new(|| 0))).unwrap_err();
        assert_eq!((error.code, error.retry), ("log-partitions", false));
        assert!(error.what.contains("pos.events has 3 partitions in this log and the configuration says 4"), "{error}");
        assert!(Topics::new(Vec::new(), &Options::new(0, Arc::new(|| 0))).is_err());
        assert!(
            Topics::new(Vec::new(), &Options::new(1_020, Arc::new(|| 0))).unwrap_err().what.contains("partitions_max")
        );
        assert!(table.index("pos.event", 0).unwrap_err().what.contains("no topic pos.event;"));
        assert!(table.index("pos.events", 3).unwrap_err().what.contains("no partition 3"));
        assert!(table.index("pos.events", -1).is_err());
    }
}
