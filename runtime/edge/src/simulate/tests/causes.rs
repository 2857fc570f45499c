//! Each cause at its proper level shows in the records what its rule in `docs/spec/domain.md`, section 3, reads, with margin; a near miss
//! does not. Each check reads nothing but the records.

use std::collections::BTreeMap;

use super::*;

/// The fault lasts from then to then, ms after the start.
const FROM: i64 = 10 * 60_000;
const UNTIL: i64 = 25 * 60_000;

/// So long after it customers still come, ms.
const AFTER: i64 = 120_000;

/// Two minutes, over which domain.md looks at a site or a host.
const WINDOW: i64 = 120_000;

/// One record: when the log took it in, ms after the start, and what it says.
struct Said {
    at: i64,
    kind: String,
    data: Value,
    subject: Option<String>,
}

impl Said {
    fn is(&self, field: &str, value: &str) -> bool {
        self.data[field] == value
    }

    fn number(&self, field: &str) -> i64 {
        self.data[field].as_i64().unwrap_or(0)
    }

    fn error(&self) -> Option<(&'static str, &str)> {
        ["dns_error", "tcp_error", "tls_error"].into_iter().find_map(|field| Some((field, self.data[field].as_str()?)))
    }
}

struct Records {
    all: Vec<Said>,
    truths: Vec<Truth>,
}

/// A fleet of thirty, unless it takes more, with one fault.
fn records(inject: &str, strength: u8, change: impl Fn(&mut Options)) -> Records {
    let text = format!("{inject},from=10m,for=15m,strength={strength}");
    let mut options = Options {
        terminals: 30,
        sites: 6,
        acquirers: 2,
        inject: vec![text.parse().unwrap()],
        ..options(Faults::none())
    };
    change(&mut options);
    let start = options.start;
    let (emitted, truths) = run_for(options.clone(), options.inject[0].from + options.inject[0].lasts + AFTER);
    let all = parsed(&emitted).into_iter().zip(&emitted).map(|(mut event, emitted)| Said {
        at: emitted.ingest - start,
        kind: event["type"].as_str().unwrap().trim_start_matches("pos.").to_owned(),
        subject: event["subject"].as_str().map(str::to_owned),
        data: event["data"].take(),
    });
    Records { all: all.collect(), truths }
}

impl Records {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Said> {
        self.all.iter().filter(move |said| said.kind == kind)
    }

    /// While the fault lasts, once it has reached everybody.
    fn during(&self, kind: &str) -> impl Iterator<Item = &Said> {
        self.of(kind).filter(|said| (FROM + 15_000..UNTIL).contains(&said.at))
    }

    fn codes(&self, codes: &[&str]) -> usize {
        self.of("payment.response").filter(|said| codes.iter().any(|code| said.is("code", code))).count()
    }

    /// The events of each payment.
    fn payments(&self) -> BTreeMap<&str, Vec<&Said>> {
        let mut payments: BTreeMap<&str, Vec<&Said>> = BTreeMap::new();
        for said in &self.all {
            if let Some(subject) = &said.subject {
                payments.entry(subject).or_default().push(said);
            }
        }
        payments
    }
}

fn p95(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values.get(values.len() * 95 / 100).copied().unwrap_or(0)
}

/// Windows of two minutes in the fault.
fn windows() -> impl Iterator<Item = std::ops::Range<i64>> {
    (FROM + 15_000..UNTIL - WINDOW).step_by(30_000).map(|from| from..from + WINDOW)
}

/// A check that holds for a textbook fault and not for a near miss.
fn both(inject: &str, change: impl Fn(&mut Options) + Copy, shows: impl Fn(&Records) -> bool) {
    for strength in [50, 80, 100] {
        assert!(shows(&records(inject, strength, change)), "{inject} with strength {strength} does not show");
    }
    for strength in [10, 25] {
        assert!(!shows(&records(inject, strength, change)), "{inject} with strength {strength} is no near miss");
    }
}

#[test]
fn n1_round_trips_of_a_site_are_long_and_nothing_is_lost() {
    both(
        "N1@site:S0002",
        |_| {},
        |records| {
            let site = |said: &&Said| said.is("site", "S0002");
            let before = p95(records
                .of("net.sample")
                .filter(site)
                .filter(|said| said.at < FROM)
                .map(|said| said.number("rtt_ms"))
                .collect());
            windows().all(|window| {
                let samples: Vec<_> =
                    records.of("net.sample").filter(site).filter(|said| window.contains(&said.at)).collect();
                let terminals: BTreeSet<_> =
                    samples.iter().map(|said| said.data["terminal"].as_str().unwrap()).collect();
                let long = p95(samples.iter().map(|said| said.number("rtt_ms")).collect());
                let well = samples.iter().all(|said| said.number("loss_pct") < 2 && said.error().is_none());
                (long > 3 * before || long > 800) && well && terminals.len() >= 3
            })
        },
    );
}

#[test]
fn n2_connections_to_one_peer_end_alike_while_the_probe_is_fine() {
    both(
        "N2@site:S0002",
        |_| {},
        |records| {
            let mut alike: BTreeMap<_, usize> = BTreeMap::new();
            for said in
                records.of("net.sample").filter(|said| said.is("site", "S0002") && said.data["probe_ok"] == true)
            {
                if let Some(error) = said.error() {
                    *alike.entry((error, said.data["peer"].as_str().unwrap())).or_default() += 1;
                }
            }
            alike.values().any(|count| *count >= 3)
        },
    );
}

#[test]
fn n3_a_site_is_silent_or_loses_packets_while_others_are_fine() {
    both(
        "N3@site:S0002",
        |_| {},
        |records| {
            let during = |said: &&Said| (FROM + 60_000..UNTIL - 15_000).contains(&said.at);
            let speaking = |site: &str| {
                let own = records
                    .all
                    .iter()
                    .filter(during)
                    .filter(|said| said.is("site", site) && said.kind != "ledger.entry");
                let own = own.filter(|said| said.kind == "app.state" || said.kind == "net.sample");
                own.map(|said| said.data["terminal"].as_str().unwrap()).collect::<BTreeSet<_>>().len()
            };
            let loss = |site: &str| {
                let lost =
                    records.during("net.sample").filter(|said| said.is("site", site) && said.number("loss_pct") > 5);
                lost.count() >= 10
            };
            assert_eq!((speaking("S0001"), loss("S0001")), (5, false), "a peer is fine");
            speaking("S0002") * 5 <= 5 || loss("S0002")
        },
    );
}

fn busy(options: &mut Options) {
    (options.terminals, options.sites, options.payments_per_hour) = (80, 16, 120.0);
}

#[test]
fn n4_a_host_fails_for_several_sites_while_its_transport_is_fine() {
    both("N4@host:A01/H1", busy, |records| {
        let failing = |host: &str| {
            windows()
                .filter(|window| {
                    let samples = records.of("host.sample").filter(|said| window.contains(&said.at));
                    let samples = samples.filter(|said| said.is("acquirer", "A01") && said.is("host", host));
                    let sums = samples.fold((0, 0), |(all, bad), said| {
                        assert!(said.data["reachable"] == true && said.number("p95_ms") < 15_000);
                        (all + said.number("total"), bad + said.number("failed") + said.number("timed_out"))
                    });
                    sums.0 >= 20 && sums.1 * 10 > sums.0
                })
                .count()
        };
        let sites: BTreeSet<_> = records
            .during("payment.response")
            .filter(|said| ["91", "92", "96", "98", "68"].iter().any(|code| said.is("code", code)))
            .map(|said| said.data["site"].as_str().unwrap())
            .collect();
        assert_eq!(failing("H2"), 0);
        assert!(records.of("net.sample").all(|said| said.error().is_none() && said.number("rtt_ms") < 100));
        failing("H1") > 0 && sites.len() >= 2
    });
}

#[test]
fn h1_approved_and_no_receipt() {
    both(
        "H1@terminal:T0000004",
        |_| {},
        |records| {
            let told = records
                .payments()
                .values()
                .filter(|events| {
                    events.iter().any(|said| {
                        said.kind == "payment.display"
                            && said.is("shown", "approved")
                            && (FROM..UNTIL).contains(&said.at)
                    }) && !events.iter().any(|said| said.kind == "print.result" && said.is("state", "printed"))
                })
                .count();
            assert!(records.truths.iter().filter(|truth| truth.terminal != "T0000004").all(|truth| truth.printed));
            told >= 3
        },
    );
    let quiet = records("H1@terminal:T0000004", 20, |_| {});
    assert!(
        quiet.during("device.status").any(|said| said.is("terminal", "T0000004") && said.is("printer", "paper-low"))
    );
}

#[test]
fn h2_scans_fail_or_the_scanner_is_gone_at_one_terminal() {
    both(
        "H2@terminal:T0000004",
        |_| {},
        |records| {
            let failed: Vec<_> = records.of("scan.result").filter(|said| !said.is("state", "read")).collect();
            assert!(failed.iter().all(|said| said.is("terminal", "T0000004")));
            let absent = failed.iter().any(|said| said.is("state", "absent"));
            absent || failed.windows(3).any(|three| three[2].at - three[0].at <= WINDOW)
        },
    );
}

#[test]
fn h3_damage_is_said_by_the_device() {
    for inject in ["H3@terminal:T0000004", "H3@terminal:T0000007"] {
        both(
            inject,
            |_| {},
            |records| {
                records.of("device.status").any(|said| {
                    let scored = said.number("reboots_1h") >= 3 || said.number("temp_c") >= 60;
                    said.data["tamper"] == true || said.is("ped", "fault") || scored
                })
            },
        );
    }
    let tampered = records("H3@terminal:T0000004", 80, |_| {});
    let sales = tampered.during("payment.authorize").filter(|said| said.is("terminal", "T0000004"));
    assert_eq!(sales.count(), 0, "a tampered unit takes no payments");
}

#[test]
fn h4_answers_are_received_and_not_shown_and_the_app_is_gone() {
    both(
        "H4@terminal:T0000004",
        |_| {},
        |records| {
            let hung = records.payments().into_values().filter(|events| {
                let received = events.iter().find(|said| said.kind == "payment.response" && said.is("leg", "terminal"));
                received.is_some_and(|received| {
                    !events.iter().any(|said| said.kind == "payment.display" && said.at - received.at <= 5_000)
                })
            });
            let gone = records.of("app.state").any(|said| said.is("state", "anr") || said.is("state", "crash"));
            let little = records.of("device.status").any(|said| said.number("mem_free_mb") < 50);
            let linked =
                records.during("net.sample").any(|said| said.is("terminal", "T0000004") && said.error().is_none());
            hung.count() >= 2 && gone && little && linked
        },
    );
}

#[test]
fn s1_a_version_fails_more_than_five_times_as_often_as_others() {
    let change = |options: &mut Options| {
        busy(options);
        options.faults = Faults::only("decline", 0.04).unwrap();
    };
    both("S1@version:3.5.0", change, |records| {
        let (mut all, mut failed) = ([0, 0], [0, 0]);
        for events in records.payments().into_values() {
            let Some(first) = events.iter().find(|said| said.kind == "payment.authorize") else { continue };
            if !(FROM..UNTIL).contains(&first.at) {
                continue;
            }
            let version = usize::from(first.is("app_version", "3.5.0"));
            let good = events.iter().any(|said| said.kind == "payment.display" && said.is("shown", "approved"));
            all[version] += 1;
            failed[version] += usize::from(!good);
        }
        assert!(all[0] >= 20 && all[1] >= 20);
        failed[1] * all[0] > 5 * failed[0] * all[1]
    });
    let mac = records("S1@version:3.5.0", 80, change);
    assert!(mac.codes(&["A0", "99"]) >= 20);
    assert!(mac.of("app.state").any(|said| said.data["error"].is_string() && said.is("version", "3.5.0")));
}

#[test]
fn s2_the_host_is_paid_and_the_order_system_is_not() {
    both(
        "S2@site:S0002",
        |_| {},
        |records| {
            let unsynced = records.payments().into_values().filter(|events| {
                let paid = |said: &&&Said| {
                    (said.kind == "payment.response" && said.is("leg", "host") || said.kind == "payment.notify")
                        && said.is("outcome", "approved")
                };
                let entry = |said: &&Said| said.kind == "ledger.entry" && said.is("state", "paid");
                events
                    .iter()
                    .find(paid)
                    .is_some_and(|paid| !events.iter().any(|said| entry(said) && said.at - paid.at <= 60_000))
            });
            let unbalanced = records.of("batch.result").filter(|said| said.is("state", "unbalanced")).count();
            unsynced.count() >= 3 && unbalanced > 0 && records.codes(&["25", "77", "79", "95"]) > 0
        },
    );
    let near = records("S2@site:S0002", 20, |_| {});
    assert!(near.of("batch.result").count() > 20 && near.of("batch.result").all(|said| said.is("state", "balanced")));
}

#[test]
fn s3_one_pair_of_version_and_host_does_not_understand_each_other() {
    let version = |said: &&Said| said.kind == "app.state" && said.is("state", "updated");
    both("S3@version:3.5.0+host:A01/H1", busy, |records| {
        let tls = records
            .of("net.sample")
            .filter(|said| said.error().is_some_and(|(_, text)| text.contains("protocol version")));
        let http = records.of("app.state").filter(|said| said.is("error", "HTTP 400"));
        let changed = records.all.iter().filter(version).count() > 0;
        records.codes(&["30", "12", "40"]) + tls.count() + http.count() >= 5 && changed
    });
    let pair = records("S3@version:3.5.0+host:A01/H1", 80, busy);
    let blamed: BTreeSet<_> =
        pair.truths.iter().filter(|truth| truth.blame.is_some()).map(|truth| truth.terminal.as_str()).collect();
    let others = pair
        .of("payment.response")
        .filter(|said| said.is("code", "30") && !blamed.contains(said.data["terminal"].as_str().unwrap()));
    assert_eq!(others.count(), 0);
}

#[test]
fn s4_what_is_behind_is_said_and_fails() {
    both(
        "S4@site:S0002",
        |_| {},
        |records| {
            let behind = records.during("app.state").any(|said| {
                let least = said.data["min_version"]
                    .as_str()
                    .is_some_and(|least| least > said.data["version"].as_str().unwrap());
                least && said.number("param_lag") > 1
            });
            behind && records.codes(&["03", "58", "97"]) >= 3
        },
    );
}

#[test]
fn p1_an_operator_is_slower_than_the_peers_over_thirty_payments() {
    let change = |options: &mut Options| {
        options.faults = Faults::only("fumble", 0.1).unwrap();
        options.inject[0].lasts = 50 * 60_000;
    };
    both("P1@operator:op-0012", change, |records| {
        let acts = |own: bool| {
            let acts = records.of("operator.action").filter(|said| said.number("dwell_ms") > 0);
            acts.filter(move |said| said.is("operator", "op-0012") == own).map(|said| said.number("dwell_ms"))
        };
        let payments = records.of("payment.authorize").filter(|said| said.is("operator", "op-0012")).count();
        let above = p95(acts(false).collect());
        assert!(above < 7_000 && payments >= 20);
        acts(true).filter(|dwell| *dwell > above).count() >= 5
    });
}

#[test]
fn p2_prompts_stay_unanswered() {
    both(
        "P2@operator:op-0012",
        |options| options.inject[0].lasts = 50 * 60_000,
        |records| {
            let idle = records.of("operator.action").filter(|said| said.is("action", "idle") && said.subject.is_none());
            idle.filter(|said| said.is("operator", "op-0012") && said.number("dwell_ms") > 30_000).count() >= 3
        },
    );
}

#[test]
fn p3_customers_who_have_paid_wait_for_nothing_at_one_operator() {
    let change = |options: &mut Options| options.inject[0].lasts = 50 * 60_000;
    both("P3@operator:op-0012", change, |records| {
        let idle: Vec<_> =
            records.of("operator.action").filter(|said| said.is("action", "idle") && said.subject.is_some()).collect();
        assert!(idle.iter().all(|said| said.is("operator", "op-0012")));
        assert!(records.truths.iter().all(|truth| truth.settled && truth.expect.is_empty()), "everything is healthy");
        idle.len() >= 5
    });
}

#[test]
fn p4_amounts_are_edited_approvals_cancelled_and_sales_begun_twice() {
    let change = |options: &mut Options| options.inject[0].lasts = 50 * 60_000;
    let acts = |records: &Records| {
        let edits = records.of("operator.action").filter(|said| said.is("action", "amount-edit")).count();
        let cancels =
            records.of("operator.action").filter(|said| said.is("action", "cancel") && said.subject.is_some());
        let twice = records.truths.iter().filter(|truth| truth.may.contains(&"double-charge")).count();
        (edits, cancels.count(), twice)
    };
    both("P4@operator:op-0012", change, |records| {
        let (edits, cancels, twice) = acts(records);
        edits + cancels + twice >= 3
    });
    let (edits, cancels, twice) = acts(&records("P4@operator:op-0012", 100, change));
    assert!(edits > 0 && cancels > 0 && twice > 1, "{edits} {cancels} {twice}");
}

#[test]
fn a_second_sale_of_one_amount_begins_while_the_first_is_not_answered() {
    let records = records("P4@region:cn-east", 100, |_| {});
    let twins: Vec<_> = records.truths.iter().filter(|truth| truth.may.contains(&"double-charge")).collect();
    let mut pairs = 0;
    for first in &twins {
        let second = twins.iter().find(|second| {
            (&second.terminal, second.amount, second.rail) == (&first.terminal, first.amount, first.rail)
                && second.started_at > first.started_at
        });
        if let Some(second) = second {
            assert!(first.rail != "card" && first.expect.contains(&"approved-undelivered"), "{first:?}");
            assert!(
                first.money == "taken" && second.money == "taken" && !first.shown && second.shown,
                "{first:?} {second:?}"
            );
            pairs += 1;
        }
    }
    assert!(pairs > 10);
}

#[test]
fn maintenance_is_announced_and_a_region_goes_down_together() {
    both(
        "maintenance@region:cn-north",
        |options| options.regions = 2,
        |records| {
            let said = |state: &str| {
                let said = records.of("app.state").filter(|said| said.is("state", state));
                said.map(|said| (said.data["region"].as_str().unwrap(), said.data["terminal"].as_str().unwrap()))
                    .collect::<BTreeSet<_>>()
            };
            let stops = said("stop");
            assert!(stops.iter().all(|(region, _)| *region == "cn-north"));
            let sales = records.during("payment.authorize").filter(|said| said.is("region", "cn-north")).count();
            stops.len() == 15 && said("start") == stops && said("updated") == stops && sales == 0
        },
    );
}

#[test]
fn maintenance_of_a_host_is_not_reachable() {
    both(
        "maintenance@host:A01/H1",
        |_| {},
        |records| {
            let down = records.during("host.sample").filter(|said| said.data["reachable"] == false);
            let down: BTreeSet<_> = down
                .map(|said| (said.data["acquirer"].as_str().unwrap(), said.data["host"].as_str().unwrap()))
                .collect();
            down == BTreeSet::from([("A01", "H1")])
        },
    );
}

#[test]
fn customers_are_declined_for_their_own_reasons_or_leave() {
    both(
        "customer@site:S0002",
        |_| {},
        |records| {
            assert!(records.truths.iter().all(|truth| truth.settled));
            records.codes(&["51", "55", "61"]) >= 6
        },
    );
}

#[test]
fn evidence_may_be_lost_or_late() {
    let count = |faults: Faults| {
        let (emitted, _) = run(options(faults), 2);
        let beats = parsed(&emitted).into_iter().zip(&emitted).filter(|(event, _)| event["type"] == "pos.app.state");
        let late = |(event, emitted): &(Value, &Emitted)| {
            let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
            emitted.ingest - time.as_millisecond() > 1_000
        };
        let beats: Vec<_> = beats.collect();
        (beats.len(), beats.iter().filter(|beat| late(beat)).count())
    };
    let (all, none) = count(Faults::none());
    assert_eq!((none, count(Faults::only("evidence_lost", 1.0).unwrap())), (0, (0, 0)));
    let (late, waiting) = count(Faults::only("evidence_late", 1.0).unwrap());
    assert!(late == all && waiting == all, "{late} {waiting} {all}");
}
