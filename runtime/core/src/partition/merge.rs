//! Time of the second stage: the smallest watermark of the first stage's partitions, but for those that are left out.
//!
//! Owns what is known of each of them, just before the position's `low` and after the last record: a restart reads from `low` and makes the
//! same moves again, so that every record meets the time that it met before. Owns no order of events.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tillwatch_wit::contract::Instant;

use super::{Body, Partition};
use crate::{
    log::{Blind, INSTANT_MAX},
    stage::{INPUTS_MAX, LeftOut, Passed},
};

/// Before a partition was heard, as [`super::order`] has it.
const BEGINNING: Instant = i64::MIN / 4;

/// What is known of one partition of the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Input {
    passed: Instant,
    left_out: bool,
}

/// All of them, by number, and the time that they have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inputs {
    all: Vec<Input>,
    reached: Instant,
}

impl Default for Inputs {
    fn default() -> Self {
        Self { all: Vec::new(), reached: BEGINNING }
    }
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Passed(Passed),
    LeftOut(LeftOut),
}

impl Inputs {
    /// Makes a move; gives whether it changed anything.
    fn make(&mut self, step: Move) -> bool {
        let changed = match step {
            Move::Passed(Passed { input, inputs, at }) => {
                let count = self.all.len().max(inputs as usize).max(input as usize + 1);
                let grown = count > self.all.len();
                self.all.resize(count, Input { passed: BEGINNING, left_out: false });
                let reached = self.reached;
                let input = &mut self.all[input as usize];
                let moved = at > input.passed;
                input.passed = input.passed.max(at);
                // One that was left out counts again when it has caught up: time does not run backwards.
                let back = input.left_out && input.passed >= reached;
                input.left_out &= !back;
                grown || moved || back
            }
            Move::LeftOut(LeftOut { input, passed }) => match self.all.get_mut(input as usize) {
                Some(input) if input.passed == passed.unwrap_or(BEGINNING) && !input.left_out => {
                    input.left_out = true;
                    true
                }
                _ => false,
            },
        };
        let least = self.all.iter().filter(|input| !input.left_out).map(|input| input.passed).min();
        self.reached = self.reached.max(least.unwrap_or(BEGINNING));
        changed
    }

    /// The first that is left out. Before there is any time there is nothing to say.
    fn left_out(&self) -> Option<u32> {
        let first = (0u32..).zip(&self.all).find(|(_, input)| input.left_out);
        first.filter(|_| self.reached > BEGINNING).map(|(number, _)| number)
    }

    /// Whether this program can have written it.
    fn is_sound(&self) -> bool {
        let sane = |at: Instant| (BEGINNING..=INSTANT_MAX).contains(&at);
        self.all.len() <= INPUTS_MAX as usize && sane(self.reached) && self.all.iter().all(|input| sane(input.passed))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Merge {
    now: Inputs,
    low: Inputs,
    /// What was written of `low` last.
    written: Option<Inputs>,
    /// What came since `low`, with offsets.
    moves: VecDeque<(i64, Move)>,
}

impl Merge {
    /// Takes in the record at `offset`; gives the time reached, and the change of sight that it is.
    pub(super) fn advance(&mut self, offset: i64, body: &Body) -> (Instant, Option<Blind>) {
        let step = match body {
            Body::Passed(passed) => Move::Passed(*passed),
            Body::LeftOut(left) => Move::LeftOut(*left),
            Body::Event(_) | Body::Tick(_) | Body::Unreadable(_) => return (self.now.reached, None),
        };
        let before = self.now.left_out();
        if self.now.make(step) {
            self.moves.push_back((offset, step));
        }
        let sight = match (before, self.now.left_out()) {
            (None, Some(input)) => Some(Blind::Input(input)),
            (Some(_), None) => Some(Blind::Inputs),
            _ => None,
        };
        (self.now.reached, sight)
    }

    /// What is known just before `low`, where it is not what was written last.
    pub(super) fn settle(&mut self, low: i64) -> Option<&Inputs> {
        while self.moves.front().is_some_and(|(offset, _)| *offset < low) {
            let (_, step) = self.moves.pop_front().expect("invariant: just seen");
            self.low.make(step);
        }
        if self.written.as_ref() == Some(&self.low) {
            return None;
        }
        self.written = Some(self.low.clone());
        self.written.as_ref()
    }

    /// What [`Merge::settle`] would write.
    pub(super) fn at(&self, low: i64) -> Inputs {
        let mut inputs = self.low.clone();
        for (_, step) in self.moves.iter().take_while(|(offset, _)| *offset < low) {
            inputs.make(*step);
        }
        inputs
    }

    /// What was written; reading goes on from there.
    pub(super) fn load(&mut self, inputs: Option<Inputs>) -> bool {
        let inputs = inputs.unwrap_or_default();
        let sound = inputs.is_sound();
        *self = Self { now: inputs.clone(), low: inputs.clone(), written: Some(inputs), moves: VecDeque::new() };
        sound
    }
}

impl Partition {
    /// In the second stage, where each partition of the first stands: none where it was never heard. Those that are left out already are not
    /// among them.
    pub fn inputs(&self) -> impl Iterator<Item = (u32, Option<Instant>)> + '_ {
        let all = self.merge.iter().flat_map(|merge| (0u32..).zip(&merge.now.all));
        all.filter(|(_, input)| !input.left_out)
            .map(|(number, input)| (number, (input.passed != BEGINNING).then_some(input.passed)))
    }
}
