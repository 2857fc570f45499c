//! The rule on evidence as the first stage sends it.

use tillwatch_sdk::{
    Batch, Derived, Incident, Instant, Severity, Told, Trigger, Turn, Value, Verdicts,
    evidence::{self, Census, Cohorts, Ended, Notice, Sign, Stuck},
    native::{self, Component, Native},
};
use tillwatch_wit::contract::{Action, Change, Visit, Wake};

use crate::IncidentRule;

mod bounds;
mod ends;
mod late;
mod upkeep;
mod wider;

const T0: Instant = 1_795_339_800_000;

/// A region with its rule.
struct Bench {
    rule: Native<IncidentRule>,
    state: Vec<u8>,
    wake: Option<Instant>,
    now: Instant,
    told: Vec<Told>,
    incidents: Vec<Incident>,
    largest: usize,
}

impl Bench {
    fn new() -> Self {
        Self::with("{}")
    }

    fn with(settings: &str) -> Self {
        Self {
            rule: Native::with_settings(settings).expect("they are in range"),
            state: Vec::new(),
            wake: None,
            now: T0,
            told: Vec::new(),
            incidents: Vec::new(),
            largest: 0,
        }
    }

    fn visit(&mut self, at: Instant, trigger: Trigger, data: &[u8]) {
        let mut batch = Batch::default();
        batch.visits.push(Visit { at, time: at, late: false, trigger });
        batch.push_piece(&self.state);
        batch.push_piece(b"region:R");
        batch.push_piece(data);
        let mut verdicts = Verdicts::default();
        self.rule.process(&batch, &mut verdicts);
        match &verdicts.verdicts[0].state {
            Change::Keep => {}
            Change::Put(_) => self.state.clone_from(&verdicts.states),
            Change::Clear => self.state.clear(),
            Change::Fail(reason) => panic!("{reason}"),
        }
        self.largest = self.largest.max(self.state.len());
        match verdicts.verdicts[0].wake {
            Wake::Keep => {}
            Wake::At(at) => self.wake = Some(at),
            Wake::Never => self.wake = None,
        }
        for (_, action) in verdicts.actions {
            match action {
                Action::Tell(told) => self.told.push(told),
                Action::Incident(incident) => self.incidents.push(*incident),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Time goes on.
    fn until(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.wake = None;
            self.visit(wake, Trigger::Timer, &[]);
        }
        self.now = at;
    }

    fn pass(&mut self, ms: i64) {
        self.until(self.now + ms);
    }

    fn send(&mut self, derived: &Derived) {
        let events = [evidence::CENSUS, evidence::STUCK, evidence::ENDED, evidence::SIGN, evidence::NOTICE];
        let index = events.iter().position(|event| *event == derived.event).expect("it is known");
        self.visit(self.now, Trigger::Event(u32::try_from(index).expect("few")), &native::data(derived));
    }

    /// A quiet time: every till of ten sites with ten tills each has five payments.
    fn usual(&mut self) {
        for till in 0..100 {
            self.send(
                &Census { cohorts: cohorts(till), payments: 5, from: self.now - 30_000, until: self.now }.derived(),
            );
        }
    }

    fn stuck(&mut self, till: u32, number: u32, kind: &str) {
        self.send(&stuck(till, number, kind, "").derived());
    }

    fn end(&mut self, till: u32, number: u32, kind: &str) {
        let ended = Ended {
            cohorts: cohorts(till),
            finding: finding(till, number, kind),
            kind: kind.to_owned(),
            resolution: "mended".to_owned(),
            after_ms: 1_000,
        };
        self.send(&ended.derived());
    }

    fn sign(&mut self, till: u32, cause: &str, about: &str, (count, of): (i64, i64)) {
        let sign = Sign {
            cohorts: cohorts(till),
            cause: cause.to_owned(),
            about: about.to_owned(),
            strength: 0.7,
            count,
            of,
            event: "pos.host.sample".to_owned(),
            event_id: format!("e{till}"),
            event_time: self.now,
            ..Sign::default()
        };
        self.send(&sign.derived());
    }

    fn brief(&self) -> Vec<String> {
        let turn = |incident: &Incident| match incident.turn {
            Turn::Opened => "opened",
            Turn::Updated => "updated",
            Turn::Resolved => "resolved",
        };
        let line = |incident: &Incident| format!("{} {} {}", turn(incident), incident.cause, incident.scope);
        self.incidents.iter().map(line).collect()
    }

    /// The cause that a payment was told last.
    fn last_cause(&self) -> Option<Value> {
        self.told.last().map(|told| told.details[0].1.clone())
    }

    fn opened(&self) -> Vec<String> {
        self.brief().into_iter().filter(|line| line.starts_with("opened")).collect()
    }
}

fn cohorts(till: u32) -> Cohorts {
    Cohorts {
        region: "R".to_owned(),
        site: format!("S{}", till / 10),
        terminal: format!("T{till}"),
        acquirer: "A".to_owned(),
        host: format!("h{}", till % 4),
        app_version: format!("v{}", till % 3),
        operator: format!("o{till}"),
    }
}

fn finding(till: u32, number: u32, kind: &str) -> String {
    tillwatch_sdk::ids::finding("correlate-payment", kind, &format!("payment:{till}:{number}"), "")
}

fn stuck(till: u32, number: u32, kind: &str, cause: &str) -> Stuck {
    Stuck {
        cohorts: cohorts(till),
        finding: finding(till, number, kind),
        kind: kind.to_owned(),
        txn: format!("A:M:T{till}:1:{number}"),
        broke_at: String::new(),
        amount: 1_000,
        currency: "CNY".to_owned(),
        cause: cause.to_owned(),
        confidence: if cause.is_empty() { 0.0 } else { 0.8 },
    }
}

/// Every till of the host `h1`.
fn behind_h1() -> impl Iterator<Item = u32> {
    (0..100).filter(|till| till % 4 == 1)
}

/// A payment is stuck at every till behind h1, of whose queries so many failed, and some time has gone.
fn h1_stuck(mut bench: Bench, failed: i64, ms: i64) -> Bench {
    bench.usual();
    bench.sign(1, "N4", "host:A/h1", (failed, 100));
    behind_h1().for_each(|till| bench.stuck(till, 1, "no-answer"));
    bench.pass(ms);
    bench
}

#[test]
fn five_hundred_tills_behind_one_host_are_one_incident() {
    let mut bench = Bench::new();
    bench.usual();
    bench.sign(1, "N4", "host:A/h1", (30, 100));
    for number in 0..20 {
        for till in behind_h1() {
            bench.stuck(till, number, "no-answer");
        }
        bench.pass(1_000);
    }
    bench.pass(12_000);
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"]);
    let last = bench.incidents.last().expect("it was updated");
    assert!(bench.incidents.len() <= 5, "not more often than every ten seconds: {:?}", bench.brief());
    assert!(last.findings >= 400 && last.confidence > 0.8, "{last:?}");
    assert_eq!(bench.told.len(), 500, "each is told its cause");
    assert!(bench.told.iter().all(|told| told.details[0].1 == Value::from("N4")));
    assert!(last.evidence.iter().any(|row| row.id == "e1"));
    assert!(bench.largest < 64 << 10, "{} bytes of state", bench.largest);
    for number in 0..20 {
        behind_h1().for_each(|till| bench.end(till, number, "no-answer"));
    }
    bench.usual();
    bench.pass(200_000);
    let end = bench.incidents.last().expect("it is over");
    assert_eq!((end.turn, end.findings, end.payments), (Turn::Resolved, 500, 500));
    assert_eq!(end.money, [("CNY".to_owned(), 500_000)]);
    let report = end.report.as_ref().expect("it has a report");
    assert_eq!(report.ended, [("mended".to_owned(), 500)]);
    assert!(report.markdown_en.contains("mended 500") && report.markdown_zh.contains("事件报告"));
    assert!(report.markdown_en.contains("- Mended: no-answer 500: the answer came"), "{}", report.markdown_en);
    assert!(report.markdown_zh.contains("- 恢复:no-answer 500:收到应答"), "{}", report.markdown_zh);
}

#[test]
fn a_sites_router_and_an_acquirers_overload_are_two() {
    let mut bench = Bench::new();
    bench.usual();
    bench.sign(1, "N4", "host:A/h1", (30, 100));
    (20..30).for_each(|till| bench.sign(till, "N3", "site:S2", (3, 3)));
    for number in 0..4 {
        (20..30).for_each(|till| bench.stuck(till, number, "no-answer"));
        behind_h1().for_each(|till| bench.stuck(till, 10 + number, "no-answer"));
        bench.pass(1_000);
    }
    bench.pass(20_000);
    let mut opened = bench.opened();
    opened.sort();
    assert_eq!(opened, ["opened N3 site:S2", "opened N4 host:A/h1"]);
    assert!(bench.incidents.iter().all(|incident| incident.inhibited_by.is_none()), "the narrower is not swallowed");
}

#[test]
fn little_at_many_sites_is_much_at_their_host() {
    let mut bench = Bench::new();
    bench.usual();
    // The host itself is well, and each site has seen one connection end.
    bench.sign(1, "N4", "host:A/h1", (0, 100));
    for till in behind_h1() {
        bench.sign(till, "N2", &format!("site:S{}", till / 10), (1, 1));
        bench.stuck(till, 1, "no-answer");
    }
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened N2 host:A/h1"]);
}

#[test]
fn a_host_that_fails_less_than_one_in_ten_is_not_overloaded() {
    let bench = h1_stuck(Bench::new(), 10, 60_000);
    assert_eq!(bench.opened(), ["opened undetermined host:A/h1"]);
}

#[test]
fn evidence_that_comes_late_is_waited_for() {
    let mut bench = Bench::new();
    bench.usual();
    behind_h1().for_each(|till| bench.stuck(till, 1, "no-answer"));
    bench.pass(30_000);
    assert_eq!(bench.opened(), [""; 0]);
    bench.sign(1, "N4", "host:A/h1", (11, 100));
    bench.pass(6_000);
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"]);
}

#[test]
fn what_was_well_long_ago_does_not_hide_what_is_not() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.usual();
        bench.sign(1, "N4", "host:A/h1", (0, 100));
        bench.pass(30_000);
    }
    for _ in 0..4 {
        bench.usual();
        bench.sign(1, "N4", "host:A/h1", (15, 100));
        bench.pass(30_000);
    }
    behind_h1().for_each(|till| bench.stuck(till, 1, "no-answer"));
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened N4 host:A/h1"]);
}

#[test]
fn a_silent_till_is_no_router() {
    let mut bench = Bench::new();
    bench.usual();
    (20..30).for_each(|till| bench.sign(till, "N1", "site:S2", (0, 3)));
    bench.sign(25, "N3", "site:S2", (2, 2));
    (20..30).for_each(|till| bench.stuck(till, 1, "no-answer"));
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened undetermined site:S2"]);
}

#[test]
fn findings_of_one_payment_have_one_cause_and_are_one_payment() {
    let mut bench = Bench::new();
    bench.usual();
    for till in [20, 25, 28] {
        bench.send(&stuck(till, 1, "no-answer", "H3").derived());
        // The queries of it were used up; no rule has said why.
        bench.stuck(till, 1, "unresolved");
    }
    bench.pass(60_000);
    assert_eq!(bench.opened(), ["opened H3 site:S2"]);
    assert_eq!((bench.incidents[0].findings, bench.incidents[0].payments), (6, 3));
    // Four findings of two payments are two, and what follows of older ones is no company.
    let mut bench = Bench::new();
    bench.usual();
    for till in [20, 25] {
        bench.stuck(till, 1, "no-answer");
        bench.stuck(till, 1, "unresolved");
        bench.stuck(till + 1, 1, "unresolved");
    }
    bench.pass(60_000);
    assert_eq!(bench.opened(), [""; 0]);
}

#[test]
fn customers_who_walk_away_are_no_incident() {
    let mut bench = Bench::new();
    bench.usual();
    for till in 20..30 {
        bench.send(&stuck(till, 1, "no-answer", "customer").derived());
        bench.stuck(till, 1, "unresolved");
    }
    bench.pass(60_000);
    assert_eq!(bench.opened(), [""; 0]);
    let causes: Vec<_> = bench.told.iter().map(|told| (told.kind.as_str(), told.details[0].1.clone())).collect();
    assert_eq!(causes.len(), 10);
    let told = ("unresolved", Value::from("customer"));
    assert!(causes.iter().all(|cause| *cause == told), "what follows of it has that cause, too: {causes:?}");
    // Others at the same site are not hidden by them.
    (20..30).for_each(|till| bench.sign(till, "N3", "site:S2", (3, 3)));
    (20..30).for_each(|till| bench.stuck(till, 2, "no-answer"));
    bench.pass(5_000);
    assert_eq!(bench.opened(), ["opened N3 site:S2"]);
    assert_eq!(bench.incidents[0].payments, 10);
}

#[test]
fn a_few_of_many_are_no_incident_where_nothing_says_why() {
    // Four customers of fifty leave a site: no incident. A fifth does: it is.
    for (few, opened) in [(4, &[][..]), (5, &["opened undetermined site:S2"][..])] {
        let mut bench = Bench::new();
        bench.usual();
        (20..30).for_each(|till| bench.sign(till, "N1", "site:S2", (0, 3)));
        (0..few).for_each(|number| bench.stuck(20 + number, 1, "no-answer"));
        bench.pass(50_000);
        assert_eq!(bench.opened(), opened);
        assert_eq!(bench.told.len(), few as usize, "each is told all the same");
    }
}

#[test]
fn an_operator_is_compared_with_peers() {
    let mut bench = Bench::new();
    let mut block = |till: u32, actions: i64, strength: f64| {
        let about = format!("operator:o{till}");
        let (cause, what) = ("P1".to_owned(), "block".to_owned());
        let sign =
            Sign { cohorts: cohorts(till), cause, about, what, strength, count: actions, of: 30, ..Sign::default() };
        bench.send(&sign.derived());
        bench.told.pop().map(|told| (told.scope, told.details[0].1.clone()))
    };
    assert_eq!(block(0, 9, 0.5), None, "nobody to compare with");
    for till in 1..40 {
        assert_eq!(block(till, i64::from(till % 3), 0.1), None);
    }
    assert_eq!(block(40, 6, 0.1), None, "more than usual, and no finding");
    assert_eq!(block(41, 9, 0.5), Some(("operator:o41".to_owned(), Value::from("P1"))));
    // A shop where everybody needs that much.
    for till in 42..140 {
        block(till, 9, 0.5);
    }
    assert_eq!(block(140, 9, 0.5), Some(("operator:o140".to_owned(), Value::from("undetermined"))));
}

#[test]
fn a_lone_payment_gets_a_cause_and_is_no_incident() {
    let mut bench = Bench::new();
    bench.usual();
    bench.sign(7, "H4", "terminal:T7", (2, 2));
    bench.stuck(7, 1, "not-shown");
    // What the terminal's own rule has found stays.
    bench.send(&stuck(8, 1, "not-printed", "H1").derived());
    bench.stuck(9, 1, "no-answer");
    bench.pass(60_000);
    assert_eq!(bench.opened(), Vec::<String>::new());
    let causes: Vec<_> = bench.told.iter().map(|told| (told.scope.as_str(), told.details[0].1.clone())).collect();
    assert_eq!(
        causes,
        [("payment:A:M:T7:1:1", Value::from("H4")), ("payment:A:M:T9:1:1", Value::from("undetermined")),]
    );
}

#[test]
fn what_a_terminal_knows_is_kept_whichever_record_comes_first() {
    let mut bench = Bench::new();
    bench.usual();
    // A finding and its cause are of one instant, and instants have no order of their own.
    for number in 0..4 {
        bench.send(&stuck(5, number, "no-answer", "customer").derived());
        bench.stuck(5, number, "no-answer");
    }
    bench.pass(60_000);
    assert_eq!((bench.opened(), bench.told.len()), (Vec::<String>::new(), 0), "customers left, as their till knows");
}

#[test]
fn a_printer_is_its_terminals_and_a_version_is_its_versions() {
    let mut bench = Bench::new();
    bench.usual();
    for number in 0..4 {
        bench.send(&stuck(5, number, "not-printed", "H1").derived());
        bench.pass(5_000);
    }
    assert_eq!(bench.opened(), ["opened H1 terminal:T5"]);
    let mut bench = Bench::new();
    bench.usual();
    (0..100).filter(|till| till % 3 == 2).for_each(|till| {
        bench.sign(till, "S1", "version:v2", (2, 2));
        bench.stuck(till, 1, "not-shown");
    });
    bench.pass(20_000);
    assert_eq!(bench.opened(), ["opened S1 version:v2"]);
}

#[test]
fn announced_maintenance_is_one_incident_that_wakes_nobody() {
    let mut bench = Bench::new();
    bench.usual();
    let notice =
        Notice { cohorts: cohorts(0), about: "region:R".to_owned(), from: bench.now, until: bench.now + 600_000 };
    bench.send(&notice.derived());
    for till in 0..100 {
        bench.stuck(till, 1, "no-answer");
    }
    bench.pass(40_000);
    assert_eq!(bench.opened(), ["opened maintenance region:R"]);
    let first = &bench.incidents[0];
    assert!(first.maintenance && first.severity == Severity::Info, "{first:?}");
}

#[test]
fn planned_maintenance_says_why_and_what_is_stuck_after_its_end_wakes_somebody() {
    let until = T0 + 60_000;
    let window = format!(r#"["site:S2",{T0},{until},"new switch"]"#);
    let mut bench = Bench::with(&format!(r#"{{"maintenance":[{window}]}}"#));
    bench.usual();
    for number in 0..3 {
        (20..30).for_each(|till| bench.stuck(till, number, "no-answer"));
        bench.pass(15_000);
    }
    assert_eq!(bench.opened(), ["opened maintenance site:S2"]);
    let first = &bench.incidents[0];
    assert!(first.maintenance && first.severity == Severity::Info, "{first:?}");
    assert!(first.text_en.ends_with("announced maintenance: new switch"), "{}", first.text_en);
    assert!(first.text_zh.ends_with("计划维护: new switch"), "{}", first.text_zh);
    bench.until(until);
    for till in 20..30 {
        bench.sign(till, "N3", "site:S2", (3, 3));
        bench.stuck(till, 9, "no-answer");
    }
    bench.pass(20_000);
    assert_eq!(bench.opened(), ["opened maintenance site:S2", "opened N3 site:S2"]);
    let silent = |incident: &Incident| incident.maintenance == (incident.cause == "maintenance");
    assert!(bench.incidents.iter().all(silent), "{:?}", bench.incidents);
}

#[test]
fn a_wider_incident_explains_a_narrower_one_that_has_no_cause_of_its_own() {
    let mut bench = Bench::new();
    bench.usual();
    // Three tills of one site, all behind h1: it looks like the site's, and nothing but the place says so.
    (0..2).for_each(|number| [21, 25, 29].into_iter().for_each(|till| bench.stuck(till, number, "no-answer")));
    bench.pass(50_000);
    assert_eq!(bench.opened(), ["opened undetermined site:S2"]);
    assert_eq!(bench.incidents[0].runner_up.as_deref(), Some("N3"));
    bench.sign(1, "N4", "host:A/h1", (30, 100));
    for number in 2..4 {
        behind_h1().filter(|till| !(20..30).contains(till)).for_each(|till| bench.stuck(till, number, "no-answer"));
        bench.pass(1_000);
    }
    bench.pass(20_000);
    assert_eq!(bench.opened(), ["opened undetermined site:S2", "opened N4 host:A/h1"]);
    let id = |of: &Incident| {
        let opened_as = of.opened_as.as_deref().unwrap_or(&of.cause);
        tillwatch_sdk::ids::incident(&of.scope, opened_as, of.generation)
    };
    let wider = bench.incidents.iter().find(|incident| incident.scope == "host:A/h1").expect("just seen");
    let narrower = bench.incidents.iter().rfind(|incident| incident.scope == "site:S2").expect("just seen");
    assert_eq!(wider.inhibits, [id(narrower)]);
    assert_eq!((narrower.turn, narrower.inhibited_by.clone()), (Turn::Updated, Some(id(wider))));
}

#[test]
fn severity_is_by_number_and_by_money() {
    let severity = |settings: &str| {
        let bench = h1_stuck(Bench::with(settings), 30, 5_000);
        assert_eq!((bench.opened().len(), bench.incidents[0].payments), (1, 25));
        bench.incidents[0].severity
    };
    assert_eq!(severity(r#"{"critical_payments": 26}"#), Severity::Warning);
    assert_eq!(severity(r#"{"critical_payments": 25}"#), Severity::Critical);
    assert_eq!(severity(r#"{"critical_payments": 26, "critical_money": 25001}"#), Severity::Warning);
    assert_eq!(severity(r#"{"critical_payments": 26, "critical_money": 25000}"#), Severity::Critical);
}

#[test]
fn a_region_without_a_cohort_that_stands_out_is_the_region() {
    let mut bench = Bench::new();
    bench.usual();
    for number in 0..2 {
        (0..100).for_each(|till| bench.stuck(till, number, "no-answer"));
    }
    bench.pass(60_000);
    assert_eq!(bench.opened().len(), 1, "{:?}", bench.brief());
    assert_eq!(bench.incidents[0].scope, "region:R");
}

#[test]
fn what_was_mended_before_it_was_judged_is_nothing() {
    let mut bench = Bench::new();
    bench.usual();
    for till in behind_h1() {
        bench.stuck(till, 1, "no-answer");
        bench.end(till, 1, "no-answer");
    }
    bench.pass(60_000);
    assert!(bench.told.is_empty() && bench.incidents.is_empty());
}

#[test]
fn a_second_one_of_the_same_kind_is_another_generation() {
    let mut bench = Bench::new();
    for round in 0..2 {
        bench.usual();
        bench.sign(1, "N4", "host:A/h1", (30, 100));
        behind_h1().for_each(|till| bench.stuck(till, round, "no-answer"));
        bench.pass(10_000);
        bench.usual();
        bench.pass(400_000);
    }
    let generations: Vec<u32> = bench.incidents.iter().map(|incident| incident.generation).collect();
    assert_eq!((generations.first(), generations.last()), (Some(&1), Some(&2)));
}

#[test]
fn settings_out_of_range_are_named() {
    let wrong = |settings: &str| Native::<IncidentRule>::with_settings(settings).expect_err("refused");
    assert!(wrong(r#"{"update_every_ms": 9999}"#).contains("`update_every_ms`: 9999 is not between 10000"));
    assert!(wrong(r#"{"cohort_min": 0}"#).contains("`cohort_min`"));
    assert!(wrong(r#"{"quiet": 1}"#).contains("quiet"));
    assert!(wrong(r#"{"maintenance": [["site:S1", "today", 2, ""]]}"#).contains("today"));
}
