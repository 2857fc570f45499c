//! One instance of one component with its store: every call into a guest goes through here.
//!
//! Owns the allowances of a call and what a failed one is called. Owns no retries.

use tillwatch_core::rules::{Batch, Descriptor, Fault};
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::bindings::{Rule, RulePre};
use crate::check::fault;
use crate::convert;
use crate::engine::EPOCH_TICK_MS;
use crate::limits::Limits;
use crate::lists::{self, Process, Verdicts, Visits};
use crate::wasi::State;

/// What the host may allocate for one answer is a multiple of what it may hold, since Rust's types are larger than what they say. The
/// exact limit is checked afterwards; this only keeps memory bounded before.
const LIFT_FACTOR: usize = 4;
/// For the verdicts of a full call.
const LIFT_BYTES: usize = 64 << 10;

/// Why a call has no answer.
pub(crate) enum Failure {
    /// The wall-clock backstop fired, or no instance could be had.
    Stalled(String),
    /// The guest's fault.
    Fault(Fault),
}

impl Failure {
    /// What happened, for a person.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Stalled(reason) => reason,
            Self::Fault(fault) => format!("{}: {}", fault.code, fault.reason),
        }
    }
}

pub(crate) struct Instance {
    store: Store<State>,
    rule: Rule,
    process: Process,
    /// Memory when the instance was new, bytes.
    bytes_at_start: usize,
}

impl Instance {
    /// A new instance, not yet configured.
    pub(crate) fn new(component: &RulePre<State>, limits: &Limits) -> Result<Self, Failure> {
        let mut store = Store::new(component.engine(), State::new(limits));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.output_bytes_max.saturating_mul(LIFT_FACTOR).saturating_add(LIFT_BYTES));
        prepare(&mut store, limits.fuel_load, limits);
        let made = component.instantiate(&mut store).and_then(|rule| {
            let process = Process::of(&rule, &store)?;
            Ok((rule, process))
        });
        let (rule, process) = made.map_err(|error| failure(&error, &store, limits.fuel_load, limits))?;
        let bytes_at_start = store.data().memory.bytes();
        Ok(Self { store, rule, process, bytes_at_start })
    }

    /// A new instance with these settings. The inner error is the rule's own message.
    pub(crate) fn configured(
        component: &RulePre<State>,
        limits: &Limits,
        settings: &str,
    ) -> Result<Result<Self, String>, Failure> {
        let mut instance = Self::new(component, limits)?;
        let verdict = instance
            .call(limits.fuel_load, limits, |instance| instance.rule.call_configure(&mut instance.store, settings))?;
        instance.bytes_at_start = instance.store.data().memory.bytes();
        Ok(verdict.map(|()| instance))
    }

    pub(crate) fn describe(&mut self, limits: &Limits) -> Result<Descriptor, Failure> {
        self.call(limits.fuel_load, limits, |instance| instance.rule.call_describe(&mut instance.store))
            .map(convert::descriptor)
    }

    pub(crate) fn process(
        &mut self,
        fuel: u64,
        limits: &Limits,
        Batch { visits, ends, bytes }: &Batch,
    ) -> Result<Verdicts, Failure> {
        let batch = lists::Batch { visits: Visits(visits), ends, bytes };
        self.call(fuel, limits, |instance| instance.process.call(&mut instance.store, batch))
    }

    pub(crate) fn migrate(
        &mut self,
        fuel: u64,
        limits: &Limits,
        version: u32,
        state: &[u8],
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        self.call(fuel, limits, |instance| instance.rule.call_migrate(&mut instance.store, version, state))
    }

    /// Fuel left of the last call's.
    pub(crate) fn fuel_left(&self) -> u64 {
        self.store.get_fuel().expect("invariant: fuel is on")
    }

    /// Whether it has grown past what an instance may keep; one that was born so is kept.
    pub(crate) fn is_overgrown(&self, limits: &Limits) -> bool {
        self.store.data().memory.bytes() > limits.recycle_bytes.max(self.bytes_at_start)
    }

    fn call<T>(
        &mut self,
        fuel: u64,
        limits: &Limits,
        call: impl FnOnce(&mut Self) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        prepare(&mut self.store, fuel, limits);
        call(self).map_err(|error| failure(&error, &self.store, fuel, limits))
    }
}

fn prepare(store: &mut Store<State>, fuel: u64, limits: &Limits) {
    store.set_fuel(fuel).expect("invariant: fuel is on");
    // One tick may be about to pass.
    store.set_epoch_deadline(u64::from(limits.epoch_deadline_ms.div_ceil(EPOCH_TICK_MS)) + 1);
    let state = store.data_mut();
    state.printed.clear();
    state.memory.forget_refusal();
}

/// What a failed call is called. Its text holds nothing that differs between two runs of the same call in a fresh instance.
fn failure(error: &wasmtime::Error, store: &Store<State>, fuel: u64, limits: &Limits) -> Failure {
    let state = store.data();
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::Interrupt) => {
            return Failure::Stalled(format!("no answer within {} ms of wall-clock time", limits.epoch_deadline_ms));
        }
        Some(Trap::OutOfFuel) => return Failure::Fault(fault("fuel", &format!("used up its {fuel} units of fuel"))),
        _ => {}
    }
    if state.memory.was_refused() {
        return Failure::Fault(fault(
            "memory",
            &format!("wanted more than its {} bytes of memory", limits.memory_bytes_max),
        ));
    }
    let cause = error.root_cause().to_string();
    if trap.is_some() || error.is::<I32Exit>() {
        let printed = state.printed.line();
        return Failure::Fault(fault("trap", if printed.is_empty() { &cause } else { &printed }));
    }
    // wasmtime keeps the type of this error to itself.
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return Failure::Fault(fault("output-max", &output_max(limits)));
    }
    Failure::Fault(fault("bad-output", &cause))
}

/// The reason of the fault `output-max`: the same whichever of the two checks found it.
pub(crate) fn output_max(limits: &Limits) -> String {
    format!("answered more than its {} bytes", limits.output_bytes_max)
}
