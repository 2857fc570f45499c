//! One machine without Kafka: events by HTTP into the embedded log, kill -9, SIGTERM, and every time the same set.

use std::time::Duration;

use tillwatch_it::running::embedded::{Machine, TOKEN};
use tillwatch_it::running::feed::{feed, now, silent};
use tillwatch_it::running::verdict::{assert_plenty, export, lines};

/// Events of one request: nearly as they would come one by one, and not a sync of the disk for each.
const BATCH: usize = 20;

#[test]
fn a_machine_that_is_killed_and_stopped_says_what_a_replay_of_its_export_says() {
    let machine = Machine::new();
    let mut running = machine.start();
    let feed = feed(3);
    let batches: Vec<_> = feed.chunks(BATCH).collect();
    let start = now();
    for (index, batch) in batches.iter().enumerate() {
        let last = batch.last().expect("a batch is not empty");
        if let Ok(wait @ 1..) = u64::try_from(start + last.after - now()) {
            running.member.lives(Duration::from_millis(wait));
        }
        let events: Vec<String> = batch.iter().map(|send| send.text(start)).collect();
        machine.post_all(&running, &events);
        if index == batches.len() / 3 {
            running.member.kill();
            running = machine.start();
            // Whoever sent does not know whether it was taken, and sends again.
            machine.post_all(&running, &events);
        } else if index == batches.len() * 2 / 3 {
            running.member.stop();
            running = machine.start();
        }
    }
    assert_plenty(&machine.judge(running));
}

#[test]
fn events_are_taken_with_the_token_alone_and_refused_whole() {
    let machine = Machine::new();
    let running = machine.start();
    assert_eq!(machine.get(&running, "/healthz"), (200, "ok\n".to_owned()));
    let events = silent("T1", now());
    let good = format!("[{}]", events.join(","));
    let (status, text) = machine.post(&running, "guess", &good);
    assert_eq!(status, 401, "{text}");
    let (status, text) = machine.post(&running, TOKEN, &format!("[{},{{\"id\":7}}]", events.join(",")));
    assert!(status == 400 && text.starts_with("event 2 of the batch: "), "{status} {text}");
    assert_eq!(machine.counter(&running, "tillwatch_ingest_events_total"), 0);
    assert_eq!(machine.post(&running, TOKEN, &good), (200, "{\"taken\":2}\n".to_owned()));
    assert_eq!(machine.counter(&running, "tillwatch_ingest_events_total"), 2);
    running.member.stop();
    let kept = lines(&export(&machine.config(), None)).filter(|line| line["type"] != "tillwatch.tick").count();
    assert_eq!(kept, 2, "what was refused is not in the log");
}
