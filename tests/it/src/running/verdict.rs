//! Whether what was said is what had to be said.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::feed::{instant, subject};
use super::process::{run, tillwatch};

/// How many findings and commands a feed of many faults leads to at least.
const PLENTY: usize = 50;

/// Topics whose records are compared.
pub const COMPARED: [&str; 4] = ["pos.findings", "pos.commands", "pos.incidents", "pos.dead-letters"];

/// How many outputs that should not be so are shown.
const SHOWN_MAX: usize = 10;

/// The field in which a reader notes at which partition and offset an output stood.
pub const PLACE: &str = "place";

/// An output without the topic, which a record does not carry, by its id.
pub type Outputs = BTreeMap<String, Value>;

fn id(output: &Value) -> String {
    output["id"].as_str().expect("an output has an id").to_owned()
}

/// The outputs of these lines, each of which must be there once.
pub fn once(lines: impl IntoIterator<Item = Value>) -> Outputs {
    let mut outputs = Outputs::new();
    let mut places = BTreeMap::new();
    for mut line in lines {
        let fields = line.as_object_mut().expect("an output is an object");
        fields.remove("topic");
        fields.remove("ingesttime");
        let place = fields.remove(PLACE);
        let before = places.insert(id(&line), place.clone());
        assert_eq!(before, None, "an output came twice, the second time at {place:?}: {line}");
        outputs.insert(id(&line), line);
    }
    outputs
}

/// JSON lines.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a JSON object a line"))
}

/// The records of a topic as `export` gives them.
pub fn export(config: &Path, topic: Option<&str>) -> Vec<u8> {
    let mut command = tillwatch(["export", "--config"]);
    command.arg(config).args(topic.iter().flat_map(|topic| ["--topic", topic]));
    run(command, b"").good()
}

/// What `replay` of these events says on the topics that are [`COMPARED`].
pub fn replayed(config: &Path, events: &[u8]) -> Outputs {
    let mut command = tillwatch(["replay", "--config"]);
    command.arg(config).arg("-");
    let ended = run(command, events);
    assert!(matches!(ended.code, Some(0 | 3)), "{}", ended.stderr);
    let kept = |line: &Value| {
        let topic = line["topic"].as_str().expect("an output has a topic");
        COMPARED.iter().any(|name| topic.ends_with(name))
    };
    once(lines(&ended.stdout).filter(kept))
}

/// When the payment of `silent` on this terminal was found, if it was.
pub fn found<'a>(outputs: impl IntoIterator<Item = &'a Value>, terminal: &str) -> Option<i64> {
    let subject = subject(terminal);
    let of = |output: &&Value| {
        output["type"] == "pos.finding.raised"
            && output["subject"] == subject.as_str()
            && output["data"]["kind"] == "approved-undelivered"
    };
    outputs.into_iter().find(of).map(|output| instant(&output["time"]))
}

/// Holds what was said against what had to be said. Every partition has reached `until`: before it nothing may be missing; after it,
/// nothing may be there that is not to come.
pub fn assert_same(said: &Outputs, expected: &Outputs, until: i64) {
    let invented = said.iter().filter(|(id, output)| expected.get(*id) != Some(output)).map(|(_, output)| output);
    let lost = expected.iter().filter(|(id, output)| instant(&output["time"]) < until && !said.contains_key(*id));
    let (invented, lost): (Vec<&Value>, Vec<&Value>) = (invented.collect(), lost.map(|(_, output)| output).collect());
    let some = |outputs: &[&Value]| {
        outputs.iter().take(SHOWN_MAX).fold(String::new(), |all, output| format!("{all}\n  {output}"))
    };
    assert!(
        invented.is_empty() && lost.is_empty(),
        "of {} said, {} are otherwise or not at all in the replay:{}\nof {} in the replay, {} were never said:{}",
        said.len(),
        invented.len(),
        some(&invented),
        expected.len(),
        lost.len(),
        some(&lost)
    );
}

/// That there was something of every kind to compare.
pub fn assert_plenty(said: &Outputs) {
    let count = |event_type: &str| said.values().filter(|output| output["type"] == event_type).count();
    for event_type in ["pos.finding.updated", "pos.finding.cleared", "pos.command.cancelled"] {
        assert!(count(event_type) > 0, "no {event_type} among {}", said.len());
    }
    for event_type in ["pos.finding.raised", "pos.command"] {
        assert!(count(event_type) > PLENTY, "{} of {event_type}", count(event_type));
    }
}
