//! From what is due to visits: chooses moments in their order, collects those of distinct terminals, visits the rules in waves, and carries
//! out what they decided. A flush in which anything faults is taken back and run again one moment at a time, so that what a fault does
//! never depends on what it shared a call with.

use tillwatch_wit::contract::{Batch, Change, Instant, Scope, Trigger, Wake};
use tillwatch_wit::table::FieldId;

use super::{
    Partition,
    actions::{Carry, Done},
    ahead::TOGETHER,
    dedup,
    keyed::{Keyed, NEVER},
    moment::{self, Coming, Moment, Place},
    order::{Placed, Ready},
    pending::by_type,
    routing::UNDECLARED,
    terminals::Terminal,
};
use crate::{
    event::Event,
    output::{Data, DeadLetter, Id, Output},
    rules::{Answer, Fault, Rules, Stalled},
};

/// How far a rule's answer has been carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    visit: usize,
    state: usize,
    action: usize,
    fault: usize,
}

/// A visit of this wave. Its slot is what the key had when the visit was collected: no other visit of the wave is to the same key, and
/// slots go only when a flush is settled or taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visiting {
    /// Index in the flush.
    moment: usize,
    coming: Coming,
    /// What its key is looked up by.
    hash: u64,
    slot: Option<u32>,
}

enum Next {
    Ready,
    Timer(Instant, u32),
    Silent(Instant, String),
    Release(Instant, String),
    Nothing,
}

impl Partition {
    /// Hands out everything that is due. Unless it is the `last` time in this step, what is pending may stay so: it goes on filling up.
    pub(super) fn advance(&mut self, rules: &mut dyn Rules, last: bool) -> Result<(), Stalled> {
        loop {
            match self.next() {
                Next::Ready => self.take_ready(rules)?,
                Next::Timer(at, slot) => self.take_timer(at, slot, rules)?,
                Next::Nothing if self.pending.is_empty() || !last => return Ok(()),
                // What is pending may set wake-ups that come before: look again afterwards.
                Next::Silent(..) | Next::Release(..) | Next::Nothing if !self.pending.is_empty() => {
                    self.flush(rules)?
                }
                Next::Silent(at, prefix) => self.fall_silent(at, &prefix),
                Next::Release(at, rule) => self.release_rule(at, &rule),
                Next::Nothing => return Ok(()),
            }
        }
    }

    /// The next moment by (time, events before timers, the engine's timers before the rules').
    fn next(&mut self) -> Next {
        let ready = self.order.ready.front().map(Ready::at);
        if ready.is_some_and(|at| at <= self.idle_until) {
            return Next::Ready;
        }
        let bound = ready.map_or(self.order.watermark(), |at| at.min(self.order.watermark()));
        let due = self.keyed.first_due(bound, &self.routes.rank);
        let bound = due.map_or(bound, |(at, _)| bound.min(at + 1));
        let silent = self.watch.first_silent(bound);
        let release = self.watch.first_release(bound);
        match (release, silent) {
            (Some((at, rule)), silent) if silent.as_ref().is_none_or(|(other, _)| at <= *other) => {
                Next::Release(at, rule)
            }
            (_, Some((at, prefix))) => Next::Silent(at, prefix),
            _ => match due {
                Some((at, slot)) => Next::Timer(at, slot),
                None if ready.is_some() => {
                    self.idle_until = bound;
                    Next::Ready
                }
                None => Next::Nothing,
            },
        }
    }

    fn take_ready(&mut self, rules: &mut dyn Rules) -> Result<(), Stalled> {
        if self.fetched == 0 {
            self.fetch_ready();
        }
        self.fetched = self.fetched.saturating_sub(1);
        let solitary = match self.order.ready.front() {
            Some(&Ready::Event { place, .. }) => self.speaks_up(self.order.waiting.placed(place)),
            Some(Ready::Sight { .. }) => true,
            _ => false,
        };
        if solitary && !self.pending.is_empty() {
            // The engine's own state is about to change: everything before must be done, wake-ups that pending visits set included.
            return self.flush(rules);
        }
        match self.order.ready.pop_front() {
            Some(Ready::Event { place, .. }) => {
                let placed = self.order.waiting.hand_out(place);
                self.take_event(placed, rules)
            }
            Some(Ready::Again(moment)) => self.take_again(*moment, rules),
            Some(Ready::Sight { at, by, tick }) => {
                self.sight(at, by, tick);
                Ok(())
            }
            Some(Ready::Unreadable { at, offset, letter }) => {
                self.pass_on(at, offset, *letter);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn pass_on(&mut self, at: Instant, offset: i64, letter: DeadLetter) {
        // An exported record is named by the log it was read from, so that its dead letter has the id that it had there.
        let place = Place::arrival(at, &letter.topic, letter.partition, letter.offset.unwrap_or(offset));
        let key = letter.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let output = Output {
            id: place.id("", "/tillwatch/engine", 0),
            source: "/tillwatch/engine".to_owned(),
            time: at,
            subject: None,
            key,
            data: Data::DeadLetter(letter),
        };
        self.emitted.push((place, vec![output]));
    }

    fn take_event(&mut self, placed: Placed, rules: &mut dyn Rules) -> Result<(), Stalled> {
        let hash = if placed.hash == 0 { dedup::hash(&placed.event) } else { placed.hash };
        if !self.dedup.first(hash, placed.at) {
            self.counters.duplicates += 1;
            return Ok(());
        }
        self.counters.events += 1;
        self.counters.late += u64::from(placed.late);
        let prelude = self.examine(&placed);
        if prelude.is_empty() && self.routes.of(&placed.event).is_empty() {
            return Ok(());
        }
        let terminal = self.keyed.terminals.hold_guessed(placed.event.piece(FieldId::PARTITIONKEY), placed.terminal);
        if self.keyed.terminals.pending(terminal, self.flush) {
            let mut moment = Moment::default();
            moment.begin(placed, terminal, prelude);
            return self.wait(moment, rules);
        }
        let turn = (placed.at, false);
        self.pending.add().begin(placed, terminal, prelude);
        self.pend(turn, terminal, rules)
    }

    /// A moment whose terminal is pending comes again, after what that sets.
    #[cold]
    fn wait(&mut self, moment: Moment, rules: &mut dyn Rules) -> Result<(), Stalled> {
        self.order.ready.push_front(Ready::Again(Box::new(moment)));
        self.flush(rules)
    }

    /// Pends a moment that came again, unless it has to wait once more.
    fn take_again(&mut self, moment: Moment, rules: &mut dyn Rules) -> Result<(), Stalled> {
        let (at, terminal) = (moment.at, moment.terminal);
        if self.keyed.terminals.pending(terminal, self.flush) {
            return self.wait(moment, rules);
        }
        *self.pending.add() = moment;
        self.pend((at, false), terminal, rules)
    }

    fn take_timer(&mut self, at: Instant, slot: u32, rules: &mut dyn Rules) -> Result<(), Stalled> {
        let (rule, terminal) = (self.keyed.slot(slot).rule, self.keyed.slot(slot).terminal);
        if self.keyed.terminals.pending(terminal, self.flush) {
            // The pending visit may move this very wake-up: look again afterwards.
            return self.flush(rules);
        }
        if let Some(until) = self.watch.quarantined(&self.routes.rules[rule as usize].id, at) {
            self.keyed.postpone(slot, until);
            return Ok(());
        }
        self.counters.wakes += 1;
        let key = self.keyed.slot(slot).key().into();
        self.keyed.terminals.hold_again(terminal);
        self.keyed.fire(slot);
        self.pending.add().wake(at, terminal, (slot, rule, key));
        self.pend((at, true), terminal, rules)
    }

    /// One more is pending.
    #[inline]
    fn pend(&mut self, turn: (Instant, bool), terminal: Terminal, rules: &mut dyn Rules) -> Result<(), Stalled> {
        self.keyed.terminals.set_pending(terminal, self.flush);
        let full = self.pending.len() >= self.settings.limits.visits_max;
        if full || turn <= self.cautious { self.flush(rules) } else { Ok(()) }
    }

    /// Runs what is pending and puts its outputs in their places. Where anything faults, all of it is taken back; the first moment runs
    /// alone, and the others come again, each alone, with the wake-ups that fall between them.
    pub(super) fn flush(&mut self, rules: &mut dyn Rules) -> Result<(), Stalled> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        let moments = pending.moments();
        self.flush += 1;
        // Rules may ask for wake-ups at any time from their moment's on.
        self.idle_until = Instant::MIN;
        let alone = moments.len() == 1;
        if self.run(moments, rules, alone)? {
            self.keyed.settle();
            self.ledger.settle();
            moments.iter_mut().for_each(|moment| self.finish(moment));
        } else {
            self.keyed.take_back();
            self.ledger.take_back();
            self.counters.reruns += 1;
            for moment in moments.iter_mut().rev().map(std::mem::take) {
                self.cautious = self.cautious.max((moment.at, moment.timer.is_some()));
                if moment.timer.is_some() {
                    // Its wake-up stands again.
                    self.counters.wakes -= 1;
                    self.keyed.terminals.release(moment.terminal);
                } else {
                    self.order.ready.push_front(Ready::Again(Box::new(moment)));
                }
            }
        }
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    /// Puts out what a moment has come to.
    fn finish(&mut self, moment: &mut Moment) {
        if !(moment.prelude.is_empty() && moment.outputs.is_empty()) {
            let mut outputs = std::mem::take(&mut moment.prelude);
            outputs.append(&mut moment.outputs);
            let rule = moment.timer.as_ref().map_or("", |(_, rule, _)| self.routes.rules[*rule as usize].id.as_str());
            let terminal = self.keyed.terminals.name(moment.terminal).to_owned();
            let place = moment.place(&terminal, rule);
            self.emit(place, &terminal, outputs);
        }
        self.keyed.terminals.release(moment.terminal);
    }

    /// Visits in waves until nothing is queued. With company, stops at the first fault and says no; alone, faults are carried out.
    fn run(&mut self, moments: &mut [Moment], rules: &mut dyn Rules, alone: bool) -> Result<bool, Stalled> {
        for moment in &mut *moments {
            moment.prepare(&self.routes);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.skipped.clear();
        by_type(moments, &mut scratch.order);
        let result = self.waves(moments, rules, alone, &mut scratch);
        if let Ok(true) = result {
            // Only what is not taken back counts.
            self.counters.quarantined += scratch.skipped.len() as u64;
            for &rule in &scratch.skipped {
                self.watch.skip(&self.routes.rules[rule as usize].id);
            }
        }
        self.scratch = scratch;
        result
    }

    fn waves(
        &mut self,
        moments: &mut [Moment],
        rules: &mut dyn Rules,
        alone: bool,
        scratch: &mut super::Scratch,
    ) -> Result<bool, Stalled> {
        loop {
            self.collect(moments, scratch);
            if scratch.wave.is_empty() {
                return Ok(true);
            }
            for (rule, batch) in scratch.batches.iter().enumerate() {
                if !batch.visits.is_empty() {
                    let answer = &mut scratch.answers[rule];
                    answer.reset();
                    rules.process(rule, batch, answer)?;
                    self.counters.calls += 1;
                    self.counters.visits += batch.visits.len() as u64;
                    scratch.cursors[rule] = Cursor::default();
                }
            }
            for &visiting in &scratch.wave {
                let coming = visiting.coming;
                let rule = coming.rule as usize;
                let answer = &mut scratch.answers[rule];
                let moment = &mut moments[visiting.moment];
                if let Err(fault) = self.carry_out(moment, visiting, answer, &mut scratch.cursors[rule]) {
                    if !alone {
                        return Ok(false);
                    }
                    self.fault(moment, coming, fault);
                }
            }
        }
    }

    /// The next visits of every moment, as far as their rules are distinct, into one batch a rule.
    fn collect(&mut self, moments: &mut [Moment], scratch: &mut super::Scratch) {
        scratch.wave.clear();
        for batch in &mut scratch.batches {
            batch.reset();
        }
        for &index in &scratch.order {
            let moment = &mut moments[index];
            let mut used = 0u64;
            while let Some(&coming) = moment.queue.front() {
                let bit = 1u64 << coming.rule;
                if used & bit != 0 {
                    break;
                }
                moment.queue.pop_front();
                let rule = &self.routes.rules[coming.rule as usize];
                if self.watch.quarantined(&rule.id, moment.at).is_some() {
                    scratch.skipped.push(coming.rule);
                    continue;
                }
                used |= bit;
                let key = moment.key(&coming, rule.key == Scope::Payment);
                let hash = Keyed::hash(coming.rule, moment.terminal, key);
                scratch.wave.push(Visiting { moment: index, coming, hash, slot: None });
            }
        }
        for group in scratch.wave.chunks_mut(TOGETHER) {
            self.fetch_slots(group.iter().map(|visiting| visiting.hash), &mut scratch.slots);
            for (visiting, guess) in group.iter_mut().zip(&scratch.slots) {
                let (moment, coming) = (&moments[visiting.moment], visiting.coming);
                let rule = &self.routes.rules[coming.rule as usize];
                let by_payment = rule.key == Scope::Payment;
                let batch = &mut scratch.batches[coming.rule as usize];
                batch.visits.push(moment.visit(&coming));
                let key = moment.key(&coming, by_payment);
                visiting.slot = self.keyed.find_guessed(*guess, visiting.hash, (coming.rule, moment.terminal), key);
                batch.push_piece(visiting.slot.map_or(&[], |slot| self.keyed.slot(slot).state()));
                let terminal = self.keyed.terminals.name(moment.terminal).as_bytes();
                batch.push_piece(if by_payment { key } else { terminal });
                let event = coming.event.map(|event| &moment.events[event]);
                fields(rule, event, &mut scratch.ranges, batch);
            }
        }
    }

    /// Carries out one visit's part of an answer.
    fn carry_out(
        &mut self,
        moment: &mut Moment,
        Visiting { coming, hash, slot, .. }: Visiting,
        answer: &mut Answer,
        cursor: &mut Cursor,
    ) -> Result<(), Fault> {
        let visit = cursor.visit;
        cursor.visit += 1;
        let number = u32::try_from(visit).expect("invariant: visits_max fits");
        let faulted = answer.faults.get(cursor.fault).is_some_and(|(other, _)| *other == number);
        let verdict = answer.verdicts.verdicts.get(visit).ok_or_else(|| short("verdicts"))?;
        let state_start = cursor.state;
        if let Change::Put(length) = verdict.state {
            cursor.state += length as usize;
        }
        let action_start = cursor.action;
        while answer.verdicts.actions.get(cursor.action).is_some_and(|(other, _)| *other == number) {
            cursor.action += 1;
        }
        if faulted {
            cursor.fault += 1;
            return Err(answer.faults[cursor.fault - 1].1.clone());
        }
        let state = match &verdict.state {
            Change::Keep => None,
            Change::Clear => Some(&[][..]),
            Change::Put(_) => {
                Some(answer.verdicts.states.get(state_start..cursor.state).ok_or_else(|| short("states"))?)
            }
            Change::Fail(reason) => return Err(Fault { code: "rule-failed", reason: reason.clone() }),
        };
        let limits = &self.settings.limits;
        if let Some(state) = state
            && state.len() > limits.state_bytes_max
        {
            let reason = format!("the state has {} bytes: at most {} are kept", state.len(), limits.state_bytes_max);
            return Err(Fault { code: "state-max", reason });
        }
        let by_payment = self.routes.rules[coming.rule as usize].key == Scope::Payment;
        let wake = match verdict.wake {
            Wake::Keep => None,
            Wake::Never => Some(NEVER),
            // A wake-up for a time already due comes at once; where its turn in this instant is over, a millisecond later, so that time
            // goes on.
            Wake::At(wake) => {
                let over = moment.turn_is_over(&coming, by_payment, &self.routes.rank);
                Some(wake.max(moment.at + i64::from(over)))
            }
        };
        let grows = state.is_some_and(|state| !state.is_empty()) || wake.is_some_and(|wake| wake != NEVER);
        let held = self.keyed.held_by(coming.rule);
        if grows && slot.is_none() && held >= limits.keys_max {
            let reason = format!("the rule has state for {held} keys in this partition: raise keys_max");
            return Err(Fault { code: "keys-max", reason });
        }
        if cursor.action > action_start {
            let actions = &mut answer.verdicts.actions[action_start..cursor.action];
            self.act(moment, coming, actions)?;
        }
        let key = || moment.key(&coming, by_payment);
        self.keyed.apply(slot, (hash, (coming.rule, moment.terminal)), key, state, wake);
        Ok(())
    }

    /// Carries out a visit's actions, or none of them.
    fn act(
        &mut self,
        moment: &mut Moment,
        coming: Coming,
        actions: &mut [(u32, crate::rules::Action)],
    ) -> Result<(), Fault> {
        let limits = &self.settings.limits;
        if actions.len() > limits.actions_max {
            let reason = format!("{} actions in one visit: at most {}", actions.len(), limits.actions_max);
            return Err(Fault { code: "bad-output", reason });
        }
        let by_payment = self.routes.rules[coming.rule as usize].key == Scope::Payment;
        let carry = Carry {
            routes: &self.routes,
            rule: coming.rule,
            terminal: self.keyed.terminals.name(moment.terminal),
            key: moment.key_text(&coming, by_payment),
            at: moment.at,
            root: if moment.timer.is_some() { None } else { moment.events.first() },
            root_time: moment.time,
            findings_max: limits.findings_max,
            dry_run: self.settings.dry_run,
        };
        let mut done = Done::default();
        let mark = self.ledger.mark();
        for (_, action) in actions {
            // Taken, not copied: an answer is carried out once.
            let action = std::mem::replace(action, TAKEN);
            if let Err(fault) = carry.action(action, &mut self.ledger, &mut done) {
                self.ledger.take_back_to(mark);
                return Err(fault);
            }
        }
        let mut followers = Vec::new();
        for (offset, event) in done.derived.iter().enumerate() {
            let index = moment.events.len() + offset;
            followers.extend(self.routes.of(event).iter().map(|&(rule, wanted)| Coming {
                rule,
                trigger: Trigger::Event(wanted),
                event: Some(index),
                depth: coming.depth + 1,
            }));
        }
        if !followers.is_empty() && coming.depth >= limits.rounds_max {
            self.ledger.take_back_to(mark);
            let reason = format!("its event would be round {}: at most {}", coming.depth + 1, limits.rounds_max);
            return Err(Fault { code: "rounds-max", reason });
        }
        moment.events.append(&mut done.derived);
        moment.queue.extend(followers);
        moment.outputs.append(&mut done.outputs);
        self.counters.updates_dropped += done.updates_dropped;
        Ok(())
    }

    /// A visit that counts for nothing: it goes to the dead letters, and the rule's faults are counted.
    fn fault(&mut self, moment: &mut Moment, coming: Coming, fault: Fault) {
        let rule = &self.routes.rules[coming.rule as usize];
        let terminal = self.keyed.terminals.name(moment.terminal);
        let root = moment.events.first().filter(|_| moment.timer.is_none());
        let key = moment.key_text(&coming, rule.key == Scope::Payment);
        let visit_key = if rule.key == Scope::Payment { key } else { terminal };
        let letter = DeadLetter {
            topic: self.settings.topic.clone(),
            partition: self.id,
            offset: moment.offset,
            code: fault.code.to_owned(),
            reason: fault.reason,
            rule: Some(rule.id.clone()),
            visit_key: Some(visit_key.to_owned()),
            key: Some(terminal.as_bytes().to_vec()),
            headers: root.map(moment::headers).unwrap_or_default(),
            bytes: root.map(|event| event.payload().to_vec()),
        };
        moment.outputs.push(Output {
            id: Id::of(&[]),
            source: format!("/tillwatch/{}", rule.id),
            time: moment.at,
            subject: (!key.is_empty()).then(|| key.to_owned()),
            key: terminal.to_owned(),
            data: Data::DeadLetter(letter),
        });
        let id = rule.id.clone();
        moment.outputs.extend(self.count_fault(&id, moment.at));
    }
}

/// Stands where an action was taken from.
const TAKEN: crate::rules::Action =
    crate::rules::Action::Derive(crate::rules::Derived { event: String::new(), details: Vec::new() });

/// Appends the pieces of the fields that a rule declared; all of them absent where there is no event.
fn fields(rule: &super::routing::Rule, event: Option<&Event>, ranges: &mut Vec<(u32, u32)>, batch: &mut Batch) {
    let Some(event) = event else {
        batch.push_absent(rule.fields.len());
        return;
    };
    ranges.clear();
    ranges.resize(rule.fields.len(), (0, 0));
    event.find(&rule.places, ranges);
    if rule.places[FieldId::TYPE.0 as usize] == UNDECLARED {
        batch.push_cuts(event.whole(), ranges);
        return;
    }
    for (&field, &range) in rule.fields.iter().zip(&*ranges) {
        batch.push_piece(if field == FieldId::TYPE { event.type_name().as_bytes() } else { event.at(range) });
    }
}

fn short(what: &str) -> Fault {
    Fault { code: "bad-output", reason: format!("fewer {what} than visits want") }
}
