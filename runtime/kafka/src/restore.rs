//! Reading what a partition has committed: its position and its changelog, once the transactions of a dead predecessor are decided.
//!
//! A dead worker may have left a transaction open. Until it ends, readers of committed records are held back, and so is the committed offset.
//! Its id stands in the offset's metadata, so it is ended at once; without an id (a group's first commit) the broker's time-out ends it.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tillwatch_core::log::{LogError, PartitionId, Restoring, Who};

use crate::{
    admin::Counts,
    client,
    config::Config,
    context::{Observer, Pulse},
    error,
    position::{self, Committed},
    transaction::Transactions,
    wait::Deadline,
};

/// How often in a row the log must be seen held back before somebody's transaction is ended: a live worker's commit takes a moment too.
const HELD_BACK_LOOKS: u32 = 3;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// How long the first question for the stable offset may take; an undecided one does not answer.
const STABLE_WAIT: Duration = Duration::from_millis(500);
/// After so many times the longest life of a transaction one that is still undecided is said to hang.
const TRANSACTIONS_MAX: u32 = 3;
/// Changelog records between two reports of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// Two consumers that know the group and have not joined it.
pub(crate) struct Restore {
    /// Sees the stable offset, the last stable offset of a log, and committed records.
    committed: BaseConsumer<Observer>,
    /// Sees the last committed offset and the true end of a log.
    raw: Arc<BaseConsumer<Observer>>,
}

impl Restore {
    pub(crate) fn open(config: &Config, pulse: &Arc<Pulse>) -> Result<Self, LogError> {
        let make = |client: rdkafka::ClientConfig| {
            client
                .create_with_context(Observer { pulse: Arc::clone(pulse) })
                .map_err(|error| error::of(&error, "starting the consumer for restores"))
        };
        Ok(Self {
            committed: make(client::reader(config))?,
            raw: Arc::new(make(client::consumer(config, "read_uncommitted"))?),
        })
    }

    /// A client for questions about topics and the group.
    pub(crate) fn client(&self) -> &Arc<BaseConsumer<Observer>> {
        &self.raw
    }

    /// The stable committed offset of a partition of the input, decided. `own` is the caller's transactional id: it has nothing open.
    pub(crate) fn position(
        &self,
        config: &Config,
        partition: PartitionId,
        own: &str,
        pulse: &Arc<Pulse>,
    ) -> Result<Option<Committed>, LogError> {
        let last = self.offset(&self.raw, config, partition, client::request(config))?;
        let by = last.as_ref().map(|committed| committed.by.as_str()).filter(|by| *by != own);
        let held = self.held_back(config, partition)?;
        if !held {
            match self.offset(&self.committed, config, partition, STABLE_WAIT) {
                Ok(stable) => return Ok(stable),
                Err(error) if error.retry => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(by) = by {
            drop(Transactions::open(config, by, pulse, Counts::default())?);
        }
        self.offset(&self.committed, config, partition, undecided(config)).map_err(|error| match error.code {
            "kafka-timeout" => {
                hanging(config, &format!("the committed offset of {}-{partition}", config.input), &error.what)
            }
            _ => error,
        })
    }

    /// Whether an undecided transaction stands in the changelog, and goes on standing there.
    fn held_back(&self, config: &Config, partition: PartitionId) -> Result<bool, LogError> {
        for look in 0..HELD_BACK_LOOKS {
            if look > 0 {
                // Waits, and serves the client's events meanwhile; nothing is assigned, so no record comes.
                self.committed.poll(LOOK_EVERY);
            }
            let (_, end) = self.ends(&self.raw, config, partition)?;
            let (_, stable) = self.ends(&self.committed, config, partition)?;
            if stable >= end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn offset(
        &self,
        consumer: &BaseConsumer<Observer>,
        config: &Config,
        partition: PartitionId,
        wait: Duration,
    ) -> Result<Option<Committed>, LogError> {
        let what = || format!("reading the committed offset of {}-{partition} in group {}", config.input, config.group);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&config.input, partition);
        let answer = consumer.committed_offsets(asked, wait).map_err(|error| error::of_known(&error, &what()))?;
        let element =
            answer.find_partition(&config.input, partition).expect("invariant: the answer has what was asked");
        element.error().map_err(|error| error::of_known(&error, &what()))?;
        match element.offset() {
            Offset::Offset(offset) => Committed::parse(element.metadata(), offset)
                .map(Some)
                .map_err(|why| position::unreadable(&config.group, &config.input, partition, offset, why)),
            _ => Ok(None),
        }
    }

    /// The end of a partition of the input.
    pub(crate) fn end_of_input(&self, config: &Config, partition: PartitionId) -> Result<i64, LogError> {
        let (_, end) = self
            .raw
            .fetch_watermarks(&config.input, partition, client::request(config))
            .map_err(|error| error::of_known(&error, &format!("reading the end of {}-{partition}", config.input)))?;
        Ok(end)
    }

    /// Beginning and end of a changelog partition as a consumer's isolation sees them.
    fn ends(
        &self,
        consumer: &BaseConsumer<Observer>,
        config: &Config,
        partition: PartitionId,
    ) -> Result<(i64, i64), LogError> {
        consumer
            .fetch_watermarks(&config.changelog, partition, client::request(config))
            .map_err(|error| error::of_known(&error, &format!("reading the ends of {}-{partition}", config.changelog)))
    }

    /// Hands every committed changelog record of a partition to `each`, in order.
    #[allow(clippy::type_complexity, reason = "a callback with a key and a value says more than an alias")]
    pub(crate) fn changelog(
        &self,
        config: &Config,
        partition: PartitionId,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>),
        progress: &mut dyn FnMut(Restoring),
    ) -> Result<(), LogError> {
        let topic = &config.changelog;
        let what = || format!("restoring from {topic}-{partition}");
        let (begin, end) = self.ends(&self.raw, config, partition)?;
        self.decided(config, partition, end)?;
        let total = u64::try_from(end - begin).unwrap_or(0);
        let mut read = 0;
        progress(Restoring { partition, read, total });
        if begin < end {
            let mut assignment = TopicPartitionList::new();
            assignment
                .add_partition_offset(topic, partition, Offset::Offset(begin))
                .and_then(|()| self.committed.assign(&assignment))
                .map_err(|error| error::of_known(&error, &what()))?;
            let done = self.read_to(config, partition, end, &what, &mut |message| {
                each(message.key().unwrap_or_default(), message.payload());
                read += 1;
                if read % PROGRESS_EVERY == 0 {
                    progress(Restoring { partition, read, total });
                }
            });
            self.committed.unassign().map_err(|error| error::of(&error, &what()))?;
            done?;
        }
        // Markers of transactions and what was compacted away are in the total too.
        progress(Restoring { partition, read: total, total });
        Ok(())
    }

    /// Waits until everything before `end` is committed or aborted.
    fn decided(&self, config: &Config, partition: PartitionId, end: i64) -> Result<(), LogError> {
        let deadline = Deadline::after(undecided(config));
        loop {
            let (_, stable) = self.ends(&self.committed, config, partition)?;
            if stable >= end {
                return Ok(());
            }
            if deadline.over() {
                let what = format!("{}-{partition}", config.changelog);
                return Err(hanging(config, &what, &format!("stable is {stable} of {end}")));
            }
            self.committed.poll(LOOK_EVERY);
        }
    }

    fn read_to(
        &self,
        config: &Config,
        partition: PartitionId,
        end: i64,
        what: &dyn Fn() -> String,
        each: &mut dyn FnMut(&rdkafka::message::BorrowedMessage<'_>),
    ) -> Result<(), LogError> {
        let mut deadline = Deadline::after(client::request(config));
        loop {
            match self.committed.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    if message.offset() < end {
                        each(&message);
                    }
                    if message.offset() + 1 >= end {
                        return Ok(());
                    }
                    deadline = Deadline::after(client::request(config));
                }
                // The stable end was at or behind `end` before the reading began.
                Some(Err(KafkaError::PartitionEOF(ended))) if ended == partition => return Ok(()),
                Some(Err(failure)) => {
                    let class = error::of_known(&failure, &what());
                    if !class.retry {
                        return Err(class);
                    }
                }
                None => {}
            }
            if deadline.over() {
                return Err(error::of_code(
                    RDKafkaErrorCode::OperationTimedOut,
                    &format!("{}: no record came", what()),
                ));
            }
        }
    }
}

/// How long somebody's transaction may stay undecided before that is said: the broker ends one by itself well within this.
fn undecided(config: &Config) -> Duration {
    let timeouts = &config.timeouts;
    Duration::from_millis(timeouts.transaction_ms.saturating_mul(TRANSACTIONS_MAX).min(timeouts.restore_ms).into())
}

/// The error for a transaction that nobody ends.
fn hanging(config: &Config, what: &str, detail: &str) -> LogError {
    LogError {
        code: "transaction-hanging",
        what: format!(
            "{what} has been held back by an undecided transaction for more than {} ms ({detail}). The broker ends one by itself after its \
             time-out; one that stays is found with kafka-transactions.sh find-hanging and ended with kafka-transactions.sh abort",
            undecided(config).as_millis()
        ),
        who: Who::Operations,
        retry: true,
    }
}
