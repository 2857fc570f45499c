//! One key of a rule, visited as the runtime does: state and wake-up are kept between visits. For tests.

use tillwatch_wit::{
    contract::{Action, Batch, Change, Instant, Trigger, Value, Verdicts, Visit, Wake},
    table::{FieldId, Kind},
};

use super::{Component, Native};
use crate::Rule;

/// One key of a rule.
#[derive(Debug)]
pub struct Key<R> {
    rule: Native<R>,
    key: String,
    state: Vec<u8>,
    wake: Option<Instant>,
    events: u32,
}

impl<R: Rule> Key<R> {
    /// A key that the rule has not seen, under JSON settings; empty: the defaults.
    ///
    /// # Panics
    /// The rule refuses the settings.
    #[must_use]
    pub fn new(key: &str, settings: &str) -> Self {
        let rule = Native::with_settings(settings).unwrap_or_else(|error| panic!("{error}"));
        Self { rule, key: key.to_owned(), state: Vec::new(), wake: None, events: 0 }
    }

    /// Bytes of the state.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state.len()
    }

    /// When it will be woken.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// An event in time. What is due before it is done first, and comes first in what the rule wants done. An event without an `id` gets
    /// `e1`, `e2` and so on.
    ///
    /// # Panics
    /// The rule does not read such events, a field has a value of another kind than the table says, or the visit fails.
    pub fn event(&mut self, at: Instant, event: &str, fields: &[(&str, Value)]) -> Vec<Action> {
        self.told(Visit { at, time: at, late: false, trigger: Trigger::Timer }, event, fields)
    }

    /// An event that came late: its own time, and the watermark at which it came.
    ///
    /// # Panics
    /// As [`Key::event`].
    pub fn late(&mut self, time: Instant, at: Instant, event: &str, fields: &[(&str, Value)]) -> Vec<Action> {
        self.told(Visit { at, time, late: true, trigger: Trigger::Timer }, event, fields)
    }

    /// Lets time pass until the watermark is at this instant.
    ///
    /// # Panics
    /// A visit fails.
    pub fn until(&mut self, watermark: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(at) = self.wake.filter(|at| *at < watermark) {
            self.wake = None;
            let visit = Visit { at, time: at, late: false, trigger: Trigger::Timer };
            actions.extend(self.visit(visit, &vec![Vec::new(); R::FIELDS.len()]));
        }
        actions
    }

    fn told(&mut self, mut visit: Visit, event: &str, fields: &[(&str, Value)]) -> Vec<Action> {
        self.events += 1;
        let index = R::EVENTS.iter().position(|known| *known == event);
        let index = index.unwrap_or_else(|| panic!("{} does not read {event}", R::ID));
        visit.trigger = Trigger::Event(u32::try_from(index).expect("a rule reads few types"));
        for (name, _) in fields {
            assert!(R::FIELDS.iter().any(|field| field.field().name == *name), "{} does not read {name}", R::ID);
        }
        let pieces: Vec<Vec<u8>> = R::FIELDS
            .iter()
            .map(|field| match fields.iter().find(|(name, _)| *name == field.field().name) {
                Some((name, value)) => piece(name, field.field().kind, value),
                None if *field == FieldId::ID => format!("e{}", self.events).into_bytes(),
                None => Vec::new(),
            })
            .collect();
        let mut actions = self.until(visit.at);
        actions.extend(self.visit(visit, &pieces));
        actions
    }

    fn visit(&mut self, visit: Visit, pieces: &[Vec<u8>]) -> Vec<Action> {
        let mut batch = Batch::default();
        batch.visits.push(visit);
        batch.push_piece(&self.state);
        batch.push_piece(self.key.as_bytes());
        pieces.iter().for_each(|piece| batch.push_piece(piece));
        let mut verdicts = Verdicts::default();
        self.rule.process(&batch, &mut verdicts);
        match &verdicts.verdicts[0].state {
            Change::Keep => {}
            Change::Put(length) => self.state = verdicts.states[..*length as usize].to_vec(),
            Change::Clear => self.state.clear(),
            Change::Fail(reason) => panic!("the visit failed: {reason}"),
        }
        match verdicts.verdicts[0].wake {
            Wake::Keep => {}
            Wake::At(at) => self.wake = Some(at),
            Wake::Never => self.wake = None,
        }
        verdicts.actions.into_iter().map(|(_, action)| action).collect()
    }
}

fn piece(name: &str, kind: Kind, value: &Value) -> Vec<u8> {
    match (kind, value) {
        (Kind::Text, Value::Text(text)) => text.clone().into_bytes(),
        (Kind::Integer | Kind::Instant, Value::Integer(integer)) => integer.to_le_bytes().to_vec(),
        (Kind::Number, Value::Number(number)) => number.to_le_bytes().to_vec(),
        (Kind::Flag, Value::Flag(flag)) => vec![u8::from(*flag)],
        (kind, value) => panic!("{name} is {kind:?} and cannot be {value:?}"),
    }
}
