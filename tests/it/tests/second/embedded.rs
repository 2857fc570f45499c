//! Both stages on one embedded log: the first runs to its end, then the second.

use std::sync::Arc;

use tillwatch::{
    clock::{Clock, Virtual},
    config::LogKind,
    wiring,
};
use tillwatch_core::{
    log::{RawRecord, Tick},
    stage::Stage,
};
use tillwatch_embedded::{NewRecord, Store};
use tillwatch_it::cases::logged::drive_until;

use super::scene::{self, END, Scene};

#[test]
fn the_embedded_log_gives_what_a_replay_gives() {
    let (scene, config) = (Scene::new(), scene::config(LogKind::Embedded));
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Virtual::new(END));
    let options = wiring::embedded(&config, Arc::clone(&clock) as Arc<dyn Clock>);
    let store = Store::open(folder.path(), options).expect("the log opens");
    let json: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents+json")];
    let mut records: Vec<_> = scene
        .0
        .iter()
        .map(|line| {
            let value = Some(line.text.as_bytes());
            (
                scene::partition(&line.till),
                line.ingest,
                NewRecord { key: Some(line.till.as_bytes()), headers: &json, value },
            )
        })
        .collect();
    let headers = Tick { blind: None }.headers();
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let tick = NewRecord { key: None, headers: &headers, value: Some(&[]) };
    records.extend((0..3).map(|partition| (partition, END, tick)));
    store.append_recorded(&records).expect("the log takes them");

    let log = store.worker(0, &[0, 1, 2]).expect("nobody else has them");
    let shared = scene::shared(&config, Stage::First);
    let mut left = records.len();
    drive_until(log, scene::rules(Stage::First), shared, &clock, |_, _| {
        left -= 1;
        left == 0
    });

    let evidence = store.end_offset("pos.evidence", 0).expect("there is the topic");
    assert!(evidence > 60, "evidence and watermarks: {evidence}");
    // The second stage is stopped on its way, again and again, and goes on where it was.
    for stop in [evidence / 4, evidence / 2, evidence * 3 / 4, evidence - 1] {
        let log = store.worker_of(Stage::Second, 0, &[0]).expect("nobody else has it");
        let shared = scene::shared(&config, Stage::Second);
        let committed = drive_until(log, scene::rules(Stage::Second), shared, &clock, |_, offset| offset >= stop);
        assert!(committed[&0] > stop, "{committed:?}");
    }

    let mut names = Vec::new();
    for topic in ["pos.findings", "pos.commands", "pos.incidents", "pos.dead-letters"] {
        let (mut next, end) = (0, store.end_offset(topic, 0).expect("there is the topic"));
        while next < end {
            let take = &mut |record: RawRecord<'_>| names.push(scene::name(&record));
            next = store.read(topic, 0, next, usize::MAX, take).expect("the log can be read");
        }
    }
    names.sort();
    assert_eq!(names, scene::expected(&scene));
}
