//! Whether a rule answers the same whatever its instance did before: tried once at load, with made-up visits.
//!
//! A rule that keeps something between visits, or lets the address of an allocation order its output, answers one way in a used instance and
//! another way in a fresh one: its outputs would depend on how visits are cut into calls. Owns those visits. Finds what shows in every
//! answer; what shows for one key alone only a replay tells.

use std::sync::Arc;

use tillwatch_core::rules::{Action, Answer, Batch, Change, Fault, Rules, Scope, Trigger, Verdict, Visit};
use tillwatch_wit::table::{FieldId, Kind};

use crate::host::Host;
use crate::load::{LoadError, Loaded, Refusal, refused};

/// When the made-up visits happen: 2026-01-01T00:00:00Z.
const AT: i64 = 1_767_225_600_000;

/// Refuses a rule whose answers depend on more than the visit.
pub(crate) fn steady(loaded: &Arc<Loaded>) -> Result<(), LoadError> {
    let visits = visits(loaded);
    let all: Vec<usize> = (0..visits.len()).collect();
    let mut used = Host::new(std::slice::from_ref(loaded))?;
    let first = process(&mut used, loaded, &visits, &all)?;
    let second = process(&mut used, loaded, &visits, &all)?;
    for visit in all {
        let mut fresh = Host::new(std::slice::from_ref(loaded))?;
        let alone = process(&mut fresh, loaded, &visits, &[visit])?;
        if said(&first, visit) != said(&alone, 0) || said(&second, visit) != said(&alone, 0) {
            let event = loaded.descriptor().events.get(visit).map_or("a wake-up", String::as_str);
            return Err(refused(loaded.config(), Refusal::Unsteady(event.to_owned())));
        }
    }
    Ok(())
}

/// One for each event and a wake-up.
fn visits(loaded: &Loaded) -> Vec<Visit> {
    let events = u32::try_from(loaded.descriptor().events.len()).expect("invariant: the descriptor was checked");
    let triggers = (0..events).map(Trigger::Event).chain([Trigger::Timer]);
    triggers.map(|trigger| Visit { at: AT, time: AT, late: false, trigger }).collect()
}

fn process(host: &mut Host, loaded: &Loaded, visits: &[Visit], chosen: &[usize]) -> Result<Answer, LoadError> {
    let descriptor = loaded.descriptor();
    let mut batch = Batch::default();
    for &index in chosen {
        let visit = visits[index];
        batch.visits.push(visit);
        batch.push_piece(b"");
        let terminal = format!("probe-{index}");
        let payment = format!("probe:probe:{terminal}:1:1");
        batch.push_piece(if descriptor.key == Scope::Payment { &payment } else { &terminal }.as_bytes());
        for field in &descriptor.fields {
            let field = FieldId::by_name(field).expect("invariant: the descriptor was checked");
            let event = if let Trigger::Event(event) = visit.trigger { Some(event as usize) } else { None };
            batch.push_piece(&event.map_or_else(Vec::new, |event| piece(field, &descriptor.events[event])));
        }
    }
    let mut answer = Answer::default();
    host.process(0, &batch, &mut answer).map_err(|_| {
        let reason = "the wall-clock backstop fired".to_owned();
        refused(loaded.config(), Refusal::Stalled { doing: "is tried", reason })
    })?;
    Ok(answer)
}

fn piece(field: FieldId, event: &str) -> Vec<u8> {
    match field.field().kind {
        _ if field == FieldId::TYPE => event.as_bytes().to_vec(),
        Kind::Text => b"probe".to_vec(),
        Kind::Integer => 1_i64.to_le_bytes().to_vec(),
        Kind::Instant => AT.to_le_bytes().to_vec(),
        Kind::Number => 1.0_f64.to_le_bytes().to_vec(),
        Kind::Flag => vec![1],
        // An empty map of CBOR.
        Kind::Any => vec![0xa0],
    }
}

/// What an answer says about one visit.
type Said<'a> = (&'a Verdict, &'a [u8], Vec<&'a Action>, Option<&'a Fault>);

fn said(answer: &Answer, visit: usize) -> Said<'_> {
    let verdicts = &answer.verdicts;
    let put = |verdict: &Verdict| if let Change::Put(bytes) = verdict.state { bytes as usize } else { 0 };
    let start: usize = verdicts.verdicts[..visit].iter().map(put).sum();
    let verdict = &verdicts.verdicts[visit];
    let of = |number: u32| number as usize == visit;
    (
        verdict,
        &verdicts.states[start..start + put(verdict)],
        verdicts.actions.iter().filter(|(number, _)| of(*number)).map(|(_, action)| action).collect(),
        answer.faults.iter().find(|(number, _)| of(*number)).map(|(_, fault)| fault),
    )
}
