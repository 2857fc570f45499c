//! The rule, visited as the runtime does: events in order, wake-ups before what is later, one line of text for each thing it wants.

mod bounds;
mod flush;
mod print;
mod properties;
mod queries;
mod redeliver;

use tillwatch_sdk::{
    Batch, FieldId, Instant, Rule, Trigger, Value, Verdicts,
    native::{Component, Native},
};
use tillwatch_wit::{
    contract::{Action, Change, Verdict, Visit, Wake},
    ids,
};

use crate::Compensate;

pub(crate) const CARD: &str = "A01:M1:T1:000017:003021";
pub(crate) const CARD_2: &str = "A01:M1:T1:000017:003022";
pub(crate) const QR: &str = "W01:M1:order-1";
pub(crate) const QR_2: &str = "W01:M1:order-2";

/// Fields by name.
pub(crate) type Fields<'a> = Vec<(&'a str, Value)>;

/// One terminal, `T1`.
pub(crate) struct Bench {
    rule: Native<Compensate>,
    state: Vec<u8>,
    wake: Option<Instant>,
    now: Instant,
    events: u32,
    /// Everything that it wanted, with its moment.
    pub(crate) said: Vec<(Instant, Action)>,
    read: usize,
    /// Why visits failed.
    pub(crate) failed: Vec<String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(settings: &str) -> Self {
        let rule = Native::with_settings(settings).expect("the settings are good");
        Self { rule, state: Vec::new(), wake: None, now: 0, events: 0, said: Vec::new(), read: 0, failed: Vec::new() }
    }

    /// An event in time.
    pub(crate) fn event(&mut self, at: Instant, event: &str, fields: &[(&str, Value)]) -> &mut Self {
        self.handed(at, at, false, event, fields)
    }

    /// An event that came late: at `at` in the order, of its own time `time`.
    pub(crate) fn late(&mut self, at: Instant, time: Instant, event: &str, fields: &[(&str, Value)]) -> &mut Self {
        self.handed(at, time, true, event, fields)
    }

    fn handed(&mut self, at: Instant, time: Instant, late: bool, event: &str, fields: &[(&str, Value)]) -> &mut Self {
        self.until(at);
        self.events += 1;
        let index = Compensate::EVENTS.iter().position(|known| *known == event).expect("the rule reads it");
        let trigger = Trigger::Event(u32::try_from(index).expect("few"));
        let id = format!("e{}", self.events);
        self.visit(Visit { at, time, late, trigger }, &id, fields);
        self
    }

    /// Time runs on: wake-ups before `at` fire.
    pub(crate) fn until(&mut self, at: Instant) -> &mut Self {
        let mut fired = 0;
        while let Some(wake) = self.wake.filter(|wake| *wake < at) {
            fired += 1;
            assert!(fired < 10_000, "the wake-ups come to no end at {wake}");
            self.wake = None;
            let at = wake.max(self.now);
            self.visit(Visit { at, time: at, late: false, trigger: Trigger::Timer }, "", &[]);
        }
        self
    }

    fn visit(&mut self, visit: Visit, id: &str, fields: &[(&str, Value)]) {
        assert!(visit.at >= self.now, "time runs on");
        self.now = visit.at;
        let mut batch = Batch::default();
        batch.visits.push(visit);
        batch.push_piece(&self.state);
        batch.push_piece(b"T1");
        for field in Compensate::FIELDS {
            let name = field.field().name;
            let value = fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
            match value {
                None if *field == FieldId::ID => batch.push_piece(id.as_bytes()),
                None => batch.push_piece(&[]),
                Some(Value::Text(text)) => batch.push_piece(text.as_bytes()),
                Some(Value::Integer(number)) => batch.push_piece(&number.to_le_bytes()),
                Some(Value::Flag(flag)) => batch.push_piece(&[u8::from(*flag)]),
                Some(Value::Number(number)) => batch.push_piece(&number.to_le_bytes()),
            }
        }
        for (name, _) in fields {
            assert!(
                Compensate::FIELDS.iter().any(|field| field.field().name == *name),
                "the rule does not read {name}"
            );
        }
        let mut verdicts = Verdicts::default();
        self.rule.process(&batch, &mut verdicts);
        let Verdict { state, wake } = verdicts.verdicts.remove(0);
        match state {
            Change::Keep => {}
            Change::Put(length) => {
                self.state = verdicts.states[..length as usize].to_vec();
                assert!(self.state.len() < 60_000, "the state is bounded");
            }
            Change::Clear => self.state.clear(),
            Change::Fail(reason) => self.failed.push(reason),
        }
        match wake {
            Wake::Keep => {}
            Wake::At(at) => self.wake = Some(at),
            Wake::Never => self.wake = None,
        }
        self.said.extend(verdicts.actions.into_iter().map(|(_, action)| (self.now, action)));
    }

    /// What it wanted since the last call, in lines.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let unexpected = self.failed.iter().find(|reason| !reason.contains("can be kept"));
        assert_eq!(unexpected, None, "no visit fails otherwise");
        let lines = self.said[self.read..].iter().map(|(at, action)| line(*at, action)).collect();
        self.read = self.said.len();
        lines
    }

    /// How large its state is.
    pub(crate) fn state_bytes(&self) -> usize {
        self.state.len()
    }
}

fn line(at: Instant, action: &Action) -> String {
    match action {
        Action::Command(command) => {
            let guide = command.details.iter().map(|(name, value)| match value {
                Value::Text(text) => format!(" {name}={text}"),
                other => format!(" {name}={other:?}"),
            });
            format!(
                "{at} {} {}.{}/{} to {} until {} for {}{}",
                command.kind,
                command.chain,
                command.attempt,
                command.max_attempts,
                command.target,
                command.expires_at,
                command.finding.as_deref().unwrap_or("nothing"),
                guide.collect::<String>(),
            )
        }
        Action::Cancel(cancelled) => {
            format!("{at} cancel {} {}.{} {}", cancelled.kind, cancelled.chain, cancelled.attempt, cancelled.reason)
        }
        Action::Derive(derived) => {
            let text = |name: &str| {
                derived.details.iter().find_map(|(known, value)| match value {
                    Value::Text(text) if known == name => Some(text.clone()),
                    _ => None,
                })
            };
            assert_eq!(derived.event, "tillwatch.unresolved");
            assert!(text("subject").is_some());
            format!("{at} unresolved {} {}", text("why").unwrap_or_default(), text("chain").unwrap_or_default())
                .trim()
                .to_owned()
        }
        other => panic!("the rule may not do {other:?}"),
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value::from(text)
}

/// An event about a payment.
pub(crate) fn of<'a>(txn: &str, fields: &[(&'a str, Value)]) -> Fields<'a> {
    let rail = if txn.split(':').count() == 5 { "card" } else { "wechat" };
    let mut all = vec![("subject", text(txn)), ("rail", text(rail))];
    all.extend_from_slice(fields);
    all
}

/// A finding of `correlate-payment`; its id is its kind.
pub(crate) fn finding<'a>(txn: &str, kind: &str, fields: &[(&'a str, Value)]) -> Fields<'a> {
    let mut all = of(txn, fields);
    all.extend([
        ("txn", text(txn)),
        ("kind", text(kind)),
        ("finding", text(kind)),
        ("rule", text("correlate-payment")),
    ]);
    all
}

/// By how much a step of this payment moves in a gap.
pub(crate) fn moved(txn: &str, gap: i64) -> i64 {
    let share = i64::try_from(tillwatch_sdk::hash(txn) & 0xffff).expect("16 bits");
    gap * share / (5 * 0xffff)
}

/// The id of a command.
pub(crate) fn id(txn: &str, kind: &str, chain: u32, attempt: u32) -> Value {
    let rail = if txn.split(':').count() == 5 { "card" } else { "wechat" };
    Value::from(ids::command(rail, txn, kind, chain, attempt))
}

impl Bench {
    pub(crate) fn authorize(&mut self, at: Instant, txn: &str) -> &mut Self {
        self.event(at, "pos.payment.authorize", &of(txn, &[]))
    }

    pub(crate) fn host(&mut self, at: Instant, txn: &str, outcome: &str) -> &mut Self {
        self.event(at, "pos.payment.response", &of(txn, &[("leg", text("host")), ("outcome", text(outcome))]))
    }

    pub(crate) fn terminal(&mut self, at: Instant, txn: &str, outcome: &str) -> &mut Self {
        self.event(at, "pos.payment.response", &of(txn, &[("leg", text("terminal")), ("outcome", text(outcome))]))
    }

    pub(crate) fn status(&mut self, at: Instant, txn: &str, result: &str) -> &mut Self {
        self.event(at, "pos.payment.status", &of(txn, &[("result", text(result))]))
    }

    pub(crate) fn reversal(&mut self, at: Instant, txn: &str, phase: &str) -> &mut Self {
        self.event(at, "pos.payment.reversal", &of(txn, &[("phase", text(phase))]))
    }

    pub(crate) fn raised(&mut self, at: Instant, txn: &str, kind: &str) -> &mut Self {
        self.event(at, "pos.finding.raised", &finding(txn, kind, &[]))
    }

    pub(crate) fn raised_with(&mut self, at: Instant, txn: &str, kind: &str, fields: &[(&str, Value)]) -> &mut Self {
        self.event(at, "pos.finding.raised", &finding(txn, kind, fields))
    }

    pub(crate) fn cleared(&mut self, at: Instant, txn: &str, kind: &str) -> &mut Self {
        self.event(at, "pos.finding.cleared", &finding(txn, kind, &[]))
    }

    pub(crate) fn result(&mut self, at: Instant, command: Value, state: &str) -> &mut Self {
        self.event(at, "pos.command.result", &[("command", command), ("state", text(state))])
    }

    pub(crate) fn heartbeat(&mut self, at: Instant) -> &mut Self {
        self.event(at, "pos.app.state", &[("state", text("heartbeat"))])
    }

    pub(crate) fn printer(&mut self, at: Instant, word: &str) -> &mut Self {
        self.event(at, "pos.device.status", &[("printer", text(word))])
    }
}
