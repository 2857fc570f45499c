//! Precompiled components on disk, so that a start does not wait for the compiler.
//!
//! A compiled component is native code that will run with this process's rights. So a file says for which component and engine it was
//! made, and carries a code over all of its bytes under a key that only the owner of the directory can read: a file that was cut short,
//! has rotted, was copied from elsewhere or edited by anyone without the key never reaches the loader. It is reported, compiled anew
//! and replaced. Files appear whole by a rename, so any number of processes may share a directory.

use std::fmt;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;
use wasmtime::component::Component;

/// First bytes of a file: the format's name and version.
const MAGIC: &[u8; 8] = b"TWCOMP01";
const HASH_BYTES: usize = blake3::OUT_LEN;
const HEADER_BYTES: usize = MAGIC.len() + 2 * HASH_BYTES;

/// The key's file, beside the components.
const KEY_FILE: &str = "cache.key";

/// Extension of the components' files.
const EXTENSION: &str = "compiled";

/// Components that a directory keeps; the oldest file gives way.
pub(crate) const CACHE_FILES_MAX: usize = 64;

/// A directory of precompiled components.
#[derive(Clone)]
pub struct Cache {
    dir: Arc<Path>,
    secret: [u8; HASH_BYTES],
}

/// The directory cannot be used as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The operating system refuses.
    #[error("cache of compiled components {}: {error}; give another directory or correct its rights", path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// Its answer.
        error: io::Error,
    },
    /// Others could put code there.
    #[error("cache of compiled components {}: others may write or read there (mode {mode:o}); run `chmod {wanted:o}` on it", path.display())]
    Open {
        /// The directory or key.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What it should be.
        wanted: u32,
    },
    /// The key's file holds something else.
    #[error("cache of compiled components: {} is not a key of 32 bytes; remove it, all components are then compiled anew", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
    },
}

/// What a look into the cache brought.
pub(crate) enum Found {
    Nothing,
    /// Made for another engine, or from other bytes.
    Stale,
    /// Not what this cache wrote.
    Altered,
    Component(Box<Component>),
}

impl Cache {
    /// Opens a directory, making it (for the owner alone) and its key where they are missing.
    ///
    /// # Errors
    /// Where it cannot be made or read, or others than its owner may write there.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let dir = dir.into();
        make_dir(&dir).map_err(|error| CacheError::Io { path: dir.clone(), error })?;
        deny_others(&dir, 0o022, 0o700)?;
        let path = dir.join(KEY_FILE);
        let secret = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_key(&dir, &path).and_then(|()| fs::read(&path))
            }
            read => read,
        };
        let secret = secret.map_err(|error| CacheError::Io { path: path.clone(), error })?;
        deny_others(&path, 0o077, 0o600)?;
        let secret = secret.try_into().map_err(|_| CacheError::Key { path })?;
        Ok(Self { dir: dir.into(), secret })
    }

    /// Where a component's compiled form stands.
    pub(crate) fn path(&self, digest: &blake3::Hash) -> PathBuf {
        self.dir.join(format!("{digest}.{EXTENSION}"))
    }

    pub(crate) fn find(&self, engine: &wasmtime::Engine, digest: &blake3::Hash) -> Found {
        let Ok(file) = fs::read(self.path(digest)) else { return Found::Nothing };
        let Some((header, body)) = file.split_at_checked(HEADER_BYTES) else { return Found::Altered };
        let (magic, rest) = header.split_at(MAGIC.len());
        let (key, code) = rest.split_at(HASH_BYTES);
        // Compared as hashes, which takes the same time wherever they differ.
        let wanted = self.code(key, body);
        if magic != MAGIC || !blake3::Hash::from_slice(code).is_ok_and(|code| code == wanted) {
            return Found::Altered;
        }
        if key != engine_key(engine, digest).as_bytes() {
            return Found::Stale;
        }
        match deserialize(engine, body) {
            Ok(component) => Found::Component(Box::new(component)),
            Err(_) => Found::Stale,
        }
    }

    /// Keeps a compiled component for the next start.
    pub(crate) fn keep(&self, engine: &wasmtime::Engine, digest: &blake3::Hash, compiled: &[u8]) -> io::Result<()> {
        let key = engine_key(engine, digest);
        let mut file = NamedTempFile::new_in(&self.dir)?;
        file.write_all(MAGIC)?;
        file.write_all(key.as_bytes())?;
        file.write_all(self.code(key.as_bytes(), compiled).as_bytes())?;
        file.write_all(compiled)?;
        file.as_file().sync_all()?;
        file.persist(self.path(digest)).map_err(|error| error.error)?;
        self.make_room()
    }

    fn code(&self, key: &[u8], body: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(MAGIC).update(key).update(body);
        hasher.finalize()
    }

    /// Another process may do the same at the same time: a file that has gone is no error.
    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION)
                && let Ok(modified) = fs::metadata(&path).and_then(|data| data.modified())
            {
                files.push((modified, path));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(CACHE_FILES_MAX);
        for (_, path) in &files[..surplus] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// What a file was made for: the component's bytes, and everything about the engine and processor that its code depends on, wasmtime's
/// version among it.
fn engine_key(engine: &wasmtime::Engine, digest: &blake3::Hash) -> blake3::Hash {
    struct Feed(blake3::Hasher);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(blake3::Hasher::new());
    feed.write(digest.as_bytes());
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.0.finalize()
}

#[allow(unsafe_code, reason = "the one place where native code comes from a file")]
fn deserialize(engine: &wasmtime::Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: wasmtime asks that the bytes come from its own `serialize`. The caller has checked a code over all of them under a key that
    // only this user can read and that is used for nothing but what `keep` writes, which are such bytes; and the key for this very
    // engine. They are in memory, so nobody can change them between the check and here.
    unsafe { Component::deserialize(engine, compiled) }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes the key; where another process was faster, its key stays.
fn make_key(dir: &Path, path: &Path) -> io::Result<()> {
    let mut secret = [0; HASH_BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    // Temporary files are readable by their owner alone.
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(&secret)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn deny_others(path: &Path, denied: u32, wanted: u32) -> Result<(), CacheError> {
    use std::os::unix::fs::PermissionsExt;
    let data = fs::metadata(path).map_err(|error| CacheError::Io { path: path.to_owned(), error })?;
    let mode = data.permissions().mode() & 0o777;
    if mode & denied == 0 { Ok(()) } else { Err(CacheError::Open { path: path.to_owned(), mode, wanted }) }
}

#[cfg(not(unix))]
fn deny_others(_path: &Path, _denied: u32, _wanted: u32) -> Result<(), CacheError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"(component (core module (func (export "f") (param i32) (result i32) local.get 0)))"#;

    fn engine(fuel: bool) -> wasmtime::Engine {
        wasmtime::Engine::new(wasmtime::Config::new().consume_fuel(fuel)).expect("an engine")
    }

    fn kept(dir: &Path, engine: &wasmtime::Engine) -> (Cache, blake3::Hash) {
        let bytes = wat::parse_str(TEXT).expect("the text is WebAssembly");
        let cache = Cache::open(dir).expect("a cache");
        let digest = blake3::hash(&bytes);
        let component = Component::from_binary(engine, &bytes).expect("compiles");
        cache.keep(engine, &digest, &component.serialize().expect("can be kept")).expect("is kept");
        (cache, digest)
    }

    #[test]
    fn a_file_with_any_byte_altered_or_missing_never_reaches_the_loader() {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = engine(true);
        let (cache, digest) = kept(dir.path(), &engine);
        assert!(matches!(cache.find(&engine, &digest), Found::Component(_)));
        let good = fs::read(cache.path(&digest)).expect("reads");
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(cache.path(&digest), bytes).expect("writes");
            assert!(matches!(cache.find(&engine, &digest), Found::Altered), "byte {at} of {}", good.len());
        }
        for length in (0..good.len()).step_by(97) {
            fs::write(cache.path(&digest), &good[..length]).expect("writes");
            assert!(matches!(cache.find(&engine, &digest), Found::Altered), "{length} bytes of {}", good.len());
        }
        fs::write(cache.path(&digest), [&good[..], b"x"].concat()).expect("writes");
        assert!(matches!(cache.find(&engine, &digest), Found::Altered), "a byte more");
    }

    #[test]
    fn code_for_another_engine_or_component_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let (cache, digest) = kept(dir.path(), &engine(true));
        assert!(matches!(cache.find(&engine(false), &digest), Found::Stale), "without fuel it could run for ever");
        let other = blake3::hash(b"another component");
        fs::copy(cache.path(&digest), cache.path(&other)).expect("copies");
        assert!(matches!(cache.find(&engine(true), &other), Found::Stale));
    }
}
