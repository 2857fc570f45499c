//! Reading committed records of whole topics, outside of any group: for `export`, tests and tools.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tillwatch_core::{
    Instant,
    log::{LogError, PartitionId, RawRecord},
};

use crate::{
    admin, client,
    config::Config,
    context::{Observer, Pulse},
    error, log,
    wait::Deadline,
};

/// Reads the committed records of a topic whose timestamps lie in `from..to`, up to the ends asked for at the start; partitions are
/// interleaved, each is in order. Returns how many there were.
///
/// # Errors
/// See [`LogError::retry`]; records may have been handed out before it.
pub fn read_range(
    config: &Config,
    topic: &str,
    from: Option<Instant>,
    to: Option<Instant>,
    each: &mut dyn FnMut(PartitionId, RawRecord<'_>),
) -> Result<u64, LogError> {
    let mut reader = Reader::make(config, topic)?;
    let ends = reader.ends(config)?;
    reader.begin(config, from)?;
    let mut open: Vec<(PartitionId, i64)> = ends.into_iter().filter(|(_, end)| *end > 0).collect();
    let mut read = 0;
    let mut deadline = Deadline::after(client::request(config));
    while !open.is_empty() {
        match reader.consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                deadline = Deadline::after(client::request(config));
                let at = message.timestamp().to_millis().unwrap_or(0);
                let wanted = open.iter().any(|(id, end)| *id == message.partition() && message.offset() < *end);
                if wanted && from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to) {
                    log::record(&message, at, |record| each(message.partition(), record));
                    read += 1;
                }
                open.retain(|(id, end)| *id != message.partition() || message.offset() + 1 < *end);
            }
            // What was the last stable offset at the start is behind us.
            Some(Err(KafkaError::PartitionEOF(ended))) => open.retain(|(id, _)| *id != ended),
            Some(Err(failure)) => {
                let class = reader.pulse.explain(&failure, &format!("reading {topic}"));
                if !class.retry {
                    return Err(class);
                }
            }
            None => {}
        }
        if deadline.over() {
            return Err(error::of_code(
                RDKafkaErrorCode::OperationTimedOut,
                &format!("reading {topic}: no record came"),
            ));
        }
    }
    Ok(read)
}

/// Reads a topic's committed records from its beginning, for as long as one likes.
pub struct Reader {
    topic: String,
    pulse: Arc<Pulse>,
    consumer: BaseConsumer<Observer>,
    partitions: Vec<PartitionId>,
}

impl Reader {
    /// Begins at the beginning of every partition.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    pub fn open(config: &Config, topic: &str) -> Result<Self, LogError> {
        let mut reader = Self::make(config, topic)?;
        reader.begin(config, None)?;
        Ok(reader)
    }

    /// Hands out what there is, after waiting at most `wait` for something. Returns how many records.
    ///
    /// # Errors
    /// See [`LogError::retry`].
    pub fn poll(
        &mut self,
        wait: Duration,
        each: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<usize, LogError> {
        let deadline = Deadline::after(wait);
        let mut read = 0;
        loop {
            let left = if read == 0 { deadline.left() } else { Duration::ZERO };
            match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    let at = message.timestamp().to_millis().unwrap_or(0);
                    log::record(&message, at, |record| each(message.partition(), record));
                    read += 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(failure)) => return Err(self.pulse.explain(&failure, &format!("reading {}", self.topic))),
                None => return Ok(read),
            }
        }
    }

    fn make(config: &Config, topic: &str) -> Result<Self, LogError> {
        let pulse = Arc::new(Pulse::default());
        let consumer: BaseConsumer<Observer> = client::reader(config)
            .create_with_context(Observer { pulse: Arc::clone(&pulse) })
            .map_err(|error| error::of(&error, &format!("starting a reader of {topic}")))?;
        let metadata = admin::metadata(&consumer, config, Some(topic), || {
            format!("asking {} for topic {topic}", config.brokers.join(","))
        })?;
        let partitions: Vec<PartitionId> = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic)
            .flat_map(|found| found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id))
            .collect();
        if partitions.is_empty() {
            let what = format!("topic {topic} does not exist on {}", config.brokers.join(","));
            return Err(error::of_code(RDKafkaErrorCode::UnknownTopicOrPartition, &what));
        }
        Ok(Self { topic: topic.to_owned(), pulse, consumer, partitions })
    }

    /// The last stable offset of every partition; zero where it is empty.
    fn ends(&self, config: &Config) -> Result<Vec<(PartitionId, i64)>, LogError> {
        self.partitions
            .iter()
            .map(|&id| {
                let ends = self.consumer.fetch_watermarks(&self.topic, id, client::request(config));
                let (begin, end) =
                    ends.map_err(|error| error::of(&error, &format!("reading the ends of {}-{id}", self.topic)))?;
                Ok((id, if begin == end { 0 } else { end }))
            })
            .collect()
    }

    fn begin(&mut self, config: &Config, from: Option<Instant>) -> Result<(), LogError> {
        let what = || format!("starting to read {}", self.topic);
        let offset = from.map_or(Offset::Beginning, Offset::Offset);
        let mut assignment = TopicPartitionList::with_capacity(self.partitions.len());
        for &id in &self.partitions {
            assignment.add_partition_offset(&self.topic, id, offset).map_err(|error| error::of(&error, &what()))?;
        }
        if from.is_some() {
            assignment = self
                .consumer
                .offsets_for_times(assignment, client::request(config))
                .map_err(|error| error::of(&error, &what()))?;
        }
        self.consumer.assign(&assignment).map_err(|error| error::of(&error, &what()))
    }
}
