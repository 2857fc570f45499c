//! Any bytes as a component: refused with words that name the rule and the file, or a rule whose answers keep to the contract.

use std::sync::LazyLock;

use tillwatch_core::rules::{Answer, Batch, Change, FAULTS, Rules, Trigger, Visit};
use tillwatch_host::{Engine, Host, Limits, Loader, RuleConfig};

/// Loads the bytes and makes a few visits.
pub fn run(data: &[u8]) {
    static LOADER: LazyLock<Loader> = LazyLock::new(|| Loader::new(Engine::new().expect("an engine"), None));
    let config = RuleConfig {
        id: "seed".to_owned(),
        path: "seed.wasm".into(),
        settings: "{}".to_owned(),
        limits: Limits {
            fuel_per_visit: 1_000_000,
            fuel_load: 1_000_000,
            memory_bytes_max: 4 << 20,
            output_bytes_max: 64 << 10,
            state_bytes_max: 100,
            // Never: only fuel may end a call here.
            epoch_deadline_ms: 600_000,
            ..Limits::default()
        },
        grants: None,
    };
    let loaded = match LOADER.load_bytes(&config, data) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(error.to_string().starts_with("rule seed: seed.wasm: "), "{error}");
            return;
        }
    };
    let descriptor = loaded.descriptor();
    assert_eq!(descriptor.id, "seed");
    let fields = descriptor.fields.len();
    let mut host = Host::new(&[loaded]).expect("what was loaded starts");
    visit(&mut host, fields, &[0, 1, 2]);
    visit(&mut host, fields, &[0]);
    // Taken over or refused, as the rule likes.
    drop(host.migrate(0, 0, b"state"));
}

/// Visits these keys with empty fields and looks at the answer.
fn visit(host: &mut Host, fields: usize, keys: &[usize]) {
    let mut batch = Batch::default();
    for key in keys {
        let at = 1_795_339_801_310;
        batch.visits.push(Visit { at, time: at, late: false, trigger: Trigger::Event(0) });
        batch.push_piece(b"state");
        batch.push_piece(format!("key-{key}").as_bytes());
        (0..fields).for_each(|_| batch.push_piece(b""));
    }
    let mut answer = Answer::default();
    host.process(0, &batch, &mut answer).expect("fuel ends what does not end");
    let verdicts = &answer.verdicts;
    assert_eq!(verdicts.verdicts.len(), keys.len());
    let put = |verdict: &tillwatch_core::rules::Verdict| match verdict.state {
        Change::Put(bytes) => bytes as usize,
        _ => 0,
    };
    assert_eq!(verdicts.verdicts.iter().map(put).sum::<usize>(), verdicts.states.len());
    assert!(verdicts.actions.is_sorted_by_key(|(visit, _)| *visit));
    assert!(answer.faults.is_sorted_by_key(|(visit, _)| *visit));
    assert!(answer.faults.iter().all(|(_, fault)| FAULTS.contains(&fault.code) && fault.reason.len() <= 512));
}
