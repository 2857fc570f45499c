//! What an SRE is paged for, end to end: a simulated fleet, both stages with the built components, virtual time.
//!
//! Owns the promises of docs/spec/domain.md, section 5, each with a fleet in which it could be broken. How often the cause is right over many seeds
//! is the score's.

mod scene;

use scene::{Ran, fleet, ran};
use serde_json::Value;
use tillwatch::simulate::{Faults, Options};

/// Kinds of findings that stand at the beginning of what befalls a payment; the others follow one of these.
const FIRST: [&str; 4] = ["no-answer", "approved-undelivered", "not-shown", "not-printed"];

fn paged(ran: &Ran) -> Vec<&Value> {
    ran.opened().filter(|data| data.get("inhibited_by").is_none() && data.get("maintenance").is_none()).collect()
}

fn brief(incidents: &[&Value]) -> Vec<String> {
    let mut all: Vec<String> = incidents.iter().map(|data| format!("{} {}", data["cause"], data["scope"])).collect();
    all.sort();
    all.iter().map(|line| line.replace('"', "")).collect()
}

#[test]
fn five_hundred_tills_behind_one_host_are_one_page_with_its_updates_its_report_and_the_cause_at_every_payment() {
    let options = Options { terminals: 1_000, sites: 100, acquirers: 1, payments_per_hour: 30.0, ..fleet(1) };
    let lines = ran(options, &["N4@host:A01/H1,from=5m,for=6m,strength=100"]);
    assert_eq!(brief(&paged(&lines)), ["N4 host:A01/H1"]);
    assert_eq!(lines.opened().count(), 1, "one, and no other that it explains");

    let turns: Vec<_> = lines.incidents().collect();
    let times: Vec<i64> = turns.iter().map(|line| scene::time(line)).collect();
    let last = turns.last().expect("it was opened");
    assert_eq!(last["type"], "pos.incident.resolved", "{last}");
    assert!(turns.len() > 10, "updated while it grew: {}", turns.len());
    let gaps = times[..times.len() - 1].windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.min() >= Some(10_000), "not more often than every ten seconds: {times:?}");
    let counts: Vec<_> = turns.iter().map(|line| line["data"]["payments"].as_u64()).collect();
    assert!(counts.is_sorted() && counts.last() > counts.first(), "{counts:?}");

    let data = &last["data"];
    assert_eq!(data["severity"], "critical", "{data}");
    assert!(data["money_at_risk"]["CNY"].as_i64() > Some(0) && data["evidence"][0]["id"].is_string(), "{data}");
    let report = &data["report"];
    let ended: u64 = report["ended"].as_object().expect("how each ended").values().filter_map(Value::as_u64).sum();
    assert_eq!(Some(ended), data["findings"].as_u64(), "{report}");
    assert!(report["ended"]["mended"].as_u64() > Some(0), "{report}");
    let markdown = report["markdown"]["en"].as_str().expect("a report");
    for part in ["Host A01/H1", "- From: 2026-01-05T0", "- Until: 2026-01-05T0", "CNY", "mended", "balance the load"] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    assert!(report["markdown"]["zh"].as_str().is_some_and(|text| text.contains("服务器负载过重")), "{report}");

    // Each payment that was stuck for longer than the second stage takes its time is told why, and in which incident.
    let incident = &data["incident"];
    let open = lines.findings_open_for(20_000, &FIRST);
    assert!(open.len() > 100, "{}", open.len());
    for finding in open {
        let told =
            lines.told(finding).last().unwrap_or_else(|| panic!("told no cause: {:#?}", lines.of_finding(finding)));
        let cause = &told["data"];
        assert_eq!((&cause["cause"], &cause["details"]["incident"]), (&Value::from("N4"), incident), "{told}");
    }
}

#[test]
fn two_faults_at_once_in_two_places_are_two() {
    let faults = ["N3@site:S0002,from=5m,for=6m,strength=100", "N3@site:S0007,from=5m,for=6m,strength=100"];
    let lines = ran(fleet(2), &faults);
    assert_eq!(brief(&paged(&lines)), ["N3 site:S0002", "N3 site:S0007"]);
}

#[test]
fn a_sites_router_during_an_acquirers_overload_is_not_swallowed() {
    let faults = ["N3@site:S0003,from=6m,for=6m,strength=100", "N4@acquirer:A01,from=5m,for=8m,strength=100"];
    let lines = ran(fleet(3), &faults);
    let found = brief(&paged(&lines));
    assert!(found.contains(&"N3 site:S0003".to_owned()), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("N4 ") && line.contains("A01")), "{found:?}");
    assert!(found.iter().all(|line| line.ends_with("site:S0003") || line.starts_with("N4 ")), "{found:?}");
}

#[test]
fn an_upgrade_that_takes_a_region_down_is_one_incident_that_wakes_nobody() {
    // Thirty terminals, and two hundred: more than are remembered by name.
    for (seed, terminals) in [(4, 60), (5, 400)] {
        let options = Options { regions: 2, terminals, ..fleet(seed) };
        let lines = ran(options, &["maintenance@region:cn-north,from=5m,for=6m,strength=100"]);
        assert_eq!(brief(&paged(&lines)), [""; 0]);
        let all: Vec<&Value> = lines.opened().collect();
        assert_eq!(brief(&all), ["maintenance region:cn-north"], "seed {seed}");
        assert_eq!((&all[0]["severity"], &all[0]["maintenance"]), (&Value::from("info"), &Value::from(true)));
        let turns: Vec<&Value> = lines.incidents().map(|line| &line["type"]).collect();
        assert_eq!(turns.first().map(|turn| turn.as_str()), Some(Some("pos.incident.opened")));
        assert_eq!(
            turns.last().map(|turn| turn.as_str()),
            Some(Some("pos.incident.resolved")),
            "its terminals are back"
        );
    }
}

#[test]
fn hosts_that_an_acquirer_takes_down_are_one_incident_with_what_is_stuck_behind_them() {
    let lines = ran(fleet(6), &["maintenance@acquirer:A01,from=5m,for=6m,strength=100"]);
    assert_eq!(brief(&paged(&lines)), [""; 0]);
    let all: Vec<&Value> = lines.opened().filter(|data| data.get("inhibited_by").is_none()).collect();
    assert_eq!(brief(&all), ["maintenance acquirer:A01"]);
    assert!(all[0]["payments"].as_u64() > Some(10), "{}", all[0]);
}

#[test]
fn a_busy_day_on_which_nothing_breaks_wakes_nobody() {
    let mut faults = Faults::none();
    faults.set("decline", 0.04).expect("a fault");
    faults.set("walk_away", 0.01).expect("a fault");
    let lines = ran(Options { payments_per_hour: 120.0, busy_hours: true, faults, ..fleet(5) }, &[]);
    assert!(lines.events > 10_000, "{}", lines.events);
    assert_eq!(brief(&lines.opened().collect::<Vec<_>>()), Vec::<String>::new());
}
