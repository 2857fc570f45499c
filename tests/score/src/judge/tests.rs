use super::*;
use tillwatch::simulate::Cause;

fn truth(txn: &str, cause: Option<Cause>, expect: &[&'static str], may: &[&'static str]) -> Truth {
    Truth {
        txn: txn.to_owned(),
        terminal: "T1".to_owned(),
        site: "S1".to_owned(),
        rail: "card",
        amount: 100,
        currency: "CNY",
        fault: None,
        cause,
        blame: cause.map(|_| 0),
        started_at: "1970-01-01T00:01:40.000Z".to_owned(),
        approved: true,
        money: "taken",
        shown: true,
        printed: false,
        settled: true,
        expect: expect.to_vec(),
        with_ledger: Vec::new(),
        cleared: Vec::new(),
        may: may.to_vec(),
    }
}

fn printer() -> Injected {
    Injected {
        injected: 0,
        cause: Cause::H1,
        scope: "terminal:T1".to_owned(),
        from: "1970-01-01T00:01:40.000Z".to_owned(),
        until: "1970-01-01T00:10:00.000Z".to_owned(),
        strength: 80,
        near_miss: false,
        terminals: 1,
        part_of: None,
    }
}

fn said(at: Instant, finding: &str, scope: &str, cause: &str, confidence: f64, incident: Option<&str>) -> Said {
    Said {
        at,
        finding: finding.to_owned(),
        scope: scope.to_owned(),
        cause: cause.to_owned(),
        confidence,
        incident: incident.map(str::to_owned),
    }
}

fn raised(at: Instant, kind: &str, txn: &str) -> (Instant, String, String) {
    (at, kind.to_owned(), txn.to_owned())
}

#[test]
fn findings_of_payments_are_found_missed_or_wrong() {
    let truths = [
        truth("a", Some(Cause::H1), &["not-printed"], &[]),
        truth("b", Some(Cause::H1), &["not-printed"], &[]),
        truth("c", None, &[], &["unsynced"]),
        truth("d", None, &[], &[]),
    ];
    let raised = vec![raised(1, "not-printed", "a"), raised(2, "unsynced", "c"), raised(3, "not-printed", "d")];
    let judged = judge(1, "", &Seen { raised, ..Seen::default() }, &[], &truths);
    assert_eq!(judged.kinds["not-printed"], Hits { expected: 2, found: 1, wrong: 1 });
    assert_eq!(judged.kinds["unsynced"], Hits::default());
    assert_eq!((judged.good, judged.alarms), (2, 1));
}

#[test]
fn the_incident_counts_before_its_findings_and_the_last_word_before_the_first() {
    let truths = [truth("a", Some(Cause::H1), &["not-printed"], &[]), truth("b", Some(Cause::H1), &[], &[])];
    let mut seen = Seen {
        raised: vec![raised(110_000, "not-printed", "a")],
        said: vec![
            said(110_000, "fa", "payment:a", "undetermined", 0.3, None),
            said(130_000, "fa", "payment:a", "H1", 0.9, Some("i")),
            said(131_000, "fb", "payment:b", "S2", 0.6, Some("i")),
        ],
        ..Seen::default()
    };
    let judged = judge(1, "", &seen, &[printer()], &truths);
    assert_eq!(judged.claims, [(0.9, true), (0.6, false)]);
    let incident = Incident { at: 125_000, cause: "H4".to_owned(), confidence: 0.7, ..Incident::default() };
    seen.incidents.insert("i".to_owned(), incident);
    seen.incidents.insert("stray".to_owned(), Incident::default());
    let judged = judge(1, "", &seen, &[printer()], &truths);
    let fault = &judged.faults[0];
    assert_eq!((fault.named.as_deref(), fault.confidence), (Some("H4"), 0.7));
    assert_eq!((fault.found_ms, fault.named_ms), (Some(10_000), Some(30_000)));
    assert_eq!((fault.incidents, judged.strays), (1, 1));
}

#[test]
fn a_finding_of_a_terminal_counts_in_its_place_and_time() {
    let cohorts = BTreeSet::from([vec!["terminal:T1".to_owned(), "site:S1".to_owned()]]);
    let named = |at, scope: &str| {
        let seen =
            Seen { said: vec![said(at, "f", scope, "H1", 0.9, None)], cohorts: cohorts.clone(), ..Seen::default() };
        judge(1, "", &seen, &[printer()], &[]).faults.remove(0).named
    };
    assert_eq!(named(120_000, "terminal:T1").as_deref(), Some("H1"));
    assert_eq!(named(99_000, "terminal:T1"), None);
    assert_eq!(named(120_000, "terminal:T2"), None);
}

#[test]
fn a_fault_of_two_regions_has_an_incident_in_each() {
    let on = |txn: &str, terminal: &str| Truth {
        terminal: terminal.to_owned(),
        ..truth(txn, Some(Cause::H1), &["not-printed"], &[])
    };
    let truths = [on("a", "T1"), on("b", "T2"), on("c", "T3")];
    let cohort = |terminal: &str, region: &str| vec![format!("region:{region}"), format!("terminal:{terminal}")];
    let seen = Seen {
        said: ["a", "b", "c"].map(|txn| said(130_000, txn, &format!("payment:{txn}"), "H1", 0.9, Some(txn))).into(),
        incidents: ["a", "b", "c"].map(|id| (id.to_owned(), Incident::default())).into(),
        cohorts: [cohort("T1", "R1"), cohort("T2", "R2"), cohort("T3", "R2")].into(),
        ..Seen::default()
    };
    assert_eq!(judge(1, "", &seen, &[printer()], &truths).faults[0].incidents, 2, "of R2");
    assert_eq!(judge(1, "", &seen, &[printer()], &truths[..2]).faults[0].incidents, 1, "one in each");
}

#[test]
fn a_finding_that_names_another_fault_of_the_place_is_about_that_one() {
    let cohorts = BTreeSet::from([vec!["terminal:T1".to_owned(), "site:S1".to_owned()]]);
    let overload = Injected { injected: 1, cause: Cause::N4, scope: "site:S1".to_owned(), ..printer() };
    let seen = Seen { said: vec![said(120_000, "f", "terminal:T1", "H1", 0.9, None)], cohorts, ..Seen::default() };
    let named = |injected: &[Injected]| -> Vec<_> {
        judge(1, "", &seen, injected, &[]).faults.into_iter().map(|fault| fault.named).collect()
    };
    assert_eq!(named(&[printer(), overload.clone()]), [Some("H1".to_owned()), None]);
    assert_eq!(named(&[overload]), [Some("H1".to_owned())], "alone, it is taken for that");
}
