//! The precompiled cache: kept across starts, never trusted when altered.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tillwatch_host::{Cache, CacheError, Engine, Limits, LoadWarning, Loader};

use crate::support::{config, hostile_bytes};

fn loader(dir: &Path) -> Loader {
    Loader::new(Engine::new().expect("an engine"), Some(Cache::open(dir).expect("a cache")))
}

fn warnings(dir: &Path) -> Vec<LoadWarning> {
    let loaded = loader(dir).load_bytes(&config(Limits::default()), hostile_bytes()).expect("loads");
    loaded.warnings().to_vec()
}

fn compiled(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the cache is there").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "compiled")).collect()
}

fn filled() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(warnings(dir.path()), []);
    let [path] = compiled(dir.path()).try_into().expect("one file");
    (dir, path)
}

#[test]
fn a_component_is_compiled_once() {
    let (dir, path) = filled();
    let written = fs::metadata(&path).and_then(|data| data.modified()).expect("a time");
    assert_eq!(warnings(dir.path()), []);
    assert_eq!(fs::metadata(&path).and_then(|data| data.modified()).expect("a time"), written, "not written again");
}

#[test]
fn an_altered_file_is_reported_never_run_and_replaced() {
    let (dir, path) = filled();
    let good = fs::read(&path).expect("reads");
    let last = good.len() - 1;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let altered = [
        flipped(0),
        flipped(8),
        flipped(40),
        flipped(72),
        flipped(last),
        good[..last].to_vec(),
        good[..20].to_vec(),
        Vec::new(),
    ];
    for bytes in altered {
        fs::write(&path, bytes).expect("writes");
        assert_eq!(warnings(dir.path()), [LoadWarning::CacheAltered { path: path.clone() }]);
        assert_eq!(warnings(dir.path()), [], "replaced");
    }
}

#[test]
fn a_file_from_another_cache_is_altered() {
    let (_, foreign) = filled();
    let (dir, path) = filled();
    let (other, from) = filled();
    drop(foreign);
    fs::copy(from, &path).expect("copies");
    assert_eq!(warnings(dir.path()), [LoadWarning::CacheAltered { path }]);
    drop(other);
}

#[test]
fn a_file_for_another_component_is_stale() {
    let (dir, path) = filled();
    // A good file of this very cache, under the name of other bytes.
    let mut other = hostile_bytes().to_vec();
    other.extend([0, 3, 1, b'x', b'y']);
    let name = format!("{}.compiled", blake3::hash(&other));
    let stale = dir.path().join(name);
    fs::copy(&path, &stale).expect("copies");
    let before = fs::read(&stale).expect("reads");
    let loaded = loader(dir.path()).load_bytes(&config(Limits::default()), &other).expect("loads");
    assert_eq!(loaded.warnings(), [], "stale is nobody's fault");
    assert_ne!(fs::read(&stale).expect("reads"), before, "compiled anew");
}

#[test]
fn a_directory_keeps_so_many_files() {
    let (dir, path) = filled();
    for number in 0..70 {
        fs::write(dir.path().join(format!("{number}.compiled")), b"old").expect("writes");
    }
    fs::remove_file(&path).expect("removes");
    assert_eq!(warnings(dir.path()), []);
    assert_eq!(compiled(dir.path()).len(), 64);
    assert!(path.exists(), "the newest stays");
}

#[test]
fn what_others_may_read_or_write_is_refused() {
    let (dir, _) = filled();
    let key = dir.path().join("cache.key");
    assert_eq!(fs::metadata(&key).expect("a key").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("sets the mode");
    let error = Cache::open(dir.path()).expect_err("others may read the key");
    assert!(matches!(&error, CacheError::Open { mode: 0o640, .. }), "{error}");
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("sets the mode");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).expect("sets the mode");
    let error = Cache::open(dir.path()).expect_err("others may write there");
    assert!(error.to_string().contains("chmod 700"), "{error}");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("sets the mode");
    fs::write(&key, b"short").expect("writes");
    assert!(matches!(Cache::open(dir.path()), Err(CacheError::Key { .. })));
}

#[test]
fn a_cache_that_cannot_be_written_is_a_warning() {
    let (dir, path) = filled();
    fs::remove_file(&path).expect("removes");
    // A directory in the file's place: no rename goes over it, for root either.
    fs::create_dir(&path).expect("makes");
    let found = warnings(dir.path());
    assert!(matches!(found.as_slice(), [LoadWarning::CacheUnwritable { .. }]), "{found:?}");
}
