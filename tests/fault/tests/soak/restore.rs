//! A member with very many open payments dies: its successor has all of them again, says how far it is, and never starts on a guess.

use std::time::Duration;

use tillwatch_core::output::rfc3339;
use tillwatch_it::running::deployment::Deployment;
use tillwatch_it::running::feed::{now, silent, subject};
use tillwatch_it::running::process::Member;

/// Payments that are open: more than a report of progress covers. `cargo xtask bench` measures a million.
const OPEN: usize = 100_000;

/// Terminals that they are on.
const TERMINALS: usize = 1_000;

/// What a member holds then: a payment's own key, a terminal's in `compensate`, and both of the last payment.
const HELD: u64 = (OPEN + TERMINALS + 2) as u64;

/// How long a member that cannot start may take to say so.
const REFUSAL_MAX: Duration = Duration::from_secs(60);

/// Between two looks at what a member holds.
const LOOK: Duration = Duration::from_millis(100);

/// How often that is looked at before it counts as standing still.
const LOOKS_MAX: usize = 600;

/// Windows in which nothing becomes due while this test runs.
const LONG: &str =
    "[rules.correlate-payment.settings.defaults]\nresponse_ms = 3000000\nterminal_ms = 3000000\nslow_ms = 2000000\n";

/// Rules that keep what they have counted lately: how many keys that is depends on the moment.
const COUNTING: [&str; 5] =
    ["diagnose-network", "diagnose-hardware", "diagnose-software", "diagnose-human", "incident"];

/// A payment that has just begun.
fn authorize(number: usize, at: i64) -> (String, String) {
    let terminal = format!("T{}", number % TERMINALS);
    let stan = format!("{number:06}");
    let event = format!(
        r#"{{"specversion":"1.0","id":"open-{number}","source":"/test/{terminal}","type":"pos.payment.authorize","subject":"A01:M1:{terminal}:000001:{stan}","time":"{}","partitionkey":"{terminal}","datacontenttype":"application/json","data":{{"site":"S1","terminal":"{terminal}","merchant":"M1","acquirer":"A01","rail":"card","amount":{},"currency":"CNY","stan":"{stan}","batch":"000001"}}}}"#,
        rfc3339(at),
        1_000 + number
    );
    (terminal, event)
}

/// A number in a member's log line.
fn number(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in: {line}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// Where a member's metrics are.
fn metrics(member: &Member) -> String {
    let line = member.says("http listens");
    let (_, address) = line.split_once("127.0.0.1:").expect("it says where");
    let port: String = address.chars().take_while(char::is_ascii_digit).collect();
    format!("http://127.0.0.1:{port}/metrics")
}

/// Waits until a member holds all keys.
fn holds_all(member: &Member, metrics: &str) {
    let mut held: u64 = 0;
    for _ in 0..LOOKS_MAX {
        let mut response = ureq::get(metrics).call().expect("it answers");
        let text = response.body_mut().read_to_string().expect("text");
        let lines =
            text.lines().filter(|line| line.starts_with("tillwatch_engine_state{") && line.contains("\"keys\""));
        held = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        if held == HELD {
            return;
        }
        member.lives(LOOK);
    }
    panic!("{held} keys are held, {HELD} were to be");
}

#[test]
fn open_payments_come_back_with_progress_and_a_corrupt_changelog_stops_its_partition_on_kafka() {
    let deployment = Deployment::named("restore");
    let off = COUNTING.map(|rule| format!("[rules.{rule}]\nenabled = false\n"));
    deployment.configure(&format!("{LONG}{}", off.concat()));
    deployment.create();
    deployment.read();
    let member = deployment.member("a");
    let at = metrics(&member);
    let begin = now();
    for open in 0..OPEN {
        let (terminal, event) = authorize(open, begin);
        deployment.send(Some(0), &terminal, Some(event.as_bytes()));
        if open % 10_000 == 0 {
            deployment.flush();
        }
    }
    for event in silent("LAST", now()) {
        deployment.send(Some(0), "LAST", Some(event.as_bytes()));
    }
    deployment.flush();
    let last = subject("LAST");
    deployment.until("the finding after all the others", &mut Vec::new(), |said| {
        said.iter().any(|output| output["subject"] == last.as_str())
    });
    holds_all(&member, &at);
    member.kill();

    let member = deployment.member("a");
    let at = metrics(&member);
    let line = member.says(" restoring ");
    let (partition, read, total) = (number(&line, "partition"), number(&line, "read"), number(&line, "total"));
    assert_eq!(partition, 0);
    assert!(read >= OPEN as u64 && read <= total, "{line}");
    let line = member.says("partition restored");
    assert!(number(&line, "records") >= OPEN as u64, "{line}");
    holds_all(&member, &at);
    println!("{line}");
    member.stop();

    deployment.spoil(1, b"foreign key", b"\xff\xfe");
    let (code, told) = deployment.member("a").ends(REFUSAL_MAX);
    assert_eq!(code, Some(1), "{told}");
    for word in ["changelog-corrupt", "partition 1", "foreign key", "restore the changelog"] {
        assert!(told.contains(word), "{word:?} is not in:\n{told}");
    }
    assert!(!told.contains("partition restored slot=0 partition=1"), "{told}");
}
