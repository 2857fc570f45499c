//! The world that a rule's standard library may ask for, as stubs, and the list of what is linked at all.
//!
//! Owns the state behind a store. Time stands still, random numbers come from a fixed seed, there is nothing to read, no file, no
//! argument and no environment, and what is printed is captured. Everything else is refused at load: a rule is a pure function.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Duration;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{HostWallClock, WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sync};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::capture::Captured;
use crate::limits::Limits;
use crate::memory::Memory;

/// Interfaces that the standard libraries of languages pull in; each is served by a stub below.
const SERVED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The contract's own types, which carry no function.
const TYPES: &str = "tillwatch:rule/types@0.1.0";

/// Whatever a guest draws is the same in every instance.
const SEED: u64 = 0x7469_6c6c_7761_7463;

/// Whether an import of this name is served. WASI 0.2 in any patch version.
pub(crate) fn is_served(import: &str) -> bool {
    import == TYPES
        || import
            .split_once('@')
            .is_some_and(|(interface, version)| version.starts_with("0.2.") && SERVED.contains(&interface))
}

/// What stands behind one instance.
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) printed: Captured,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    pub(crate) fn new(limits: &Limits) -> Self {
        let printed = Captured::new(limits.stderr_bytes_max);
        let wasi = WasiCtx::builder()
            .stdout(Captured::new(0))
            .stderr(printed.clone())
            .secure_random(ChaCha8Rng::seed_from_u64(SEED))
            .insecure_random(ChaCha8Rng::seed_from_u64(SEED))
            .insecure_random_seed(u128::from(SEED))
            .wall_clock(Still)
            .build();
        Self { memory: Memory::new(limits), printed, wasi, table: ResourceTable::new() }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A linker with the stubs and nothing else.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, Asleep>(l, |state| Sleeper { table: &mut state.table })?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    random::random::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, State::random)?;
    wasmtime_wasi::p2::bindings::io::error::add_to_linker::<State, Table>(l, |state| &mut state.table)?;
    sync::io::poll::add_to_linker::<State, Table>(l, |state| &mut state.table)?;
    sync::io::streams::add_to_linker::<State, Table>(l, |state| &mut state.table)?;
    Ok(linker)
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// The wall clock: the first moment of 1970.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

/// The monotonic clock stands still, and whoever wants to sleep is woken at once: a guest must not be able to hold up a worker.
struct Asleep;

struct Sleeper<'a> {
    table: &'a mut ResourceTable,
}

impl HasData for Asleep {
    type Data<'a> = Sleeper<'a>;
}

struct AtOnce;

#[wasmtime_wasi::async_trait]
impl Pollable for AtOnce {
    async fn ready(&mut self) {}
}

impl clocks::monotonic_clock::Host for Sleeper<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(0)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let ready = self.table.push(AtOnce)?;
        subscribe(self.table, ready)
    }

    fn subscribe_duration(&mut self, _duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_instant(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_interfaces_are_served() {
        assert!(is_served("wasi:cli/stderr@0.2.6"));
        assert!(is_served(TYPES));
        for refused in ["wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0", "wasi:cli/stderr@0.3.0", "env"] {
            assert!(!is_served(refused), "{refused}");
        }
    }
}
