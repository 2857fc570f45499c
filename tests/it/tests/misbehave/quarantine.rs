//! Faults of one key, faults once in many, and what comes of too many.

use tillwatch_core::limits::Limits;
use tillwatch_core::partition::Record;
use tillwatch_it::cases::Way;

use super::scene::{Script, WAYS, dead, of_engine, of_neighbours, of_others, rules, settings, tight};

fn limits() -> Limits {
    Limits { faults_max: 3, faults_window_ms: 10_000, quarantine_ms: 30_000, ..Limits::default() }
}

/// Faults at these moments, each at a till of its own, and a payment that goes well every second.
fn faulting(at: &[i64]) -> Vec<Record> {
    let mut script = Script::default();
    for second in 0..90 {
        let now = second * 1000;
        for (till, _) in at.iter().enumerate().filter(|(_, at)| **at == now) {
            script.authorize(now, "panic", 500 + till);
        }
        script.authorize(now, "well", usize::try_from(second).expect("from 0"));
    }
    script.tick(3_600_000);
    script.records()
}

fn check(records: &dyn Fn() -> Vec<Record>, look: &dyn Fn(&[String])) {
    let settings = settings(limits());
    let without = Way::Batches(0).outputs(&settings, &mut rules(None, &tight()), records());
    let mut host = rules(Some(0), &tight());
    let first = Way::Batches(0).outputs(&settings, &mut host, records());
    assert_eq!(of_others(&first), of_others(&without), "the other rules");
    look(&first);
    for way in WAYS {
        assert_eq!(way.outputs(&settings, &mut host, records()), first, "{way:?}");
    }
}

#[test]
fn too_many_faults_are_a_quarantine_that_says_so_and_ends() {
    let records = || faulting(&[10_000, 11_000, 12_000, 13_000, 50_000, 60_000, 61_000, 62_000]);
    check(&records, &|out| {
        let quarantined = "rule-quarantined rule:hostile";
        assert_eq!(
            of_engine(out),
            [
                format!("+12000 pos.finding.raised {quarantined}"),
                format!("+42000 pos.finding.cleared {quarantined}"),
                format!("+62000 pos.finding.raised {quarantined}"),
                format!("+92000 pos.finding.cleared {quarantined}"),
            ]
        );
        assert_eq!(dead(out).len(), 7, "the fault at 13 s is left out, with the rule");
        let spoken = |from: i64, to: i64| {
            let at = |line: &&&String| {
                let time = super::scene::read(line)["time"].as_str().map(str::to_owned).unwrap_or_default();
                let at = tillwatch_it::cases::brief::instant(&time).expect("a time") - super::scene::START;
                at >= from && at < to
            };
            of_neighbours(out).iter().filter(at).count()
        };
        assert!(spoken(0, 12_000) >= 12 && spoken(42_000, 62_000) >= 20, "it speaks before and between");
        assert_eq!(spoken(12_001, 42_000), 0, "and is not asked while it rests");
        let skipped: Vec<_> = out
            .iter()
            .map(|line| super::scene::read(line))
            .filter(|line| line["type"] == "pos.finding.cleared" && line["data"]["kind"] == "rule-quarantined")
            .map(|line| line["data"]["details"]["skipped"].as_i64())
            .collect();
        assert!(skipped.iter().all(|count| count.is_some_and(|count| count >= 27)), "{skipped:?}");
    });
}

#[test]
fn faults_that_lie_apart_are_no_quarantine() {
    check(&|| faulting(&[10_000, 15_000, 21_000, 27_000, 33_000]), &|out| {
        assert_eq!(of_engine(out), Vec::<String>::new());
        assert_eq!(dead(out).len(), 5);
    });
}

/// So many payments, of which those go as `how` says that `odd` chooses.
fn many(how: &str, odd: impl Fn(usize) -> bool) -> Vec<Record> {
    let mut script = Script::default();
    for till in 0..10_000_usize {
        script.authorize(i64::try_from(till).expect("few") * 10, if odd(till) { how } else { "well" }, till);
    }
    script.tick(3_600_000);
    script.records()
}

const FEW_WAYS: [Way; 3] = [Way::Batches(0), Way::Batches(64), Way::Crashing(1_999)];

#[test]
fn one_key_in_ten_thousand_is_one_dead_letter() {
    let settings = settings(Limits::default());
    let records = || many("panic", |till| till == 7_777);
    let without = Way::Batches(0).outputs(&settings, &mut rules(None, &tight()), records());
    let mut host = rules(Some(0), &tight());
    let mut seen: Option<Vec<String>> = None;
    for way in FEW_WAYS {
        let out = way.outputs(&settings, &mut host, records());
        let letters = dead(&out);
        assert_eq!(letters.len(), 1, "{way:?}");
        assert_eq!(letters[0]["data"]["offset"], 7_777);
        assert_eq!(of_others(&out), of_others(&without), "{way:?}");
        assert!(seen.get_or_insert_with(|| out.clone()) == &out, "{way:?}: the same outputs");
    }
}

/// A fault that comes of what the instance did before is none: the visit is made again, alone, in a fresh one.
#[test]
fn one_visit_in_ten_thousand_of_an_instance_is_no_fault() {
    let settings = settings(Limits::default());
    let records = || many("rare", |_| true);
    let without = Way::Batches(0).outputs(&settings, &mut rules(None, &tight()), records());
    let mut seen: Option<Vec<String>> = None;
    for way in FEW_WAYS {
        let mut host = rules(Some(0), &tight());
        let out = way.outputs(&settings, &mut host, records());
        assert_eq!(dead(&out).len(), 0, "{way:?}");
        assert!(host.counters()[0].reruns > 0, "{way:?}: it did fault in a call");
        assert_eq!(of_others(&out), of_others(&without), "{way:?}");
        assert!(seen.get_or_insert_with(|| out.clone()) == &out, "{way:?}: the same outputs");
    }
}
