//! Evidence: derived events that leave the engine for the second stage.

use tillwatch_wit::contract::{Action, Derived, Instant, Scope, Trigger, Value, Visit, Wake};

use super::{Decision, Scripted, descriptor, event, record, run, run_crashing, settings, tick};
use crate::{
    cloudevents::{Encoding, Format, Mode, encode},
    limits::Limits,
    log::Topic,
    output::Data,
};

const T0: Instant = 1_700_000_000_000;

/// Tells of each event, addressed to a site, and of each wake-up, addressed to nobody.
fn telling(visit: &Visit, _: &[u8], _: &str, _: &[&[u8]]) -> Result<Decision, String> {
    let mut details = vec![("payments".to_owned(), Value::Integer(3)), ("site".to_owned(), Value::from("S1"))];
    let mut decision = Decision { state: Some(vec![1]), wake: Wake::Keep, actions: Vec::new() };
    if visit.trigger == Trigger::Event(0) {
        details.insert(0, ("scope".to_owned(), Value::from("site:S1")));
        decision.wake = Wake::At(visit.at + 1_000);
    }
    decision.actions.push(Action::Derive(Derived { event: "pos.evidence.census".to_owned(), details }));
    Ok(decision)
}

fn rules() -> Scripted {
    let told = ["pos.payment.authorize"];
    Scripted {
        descriptors: vec![descriptor("telling", Scope::Terminal, &told, &["id"], &["derive:pos.evidence.census"])],
        scripts: vec![telling],
    }
}

#[test]
fn evidence_goes_to_its_topic_by_its_scope_once_and_in_cbor() {
    let settings = settings(Limits::default());
    let records =
        [record(0, T0, event("pos.payment.authorize", "e1", "T1", 1, T0, "")), tick(1, T0 + 600), tick(2, T0 + 2_000)];
    let out = run(&settings, &mut rules(), &records, 1);
    let json = Encoding { mode: Mode::Structured, format: Format::Json };
    let sent: Vec<_> = out.iter().map(|output| encode(output, json)).collect();
    let keys: Vec<_> = sent.iter().map(|message| (message.topic, message.key.as_str())).collect();
    assert_eq!(keys, [(Topic::Evidence, "site:S1"), (Topic::Evidence, "terminal:T1")]);
    assert_eq!(sent[0].headers[0], ("content-type", "application/cbor".to_owned()));
    assert!(sent[0].headers.contains(&("ce_type", "pos.evidence.census".to_owned())));
    let times: Vec<_> = out.iter().map(|output| output.time - T0).collect();
    assert_eq!(times, [0, 1_000], "when it was decided");
    assert_eq!(run_crashing(&settings, &mut rules(), &records), out);
    assert!(matches!(&out[0].data, Data::Evidence(derived) if derived.details.len() == 3));
}
