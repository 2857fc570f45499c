//! Findings beside the stages, line by line.

use crate::script::{START, Till, card, card_with, detail, qr, says};

const WELL: &str =
    "0 authorize\n 1000 host approved\n 1100 terminal approved\n 1200 shown approved\n 2000 print printed\n";

#[test]
fn unsynced_is_for_sites_that_expect_the_ledger() {
    let ledger = r#"{"sites":{"S0012":{"expects":["display","receipt","ledger"]}}}"#;
    says(
        &card_with(ledger, &format!("{WELL} 90000 ledger paid")),
        "61000 + unsynced 61000\n 90000 - unsynced mended 29000",
    );
    says(&card_with(ledger, &format!("0 ledger paid\n {WELL} 90000 wait")), "");
    says(&card_with(ledger, &format!("{WELL} 61000 ledger paid\n 90000 wait")), "");
    says(
        &card_with(ledger, &format!("{WELL} 90000 late 50000 ledger paid")),
        "61000 + unsynced 61000\n 90000 - unsynced proved-wrong 0",
    );
    says(&card_with(ledger, &format!("{WELL} 3000 ledger unpaid\n 70000 wait")), "61000 + unsynced 61000");
    says(&card(&format!("{WELL} 90000 wait")), "");
}

#[test]
fn reversal_missing_is_ended_by_a_reversal_delivery_or_a_decline() {
    let lost = "0 authorize\n 1000 host approved\n 95000 wait\n";
    let found = "6000 + approved-undelivered 6000\n 90000 + reversal-missing 90000\n";
    says(&card(lost), found);
    says(&card(&format!("{lost} 100000 reversal request")), &format!("{found} 100000 - reversal-missing mended 10000"));
    says(
        &card(&format!("{lost} 100000 reversal response unknown")),
        &format!("{found} 100000 - reversal-missing mended 10000"),
    );
    says(&card(&format!("{lost} 100000 host declined")), &format!("{found} 100000 - reversal-missing mended 10000"));
    says(
        &card(&format!("{lost} 100000 terminal approved")),
        &format!("{found} 100000 - approved-undelivered mended 94000\n 100000 - reversal-missing mended 10000"),
    );
    says(
        &card("0 authorize\n 60000 reversal request\n 61000 reversal response unknown\n 300000 wait"),
        "15000 + slow-answer 15000\n 65000 + no-answer 65000\n 65000 - slow-answer superseded 0",
    );
    says(
        &card(
            "0 reversal request\n 1 reversal response unknown\n 10 authorize\n 11 host approved\n 12 terminal approved\n 13 print printed\n 300000 wait",
        ),
        "11 + late-approval 0\n 13 - late-approval mended 13",
    );
    says(&qr("0 authorize\n 300000 wait"), "45000 + no-answer 45000");
}

#[test]
fn reversal_unanswered_waits_for_a_response() {
    let refused = "0 reversal request\n 31000 reversal response declined";
    says(&card(refused), "30000 + reversal-unanswered 30000\n 31000 - reversal-unanswered mended 1000");
    says(&card("0 reversal request\n 20000 reversal request\n 40000 wait"), "30000 + reversal-unanswered 30000");
    says(&card("5 reversal response unknown\n 40000 late 5 reversal request\n 90000 wait"), "");
    says(&card("5 reversal response unknown\n 6 reversal request\n 90000 wait"), "30006 + reversal-unanswered 30006");
}

#[test]
fn a_late_approval_is_found_at_once_and_ends_the_stages() {
    let late = "0 authorize\n 65001 host approved\n";
    let found = "15000 + slow-answer 15000\n 65000 + no-answer 65000\n 65000 - slow-answer superseded 0\n 65001 - no-answer mended 1\n 65001 + late-approval 65000\n";
    says(&card(&format!("{late} 89000 wait")), found);
    says(
        &card("0 authorize\n 14000 wait\n 65000 host approved\n 65001 terminal approved\n 65002 print printed"),
        "15000 + slow-answer 15000\n 65000 - slow-answer mended 50000",
    );
    says(&card(&format!("{late} 70000 terminal approved\n 89000 wait")), found);
    says(
        &card(&format!("{late} 70000 shown approved\n 89000 wait")),
        &format!("{found} 70000 - late-approval mended 5000"),
    );
    says(&card(&format!("{late} 70000 confirm\n 89000 wait")), &format!("{found} 70000 - late-approval mended 5000"));
    says(
        &card(&format!("{late} 70000 late 64000 print printed")),
        &format!("{found} 70000 - late-approval proved-wrong 0"),
    );
    says(&card(&format!("{late} 70000 ledger reversed")), &format!("{found} 70000 - late-approval reversed 5000"));
    says(&card(&format!("{late} 91000 wait")), &format!("{found} 90000 + reversal-missing 90000"));
}

#[test]
fn an_approval_after_a_reversal_request_is_late_and_with_goods_it_is_ordinary() {
    says(&card("0 authorize\n 9000 reversal request\n 9001 host approved\n 20000 wait"), "9001 + late-approval 9000");
    says(
        &card(
            "0 authorize\n 9000 reversal request\n 9000 host approved\n 10000 terminal approved\n 10001 print printed\n 20000 wait",
        ),
        "",
    );
    says(
        &card("0 authorize\n 10 confirm\n 9000 reversal request\n 9001 host approved\n 20000 wait"),
        "14001 + approved-undelivered 14001",
    );
    says(
        &card(
            "0 host approved\n 1 terminal approved\n 2 print printed\n 10 late -100000 authorize\n 20 host approved\n 99999 wait",
        ),
        "",
    );
}

#[test]
fn the_patience_of_a_late_authorize_counts_from_where_it_came() {
    says(&card("100000 late 1000 authorize\n 100001 host approved\n 100002 print printed"), "");
    let mut till = Till::card("");
    for line in ["100000 late 1000 authorize", "165001 host approved"] {
        till.line(line);
    }
    let finding = till.finding("late-approval");
    assert_eq!(finding.deadline, Some(START + 165_000));
    assert_eq!(detail(finding, "late_window"), Some(&true.into()));
    assert_eq!(detail(finding, "gives_up_at"), Some(&(START + 160_000).into()));
    assert_eq!(detail(finding, "authorized_at"), Some(&(START + 1_000).into()));
}

#[test]
fn money_back_clears_everything_and_nothing_but_unresolved_comes_after() {
    for back in ["reversal response approved", "status refunded", "status revoked"] {
        says(
            &card(&format!(
                "0 authorize\n 1000 host approved\n 50000 reversal request\n 95000 {back}\n 96000 terminal approved\n 500000 wait"
            )),
            "6000 + approved-undelivered 6000
             80000 + reversal-unanswered 80000
             95000 - approved-undelivered reversed 89000
             95000 - reversal-unanswered reversed 15000",
        );
    }
    says(
        &card("0 host approved\n 1 reversal response approved\n 2 reversal request\n 3 print failed\n 90000 wait"),
        "",
    );
    says(&card("0 host approved\n 10 reversal response approved\n 20 confirm"), "20 + unresolved 20");
    says(
        &card("0 reversal response approved\n 10 host approved\n 20 status refunded"),
        "10 + unresolved 10\n 20 - unresolved reversed 10",
    );
    says(&card("100 reversal response approved\n 100000 late 90 host approved\n 100001 terminal approved"), "");
}

#[test]
fn a_final_not_paid_clears_and_an_approval_in_time_begins_again() {
    let found = "15000 + slow-answer 15000\n 65000 + no-answer 65000\n 65000 - slow-answer superseded 0\n 70000 - no-answer not-paid 5000\n";
    says(&card("0 authorize\n 70000 status not-paid\n 500000 wait"), found);
    says(
        &card("0 authorize\n 60000 status not-paid\n 500000 wait"),
        "15000 + slow-answer 15000\n 60000 - slow-answer not-paid 45000",
    );
    says(
        &card("0 authorize\n 61000 status not-paid\n 62000 host approved\n 500000 wait"),
        "15000 + slow-answer 15000\n 61000 - slow-answer not-paid 46000\n 67000 + approved-undelivered 67000\n 90000 + reversal-missing 90000",
    );
    says(
        &card("0 authorize\n 70000 status not-paid\n 72000 late 5000 host approved\n 500000 wait"),
        &format!("{found} 77000 + approved-undelivered 10000\n 90000 + reversal-missing 90000"),
    );
    says(
        &card("0 authorize\n 70000 status not-paid\n 72000 host approved\n 500000 wait"),
        &format!("{found} 72000 + late-approval 65000"),
    );
    says(
        &card(
            "0 authorize\n 70000 status not-paid\n 71000 confirm\n 72000 late 5000 host approved\n 72001 print printed",
        ),
        &format!("{found} 71000 + unresolved 71000\n 72000 - unresolved proved-wrong 0"),
    );
    says(
        &card("0 authorize\n 70000 status not-paid\n 71000 terminal declined\n 90000 wait"),
        &format!("{found} 76000 + not-shown 76000"),
    );
}

#[test]
fn contradictions_are_unresolved() {
    let paid = "0 authorize\n 1000 host approved\n 1100 terminal approved\n 1200 shown approved\n 1300 print printed\n";
    says(&card(&format!("{paid} 5000 status not-paid 4000")), "5000 + unresolved 5000");
    says(&card(&format!("{paid} 5000 status not-paid 1000")), "");
    says(
        &card(&format!("{paid} 5000 status not-paid 4000\n 6000 status paid 3900\n 7000 status paid 7000")),
        "5000 + unresolved 5000\n 7000 - unresolved mended 2000",
    );
    says(&card("0 host declined\n 10 host approved\n 20 terminal approved\n 30 shown approved"), "10 + unresolved 10");
    says(
        &card("0 host declined\n 10 host approved\n 20 terminal approved\n 30 shown approved\n 40 status paid"),
        "10 + unresolved 10\n 40 - unresolved mended 30",
    );
    says(&card("0 terminal approved\n 10 shown declined"), "10 + unresolved 10");
    says(&card("0 shown declined\n 10 host approved"), "10 + unresolved 10");
    says(
        &card(
            "0 terminal approved\n 10 shown approved\n 11 print printed\n 20 reversal request\n 30 reversal response declined",
        ),
        "30 + unresolved 30",
    );
    says(
        &card("0 host declined\n 10 host approved\n 20 reversal response approved"),
        "10 + unresolved 10\n 20 - unresolved reversed 10",
    );
}

#[test]
fn what_a_chain_left_unresolved_is_settled_with_the_last_finding_about_money() {
    says(
        &card(
            "0 host approved\n 60000 unresolved chain-ran-out\n 61000 unresolved again\n 62000 terminal approved\n 62001 print printed",
        ),
        "5000 + approved-undelivered 5000
         60000 + unresolved 60000
         62000 - approved-undelivered mended 57000
         62000 - unresolved mended 2000",
    );
    let mut till = Till::card("");
    till.line("0 unresolved queries");
    assert_eq!(detail(till.finding("unresolved"), "why"), Some(&"queries".into()));
    says(&card("0 authorize\n 70000 unresolved queries\n 80000 status not-paid"),
        "15000 + slow-answer 15000\n 65000 + no-answer 65000\n 65000 - slow-answer superseded 0\n 70000 + unresolved 70000
         80000 - no-answer not-paid 15000\n 80000 - unresolved not-paid 10000");
}

#[test]
fn clears_come_before_raises_in_the_order_of_the_tables() {
    let settings = r#"{"defaults":{"response_ms":20000,"terminal_ms":10000,"reversal_ms":10000}}"#;
    says(
        &card_with(settings, "0 authorize\n 20001 wait"),
        "15000 + slow-answer 15000\n 20000 + no-answer 20000\n 20000 - slow-answer superseded 0\n 20000 + reversal-missing 20000",
    );
    says(&card_with(settings, "0 authorize\n 20001 wait\n 25000 shown declined\n 26000 status paid"),
        "15000 + slow-answer 15000\n 20000 + no-answer 20000\n 20000 - slow-answer superseded 0\n 20000 + reversal-missing 20000
         25000 - no-answer mended 5000\n 25000 - reversal-missing mended 5000
         26000 + late-approval 20000\n 26000 + unresolved 26000");
}
