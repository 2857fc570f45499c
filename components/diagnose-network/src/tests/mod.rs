//! The rule, visited as the runtime does.

mod line;
mod payments;

use tillwatch_sdk::{Derived, Instant, Value, native::Key};
use tillwatch_wit::contract::Action;

use crate::DiagnoseNetwork;

/// A key of the rule, and what it told.
struct Bench {
    key: Key<DiagnoseNetwork>,
    told: Vec<Derived>,
}

impl Bench {
    fn new() -> Self {
        Self { key: Key::new("T1", ""), told: Vec::new() }
    }

    fn event(&mut self, at: Instant, event: &str, fields: &[(&str, Value)]) {
        let common = [("site", Value::from("S1")), ("region", Value::from("R1")), ("acquirer", Value::from("A01"))];
        let fields: Vec<_> = common.into_iter().chain(fields.iter().cloned()).collect();
        let actions = self.key.event(at, event, &fields);
        self.take(actions);
    }

    fn until(&mut self, at: Instant) {
        let actions = self.key.until(at);
        self.take(actions);
    }

    fn net(&mut self, at: Instant, fields: &[(&str, Value)]) {
        self.event(at, "pos.net.sample", fields);
    }

    fn take(&mut self, actions: Vec<Action>) {
        self.told.extend(actions.into_iter().map(|action| match action {
            Action::Derive(derived) => derived,
            other => panic!("the rule may not do {other:?}"),
        }));
    }

    /// Everything told since the last call, a line each: type, and for a sign cause, name, about, count and of.
    fn lines(&mut self) -> Vec<String> {
        self.told.drain(..).map(|derived| line(&derived)).collect()
    }
}

fn value(derived: &Derived, name: &str) -> String {
    match derived.details.iter().find(|(known, _)| known == name).map(|(_, value)| value) {
        None => "-".to_owned(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(integer)) => integer.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Flag(flag)) => flag.to_string(),
    }
}

fn line(derived: &Derived) -> String {
    let value = |name: &str| value(derived, name);
    match derived.event.strip_prefix("pos.evidence.").expect("evidence") {
        "sign" => {
            format!("{} {} {} {}/{}", value("cause"), value("what"), value("about"), value("count"), value("of"))
        }
        "census" => format!("census {}", value("payments")),
        "stuck" => format!("stuck {} {} {}", value("kind"), value("txn"), value("cause")),
        "ended" => format!("ended {} {}", value("kind"), value("resolution")),
        "notice" => format!("notice {} {} {}", value("about"), value("from"), value("until")),
        other => panic!("{other}"),
    }
}

fn rtt(ms: f64) -> [(&'static str, Value); 1] {
    [("rtt_ms", Value::Number(ms))]
}
