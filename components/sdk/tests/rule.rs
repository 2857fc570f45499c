//! A rule of the SDK, seen through the boundary: pieces in, verdicts out, messages of bad settings.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use tillwatch_sdk::{
    Batch, Cleared, FieldId, Finding, Instant, Out, Rule, Scope, Severity, Trigger, Value, Verdicts, Visit,
    native::{Component, Native, visit},
    payment::{Layers, Windows},
};
use tillwatch_wit::contract::{Action, Change, Wake};

struct Probe(Layers);

#[derive(Serialize, Deserialize)]
struct State {
    amounts: Vec<i64>,
}

impl Rule for Probe {
    const ID: &'static str = "probe";
    const VERSION: &'static str = "1.2.3";
    const KEY: Scope = Scope::Payment;
    const STATE_VERSION: u32 = 2;
    const EVENTS: &'static [&'static str] = &["pos.payment.authorize", "pos.payment.response", "custom"];
    const FIELDS: &'static [FieldId] =
        &[FieldId::ID, FieldId::AMOUNT, FieldId::OUTCOME, FieldId::REPEAT, FieldId::BATTERY_PCT, FieldId::DATA];
    const CAPABILITIES: &'static [&'static str] = &["finding:x"];

    type Settings = Layers;
    type State = State;

    fn new(settings: Layers) -> Result<Self, String> {
        if settings.sites.contains_key("bad") { Err("`sites.bad`: no such site".into()) } else { Ok(Self(settings)) }
    }

    fn on_event(&self, visit: &Visit<'_>, state: &mut Option<State>, out: &mut Out<'_>) {
        match visit.event() {
            "pos.payment.authorize" => {
                state.get_or_insert(State { amounts: vec![] }).amounts.extend(visit.amount());
                out.wake_at(visit.at() + self.0.windows("", "", "").slow_ms);
            }
            "custom" => {
                #[derive(Deserialize)]
                struct Own {
                    level: u8,
                }
                match visit.read_data::<Own>() {
                    Some(Ok(own)) => out.raise(Finding {
                        details: vec![("level".into(), i64::from(own.level).into())],
                        ..Finding::new("x", Severity::Info)
                    }),
                    Some(Err(error)) => out.fail(error),
                    None => {}
                }
            }
            _ => match visit.outcome() {
                Some("stop") => *state = None,
                Some("spoil") => {
                    out.raise(Finding::new("x", Severity::Info));
                    out.fail("spoilt");
                }
                Some("undeclared") => assert_eq!(visit.site(), None),
                _ => out.sleep(),
            },
        }
    }

    fn on_wake(&self, visit: &Visit<'_>, _: &mut Option<State>, out: &mut Out<'_>) {
        assert_eq!((visit.event(), visit.key(), visit.evidence()), ("", "K", None));
        out.clear(Cleared::new("x", "mended"));
    }
}

const PIECES: usize = 6;

/// Why, when, the state before, the fields.
type Given<'a> = (Trigger, Instant, &'a [u8], [&'a [u8]; PIECES]);

fn process(visits: &[Given<'_>]) -> Verdicts {
    let mut batch = Batch::default();
    for (trigger, at, state, fields) in visits {
        batch.visits.push(visit(*at, *trigger));
        batch.push_piece(state);
        batch.push_piece(b"K");
        for field in fields {
            batch.push_piece(field);
        }
    }
    let mut verdicts = Verdicts::default();
    Native::<Probe>::new().expect("it has defaults").process(&batch, &mut verdicts);
    verdicts
}

fn event(index: u32, outcome: &str, state: &[u8]) -> Verdicts {
    process(&[(Trigger::Event(index), 0, state, [b"e1", b"", outcome.as_bytes(), b"", b"", b""])])
}

const TWO_AMOUNTS: &[u8] = &[2, 14, 3];

#[test]
fn states_and_actions_of_a_batch_stand_one_behind_the_other() {
    let amount = 7_i64.to_le_bytes();
    let verdicts = process(&[
        (Trigger::Event(0), 5, &[], [b"e1", &amount, b"", b"\x01", b"", b""]),
        (Trigger::Timer, 6, TWO_AMOUNTS, [b"", b"", b"", b"", b"", b""]),
        (Trigger::Event(0), 7, &[1, 14], [b"e2", &(-2_i64).to_le_bytes(), b"", b"", b"", b""]),
    ]);
    assert_eq!(verdicts.states, [&[1, 14][..], TWO_AMOUNTS].concat());
    let changes: Vec<_> = verdicts.verdicts.iter().map(|verdict| (&verdict.state, verdict.wake)).collect();
    assert_eq!(
        changes,
        [(&Change::Put(2), Wake::At(15_005)), (&Change::Keep, Wake::Keep), (&Change::Put(3), Wake::At(15_007))]
    );
    assert_eq!(verdicts.actions, [(1, Action::Clear(Cleared::new("x", "mended")))]);
}

#[test]
fn a_state_of_none_is_cleared_with_its_wake_up_and_one_that_never_was_stays_so() {
    let with = event(1, "stop", TWO_AMOUNTS);
    assert_eq!((&with.verdicts[0].state, with.verdicts[0].wake), (&Change::Clear, Wake::Never));
    let without = event(1, "stop", b"");
    assert_eq!((&without.verdicts[0].state, without.verdicts[0].wake), (&Change::Keep, Wake::Keep));
    assert_eq!(event(1, "", TWO_AMOUNTS).verdicts[0].wake, Wake::Never);
}

#[test]
fn of_a_failed_visit_nothing_stays_and_its_neighbours_count() {
    let ok: [&[u8]; PIECES] = [b"e1", b"", b"stop", b"", b"", b""];
    let verdicts = process(&[
        (Trigger::Event(1), 0, TWO_AMOUNTS, ok),
        (Trigger::Event(1), 0, b"", [b"e1", b"", b"spoil", b"", b"", b""]),
        (Trigger::Event(1), 0, TWO_AMOUNTS, ok),
    ]);
    assert_eq!(verdicts.verdicts[1].state, Change::Fail("spoilt".into()));
    assert_eq!((&verdicts.verdicts[0].state, &verdicts.verdicts[2].state), (&Change::Clear, &Change::Clear));
    assert!(verdicts.actions.is_empty() && verdicts.states.is_empty());
}

#[test]
fn a_state_that_does_not_decode_fails_the_visit() {
    for state in [&[2, 14][..], &[0, 0], &[255]] {
        let verdicts = event(1, "stop", state);
        let Change::Fail(reason) = &verdicts.verdicts[0].state else { panic!("{state:?} decoded") };
        assert!(reason.starts_with("the state does not decode"), "{reason}");
    }
}

#[test]
fn reading_an_undeclared_field_names_it() {
    let payload = catch_unwind(AssertUnwindSafe(|| event(1, "undeclared", b""))).expect_err("it panics");
    let message = payload.downcast_ref::<String>().expect("a message");
    assert!(message.contains("`site`"), "{message}");
}

#[test]
fn custom_data_is_read_into_a_type_of_the_rule() {
    let custom = |cbor: &[u8]| process(&[(Trigger::Event(2), 0, b"", [b"e", b"", b"", b"", b"", cbor])]);
    let verdicts = custom(b"\xa1\x65level\x05");
    let [(0, Action::Raise(finding))] = &verdicts.actions[..] else { panic!("{verdicts:?}") };
    assert_eq!(finding.details, [("level".to_owned(), Value::Integer(5))]);
    assert!(matches!(&custom(b"\xa1\x65level\x61x").verdicts[0].state, Change::Fail(_)));
}

#[test]
fn the_descriptor_says_what_the_rule_says() {
    let rule = Native::<Probe>::new().expect("it has defaults");
    let descriptor = rule.describe();
    assert_eq!((descriptor.id.as_str(), descriptor.state_version), ("probe", 2));
    assert_eq!(descriptor.fields, ["id", "amount", "outcome", "repeat", "battery_pct", "data"]);
}

#[test]
fn state_of_a_version_that_the_rule_does_not_read_is_refused() {
    let error = Native::<Probe>::new().expect("it has defaults").migrate(1, b"").expect_err("no migration");
    assert_eq!(error, "probe 1.2.3 does not read state of format 1");
}

#[test]
fn a_bad_setting_is_a_message_with_its_path() {
    let error = |json: &str| Native::<Probe>::with_settings(json).err().expect(json);
    for (json, parts) in [
        (r#"{"sites":{"S1":{"respnse_ms":5}}}"#, &["`sites.S1.respnse_ms`", "unknown field", "response_ms"][..]),
        (r#"{"defaults":{"slow_ms":"15s"}}"#, &["`defaults.slow_ms`", "invalid type", "u32"]),
        (r#"{"defaults":{"slow_ms":-1}}"#, &["`defaults.slow_ms`", "u32"]),
        (r#"{"rails":{"card":{"expects":["recipt"]}}}"#, &["`rails.card.expects[0]`", "recipt", "receipt"]),
        (r#"{"default":{}}"#, &["`default`", "unknown field", "defaults"]),
        ("[]", &["settings"]),
        ("{", &["no valid JSON", "line 1"]),
        ("{} x", &["no valid JSON"]),
        (r#"{"sites":{"bad":{}}}"#, &["probe", "`sites.bad`", "no such site"]),
    ] {
        let error = error(json);
        for part in parts {
            assert!(error.contains(part), "{json}: {error}");
        }
    }
    let mut rule = Native::<Probe>::new().expect("it has defaults");
    assert!(rule.configure("{").is_err());
    assert_eq!(rule.configure(" null "), Ok(()));
}

#[test]
fn a_later_layer_wins_key_by_key() {
    let layers: Layers = serde_json::from_str(
        r#"{"defaults":{"slow_ms":1,"display_ms":1,"response_ms":1},"rails":{"wechat":{"display_ms":2,"print_ms":2}},
            "acquirers":{"A":{"print_ms":3,"sync_ms":3}},"sites":{"S":{"sync_ms":4,"expects":["ledger"]}}}"#,
    )
    .expect("valid layers");
    let windows = layers.windows("wechat", "A", "S");
    let expected = Windows {
        slow_ms: 1,
        display_ms: 2,
        response_ms: 45_000,
        print_ms: 3,
        sync_ms: 4,
        expects_display: false,
        expects_receipt: false,
        expects_ledger: true,
        ..Windows::default()
    };
    assert_eq!(windows, expected);
    assert_eq!(layers.windows("card", "", "").response_ms, 1);
    assert_eq!(Layers::default().windows("alipay", "", "").response_ms, 60_000);
    assert_eq!(Layers::default().windows("card", "", ""), Windows::default());
}
