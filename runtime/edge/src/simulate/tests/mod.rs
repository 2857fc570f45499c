//! How the fleet behaves.

mod causes;
mod injected;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tillwatch_core::Instant;

use super::{Emitted, Faults, Fleet, Options, Order, Truth};

const HOUR_MS: i64 = 3_600_000;

fn options(faults: Faults) -> Options {
    Options { terminals: 8, sites: 2, busy_hours: false, payments_per_hour: 60.0, faults, ..Options::default() }
}

fn only(name: &str) -> Options {
    options(Faults::only(name, 1.0).unwrap())
}

/// Runs a fleet for so many hours and then to the end of what runs.
fn run(options: Options, hours: i64) -> (Vec<Emitted>, Vec<Truth>) {
    run_for(options, hours * HOUR_MS)
}

/// The same in milliseconds.
fn run_for(options: Options, ms: i64) -> (Vec<Emitted>, Vec<Truth>) {
    let mut fleet = Fleet::new(options.clone()).unwrap();
    let mut events: Vec<Emitted> = std::iter::from_fn(|| fleet.next(options.start + ms)).collect();
    fleet.stop();
    events.extend(std::iter::from_fn(|| fleet.next(Instant::MAX)));
    assert_eq!(fleet.due(), None);
    (events, fleet.truths())
}

fn parsed(events: &[Emitted]) -> Vec<Value> {
    events.iter().map(|event| serde_json::from_str(&event.line).unwrap()).collect()
}

/// What each payment's events say, as `type:state`, in the order of arrival.
fn stories(events: &[Emitted]) -> BTreeMap<String, Vec<String>> {
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in parsed(events) {
        let Some(subject) = event["subject"].as_str() else { continue };
        let data = &event["data"];
        let words =
            ["leg", "phase", "outcome", "state", "shown", "result"].iter().filter_map(|name| data[name].as_str());
        let kind = event["type"].as_str().unwrap().trim_start_matches("pos.").to_owned();
        let told = std::iter::once(kind.as_str()).chain(words).collect::<Vec<_>>().join(" ");
        stories.entry(subject.to_owned()).or_default().push(told);
    }
    stories
}

fn has(story: &[String], told: &str) -> bool {
    story.iter().any(|line| line == told)
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (one, truths) = run(options(Faults::some()), 6);
    let (two, same) = run(options(Faults::some()), 6);
    assert!(one.len() > 10_000);
    assert_eq!(one, two);
    assert_eq!(truths, same);
    let (three, _) = run(Options { seed: 2, ..options(Faults::some()) }, 6);
    assert_ne!(one, three);
}

#[test]
fn a_day_without_faults_has_only_complete_payments() {
    let (events, truths) = run(Options { busy_hours: true, payments_per_hour: 20.0, ..options(Faults::none()) }, 24);
    let stories = stories(&events);
    assert!(truths.len() > 2_000, "{}", truths.len());
    assert_eq!(stories.len(), truths.len());
    for truth in &truths {
        assert!(truth.settled && truth.approved && truth.shown && truth.printed && truth.money == "taken", "{truth:?}");
        assert_eq!((truth.expect.len(), truth.may.len(), truth.fault), (0, 0, None), "{truth:?}");
        let story = &stories[&truth.txn];
        for told in [
            "payment.authorize",
            "payment.response terminal approved",
            "payment.display approved",
            "print.result accepted",
            "print.result printed",
            "payment.confirm",
            "ledger.entry paid",
        ] {
            assert!(has(story, told), "{told}: {story:?}");
        }
        assert!(has(story, "payment.response host approved") || has(story, "payment.notify approved"));
    }
}

#[test]
fn records_come_in_ingest_order_with_one_key_and_unique_ids() {
    let (events, _) = run(options(Faults::none()), 2);
    assert!(events.is_sorted_by_key(|event| event.ingest));
    let mut ids = BTreeSet::new();
    for (event, emitted) in parsed(&events).iter().zip(&events) {
        assert_eq!(event["partitionkey"], emitted.key.as_str());
        let data = &event["data"];
        let text = |name: &str| data[name].as_str().unwrap();
        if event["type"] == "pos.host.sample" {
            assert_eq!(format!("{}/{}", text("acquirer"), text("host")), emitted.key);
        } else {
            assert_eq!(text("terminal"), emitted.key);
        }
        let at: jiff::Timestamp = event["ingesttime"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_millisecond(), emitted.ingest);
        assert!(ids.insert((event["source"].to_string(), event["id"].to_string())), "{event}");
    }
}

#[test]
fn time_in_small_steps_is_the_same_time() {
    let (whole, _) = run(options(Faults::some()), 1);
    let options = options(Faults::some());
    let mut fleet = Fleet::new(options.clone()).unwrap();
    let mut steps = Vec::new();
    for second in 0..=3_600 {
        steps.extend(std::iter::from_fn(|| fleet.next(options.start + second * 1_000)));
    }
    assert_eq!(steps[..], whole[..steps.len()]);
}

#[test]
fn a_lost_answer_is_reversed_when_the_next_card_sale_starts() {
    let (events, truths) = run(only("response_lost"), 3);
    let stories = stories(&events);
    let cards: Vec<&Truth> = truths.iter().filter(|truth| truth.rail == "card").collect();
    let back = cards.iter().filter(|truth| truth.money == "back").count();
    assert!(back * 10 > cards.len() * 8, "{back} of {}", cards.len());
    for truth in &truths {
        let story = &stories[&truth.txn];
        assert!(
            !has(story, "payment.response terminal approved") && !has(story, "payment.display approved"),
            "{story:?}"
        );
        assert!(has(story, "payment.display unknown"));
        assert!(truth.expect.contains(&"approved-undelivered"), "{truth:?}");
        assert!(!truth.expect.contains(&"no-answer"), "{truth:?}");
        let reversed = has(story, "payment.reversal request");
        assert_eq!(reversed && has(story, "payment.reversal response approved"), truth.money == "back");
        assert!(!reversed || truth.rail == "card", "wallets are not reversed by terminals");
    }
}

#[test]
fn a_reversal_that_gets_no_answer_is_sent_three_times() {
    let mut options = only("response_lost");
    options.faults.set("reversal_lost", 1.0).unwrap();
    let (events, truths) = run(options, 3);
    let stories = stories(&events);
    let sent = |truth: &Truth| stories[&truth.txn].iter().filter(|told| *told == "payment.reversal request").count();
    let counts: BTreeSet<usize> = truths.iter().filter(|truth| truth.rail == "card").map(sent).collect();
    assert!(counts.contains(&3) && counts.iter().all(|count| [0, 3].contains(count)), "{counts:?}");
    for truth in truths.iter().filter(|truth| sent(truth) > 0) {
        assert!(truth.expect.contains(&"reversal-unanswered") && truth.money == "taken", "{truth:?}");
    }
}

#[test]
fn a_late_approval_is_never_shown_as_success() {
    let (events, truths) = run(only("late_approval"), 3);
    let stories = stories(&events);
    let approved = truths.iter().filter(|truth| truth.approved).count();
    assert!(approved > 10);
    for truth in &truths {
        assert!(!truth.shown && !has(&stories[&truth.txn], "payment.display approved"), "{truth:?}");
        assert!(truth.expect.contains(&"no-answer") || truth.money == "none", "{truth:?}");
    }
    assert!(truths.iter().any(|truth| truth.expect.contains(&"late-approval")));
}

#[test]
fn each_fault_leads_to_its_findings() {
    for (fault, kind) in [
        ("display_hang", "not-shown"),
        ("printer_no_paper", "not-printed"),
        ("printer_jam", "not-printed"),
        ("printer_offline", "not-printed"),
        ("printer_silent", "not-printed"),
        ("receipt_lost", "not-printed"),
        ("no_answer", "no-answer"),
    ] {
        let (_, truths) = run(only(fault), 1);
        assert!(!truths.is_empty());
        for truth in &truths {
            assert_eq!(truth.fault, Some(fault));
            assert!(truth.expect.contains(&kind), "{truth:?}");
            assert!(truth.cleared.is_empty() || fault == "no_answer", "nobody mends it: {truth:?}");
        }
    }
    for quiet in ["decline", "duplicate", "out_of_order"] {
        let (_, truths) = run(only(quiet), 1);
        assert!(truths.iter().all(|truth| truth.expect.is_empty() && truth.may.is_empty()), "{quiet}");
    }
}

#[test]
fn a_dark_terminal_stores_its_events_and_sends_them_later() {
    let (events, truths) = run(only("dark"), 2);
    let late = parsed(&events).into_iter().zip(&events).filter(|(event, emitted)| {
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        emitted.ingest - time.as_millisecond() > 10_000
    });
    assert!(late.count() > 50);
    assert!(truths.iter().filter(|truth| truth.expect == ["approved-undelivered"]).count() > 10);
    assert!(
        truths.iter().all(|truth| truth.settled && truth.expect == truth.cleared),
        "the payments themselves went well"
    );
}

#[test]
fn a_wrong_clock_is_an_hour_off_and_only_in_what_the_terminal_says() {
    let (events, _) = run(only("wrong_clock"), 1);
    let mut seen = BTreeSet::new();
    for (event, emitted) in parsed(&events).iter().zip(&events) {
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        let hours = (emitted.ingest - time.as_millisecond() + HOUR_MS / 2).div_euclid(HOUR_MS);
        let own = event["source"].as_str().unwrap().contains("/t/");
        assert_eq!(own, hours != 0, "{event}");
        seen.insert(hours);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-1, 0, 1]);
}

/// A fleet of one terminal, run until an event's story has this line; its subject and when.
fn until(fleet: &mut Fleet, told: &str) -> (String, Instant) {
    while let Some(event) = fleet.next(Instant::MAX) {
        let story = stories(std::slice::from_ref(&event));
        if let Some((subject, _)) = story.iter().find(|(_, story)| has(story, told)) {
            return (subject.clone(), event.ingest);
        }
    }
    panic!("the fleet never runs out of customers")
}

fn order(kind: &str, txn: &str, preconditions: &[&str]) -> Order {
    let target = if kind == "query-status" { "acquirer:A01" } else { "terminal:T0000000" };
    let data = serde_json::json!({
        "command": format!("{kind}-1"), "kind": kind, "target": target, "txn": txn, "not_before": "2026-01-05T00:00:00.000Z",
        "expires_at": "2027-01-05T00:00:00.000Z", "preconditions": preconditions,
    });
    Order::from_event("pos.command", &data).unwrap()
}

/// One terminal with one fault, at the moment in which the log has this line.
fn scene(fault: &str, told: &str) -> (Fleet, String, Instant) {
    let mut fleet = Fleet::new(Options { terminals: 1, sites: 1, heartbeat_ms: 0, ..only(fault) }).unwrap();
    let (txn, now) = until(&mut fleet, told);
    (fleet, txn, now)
}

/// What is said of one payment in the next seconds.
fn next(fleet: &mut Fleet, txn: &str, now: Instant, seconds: i64) -> Vec<String> {
    let events: Vec<Emitted> = std::iter::from_fn(|| fleet.next(now + seconds * 1_000)).collect();
    stories(&events).remove(txn).unwrap_or_default()
}

#[test]
fn a_redelivered_result_is_shown_and_printed_once() {
    let preconditions = ["transaction-current", "not-timed-out", "not-reversed"];
    for (fault, told) in
        [("response_lost", "payment.response host approved"), ("display_hang", "payment.response terminal approved")]
    {
        let (mut fleet, txn, now) = scene(fault, told);
        fleet.command(order("redeliver-result", &txn, &preconditions), now + 5_000);
        fleet.command(order("redeliver-result", &txn, &preconditions), now + 5_000);
        let story = next(&mut fleet, &txn, now, 30);
        for told in
            ["command.result accepted", "command.result done", "payment.display approved", "print.result printed"]
        {
            assert!(has(&story, told), "{told}: {story:?}");
        }
        assert_eq!(story.iter().filter(|told| told.starts_with("payment.display")).count(), 1, "{story:?}");
    }
}

#[test]
fn what_does_not_hold_is_refused() {
    let (mut fleet, txn, now) = scene("response_lost", "payment.display unknown");
    fleet.command(order("redeliver-result", &txn, &["transaction-current", "not-timed-out"]), now);
    let story = next(&mut fleet, &txn, now, 2);
    assert!(has(&story, "command.result refused") && !has(&story, "payment.display approved"), "{story:?}");

    let (mut fleet, txn, now) = scene("receipt_lost", "print.result accepted");
    fleet.command(order("flush-pending-reversal", &txn, &["reversal-pending"]), now);
    let story = next(&mut fleet, &txn, now, 20);
    assert!(has(&story, "command.result refused") && !has(&story, "payment.reversal request"), "{story:?}");
}

#[test]
fn a_command_that_is_too_late_or_taken_back_is_not_carried_out() {
    let (mut fleet, txn, now) = scene("printer_silent", "print.result accepted");
    let late = Order { expires_at: now, ..order("reprint", &txn, &[]) };
    fleet.command(late, now);
    let story = next(&mut fleet, &txn, now, 20);
    assert!(has(&story, "command.result expired") && !has(&story, "print.result printed"), "{story:?}");

    let (mut fleet, txn, now) = scene("printer_silent", "print.result accepted");
    let reprint = order("reprint", &txn, &[]);
    let back = serde_json::json!({"command": reprint.command, "kind": "reprint"});
    fleet.command(reprint, now);
    fleet.command(Order::from_event("pos.command.cancelled", &back).unwrap(), now);
    let story = next(&mut fleet, &txn, now, 20);
    assert!(!story.iter().any(|told| told.starts_with("command.result")), "{story:?}");
}

#[test]
fn a_reprint_is_marked_and_fails_while_there_is_no_paper() {
    let (mut fleet, txn, now) = scene("printer_silent", "print.result accepted");
    fleet.command(order("reprint", &txn, &["not-reversed"]), now);
    assert!(has(&next(&mut fleet, &txn, now, 20), "print.result printed"));

    let (mut fleet, txn, now) = scene("printer_no_paper", "print.result failed");
    fleet.command(order("reprint", &txn, &["not-reversed"]), now);
    let story = next(&mut fleet, &txn, now, 5);
    assert!(has(&story, "print.result failed") && has(&story, "command.result failed"), "{story:?}");
}

#[test]
fn a_guide_gets_the_printer_mended_soon() {
    let (mut fleet, txn, now) = scene("printer_no_paper", "print.result failed");
    fleet.command(order("display-guide", &txn, &[]), now);
    let events: Vec<Emitted> = std::iter::from_fn(|| fleet.next(now + 45_000)).collect();
    let ok =
        parsed(&events).iter().any(|event| event["type"] == "pos.device.status" && event["data"]["printer"] == "ok");
    assert!(ok);
    assert!(has(&stories(&events)[&txn], "command.result done"));
}

#[test]
fn a_pending_reversal_is_flushed_on_command() {
    let mut scenes = (1..50).map(|seed| {
        let mut fleet =
            Fleet::new(Options { terminals: 1, sites: 1, seed, payments_per_hour: 6.0, ..only("response_lost") })
                .unwrap();
        let (txn, now) = until(&mut fleet, "payment.display unknown");
        (fleet, txn, now)
    });
    let (mut fleet, txn, now) = scenes.find(|(_, txn, _)| txn.contains(":000017:")).unwrap();
    fleet.command(order("flush-pending-reversal", &txn, &["reversal-pending"]), now);
    let story = next(&mut fleet, &txn, now, 4);
    for told in ["payment.reversal request", "payment.reversal response approved", "command.result done"] {
        assert!(has(&story, told), "{told}: {story:?}");
    }
    let again = Order { command: "another".to_owned(), ..order("flush-pending-reversal", &txn, &["reversal-pending"]) };
    fleet.command(again, now + 5_000);
    assert!(has(&next(&mut fleet, &txn, now, 10), "command.result refused"));
}

#[test]
fn the_gateway_answers_queries_with_what_the_acquirer_knows() {
    let ask = |fault: &str, told: &str| {
        let (mut fleet, txn, now) = scene(fault, told);
        fleet.command(order("query-status", &txn, &[]), now);
        let story = next(&mut fleet, &txn, now, 2);
        assert!(has(&story, "command.result done"), "{story:?}");
        story.into_iter().find_map(|told| Some(told.strip_prefix("payment.status ")?.to_owned())).unwrap()
    };
    assert_eq!(ask("response_lost", "payment.response host approved"), "paid");
    assert_eq!(ask("decline", "payment.response host declined"), "not-paid");
    assert_eq!(ask("late_approval", "payment.authorize"), "in-progress");
}

#[test]
fn a_terminal_that_is_dark_acts_when_it_is_back() {
    let (mut fleet, txn, now) = scene("dark", "payment.response host approved");
    fleet.command(order("reprint", &txn, &["not-reversed"]), now);
    let story = next(&mut fleet, &txn, now, 400);
    let upload = story.iter().position(|told| told == "payment.display approved").unwrap();
    let acted = story.iter().position(|told| told == "command.result accepted").unwrap();
    assert!(upload < acted, "{story:?}");
}
