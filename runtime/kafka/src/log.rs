//! [`KafkaLog`]: one worker's share of Kafka, a consumer that is a static member of the group and a transactional producer. The worker's
//! thread does all but a transaction, which has one of its own.
//!
//! Owns which partitions are this worker's and what the driver must still answer. A rebalance is recorded in librdkafka's callback, told by
//! `poll`, and answered by `start` and `release`; until then librdkafka keeps all partitions paused, so no record overtakes the change.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    Message, Offset, Timestamp, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Headers as _, OwnedMessage},
};
use tillwatch_core::{
    log::{
        Commit, Committed, Ended, Log, LogError, PartitionId, Polled, Position, RawRecord, Restoring, Tick, Ticked, Who,
    },
    stage::LeftOut,
};

use crate::{
    admin, client,
    committer::{Committer, Job, Run},
    config::Config,
    context::{Change, Health, Member, Pulse},
    cover::Cover,
    error,
    position::{self, Committed as Stored},
    restore::Restore,
    tick::Ticks,
    transaction::{Outcome, Transactions},
    wait::Deadline,
};

/// How often in a row a new producer may be fenced before another live worker with the same slot must be assumed. Being fenced once is
/// normal: a successor that took this worker for dead, or a transaction that the broker timed out.
const FENCED_MAX: u32 = 3;
/// Within this time of being fenced from the group, being fenced again means another live worker with the same slot. Once is normal: a static
/// member whose request to join was lost with its broker asks again under a new id, and fences its own first attempt.
const FENCED_AGAIN: Duration = Duration::from_secs(30);
/// How long closing waits for ticks under way.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// What is known of a partition that is this worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Assigned, not read yet.
    Assigned,
    /// Read; the offset is behind the last record that was handed out.
    Started { next: i64 },
    /// Taken away, not released yet.
    Revoking { started: bool },
    /// Gone, not released yet.
    Lost { started: bool },
}

/// [`Log`] on Apache Kafka. See ADR 0005 for what stands in the committed offsets.
pub struct KafkaLog {
    config: Arc<Config>,
    id: String,
    counts: admin::Counts,
    pulse: Arc<Pulse>,
    consumer: Option<Arc<BaseConsumer<Member>>>,
    /// None where it must be made anew, and while a commit is under way.
    transactions: Option<Transactions>,
    committer: Committer,
    /// How the last commit ended, until the driver asks.
    ended: Option<Ended>,
    restore: Restore,
    /// None where the input may not be written to.
    ticks: Option<Ticks>,
    cover: Cover,
    shares: BTreeMap<PartitionId, Share>,
    fenced: u32,
    /// Until when being fenced from the group again means a twin.
    twin: Option<Deadline>,
    /// Whether librdkafka waits for the answer to a revocation.
    unanswered: bool,
    /// Whether the driver was told that no broker is to be reached.
    away: bool,
    /// Whether reading rests while the group is listened to.
    paused: bool,
    /// What came all the same.
    kept: Vec<OwnedMessage>,
}

impl KafkaLog {
    /// Connects, ends what this slot's predecessor left open, and joins the group.
    ///
    /// # Errors
    /// A configuration that is wrong, topics that are missing or do not fit each other, brokers that do not answer; see [`LogError::retry`].
    pub fn connect(config: &Config) -> Result<Self, LogError> {
        config.validate().map_err(|wrong| {
            let list: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            LogError { code: "kafka-config", what: list.join("; "), who: Who::Config, retry: false }
        })?;
        let pulse = Arc::new(Pulse::default());
        let restore = Restore::open(config, &pulse)?;
        let counts = admin::ready(config, restore.client())?;
        let id = config.transactional_id();
        let transactions = Transactions::open(config, &id, &pulse, counts)?;
        let ticks = (!config.local_ticks).then(|| Ticks::open(config, &pulse)).transpose()?;
        let committer = Committer::start(&config.slot).map_err(|error| LogError {
            code: "no-thread",
            what: format!("starting the thread that commits: {error}. Let this process have more threads"),
            who: Who::Operations,
            retry: false,
        })?;
        let consumer = member(config, &pulse)?;
        Ok(Self {
            config: Arc::new(config.clone()),
            id,
            counts,
            pulse,
            consumer: Some(consumer),
            transactions: Some(transactions),
            committer,
            ended: None,
            restore,
            ticks,
            cover: Cover::new(config),
            shares: BTreeMap::new(),
            fenced: 0,
            twin: None,
            unanswered: false,
            away: false,
            paused: false,
            kept: Vec::new(),
        })
    }

    /// What is known about the connection.
    #[must_use]
    pub fn health(&self) -> Health {
        self.pulse.read()
    }

    fn consumer(&self) -> &Arc<BaseConsumer<Member>> {
        self.consumer.as_ref().expect("invariant: a log is not used after close")
    }

    /// Tells the driver of a change of ownership, if there is one.
    fn change(&mut self) -> Result<Option<Polled>, LogError> {
        let Some(change) = self.consumer().context().take_change() else { return Ok(None) };
        match change {
            // Every rebalance has an assignment, most often of nothing; it is answered at once so that the others go on.
            Change::Assign(ids) if ids.is_empty() => {
                self.assign(&TopicPartitionList::new())?;
                Ok(Some(Polled::Assigned(ids)))
            }
            Change::Assign(ids) => {
                self.shares.extend(ids.iter().map(|&id| (id, Share::Assigned)));
                Ok(Some(Polled::Assigned(ids)))
            }
            Change::Revoke(ids) => {
                self.leave(&ids, |started| Share::Revoking { started });
                Ok(Some(Polled::Revoking(ids)))
            }
            Change::Lost(ids) => {
                self.leave(&ids, |started| Share::Lost { started });
                Ok(Some(Polled::Lost(ids)))
            }
        }
    }

    fn leave(&mut self, ids: &[PartitionId], share: impl Fn(bool) -> Share) {
        for id in ids {
            let started = matches!(self.shares.get(id), Some(Share::Started { .. }));
            self.shares.insert(*id, share(started));
        }
        self.unanswered = true;
    }

    /// Joins the group anew after its consumer has failed for good; all partitions are gone.
    fn rejoin(&mut self) -> Result<Polled, LogError> {
        // A transaction under way holds the consumer.
        self.land(true);
        self.consumer().context().close();
        self.consumer = Some(member(&self.config, &self.pulse)?);
        self.unanswered = false;
        self.paused = false;
        self.kept.clear();
        for share in self.shares.values_mut() {
            *share = Share::Lost { started: false };
        }
        Ok(Polled::Lost(self.shares.keys().copied().collect()))
    }

    fn assign(&self, partitions: &TopicPartitionList) -> Result<(), LogError> {
        self.consumer()
            .incremental_assign(partitions)
            .map_err(|error| error::of(&error, &format!("taking partitions of {}", self.config.input)))
    }

    fn sink(
        &mut self,
        message: &impl Message,
        sink: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<(), LogError> {
        let (partition, offset) = (message.partition(), message.offset());
        let Some(Share::Started { next }) = self.shares.get_mut(&partition) else {
            // Fetched before a change of ownership that the driver knows of by now: the next owner reads it.
            return Ok(());
        };
        *next = offset + 1;
        let ingest = ingest(message, &self.config)?;
        record(message, ingest, |record| sink(partition, record));
        Ok(())
    }

    /// Waits and hears what the group says, and takes no record: a worker that cannot commit must still hear that its partitions are gone.
    fn serve(&mut self, wait: Duration) -> Result<Polled, LogError> {
        let consumer = Arc::clone(self.consumer());
        if !std::mem::replace(&mut self.paused, true) {
            self.assignment().and_then(|all| consumer.pause(&all)).map_err(|error| error::of(&error, "pausing"))?;
        }
        match consumer.poll(wait) {
            None => {}
            // It was on its way when its partition was paused.
            Some(Ok(message)) => self.kept.push(message.detach()),
            Some(Err(failure)) => match self.polled(&failure)? {
                Polled::Records => {}
                lost => return Ok(lost),
            },
        }
        Ok(self.change()?.unwrap_or(Polled::Records))
    }

    /// Ends what [`KafkaLog::serve`] has begun.
    fn go_on(&mut self, sink: &mut dyn FnMut(PartitionId, RawRecord<'_>)) -> Result<(), LogError> {
        if !std::mem::take(&mut self.paused) {
            return Ok(());
        }
        let consumer = Arc::clone(self.consumer());
        self.assignment().and_then(|all| consumer.resume(&all)).map_err(|error| error::of(&error, "resuming"))?;
        std::mem::take(&mut self.kept).iter().try_for_each(|message| self.sink(message, sink))
    }

    fn assignment(&self) -> Result<TopicPartitionList, KafkaError> {
        self.consumer().assignment()
    }

    /// What a consumer error means: nothing, the loss of all partitions, or an error for the driver.
    fn polled(&mut self, failure: &KafkaError) -> Result<Polled, LogError> {
        let explained = || self.pulse.explain(failure, &format!("polling {}", self.config.input));
        if matches!(failure, KafkaError::MessageConsumptionFatal(_)) {
            if self.twin.is_some_and(|twin| !twin.over()) {
                return Err(explained());
            }
            self.twin = Some(Deadline::after(FENCED_AGAIN));
            return self.rejoin();
        }
        match failure.rdkafka_error_code() {
            // It is told again with every attempt to connect.
            Some(RDKafkaErrorCode::AllBrokersDown) if self.away => Ok(Polled::Records),
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.away = true;
                Err(explained())
            }
            // One of several brokers, or time-outs that librdkafka retries by itself: `health` has the words.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                // A revocation as lost follows it.
                | RDKafkaErrorCode::PollExceeded,
            ) => Ok(Polled::Records),
            _ => Err(explained()),
        }
    }

    /// Takes the producer, made anew where it had to be given up. Waits for a commit under way.
    fn producer(&mut self) -> Result<Transactions, LogError> {
        self.land(true);
        if self.transactions.as_ref().is_some_and(Transactions::stale) {
            self.transactions = None;
        }
        if let Some(transactions) = self.transactions.take() {
            return Ok(transactions);
        }
        if self.fenced >= FENCED_MAX {
            let what = format!(
                "the producer {} was fenced {FENCED_MAX} times in a row: another worker with slot {} of group {} is running. Give every \
                 worker a slot of its own, or stop one",
                self.id, self.config.slot, self.config.group
            );
            return Err(LogError { code: "fenced", what, who: Who::Operations, retry: false });
        }
        Transactions::open(&self.config, &self.id, &self.pulse, self.counts)
    }

    /// Hands a transaction to the thread that runs it; the error is how it ended without having begun.
    fn run(&mut self, commits: Vec<Commit>) -> Result<(), Ended> {
        let refused = |commits, outcome| Err(Ended { commits, outcome });
        if let Some(reason) = self.not_ours(&commits) {
            return refused(commits, Ok(Committed::Aborted { reason }));
        }
        let prepared = self.offsets(&commits).and_then(|offsets| Ok((self.producer()?, offsets)));
        let (transactions, offsets) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return refused(commits, Err(error)),
        };
        let consumer = Arc::clone(self.consumer());
        let Some(metadata) = consumer.context().metadata() else {
            self.transactions = Some(transactions);
            let reason = format!("this worker is not in group {} at the moment", self.config.group);
            return refused(commits, Ok(Committed::Aborted { reason }));
        };
        let config = Arc::clone(&self.config);
        self.committer.begin(Job { config, transactions, commits, offsets, consumer, metadata });
        Ok(())
    }

    /// Takes in how the commit under way has ended, if there is one and it has; `wait` waits for that.
    fn land(&mut self, wait: bool) {
        let Some(Run { transactions, commits, outcome }) = self.committer.ended(wait) else { return };
        let (outcome, broken) = match outcome {
            Outcome::Done => {
                self.fenced = 0;
                (Ok(Committed::Done), None)
            }
            Outcome::Aborted(reason) => (Ok(Committed::Aborted { reason }), None),
            Outcome::Refused(refused) => (Err(refused), None),
            Outcome::Broken { why, fenced } => (Ok(Committed::Aborted { reason: why }), Some(fenced)),
            Outcome::Unknown { why, fenced } => (Ok(Committed::Unknown { reason: why }), Some(fenced)),
        };
        match broken {
            None => self.transactions = Some(transactions),
            Some(fenced) => self.fenced = if fenced { self.fenced + 1 } else { 0 },
        }
        self.ended = Some(Ended { commits, outcome });
    }

    /// Why these commits may not be made by this worker, if so.
    fn not_ours(&self, commits: &[Commit]) -> Option<String> {
        let foreign = commits.iter().find(|commit| {
            !matches!(self.shares.get(&commit.partition), Some(Share::Started { .. } | Share::Revoking { .. }))
        })?;
        Some(format!("{}-{} is not this worker's any more", self.config.input, foreign.partition))
    }

    fn offsets(&self, commits: &[Commit]) -> Result<TopicPartitionList, LogError> {
        let mut offsets = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            let stored = Stored { position: commit.position, by: self.id.clone() };
            let mut element = offsets.add_partition(&self.config.input, commit.partition);
            element
                .set_offset(Offset::Offset(commit.position.low))
                .map_err(|error| error::of(&error, "making offsets"))?;
            element.set_metadata(stored.encode());
        }
        Ok(offsets)
    }

    /// What stands with the committed offset of a partition.
    fn stored(&mut self, partition: PartitionId) -> Result<Option<Stored>, LogError> {
        // A new producer decides what the old one left undecided, so it comes first.
        self.transactions = Some(self.producer()?);
        self.restore.position(&self.config, partition, &self.id, &self.pulse)
    }

    /// Answers what is open, so that librdkafka can leave the group.
    fn settle(&mut self) -> Result<(), LogError> {
        if self.shares.values().any(|share| *share == Share::Assigned) {
            self.assign(&TopicPartitionList::new())?;
        }
        let leaving: Vec<PartitionId> = self
            .shares
            .iter()
            .filter(|(_, share)| matches!(share, Share::Revoking { .. } | Share::Lost { .. }))
            .map(|(&id, _)| id)
            .collect();
        if leaving.is_empty() { Ok(()) } else { self.release(&leaving) }
    }
}

impl Log for KafkaLog {
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        sink: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<Polled, LogError> {
        self.ticks.iter().for_each(Ticks::serve);
        self.cover.watch(&self.config, self.restore.client(), &self.pulse);
        self.away = self.away && !self.pulse.read().reachable;
        if let Some(change) = self.change()? {
            return Ok(change);
        }
        if max == 0 {
            return self.serve(wait);
        }
        self.go_on(sink)?;
        // Messages borrow the consumer, and handing one on changes `self`.
        let consumer = Arc::clone(self.consumer());
        let mut wait = wait;
        for _ in 0..max {
            let Some(polled) = consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => self.sink(&message, sink)?,
                Err(failure) => match self.polled(&failure)? {
                    Polled::Records => {}
                    lost => return Ok(lost),
                },
            }
        }
        Ok(self.change()?.unwrap_or(Polled::Records))
    }

    fn restore(
        &mut self,
        partition: PartitionId,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>),
        progress: &mut dyn FnMut(Restoring),
    ) -> Result<Option<Position>, LogError> {
        let stored = self.stored(partition)?;
        let mut marked = None;
        let mut each = |key: &[u8], value: Option<&[u8]>| {
            if key == position::MARK { marked = value.map(<[u8]>::to_vec) } else { each(key, value) }
        };
        self.restore.changelog(&self.config, partition, &mut each, progress)?;
        let Config { group, input, changelog, .. } = &*self.config;
        position::whole(stored.as_ref(), marked.as_deref())
            .map_err(|why| position::torn(group, input, changelog, partition, &why))?;
        Ok(stored.map(|stored| stored.position))
    }

    fn start(&mut self, partition: PartitionId, from: Option<i64>) -> Result<(), LogError> {
        let share = self.shares.get(&partition);
        assert_eq!(share, Some(&Share::Assigned), "invariant: only an assigned partition is started, once");
        let end = self.restore.end_of_input(&self.config, partition)?;
        let mut partitions = TopicPartitionList::new();
        partitions
            .add_partition_offset(&self.config.input, partition, from.map_or(Offset::Beginning, Offset::Offset))
            .map_err(|error| error::of(&error, &format!("starting {}-{partition}", self.config.input)))?;
        self.assign(&partitions)?;
        if !self.paused {
            // One that was taken away while reading rested is still at rest when it comes again.
            let resumed = self.consumer().resume(&partitions);
            resumed.map_err(|error| error::of(&error, &format!("starting {}-{partition}", self.config.input)))?;
        }
        self.consumer().context().start(partition, end);
        self.shares.insert(partition, Share::Started { next: from.unwrap_or(0) });
        Ok(())
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), LogError> {
        let mut leaving = TopicPartitionList::new();
        for partition in partitions {
            // What was never started is not in librdkafka's assignment.
            if let Some(Share::Revoking { started: true } | Share::Lost { started: true }) = self.shares.get(partition)
            {
                leaving.add_partition(&self.config.input, *partition);
            }
        }
        if std::mem::take(&mut self.unanswered) {
            self.consumer()
                .incremental_unassign(&leaving)
                .map_err(|error| error::of(&error, &format!("releasing partitions of {}", self.config.input)))?;
        }
        // They come again to whoever owns the partition next, and be it this worker.
        self.kept.retain(|message| !partitions.contains(&message.partition()));
        for partition in partitions {
            self.shares.remove(partition);
        }
        Ok(())
    }

    fn begin_commit(&mut self, commits: Vec<Commit>) {
        self.ended = self.run(commits).err();
    }

    fn ended(&mut self, wait: bool) -> Option<Ended> {
        self.land(wait);
        self.ended.take()
    }

    fn position(&mut self, partition: PartitionId) -> Result<Option<Position>, LogError> {
        Ok(self.stored(partition)?.map(|stored| stored.position))
    }

    fn tick(&mut self, partition: PartitionId, tick: Tick) -> Result<Ticked, LogError> {
        if let Some(ticks) = &self.ticks {
            ticks.append(&self.config.input, partition, tick.headers(), tick.blind.is_none())?;
            return Ok(Ticked::Appended);
        }
        let end = self.restore.end_of_input(&self.config, partition)?;
        self.consumer().context().see_end(partition, end);
        let started = match self.shares.get(&partition) {
            Some(Share::Started { next }) => Some(*next),
            _ => None,
        };
        let read = started.is_some() && self.end(partition) == started;
        Ok(if read { Ticked::Local } else { Ticked::Behind })
    }

    fn leave_out(&mut self, partition: PartitionId, left: LeftOut) -> Result<(), LogError> {
        let ticks = self.ticks.as_ref().expect("invariant: the second stage writes to its input");
        ticks.append(&self.config.input, partition, left.headers(), false)
    }

    fn end(&mut self, partition: PartitionId) -> Option<i64> {
        let Some(Share::Started { next }) = self.shares.get(&partition) else { return None };
        let seen = self.consumer().context().seen(partition)?;
        let kept = self.kept.iter().any(|message| message.partition() == partition);
        // Behind the last record there may be markers of transactions, and records of aborted ones: nothing that will ever be handed out.
        Some(if seen.read >= seen.end && !kept { *next } else { seen.end.max(*next) })
    }

    fn close(&mut self) -> Result<(), LogError> {
        if self.consumer.is_none() {
            return Ok(());
        }
        self.ticks.iter().for_each(|ticks| ticks.close(CLOSE_WAIT));
        self.land(true);
        self.transactions = None;
        self.consumer().context().close();
        while self.change()?.is_some() {}
        let settled = self.settle();
        self.consumer = None;
        settled
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // Whoever wants to know of a failure calls `close`.
        let _ = self.close();
    }
}

/// A consumer that joins the group.
fn member(config: &Config, pulse: &Arc<Pulse>) -> Result<Arc<BaseConsumer<Member>>, LogError> {
    let consumer: BaseConsumer<Member> = client::member(config)
        .create_with_context(Member::new(Arc::clone(pulse)))
        .map_err(|error| error::of(&error, "starting the consumer"))?;
    consumer
        .subscribe(&[&config.input])
        .map_err(|error| error::of(&error, &format!("subscribing to {}", config.input)))?;
    Ok(Arc::new(consumer))
}

/// A record's ingest time: the broker's, or the sender's where the config takes that.
fn ingest(message: &impl Message, config: &Config) -> Result<i64, LogError> {
    match message.timestamp() {
        Timestamp::LogAppendTime(at) => Ok(at),
        Timestamp::CreateTime(at) if config.recorded_timestamps => Ok(at),
        Timestamp::CreateTime(_) | Timestamp::NotAvailable => Err(LogError {
            code: "topic-settings",
            what: format!(
                "{}-{} at offset {} has no timestamp of the broker's. Set message.timestamp.type=LogAppendTime on the topic, see \
                 `tillwatch topics check`; where recorded timestamps are wanted, for a backfill, set `recorded_timestamps`",
                message.topic(),
                message.partition(),
                message.offset()
            ),
            who: Who::Operations,
            retry: false,
        }),
    }
}

/// Hands a message on as a record.
pub(crate) fn record(message: &impl Message, ingest: i64, sink: impl FnOnce(RawRecord<'_>)) {
    // The binding panics on a header whose name is no UTF-8, which any sender can write. Such a record is handed on without headers: it
    // cannot be decoded then, and goes to the dead letters with its bytes.
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .and_then(|headers| {
            catch_unwind(AssertUnwindSafe(|| {
                headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect()
            }))
            .ok()
        })
        .unwrap_or_default();
    sink(RawRecord {
        offset: message.offset(),
        ingest,
        key: message.key(),
        value: message.payload(),
        headers: &headers,
    });
}
