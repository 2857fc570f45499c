//! The thread that runs a worker's transactions, one at a time, while the worker goes on. See ADR 0026.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata},
};
use tillwatch_core::log::Commit;

use crate::{
    config::Config,
    context::Member,
    transaction::{Outcome, Transactions},
};

/// A transaction that is to be run.
pub(crate) struct Job {
    pub(crate) config: Arc<Config>,
    pub(crate) transactions: Transactions,
    pub(crate) commits: Vec<Commit>,
    pub(crate) offsets: TopicPartitionList,
    /// Whether partitions were lost is asked here.
    pub(crate) consumer: Arc<BaseConsumer<Member>>,
    pub(crate) metadata: Arc<ConsumerGroupMetadata>,
}

/// A transaction that has been run, with the producer that ran it.
pub(crate) struct Run {
    pub(crate) transactions: Transactions,
    pub(crate) commits: Vec<Commit>,
    pub(crate) outcome: Outcome,
}

impl Job {
    fn run(self) -> Run {
        let Self { config, transactions, commits, offsets, consumer, metadata } = self;
        let still_ours = || !consumer.assignment_lost();
        let outcome = transactions.run(&config, &commits, &offsets, &metadata, &still_ours);
        Run { transactions, commits, outcome }
    }
}

/// The thread; it ends with this.
pub(crate) struct Committer {
    jobs: Sender<Job>,
    runs: Receiver<Run>,
    busy: bool,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none to give.
    pub(crate) fn start(slot: &str) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (done, runs) = mpsc::channel();
        let work = move || {
            for job in todo {
                if done.send(job.run()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name(format!("commit-{slot}")).spawn(work)?;
        Ok(Self { jobs, runs, busy: false })
    }

    /// Runs a transaction; [`Committer::ended`] has given back the one before.
    ///
    /// # Panics
    /// The thread has panicked, which it said.
    pub(crate) fn begin(&mut self, job: Job) {
        assert!(!std::mem::replace(&mut self.busy, true), "invariant: one commit is under way at a time");
        assert!(self.jobs.send(job).is_ok(), "the thread that commits has panicked");
    }

    /// The transaction that was begun, once it has ended, for which `wait` waits.
    ///
    /// # Panics
    /// The thread has panicked, which it said.
    pub(crate) fn ended(&mut self, wait: bool) -> Option<Run> {
        if !self.busy {
            return None;
        }
        let run = if wait {
            Some(self.runs.recv().expect("the thread that commits has panicked"))
        } else {
            match self.runs.try_recv() {
                Ok(run) => Some(run),
                Err(mpsc::TryRecvError::Empty) => None,
                Err(mpsc::TryRecvError::Disconnected) => panic!("the thread that commits has panicked"),
            }
        };
        self.busy = run.is_none();
        run
    }
}
