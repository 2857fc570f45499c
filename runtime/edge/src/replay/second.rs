//! The second stage of a replay: it reads what the first has put out, as records, and its time is how far that has come.

use std::{iter::Peekable, sync::Arc, vec};

use tillwatch_core::{
    Instant,
    cloudevents::{Decoder, Encoding, encode},
    log::{PartitionId, RawRecord, Topic},
    output::Output,
    partition::{Body, Record, Settings},
    rules::Rules,
    stage::{Passed, Stage},
};

use super::lane::{self, Lane};
use crate::driver::Failure;

/// What the second stage is made of.
pub struct Second<'a> {
    /// Its settings.
    pub settings: &'a Arc<Settings>,
    /// Its rules.
    pub rules: &'a mut dyn Rules,
}

/// The second stage at work.
pub(super) struct Later<'a> {
    rules: &'a mut dyn Rules,
    decoder: Decoder,
    lanes: Vec<Lane>,
    next: i64,
    /// How far the outputs of each stage have come.
    reached: [Instant; 2],
}

impl<'a> Later<'a> {
    pub(super) fn new(second: Second<'a>, lanes: usize) -> Result<Self, Failure> {
        let Second { settings, rules } = second;
        let made = (0..lanes).map(|lane| Lane::new(lane, settings, rules)).collect::<Result<_, _>>()?;
        let decoder = Decoder::of(Stage::Second, &settings.topic, &settings.limits);
        Ok(Self { rules, decoder, lanes: made, next: 0, reached: [Instant::MIN; 2] })
    }

    /// An output of the first stage, in the order of its partition; what is no evidence is not for the second.
    pub(super) fn take_in(&mut self, output: &Output, now: Instant) {
        if output.data.topic() != Topic::Evidence {
            return;
        }
        let message = encode(output, Encoding::default());
        let headers: Vec<(&str, &[u8])> =
            message.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let lane = lane::of_key(&message.key, self.lanes.len());
        let raw = RawRecord {
            offset: self.offset(),
            ingest: now,
            key: Some(message.key.as_bytes()),
            value: Some(&message.value),
            headers: &headers,
        };
        let id = PartitionId::try_from(lane).expect("invariant: a replay has fewer than 2^31 partitions");
        let record = self.decoder.decode(id, raw);
        self.lanes[lane].push(record);
    }

    /// How far a partition of the first stage has come.
    pub(super) fn pass(&mut self, passed: Passed) {
        if passed.at <= 0 {
            return;
        }
        let offset = self.offset();
        for lane in &mut self.lanes {
            lane.push(Record { offset, ingest: passed.at, body: Body::Passed(passed) });
        }
    }

    fn offset(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    /// Hands out what is due and puts it among the outputs that the first stage has had meanwhile: by time, the first stage first. That is
    /// the order of commits that follow each other closely, and the same for every cut into steps.
    pub(super) fn step(&mut self, keep: bool, outputs: &mut Vec<Output>) -> Result<(), Failure> {
        let mut later = Vec::new();
        for lane in &mut self.lanes {
            lane.step(self.rules, keep, &mut later)?;
        }
        let first = std::mem::take(outputs);
        outputs.reserve(first.len() + later.len());
        let mut sides = [first.into_iter().peekable(), later.into_iter().peekable()];
        loop {
            let keys = [0, 1].map(|side| key(&mut sides[side], self.reached[side]));
            let side = match keys {
                [None, None] => break,
                [Some(first), Some(second)] => usize::from(second < first),
                [first, _] => usize::from(first.is_none()),
            };
            self.reached[side] = keys[side].expect("invariant: chosen because it is there");
            outputs.extend(sides[side].next());
        }
        Ok(())
    }

    pub(super) fn crash(&mut self) -> Result<(), Failure> {
        self.lanes.iter_mut().try_for_each(|lane| lane.crash(self.rules))
    }
}

/// Where the next output of a stage stands: what was held back is older than what lets it go, and comes with that.
fn key(side: &mut Peekable<vec::IntoIter<Output>>, reached: Instant) -> Option<Instant> {
    side.peek().map(|output| output.time.max(reached))
}
