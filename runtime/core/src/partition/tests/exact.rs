//! The same outputs, byte for byte, whatever the cut.

use proptest::prelude::*;

use super::*;

/// A random history: sorted by ingest, with stragglers, duplicates, bombs, wrong clocks, ticks and several terminals.
fn history() -> impl Strategy<Value = Vec<Record>> {
    let step = (0u8..8, 0u32..4, 0u32..3, prop_oneof![0i64..40, 0i64..900, 0i64..4_000], -900i64..40, 0u32..12);
    proptest::collection::vec(step, 1..60).prop_map(|steps| {
        let mut ingest = 1_700_000_000_000;
        let mut records = Vec::new();
        for (offset, (what, terminal, about, gap, shift, id)) in (0i64..).zip(steps) {
            ingest += gap;
            let terminal = format!("T{terminal}");
            let id = format!("{what}-{id}");
            let time = ingest + shift;
            records.push(match what {
                0..=2 => record(offset, ingest, event("pos.payment.authorize", &id, &terminal, about, time, "")),
                3..=4 => record(offset, ingest, event("pos.payment.response", &id, &terminal, about, time, "approved")),
                5 => record(offset, ingest, event("pos.payment.response", &id, &terminal, about, time, "bomb")),
                6 => {
                    record(offset, ingest, event("pos.payment.authorize", &id, &terminal, about, time - 7_200_000, ""))
                }
                _ => tick(offset, ingest),
            });
        }
        let last = records.len();
        records.push(tick(i64::try_from(last).expect("small"), ingest + 10_000));
        records
    })
}

fn by_key(out: &[Output]) -> BTreeMap<String, Vec<Output>> {
    let mut keys: BTreeMap<String, Vec<Output>> = BTreeMap::new();
    for output in out {
        let mut output = output.clone();
        // Where a record lay is the one thing that partitions may change.
        if let Data::DeadLetter(letter) = &mut output.data {
            letter.partition = 0;
            letter.offset = None;
        }
        keys.entry(output.key.clone()).or_default().push(output);
    }
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn batches_do_not_matter(records in history(), faults_max in 1u32..4, waiting in 2usize..12) {
        let limits = Limits { faults_max, waiting_events_max: waiting, quarantine_ms: 3_000, ..Limits::default() };
        let settings = settings(limits);
        let golden = run(&settings, &mut pair(), &records, 1);
        for size in [2, 7, 64, 0] {
            let other = run(&settings, &mut pair(), &records, size);
            prop_assert_eq!(brief(&other), brief(&golden), "batches of {}", size);
            prop_assert_eq!(&other, &golden);
        }
    }

    #[test]
    fn crashes_do_not_matter(records in history(), faults_max in 1u32..4, waiting in 2usize..12) {
        let limits = Limits { faults_max, waiting_events_max: waiting, quarantine_ms: 3_000, ..Limits::default() };
        let settings = settings(limits);
        let golden = run(&settings, &mut pair(), &records, 0);
        let other = run_crashing(&settings, &mut pair(), &records);
        prop_assert_eq!(brief(&other), brief(&golden));
        prop_assert_eq!(other, golden);
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken(records in history(), at in 0usize..60) {
        let settings = settings(Limits::default());
        let mut rules = pair();
        let golden = run(&settings, &mut rules, &records, 0);
        let at = at.min(records.len());
        let mut first = partition(&settings, &rules);
        let mut out = Vec::new();
        first.step(&mut records[..at].to_vec(), &mut rules, &mut out).expect("no stall");
        let snapshot = first.snapshot();
        let mut second = partition(&settings, &rules);
        let from = second.restore(&snapshot, &mut rules).expect("restores");
        prop_assert_eq!(second.snapshot(), snapshot.clone(), "a snapshot of a restored partition, before it reads on");
        let rest: Vec<Record> = records.iter().filter(|record| record.offset >= from).cloned().collect();
        second.step(&mut rest.clone(), &mut rules, &mut out).expect("no stall");
        prop_assert_eq!(out, golden);
    }

    #[test]
    fn partitions_do_not_matter(records in history()) {
        // A rule in quarantine is so in one partition; everything else is the terminal's own.
        let settings = settings(Limits { faults_max: 1_000, ..Limits::default() });
        let golden = run(&settings, &mut pair(), &records, 0);
        let mut spread = Vec::new();
        for part in 0..3u32 {
            let mine: Vec<Record> = records
                .iter()
                .filter(|record| match &record.body {
                    Body::Event(event) => event.key()[1..].parse::<u32>().expect("a number") % 3 == part,
                    _ => true,
                })
                .cloned()
                .collect();
            spread.extend(run(&settings, &mut pair(), &mine, 0));
        }
        for (key, outputs) in by_key(&golden) {
            prop_assert_eq!(by_key(&spread).get(&key).map(|outputs| brief(outputs)), Some(brief(&outputs)), "{}", key);
        }
        prop_assert_eq!(by_key(&spread), by_key(&golden));
    }

    #[test]
    fn arrival_within_the_lateness_does_not_matter(records in history(), swaps in proptest::collection::vec(0usize..60, 0..80)) {
        let settings = settings(Limits { faults_max: 1_000, ..Limits::default() });
        let golden = run(&settings, &mut pair(), &records, 0);
        let effective = |records: &[Record]| {
            let mut ingest = i64::MIN;
            let mut times = BTreeMap::new();
            for record in records {
                ingest = ingest.max(record.ingest);
                if let Body::Event(event) = &record.body {
                    let time = event.time().expect("has one");
                    times.entry((event.key().to_owned(), event.id().to_owned(), record.ingest, time))
                        .or_insert_with(Vec::new)
                        .push((time.clamp(ingest - 500, ingest), time < ingest - 500));
                }
            }
            times
        };
        let wanted = effective(&records);
        let mut shuffled = records.clone();
        for swap in swaps {
            if swap + 1 < shuffled.len() {
                shuffled.swap(swap, swap + 1);
                if effective(&shuffled) != wanted {
                    shuffled.swap(swap, swap + 1);
                }
            }
        }
        for (offset, record) in (0i64..).zip(&mut shuffled) {
            record.offset = offset;
        }
        prop_assert_eq!(by_key(&run(&settings, &mut pair(), &shuffled, 0)), by_key(&golden));
    }
}
