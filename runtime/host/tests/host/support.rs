//! Guests, and batches for them.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use tillwatch_core::rules::{Answer, Batch, Change, Fault, Rules, Trigger, Verdict, Visit, Wake};
use tillwatch_host::{Cache, Engine, Host, Limits, Loaded, Loader, RuleConfig};

/// The guest that does for each key what the key names; see its source.
pub(crate) fn hostile_path() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().expect("tmp stands in the target directory").join("components/fixture-hostile.wasm")
}

pub(crate) fn hostile_bytes() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let path = hostile_path();
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask components`", path.display()))
    });
    &BYTES
}

/// Compiles once for all tests.
pub(crate) fn loader() -> &'static Loader {
    static LOADER: LazyLock<(Loader, tempfile::TempDir)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path()).expect("a cache");
        (Loader::new(Engine::new().expect("an engine"), Some(cache)), dir)
    });
    &LOADER.0
}

pub(crate) fn config(limits: Limits) -> RuleConfig {
    RuleConfig { id: "hostile".to_owned(), path: hostile_path(), settings: "{}".to_owned(), limits, grants: None }
}

pub(crate) fn hostile(limits: Limits) -> Arc<Loaded> {
    loader().load_bytes(&config(limits), hostile_bytes()).expect("the guest loads")
}

pub(crate) fn host(limits: Limits) -> Host {
    Host::new(&[hostile(limits)]).expect("the guest starts")
}

/// A batch of one visit a key at 0, 10, 20, …, each with the state `s`.
pub(crate) fn batch(keys: &[&str]) -> Batch {
    let mut batch = Batch::default();
    for (at, key) in (0..).step_by(10).zip(keys) {
        batch.visits.push(Visit { at, time: at, late: false, trigger: Trigger::Event(0) });
        for piece in [b"s".as_slice(), key.as_bytes(), &7_i64.to_le_bytes()] {
            batch.push_piece(piece);
        }
    }
    batch
}

pub(crate) fn process(host: &mut Host, keys: &[&str]) -> Answer {
    let mut answer = Answer::default();
    host.process(0, &batch(keys), &mut answer).expect("no stall");
    assert_eq!(answer.verdicts.verdicts.len(), keys.len());
    answer
}

/// The one fault of a call with this key alone.
pub(crate) fn fault(limits: Limits, key: &str) -> Fault {
    let answer = process(&mut host(limits), &[key]);
    assert_eq!(answer.verdicts.verdicts, [NOTHING]);
    assert_eq!((answer.verdicts.states.len(), answer.verdicts.actions.len()), (0, 0));
    let [(0, fault)] = answer.faults.as_slice() else { panic!("{key}: {:?}", answer.faults) };
    fault.clone()
}

/// The verdict of a visit that faulted.
pub(crate) const NOTHING: Verdict = Verdict { state: Change::Keep, wake: Wake::Keep };

/// The verdict of a good visit of the guest at `at`.
pub(crate) fn good(at: i64) -> Verdict {
    Verdict { state: Change::Put(2), wake: Wake::At(at + 1000) }
}
