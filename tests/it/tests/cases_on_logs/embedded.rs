//! On the embedded log, in a folder of its own for each case.

use std::sync::Arc;

use tillwatch::{
    clock::{Clock, Virtual},
    config::LogKind,
    wiring,
};
use tillwatch_embedded::{NewRecord, Store};
use tillwatch_it::cases::{
    Case, Engine, check_abreast,
    logged::{self, OUTPUTS, Written},
};

use super::{ENGINES, cases, components, end};

struct Embedded {
    partitions: u32,
}

impl Engine for Embedded {
    fn name(&self) -> String {
        format!("embedded log, {} partitions", self.partitions)
    }

    fn ordered(&self) -> bool {
        self.partitions == 1
    }

    fn run(&mut self, case: &Case) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = logged::config(case, LogKind::Embedded, self.partitions);
        let written = logged::written(case, self.partitions);
        let clock = Arc::new(Virtual::new(end(&written)));
        let options = wiring::embedded(&config, Arc::clone(&clock) as Arc<dyn Clock>);
        let store = Store::open(folder.path(), options).expect("the log opens");
        append(&store, &written);
        let partitions: Vec<i32> = written.iter().map(|record| record.partition).collect();
        let log = store.worker(0, &partitions).expect("nobody else has the partitions");
        let rules = components().rules(&case.setup);
        logged::drive(log, rules, &config, &clock, &written);
        let mut out = Vec::new();
        let (mut next, last) = (0, store.end_offset(OUTPUTS, 0).expect("there is the topic"));
        while next < last {
            let take = &mut |record: tillwatch_core::log::RawRecord<'_>| out.extend(logged::line(&record));
            next = store.read(OUTPUTS, 0, next, usize::MAX, take).expect("the log can be read");
        }
        out
    }
}

fn append(store: &Store, written: &[Written]) {
    let headers: Vec<Vec<(&str, &[u8])>> = written
        .iter()
        .map(|record| record.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect())
        .collect();
    let records: Vec<_> = written
        .iter()
        .zip(&headers)
        .map(|(record, headers)| {
            let key = record.key.as_deref().map(str::as_bytes);
            (record.partition, record.ingest, NewRecord { key, headers, value: Some(&record.value) })
        })
        .collect();
    store.append_recorded(&records).expect("the log takes them");
}

#[test]
fn every_case_in_one_partition_gives_what_it_expects() {
    check_abreast(cases(), ENGINES, || Embedded { partitions: 1 });
}

#[test]
fn every_case_spread_over_three_partitions_gives_what_it_expects() {
    check_abreast(cases(), ENGINES, || Embedded { partitions: 3 });
}
