//! A log in memory that does what a script says, when it says it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use tillwatch_core::{
    Instant,
    cloudevents::tick_line,
    log::{
        Commit, Committed, Ended, Log, LogError, PartitionId, Polled, Position, RawRecord, Restoring, Tick, Ticked, Who,
    },
    stage::LeftOut,
};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Aborted,
    UnknownDone,
    UnknownNot,
    /// The log cannot be written to at the moment.
    Refused,
}

#[derive(Default)]
struct Inner {
    input: BTreeMap<PartitionId, Vec<(Instant, String)>>,
    next: BTreeMap<PartitionId, i64>,
    changelog: BTreeMap<(PartitionId, Vec<u8>), Vec<u8>>,
    positions: BTreeMap<PartitionId, Position>,
    durable: Vec<String>,
    commits: usize,
    script: VecDeque<Polled>,
    outcomes: VecDeque<Outcome>,
    /// Commits stay under way.
    slow: bool,
    under_way: Option<Vec<Commit>>,
    ticks: Vec<Tick>,
    left_out: Vec<LeftOut>,
    passed: Vec<(PartitionId, Instant)>,
    now: Instant,
    released: Vec<PartitionId>,
    hidden_end: Option<(PartitionId, i64)>,
    /// Nothing may be appended.
    local: bool,
    /// No record is handed out.
    held: bool,
    /// Types and times of the durable outputs that are no dead letters.
    said: Vec<String>,
    unreachable: u32,
    broken: bool,
    closed: bool,
}

/// The log; clones share it.
#[derive(Clone, Default)]
pub(super) struct Memory(Rc<RefCell<Inner>>);

impl Memory {
    /// One of the next polls says this.
    pub(super) fn script(&self, polled: Polled) {
        self.0.borrow_mut().script.push_back(polled);
    }

    /// This becomes of the next commit that is not spoken for.
    pub(super) fn outcome(&self, outcome: Outcome) {
        self.0.borrow_mut().outcomes.push_back(outcome);
    }

    /// Commits stay under way until somebody waits for them, or no longer do.
    pub(super) fn slow(&self, slow: bool) {
        self.0.borrow_mut().slow = slow;
    }

    /// How many outputs the commit has that is under way; none: there is none.
    pub(super) fn under_way(&self) -> Option<usize> {
        let inner = self.0.borrow();
        inner.under_way.as_ref().map(|commits| commits.iter().map(|commit| commit.messages.len()).sum())
    }

    pub(super) fn append(&self, partition: PartitionId, ingest: Instant, text: &str) {
        self.0.borrow_mut().input.entry(partition).or_default().push((ingest, text.to_owned()));
    }

    /// What time it is where the log is.
    pub(super) fn set_now(&self, now: Instant) {
        self.0.borrow_mut().now = now;
    }

    /// The committed position of a partition.
    pub(super) fn high(&self, partition: PartitionId) -> Option<i64> {
        self.0.borrow().positions.get(&partition).map(|position| position.high)
    }

    /// The committed floor of a partition: before it everything was handed out, whatever the ingest times say.
    pub(super) fn floor(&self, partition: PartitionId) -> Option<Instant> {
        self.0.borrow().positions.get(&partition).map(|position| position.floor)
    }

    /// The input may not be written to.
    pub(super) fn forbid(&self) {
        self.0.borrow_mut().local = true;
    }

    /// Records are kept back, or handed out again.
    pub(super) fn hold(&self, held: bool) {
        self.0.borrow_mut().held = held;
    }

    /// How many records a partition holds.
    pub(super) fn records(&self, partition: PartitionId) -> usize {
        self.0.borrow().input.get(&partition).map_or(0, Vec::len)
    }

    /// Types and kinds of the durable outputs that are no dead letters.
    pub(super) fn said(&self) -> Vec<String> {
        self.0.borrow().said.clone()
    }

    /// How far the first stage said that it has come, by partition.
    pub(super) fn passed(&self) -> Vec<(PartitionId, Instant)> {
        self.0.borrow().passed.clone()
    }

    /// What the second stage goes on without.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.0.borrow().left_out.clone()
    }

    /// So many calls fail.
    pub(super) fn unreachable(&self, calls: u32) {
        self.0.borrow_mut().unreachable = calls;
    }

    pub(super) fn broken(&self) {
        self.0.borrow_mut().broken = true;
    }

    pub(super) fn hide_end(&self, partition: PartitionId, end: i64) {
        self.0.borrow_mut().hidden_end = Some((partition, end));
    }

    /// Texts of the records whose dead letters are durable.
    pub(super) fn durable(&self) -> Vec<String> {
        self.0.borrow().durable.clone()
    }

    pub(super) fn commits(&self) -> usize {
        self.0.borrow().commits
    }

    pub(super) fn ticks(&self) -> Vec<Tick> {
        self.0.borrow().ticks.clone()
    }

    pub(super) fn released(&self) -> Vec<PartitionId> {
        self.0.borrow().released.clone()
    }

    pub(super) fn closed(&self) -> bool {
        self.0.borrow().closed
    }
}

impl Inner {
    fn reach(&mut self) -> Result<(), LogError> {
        if self.broken {
            let what = "pos.events is gone".to_owned();
            return Err(LogError { code: "topic-missing", what, who: Who::Operations, retry: false });
        }
        if self.unreachable > 0 {
            self.unreachable -= 1;
            let what = "no broker answers".to_owned();
            return Err(LogError { code: "broker-unreachable", what, who: Who::Nobody, retry: true });
        }
        Ok(())
    }

    fn end(&mut self, commits: &[Commit]) -> Result<Committed, LogError> {
        self.reach()?;
        let reason = "the script says so".to_owned();
        let speaks = commits.iter().any(|commit| !commit.messages.is_empty());
        let outcome = if speaks { self.outcomes.pop_front() } else { None };
        if matches!(outcome, None | Some(Outcome::UnknownDone)) {
            self.keep(commits);
        }
        match outcome {
            None => Ok(Committed::Done),
            Some(Outcome::Aborted) => Ok(Committed::Aborted { reason }),
            Some(Outcome::UnknownNot | Outcome::UnknownDone) => Ok(Committed::Unknown { reason }),
            Some(Outcome::Refused) => {
                Err(LogError { code: "log-disk", what: reason, who: Who::Operations, retry: true })
            }
        }
    }

    fn keep(&mut self, commits: &[Commit]) {
        self.commits += usize::from(commits.iter().any(|commit| !commit.messages.is_empty()));
        for commit in commits {
            self.positions.insert(commit.partition, commit.position);
            self.passed.extend(commit.passed.map(|at| (commit.partition, at)));
            for (key, value) in commit.changes.pairs() {
                let key = (commit.partition, key);
                match value {
                    Some(value) => self.changelog.insert(key, value),
                    None => self.changelog.remove(&key),
                };
            }
            for message in &commit.messages {
                use base64::Engine as _;
                let letter: serde_json::Value = serde_json::from_slice(&message.value).expect("it is JSON");
                if letter["type"] != "pos.dead-letter" {
                    let said = format!("{} {}", letter["type"], letter["data"]["kind"]);
                    self.said.push(said.replace('"', ""));
                    continue;
                }
                let bytes = letter["data"]["bytes"].as_str().expect("it has bytes");
                let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).expect("it is base64");
                self.durable.push(String::from_utf8(bytes).expect("it is UTF-8"));
            }
        }
    }
}

impl Log for Memory {
    fn poll(
        &mut self,
        _: Duration,
        max: usize,
        sink: &mut dyn FnMut(PartitionId, RawRecord<'_>),
    ) -> Result<Polled, LogError> {
        let mut inner = self.0.borrow_mut();
        inner.reach()?;
        if let Some(polled) = inner.script.pop_front()
            && polled != Polled::Records
        {
            return Ok(polled);
        }
        let mut left = if inner.held { 0 } else { max };
        let Inner { next, input, .. } = &mut *inner;
        for (partition, next) in next {
            while left > 0
                && let Some((ingest, text)) =
                    input.get(partition).and_then(|records| records.get(usize::try_from(*next).expect("an index")))
            {
                let value = Some(text.as_bytes());
                let headers: &[(&str, &[u8])] = &[("content-type", b"application/cloudevents+json")];
                sink(*partition, RawRecord { offset: *next, ingest: *ingest, key: None, value, headers });
                *next += 1;
                left -= 1;
            }
        }
        Ok(Polled::Records)
    }

    fn restore(
        &mut self,
        partition: PartitionId,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>),
        _: &mut dyn FnMut(Restoring),
    ) -> Result<Option<Position>, LogError> {
        let mut inner = self.0.borrow_mut();
        inner.reach()?;
        inner
            .changelog
            .iter()
            .filter(|((of, _), _)| *of == partition)
            .for_each(|((_, key), value)| each(key, Some(value)));
        Ok(inner.positions.get(&partition).copied())
    }

    fn start(&mut self, partition: PartitionId, from: Option<i64>) -> Result<(), LogError> {
        self.0.borrow_mut().next.insert(partition, from.unwrap_or(0));
        Ok(())
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), LogError> {
        let mut inner = self.0.borrow_mut();
        for partition in partitions {
            inner.next.remove(partition);
            inner.released.push(*partition);
        }
        Ok(())
    }

    fn begin_commit(&mut self, commits: Vec<Commit>) {
        let before = self.0.borrow_mut().under_way.replace(commits);
        assert_eq!(before, None, "one at a time");
    }

    fn ended(&mut self, wait: bool) -> Option<Ended> {
        let mut inner = self.0.borrow_mut();
        if inner.slow && !wait {
            return None;
        }
        let commits = inner.under_way.take()?;
        let outcome = inner.end(&commits);
        Some(Ended { commits, outcome })
    }

    fn position(&mut self, partition: PartitionId) -> Result<Option<Position>, LogError> {
        let mut inner = self.0.borrow_mut();
        inner.reach()?;
        Ok(inner.positions.get(&partition).copied())
    }

    fn tick(&mut self, partition: PartitionId, tick: Tick) -> Result<Ticked, LogError> {
        let mut inner = self.0.borrow_mut();
        inner.reach()?;
        if inner.local {
            let end = inner.input.get(&partition).map_or(0, Vec::len);
            let read = inner.next.get(&partition).is_some_and(|next| usize::try_from(*next) == Ok(end));
            return Ok(if read { Ticked::Local } else { Ticked::Behind });
        }
        inner.ticks.push(tick);
        let now = inner.now;
        inner.input.entry(partition).or_default().push((now, tick_line(tick, now)));
        Ok(Ticked::Appended)
    }

    fn leave_out(&mut self, partition: PartitionId, left: LeftOut) -> Result<(), LogError> {
        let mut inner = self.0.borrow_mut();
        inner.reach()?;
        inner.left_out.push(left);
        let now = inner.now;
        let mut line = serde_json::Map::new();
        for (name, value) in left.headers() {
            line.insert(name.trim_start_matches("ce_").to_owned(), value.into());
        }
        inner.input.entry(partition).or_default().push((now, serde_json::to_string(&line).expect("texts")));
        Ok(())
    }

    fn end(&mut self, partition: PartitionId) -> Option<i64> {
        let inner = self.0.borrow();
        if let Some((hidden, end)) = inner.hidden_end
            && hidden == partition
        {
            return Some(end);
        }
        inner.input.get(&partition).map_or(Some(0), |records| i64::try_from(records.len()).ok())
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.0.borrow_mut().closed = true;
        Ok(())
    }
}
