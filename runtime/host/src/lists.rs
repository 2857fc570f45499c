//! The two lists that every visit stands in, written to and read from a guest's memory as a whole.
//!
//! Owns how `visit` and `verdict` lie in memory, which is the component model's canonical ABI. What wasmtime derives does the same and looks
//! for the guest's memory again at every field of every visit (ADR 0033). Types are checked by what is derived, so a rule of another
//! contract is refused as before.
#![allow(unsafe_code, reason = "wasmtime's traits of values are unsafe to implement: each says why it keeps to them")]

use std::mem::MaybeUninit;

use tillwatch_wit::contract::{Change, Trigger, Verdict, Visit, Wake};
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentType, Func, Lift, Lower, TypedFunc};
use wasmtime::{AsContext, AsContextMut, Result, ValRaw, bail};

use crate::bindings::Rule;
use crate::bindings::tillwatch::rule::types as w;

/// Bytes of a visit: `at`, `time`, `late`, and at 20 and 24 the trigger and its number.
const VISIT_BYTES: usize = 32;

/// Bytes of a verdict: what becomes of the state and at 4 its number or text, at 16 what becomes of the wake-up and at 24 its instant.
const VERDICT_BYTES: usize = 32;

const _: () = assert!(<w::Visit as ComponentType>::SIZE32 == VISIT_BYTES);
const _: () = assert!(<w::Verdict as ComponentType>::SIZE32 == VERDICT_BYTES);

/// The arguments of `process`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    pub(crate) visits: Visits<'a>,
    pub(crate) ends: &'a [u32],
    pub(crate) bytes: &'a [u8],
}

/// The answer of `process`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Verdicts {
    pub(crate) verdicts: VerdictList,
    pub(crate) states: Vec<u8>,
    pub(crate) actions: Vec<(u32, w::Action)>,
}

/// The rule's `process`.
pub(crate) struct Process(Func);

impl Process {
    /// That of an instance; checks its types.
    pub(crate) fn of(rule: &Rule, store: impl AsContext) -> Result<Self> {
        let process = rule.process();
        process.typed::<(Batch<'static>,), (Verdicts,)>(store)?;
        Ok(Self(process))
    }

    /// Calls it; the batch is read and its room the guest's again when this comes back.
    pub(crate) fn call(&self, store: impl AsContextMut, batch: Batch<'_>) -> Result<Verdicts> {
        // SAFETY: its types were checked when it was found, and they are the same however long what they borrow lives.
        let process = unsafe { TypedFunc::<(Batch<'_>,), (Verdicts,)>::new_unchecked(self.0) };
        process.call(store, (batch,)).map(|(verdicts,)| verdicts)
    }
}

/// `list<visit>`.
pub(crate) struct Visits<'a>(pub(crate) &'a [Visit]);

/// `list<verdict>`.
pub(crate) struct VerdictList(pub(crate) Vec<Verdict>);

// SAFETY: all is what wasmtime has for the derived type.
unsafe impl ComponentType for Visits<'_> {
    type Lower = <[w::Visit] as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <[w::Visit] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[w::Visit] as ComponentType>::typecheck(ty, types)
    }
}

impl Visits<'_> {
    /// Puts them into memory that the guest gives; where, and how many.
    fn put<T>(&self, cx: &mut LowerContext<'_, T>) -> Result<(usize, usize)> {
        let bytes = self.0.len() * VISIT_BYTES;
        let start = cx.realloc(0, 0, <w::Visit as ComponentType>::ALIGN32, bytes)?;
        let (places, _) = cx.as_slice_mut()[start..start + bytes].as_chunks_mut();
        for (visit, place) in self.0.iter().zip(places) {
            *place = visit_bytes(visit);
        }
        Ok((start, self.0.len()))
    }
}

fn visit_bytes(visit: &Visit) -> [u8; VISIT_BYTES] {
    let (case, number) = match visit.trigger {
        Trigger::Timer => (0, 0),
        Trigger::Event(number) => (1, number),
    };
    let mut bytes = [0; VISIT_BYTES];
    bytes[..8].copy_from_slice(&visit.at.to_le_bytes());
    bytes[8..16].copy_from_slice(&visit.time.to_le_bytes());
    bytes[16] = u8::from(visit.late);
    bytes[20] = case;
    bytes[24..28].copy_from_slice(&u32::to_le_bytes(number));
    bytes
}

// SAFETY: `dst` is written whole, and memory only where the guest said that there is room, as wasmtime does for a list.
unsafe impl Lower for Visits<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let (start, count) = self.put(cx)?;
        dst.write([start, count].map(|number| ValRaw::u64(number as u64)));
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, offset: usize) -> Result<()> {
        let (start, count) = self.put(cx)?;
        *cx.get(offset) = u32::try_from(start)?.to_le_bytes();
        *cx.get(offset + 4) = u32::try_from(count)?.to_le_bytes();
        Ok(())
    }
}

// SAFETY: all is what wasmtime has for the derived type.
unsafe impl ComponentType for VerdictList {
    type Lower = <[w::Verdict] as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <[w::Verdict] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[w::Verdict] as ComponentType>::typecheck(ty, types)
    }
}

impl VerdictList {
    /// Reads so many that begin there, wherever a guest says that is.
    fn take(cx: &mut LiftContext<'_>, start: u32, count: u32) -> Result<Self> {
        let (start, count) = (start as usize, count as usize);
        cx.consume_fuel_array(count, size_of::<Verdict>())?;
        let end = count.checked_mul(VERDICT_BYTES).and_then(|bytes| start.checked_add(bytes));
        let Some(bytes) = end.and_then(|end| cx.memory().get(start..end)) else {
            bail!("list pointer/length out of bounds of memory");
        };
        if start % <w::Verdict as ComponentType>::ALIGN32 as usize != 0 {
            bail!("list pointer is not aligned");
        }
        let (places, _) = bytes.as_chunks();
        let mut verdicts = Vec::with_capacity(count);
        for place in places {
            verdicts.push(verdict(cx, place)?);
        }
        Ok(Self(verdicts))
    }
}

fn verdict(cx: &mut LiftContext<'_>, bytes: &[u8; VERDICT_BYTES]) -> Result<Verdict> {
    let state = match bytes[0] {
        0 => Change::Keep,
        1 => Change::Put(number(bytes, 4)),
        2 => Change::Clear,
        3 => Change::Fail(String::linear_lift_from_memory(cx, InterfaceType::String, &bytes[4..12])?),
        other => bail!("unexpected discriminant: {other}"),
    };
    let wake = match bytes[16] {
        0 => Wake::Keep,
        1 => Wake::At(i64::from_le_bytes(*bytes.last_chunk().expect("invariant: a verdict is longer"))),
        2 => Wake::Never,
        other => bail!("unexpected discriminant: {other}"),
    };
    Ok(Verdict { state, wake })
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("invariant: a number is in its record"))
}

// SAFETY: all that a guest says is checked before it is used, and memory is read through bounds alone.
unsafe impl Lift for VerdictList {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, _: InterfaceType, src: &Self::Lower) -> Result<Self> {
        Self::take(cx, src[0].get_u32(), src[1].get_u32())
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> Result<Self> {
        Self::take(cx, number(bytes, 0), number(bytes, 4))
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_wit::contract::{Change, Trigger, Verdict, Visit, Wake};
    use wasmtime::component::{Component, ComponentNamedList, Linker};
    use wasmtime::{Engine, Result, Store};

    use super::{VerdictList, Visits, w};

    /// Answers with so many verdicts that stand at `start`, and with the bytes that the visits are in memory.
    fn answering(start: u32, count: u32, verdicts: &[u8]) -> String {
        let data: String = verdicts.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(component
                (type $trigger-shape (variant (case "timer") (case "event" u32)))
                (export $trigger "trigger" (type $trigger-shape))
                (type $visit-shape (record (field "at" s64) (field "time" s64) (field "late" bool) (field "trigger" $trigger)))
                (export $visit "visit" (type $visit-shape))
                (type $change-shape (variant (case "keep") (case "put" u32) (case "clear") (case "fail" string)))
                (export $change "change" (type $change-shape))
                (type $wake-shape (variant (case "keep") (case "at" s64) (case "never")))
                (export $wake "wake" (type $wake-shape))
                (type $verdict-shape (record (field "state" $change) (field "wake" $wake)))
                (export $verdict "verdict" (type $verdict-shape))
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
                    (func (export "process") (param $visits i32) (param $count i32) (result i32)
                        (i32.store (i32.const 16) (i32.const {start}))
                        (i32.store (i32.const 20) (i32.const {count}))
                        (i32.store (i32.const 24) (local.get $visits))
                        (i32.store (i32.const 28) (i32.mul (local.get $count) (i32.const 32)))
                        i32.const 16)
                    (data (i32.const 64) "{data}"))
                (core instance $i (instantiate $m))
                (func (export "process") (param "visits" (list $visit)) (result (tuple (list $verdict) (list u8)))
                    (canon lift (core func $i "process") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
        )
    }

    fn call<P, L>(text: &str, visits: P) -> Result<(L, Vec<u8>)>
    where
        (P,): ComponentNamedList + wasmtime::component::Lower,
        ((L, Vec<u8>),): ComponentNamedList + wasmtime::component::Lift,
        P: Send + Sync,
        L: Send + Sync + 'static,
    {
        let engine = Engine::default();
        let component = Component::new(&engine, wat::parse_str(text).expect("the text is WebAssembly"))?;
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
        let process = instance.get_func(&mut store, "process").expect("it has one");
        Ok(process.typed::<(P,), ((L, Vec<u8>),)>(&store)?.call(&mut store, (visits,))?.0)
    }

    fn answer(start: u32, count: u32, verdicts: &[u8]) -> Result<Vec<Verdict>> {
        call::<_, VerdictList>(&answering(start, count, verdicts), Visits(&[])).map(|(list, _)| list.0)
    }

    #[test]
    fn visits_lie_in_memory_as_wasmtime_puts_them() {
        let visits: Vec<Visit> =
            [(0, false, Trigger::Timer), (-1, true, Trigger::Event(7)), (1 << 40, false, Trigger::Event(u32::MAX))]
                .map(|(at, late, trigger)| Visit { at, time: at - 3, late, trigger })
                .to_vec();
        let derived: Vec<w::Visit> = visits
            .iter()
            .map(|visit| w::Visit {
                at: visit.at,
                time: visit.time,
                late: visit.late,
                trigger: match visit.trigger {
                    Trigger::Timer => w::Trigger::Timer,
                    Trigger::Event(number) => w::Trigger::Event(number),
                },
            })
            .collect();
        let text = answering(64, 0, &[]);
        let (_, ours) = call::<_, VerdictList>(&text, Visits(&visits)).expect("an answer");
        let (_, theirs) = call::<_, VerdictList>(&text, &derived[..]).expect("an answer");
        assert_eq!(ours.len(), 96);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn every_verdict_is_read_as_wasmtime_reads_it() {
        let mut bytes = [0_u8; 4 * 32 + 2];
        bytes[128..].copy_from_slice(b"no");
        for (verdict, (state, wake)) in [(0, 2), (1, 1), (2, 0), (3, 1)].into_iter().enumerate() {
            (bytes[32 * verdict], bytes[32 * verdict + 16]) = (state, wake);
        }
        bytes[36..40].copy_from_slice(&300_u32.to_le_bytes());
        bytes[56..64].copy_from_slice(&(-5_i64).to_le_bytes());
        bytes[100..104].copy_from_slice(&(64_u32 + 128).to_le_bytes());
        bytes[104] = 2;
        let expected = [
            Verdict { state: Change::Keep, wake: Wake::Never },
            Verdict { state: Change::Put(300), wake: Wake::At(-5) },
            Verdict { state: Change::Clear, wake: Wake::Keep },
            Verdict { state: Change::Fail("no".to_owned()), wake: Wake::At(0) },
        ];
        assert_eq!(answer(64, 4, &bytes).expect("an answer"), expected);
        let (derived, _) = call::<_, Vec<w::Verdict>>(&answering(64, 4, &bytes), Visits(&[])).expect("an answer");
        let told = format!("{derived:?}").replace("Change::", "").replace("Wake::", "");
        assert_eq!(told, format!("{expected:?}"));
    }

    #[test]
    fn what_is_no_verdict_is_an_error_in_wasmtime_s_words() {
        let bytes = |at: usize, byte| {
            let mut bytes = [0_u8; 32];
            bytes[at] = byte;
            bytes
        };
        let wrong = [
            (64, 1, bytes(0, 4), "unexpected discriminant: 4"),
            (64, 1, bytes(16, 3), "unexpected discriminant: 3"),
            (68, 1, bytes(0, 0), "list pointer is not aligned"),
            (65_536 - 32, 2, bytes(0, 0), "list pointer/length out of bounds of memory"),
            (64, 1 << 28, bytes(0, 0), "fuel allocated for hostcalls has been exhausted"),
            (u32::MAX - 7, 1, bytes(0, 0), "list pointer/length out of bounds of memory"),
        ];
        for (start, count, bytes, words) in wrong {
            let ours = answer(start, count, &bytes).expect_err(words);
            assert!(ours.root_cause().to_string().contains(words), "{ours:?}");
            if count == 1 << 28 {
                // Theirs asks for the bounds first.
                continue;
            }
            let theirs = call::<_, Vec<w::Verdict>>(&answering(start, count, &bytes), Visits(&[])).expect_err(words);
            assert_eq!(ours.root_cause().to_string(), theirs.root_cause().to_string());
        }
    }
}
