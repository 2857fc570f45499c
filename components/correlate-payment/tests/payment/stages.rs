//! The four stages, line by line.

use tillwatch_sdk::{Severity, Value};

use crate::script::{START, Till, card, card_with, detail, qr, says};

#[test]
fn a_payment_that_goes_well_says_nothing_and_is_forgotten_after_ten_minutes() {
    let mut till = Till::card("");
    for line in
        ["0 authorize", "900 host approved", "1200 terminal approved", "1300 shown approved", "3000 print printed"]
    {
        till.line(line);
    }
    till.line("603000 host approved");
    assert!(till.actions.is_empty() && !till.state.is_empty());
    till.line("603001 wait");
    assert!(till.state.is_empty(), "{:?}", till.state);
}

#[test]
fn every_stage_missed_is_found_at_its_deadline() {
    says(
        &card("0 authorize\n 400000 wait"),
        "15000 + slow-answer 15000\n 65000 + no-answer 65000\n 65000 - slow-answer superseded 0\n 90000 + reversal-missing 90000",
    );
    says(&card("0 authorize\n 1000 host approved\n 80000 wait"), "6000 + approved-undelivered 6000");
    says(&card("0 authorize\n 1000 terminal approved\n 80000 wait"), "6000 + not-shown 6000");
    says(&card("0 authorize\n 1000 terminal approved\n 2000 shown approved\n 80000 wait"), "12000 + not-printed 12000");
}

#[test]
fn an_event_at_the_deadline_is_in_time() {
    says(
        &card("0 host approved\n 5000 terminal approved\n 10000 shown approved\n 20000 print printed\n 90000 wait"),
        "",
    );
    says(
        &card("0 host approved\n 5001 terminal approved"),
        "5000 + approved-undelivered 5000\n 5001 - approved-undelivered mended 1",
    );
}

#[test]
fn a_reached_stage_clears_its_finding_and_opens_the_next_window() {
    says(
        &card(
            "0 authorize\n 20000 host approved\n 30000 terminal approved\n 40000 shown approved\n 60000 announce done",
        ),
        "15000 + slow-answer 15000
         20000 - slow-answer mended 5000
         25000 + approved-undelivered 25000
         30000 - approved-undelivered mended 5000
         35000 + not-shown 35000
         40000 - not-shown mended 5000
         50000 + not-printed 50000
         60000 - not-printed mended 10000",
    );
}

#[test]
fn a_receipt_proves_everything_and_a_print_attempt_all_but_the_receipt() {
    says(&card("0 authorize\n 1000 host approved\n 2000 print printed\n 300000 wait"), "");
    says(&card("0 authorize\n 1000 print accepted\n 300000 wait"), "11000 + not-printed 11000");
    says(
        &card("0 host approved\n 6000 print accepted"),
        "5000 + approved-undelivered 5000\n 6000 - approved-undelivered mended 1000",
    );
}

#[test]
fn open_outcomes_reach_nothing() {
    for line in [
        "host pending",
        "host unknown",
        "notify unknown",
        "status in-progress",
        "status not-found",
        "status unknown",
        "shown unknown",
        "status not-paid",
        "host nonsense",
        "print busy",
        "announce failed",
        "confirm",
    ] {
        let said = card(&format!("0 authorize\n 1000 {line}\n 16000 wait"));
        says(&said, "15000 + slow-answer 15000");
    }
}

#[test]
fn an_authorize_is_not_needed_and_the_first_one_seen_opens_what_is_not_reached() {
    says(
        &card(
            "0 host approved\n 1000 authorize\n 2000 terminal approved\n 3000 shown approved\n 4000 print printed\n 200000 wait",
        ),
        "",
    );
    says(
        &card("0 authorize\n 50000 authorize\n 65001 wait"),
        "15000 + slow-answer 15000\n 65000 + no-answer 65000\n 65000 - slow-answer superseded 0",
    );
    says(
        &card("0 host approved\n 1000 authorize\n 100000 wait"),
        "5000 + approved-undelivered 5000\n 91000 + reversal-missing 91000",
    );
}

#[test]
fn paid_partial_and_notices_are_approvals_and_displays_and_receipts_are_not() {
    for line in ["status paid", "host partial", "notify approved"] {
        says(&card(&format!("0 {line}\n 9000 wait")), "5000 + approved-undelivered 5000");
    }
    says(&card_with(r#"{"defaults":{"expects":["ledger"]}}"#, "0 shown approved\n 1 print printed\n 200000 wait"), "");
}

#[test]
fn a_decline_at_the_host_alone_ends_the_payment() {
    says(&card("0 authorize\n 1000 host declined\n 300000 wait"), "");
    says(&card("0 authorize\n 1000 notify declined\n 300000 wait"), "");
}

#[test]
fn a_delivered_decline_must_be_shown_and_needs_no_receipt() {
    says(&card("0 authorize\n 1000 host declined\n 2000 terminal declined\n 300000 wait"), "7000 + not-shown 7000");
    says(&card("0 authorize\n 2000 terminal declined\n 3000 shown declined\n 300000 wait"), "");
    says(&card("0 terminal declined\n 3000 shown approved\n 300000 wait"), "");
    says(&card("0 authorize\n 3000 shown declined\n 300000 wait"), "");
}

#[test]
fn a_decline_makes_a_missing_receipt_matter_no_longer() {
    says(
        &card("0 shown approved\n 11000 host declined"),
        "10000 + not-printed 10000\n 11000 - not-printed mended 1000",
    );
}

#[test]
fn a_failed_print_is_found_at_once() {
    says(
        &card("0 authorize\n 1000 terminal approved\n 2000 shown approved\n 3000 print failed\n 300000 wait"),
        "3000 + not-printed 3000",
    );
    says(
        &card("0 print failed\n 5000 print failed\n 7000 print printed"),
        "0 + not-printed 0\n 7000 - not-printed mended 7000",
    );
    says(&card("0 print printed\n 1 print failed\n 300000 wait"), "");
    says(&card("0 terminal declined\n 1 shown declined\n 2 print failed\n 300000 wait"), "");
    says(&card_with(r#"{"sites":{"S0012":{"expects":["display"]}}}"#, "0 print failed\n 300000 wait"), "");
}

#[test]
fn a_stage_that_is_not_expected_has_no_window_and_the_next_opens_in_its_place() {
    let receipt = r#"{"sites":{"S0012":{"expects":["receipt"]}}}"#;
    says(&card_with(receipt, "0 terminal approved\n 300000 wait"), "10000 + not-printed 10000");
    says(&card_with(receipt, "0 terminal approved\n 8000 shown approved\n 300000 wait"), "10000 + not-printed 10000");
    says(&card_with(receipt, "0 shown approved\n 300000 wait"), "10000 + not-printed 10000");
    says(&card_with(receipt, "0 terminal declined\n 300000 wait"), "");
    says(&card_with(r#"{"defaults":{"expects":[]}}"#, "0 terminal approved\n 300000 wait"), "");
}

#[test]
fn a_window_opened_by_a_late_event_has_a_grace_and_keeps_its_deadline() {
    says(&card("100000 late 10000 host approved\n 300000 wait"), "105000 + approved-undelivered 15000");
    says(&card("100000 late 99000 terminal approved\n 300000 wait"), "105000 + not-shown 104000");
    says(&card("100000 late 99000 shown approved\n 300000 wait"), "109000 + not-printed 109000");
    let backlog = "100000 late 1000 authorize\n 100001 late 2000 host approved\n 100002 late 3000 terminal approved
        100003 late 4000 shown approved\n 100004 late 9000 print printed\n 300000 wait";
    says(&card(backlog), "");
    says(
        &card(
            "100000 late 10000 host approved\n 106000 late 14000 terminal approved\n 106001 late 14001 print printed",
        ),
        "105000 + approved-undelivered 15000\n 106000 - approved-undelivered proved-wrong 0",
    );
    says(
        &card("100000 late 10000 host approved\n 106000 terminal approved\n 106001 print printed"),
        "105000 + approved-undelivered 15000\n 106000 - approved-undelivered mended 91000",
    );
}

#[test]
fn slow_answer_does_not_come_with_no_answer_and_not_for_codes() {
    says(
        &card("100000 late 1000 authorize\n 106000 wait"),
        "105000 + no-answer 66000\n 105000 + reversal-missing 91000",
    );
    says(&qr("0 authorize\n 90000 wait"), "45000 + no-answer 45000");
}

#[test]
fn a_finding_raised_again_is_a_new_generation() {
    let mut till = Till::card("");
    for line in [
        "0 authorize",
        "1000 reversal request",
        "32000 reversal response unknown",
        "40000 reversal request",
        "75000 wait",
    ] {
        till.line(line);
    }
    let finding = till.finding("reversal-unanswered");
    assert_eq!((finding.generation, finding.deadline), (2, Some(START + 70_000)));
}

#[test]
fn a_finding_carries_what_its_readers_need() {
    let mut till = Till::card(r#"{"sites":{"S0012":{"delivery_ms":4000}}}"#);
    for line in ["0 authorize", "1000 host approved", "6000 wait"] {
        till.line(line);
    }
    let finding = till.finding("approved-undelivered");
    assert_eq!((finding.severity, finding.broke_at.as_deref()), (Severity::Critical, Some("to-terminal")));
    assert_eq!((finding.amount, finding.currency.as_deref()), (Some(12_800), Some("CNY")));
    assert_eq!(finding.deadline, Some(START + 5_000));
    let [evidence] = &finding.evidence[..] else { panic!("{:?}", finding.evidence) };
    assert_eq!((evidence.event.as_str(), evidence.time), ("pos.payment.response", START + 1_000));
    assert_eq!(evidence.id, "01JD0000000000000000000002");
    let details: Vec<_> = finding.details.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let expected: Vec<(&str, Value)> = vec![
        ("rail", "card".into()),
        ("acquirer", "A1".into()),
        ("terminal", "T1".into()),
        ("site", "S0012".into()),
        ("merchant", "M1".into()),
        ("authorized_at", START.into()),
        ("gives_up_at", (START + 60_000).into()),
        ("approved_at", (START + 1_000).into()),
        ("reversal_seen", false.into()),
        ("goods", false.into()),
        ("late_window", false.into()),
    ];
    assert_eq!(details, expected);
}

#[test]
fn the_rail_and_acquirer_follow_from_the_key_where_no_event_says_them() {
    for (key, rail) in [("A1:M1:T1:000001:000002", "card"), ("A1:M1:ORDER1", "other")] {
        let mut till = Till::new(key, None, r#"{"acquirers":{"A1":{"delivery_ms":1}}}"#);
        till.line("0 host approved");
        till.line("2 wait");
        let finding = till.finding("approved-undelivered");
        assert_eq!(detail(finding, "rail"), Some(&rail.into()));
        assert_eq!(detail(finding, "terminal"), Some(&"T1".into()));
        assert_eq!(finding.deadline, Some(START + 1));
    }
}

#[test]
fn open_findings_expire_a_day_after_the_last_event() {
    let mut till = Till::card("");
    for line in ["0 host approved", "10000 confirm", "86409999 wait"] {
        till.line(line);
    }
    assert_eq!(till.actions.len(), 1);
    till.line("86410001 wait");
    assert!(till.state.is_empty());
    says(
        &card("0 host approved\n 10000 confirm\n 86410001 wait"),
        "5000 + approved-undelivered 5000\n 86410000 - approved-undelivered expired 86405000",
    );
}

#[test]
fn what_comes_after_a_payment_was_forgotten_begins_anew() {
    says(
        &card("0 print printed\n 600000 host approved\n 600001 wait\n 600002 host approved\n 700000 wait"),
        "605002 + approved-undelivered 605002",
    );
}
