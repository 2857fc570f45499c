//! The driver on a scripted log and a virtual clock.

mod memory;

use std::{sync::Arc, time::Duration};

use tillwatch_core::{
    cloudevents::{Encoding, Format, Mode},
    limits::Limits,
    log::{Blind, Polled, Tick},
    partition::Settings,
    rules::{Answer, Batch, Descriptor, RuleIndex, Rules, Stalled},
    stage::{LeftOut, Passed, Stage},
};

use self::memory::{Memory, Outcome};
use super::{Driver, Options, Phase, REST_MAX, Shared, Status};
use crate::{
    clock::{Clock as _, Virtual},
    shutdown::Shutdown,
    telemetry::Metrics,
};

/// Nothing runs: what cannot be read still comes out as dead letters.
struct NoRules;

impl Rules for NoRules {
    fn descriptors(&self) -> &[Descriptor] {
        &[]
    }

    fn process(&mut self, _: RuleIndex, _: &Batch, _: &mut Answer) -> Result<(), Stalled> {
        unreachable!("there is no rule")
    }

    fn migrate(&mut self, _: RuleIndex, _: u32, _: &[u8]) -> Result<Vec<u8>, String> {
        unreachable!("there is no rule")
    }
}

const START: i64 = 1_767_571_200_000;

struct Bench {
    clock: Virtual,
    shared: Shared,
    memory: Memory,
}

impl Bench {
    fn new(partitions: &[i32]) -> Self {
        let options = Options {
            commit_every: Duration::from_millis(100),
            pending_bytes_max: 1 << 20,
            records_max: 100,
            tick_every: Duration::from_secs(1),
            lag_ms_max: Some(60_000),
            unreachable_max: Duration::from_secs(5),
            settle: Duration::from_secs(5),
            watermark_every: None,
            idle_max: Duration::from_secs(30),
        };
        let shared = Shared {
            settings: Arc::new(Settings {
                limits: Limits::default(),
                topic: "pos.events".to_owned(),
                ..Settings::default()
            }),
            encoding: Encoding { mode: Mode::Structured, format: Format::Json },
            options,
            metrics: Arc::new(Metrics::new()),
            status: Arc::new(Status::new(1)),
            shutdown: Shutdown::new(),
        };
        let memory = Memory::default();
        memory.script(Polled::Assigned(partitions.to_vec()));
        Self { clock: Virtual::new(START), shared, memory }
    }

    fn driver(&self) -> Driver<'_, Memory, NoRules> {
        Driver::new(0, self.memory.clone(), NoRules, &self.clock, self.shared.clone(), |_| {})
    }

    /// Turns of 50 ms each.
    fn turn(&self, driver: &mut Driver<'_, Memory, NoRules>, times: u32) {
        for _ in 0..times {
            self.memory.set_now(self.clock.now());
            driver.turn().expect("nothing fails for good");
            self.clock.advance(50);
        }
    }

    /// It is of the second stage.
    fn second(&mut self) {
        let settings = Settings { stage: Stage::Second, topic: "pos.evidence".to_owned(), ..Settings::default() };
        self.shared.settings = Arc::new(settings);
    }

    /// Worker 1 is in the same process.
    fn beside_another(&mut self) -> Arc<Status> {
        self.shared.status = Arc::new(Status::new(2));
        self.shared.status.clone()
    }

    /// One of three partitions of the first stage tells how far it has come.
    fn passed(&self, input: u32, at: i64) {
        let headers = Passed { input, inputs: 3, at }.headers();
        let line: serde_json::Map<_, _> = headers
            .into_iter()
            .map(|(name, value)| (name.trim_start_matches("ce_").to_owned(), value.into()))
            .collect();
        self.memory.append(0, self.clock.now(), &serde_json::to_string(&line).expect("texts"));
    }

    fn bad(&self, partition: i32, text: &str) {
        self.memory.append(partition, self.clock.now(), text);
    }

    /// A driver whose commit of "first" is under way and will end so (none: well), and that has read "second" since.
    fn under_way(&self, outcome: Option<Outcome>) -> Driver<'_, Memory, NoRules> {
        let mut driver = self.driver();
        self.turn(&mut driver, 1);
        self.memory.slow(true);
        outcome.into_iter().for_each(|outcome| self.memory.outcome(outcome));
        self.bad(0, "first");
        self.turn(&mut driver, 4);
        self.bad(0, "second");
        self.turn(&mut driver, 1);
        assert_eq!(self.memory.under_way(), Some(1), "the second waits for the end of the first");
        driver
    }
}

#[test]
fn the_first_stage_tells_the_second_how_far_it_has_come_in_its_commits() {
    let mut bench = Bench::new(&[0]);
    bench.shared.options.watermark_every = Some(Duration::from_millis(500));
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "first");
    bench.turn(&mut driver, 4);
    assert_eq!(bench.memory.passed(), [(0, START - 450)], "with the first commit: the ingest time less the lateness");
    bench.memory.outcome(Outcome::Aborted);
    for text in ["second", "third"] {
        bench.bad(0, text);
        bench.turn(&mut driver, 10);
    }
    let passed = bench.memory.passed();
    // In 1.25 s, each more than half a second after the one before; the one that was aborted is not among them.
    assert_eq!(passed.len(), 3, "{passed:?}");
    assert!(passed.is_sorted_by(|before, after| before.1 < after.1), "{passed:?}");
    bench.turn(&mut driver, 80);
    let (_, last) = *bench.memory.passed().last().expect("some were told");
    assert!(last > START + 3_000, "ticks alone move it on: {last}");
}

#[test]
fn the_second_stage_goes_on_without_what_stands_still_when_all_was_read() {
    let mut bench = Bench::new(&[0]);
    bench.second();
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    // Input 2 is never heard, input 1 once, input 0 all the time.
    bench.passed(1, START);
    for second in 0..34 {
        bench.passed(0, START + second * 1_000);
        bench.turn(&mut driver, 20);
    }
    let left = bench.memory.left_out();
    assert_eq!(
        left,
        [LeftOut { input: 2, passed: None }, LeftOut { input: 1, passed: Some(START) }],
        "each once, half a minute after the beginning, or after it was heard"
    );
    assert_eq!(bench.memory.said(), ["pos.finding.raised feed-blind"]);
    bench.passed(2, START + 60_000);
    bench.passed(1, START + 60_000);
    bench.turn(&mut driver, 4);
    assert_eq!(bench.memory.said().last().map(String::as_str), Some("pos.finding.cleared feed-blind"));
}

#[test]
fn the_second_stage_rests_while_partitions_of_the_first_are_restored() {
    let mut bench = Bench::new(&[0]);
    bench.second();
    bench.shared.options.idle_max = Duration::from_secs(10);
    let status = bench.beside_another();
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    for input in 0..3 {
        bench.passed(input, START);
    }
    bench.turn(&mut driver, 2);
    status.set(1, Phase::Restoring);
    bench.bad(0, "first");
    while bench.clock.elapsed() < Duration::from_secs(14) {
        bench.turn(&mut driver, 1);
    }
    assert_eq!(bench.memory.durable(), Vec::<String>::new());
    status.set(1, Phase::Running);
    for input in 0..3 {
        bench.passed(input, START + 14_000);
    }
    bench.turn(&mut driver, 20);
    assert_eq!(bench.memory.durable(), ["first"]);
    assert_eq!(bench.memory.left_out(), [], "what could not be heard was not silent");
    assert_eq!(bench.memory.said(), Vec::<String>::new(), "nor was the log out of reach");
}

#[test]
fn the_second_stage_does_not_rest_for_long_and_the_first_never() {
    for (second, waits) in [(true, REST_MAX), (false, Duration::ZERO)] {
        let mut bench = Bench::new(&[0]);
        if second {
            bench.second();
        }
        let status = bench.beside_another();
        status.set(1, Phase::Restoring);
        let mut driver = bench.driver();
        bench.turn(&mut driver, 2);
        bench.bad(0, "first");
        while bench.memory.durable().is_empty() {
            bench.turn(&mut driver, 1);
        }
        let took = bench.clock.elapsed();
        assert!(took >= waits && took < waits + Duration::from_millis(500), "{took:?}");
        // It rests anew for what is restored next.
        status.set(1, Phase::Running);
        bench.turn(&mut driver, 1);
        status.set(1, Phase::Restoring);
        bench.bad(0, "second");
        bench.turn(&mut driver, 20);
        assert_eq!(bench.memory.durable().len(), if second { 1 } else { 2 });
    }
}

#[test]
fn effects_are_committed_together_after_a_tenth_of_a_second() {
    let bench = Bench::new(&[0, 1]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    assert!(bench.shared.status.ready(), "both partitions are restored");
    bench.bad(0, "first");
    bench.bad(1, "second");
    bench.turn(&mut driver, 1);
    assert_eq!(bench.memory.durable(), Vec::<String>::new());
    bench.turn(&mut driver, 2);
    assert_eq!(bench.memory.durable(), ["first", "second"]);
    assert_eq!(bench.memory.commits(), 1, "one burst for both partitions");
}

#[test]
fn what_was_aborted_is_sent_again_once_and_in_order() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.outcome(Outcome::Aborted);
    bench.bad(0, "first");
    bench.turn(&mut driver, 3);
    bench.bad(0, "second");
    bench.turn(&mut driver, 4);
    assert_eq!(bench.memory.durable(), ["first", "second"]);
}

#[test]
fn a_worker_goes_on_while_a_commit_is_under_way() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.under_way(None);
    bench.turn(&mut driver, 3);
    assert_eq!(bench.memory.under_way(), Some(1), "the second waits for the end of the first");
    assert_eq!(bench.memory.durable(), <[&str; 0]>::default());
    bench.memory.slow(false);
    bench.turn(&mut driver, 1);
    assert_eq!(bench.memory.durable(), ["first", "second"], "and is committed at once, its time has come");
    assert_eq!(bench.memory.commits(), 2);
}

#[test]
fn what_comes_to_nothing_under_way_is_sent_before_what_was_made_since() {
    for outcome in [Outcome::Aborted, Outcome::UnknownNot, Outcome::UnknownDone, Outcome::Refused] {
        let bench = Bench::new(&[0, 1]);
        let mut driver = bench.under_way(Some(outcome));
        bench.turn(&mut driver, 1);
        bench.memory.slow(false);
        bench.turn(&mut driver, 8);
        assert_eq!(bench.memory.durable(), ["first", "second"], "{outcome:?}");
        assert_eq!(bench.memory.high(0), Some(2), "{outcome:?}");
    }
}

#[test]
fn partitions_come_and_go_between_commits() {
    for outcome in [None, Some(Outcome::Aborted), Some(Outcome::UnknownNot), Some(Outcome::UnknownDone)] {
        let bench = Bench::new(&[0, 1]);
        let mut driver = bench.under_way(outcome);
        bench.memory.script(Polled::Revoking(vec![0]));
        bench.turn(&mut driver, 1);
        assert_eq!(bench.memory.durable(), ["first", "second"], "all of it before it is given back, {outcome:?}");
        assert_eq!(bench.memory.released(), [0]);
        bench.memory.script(Polled::Assigned(vec![0]));
        bench.bad(0, "third");
        bench.memory.slow(false);
        bench.turn(&mut driver, 6);
        assert_eq!(bench.memory.durable(), ["first", "second", "third"], "{outcome:?}");
    }
}

#[test]
fn a_partition_that_is_lost_under_way_keeps_what_was_committed_alone() {
    for (outcome, kept) in [(None, 1), (Some(Outcome::Aborted), 0)] {
        let bench = Bench::new(&[0]);
        let mut driver = bench.under_way(outcome);
        bench.memory.script(Polled::Lost(vec![0]));
        bench.turn(&mut driver, 1);
        assert_eq!(bench.memory.durable(), &["first"][..kept]);
        // Its next owner reads the rest again.
        bench.memory.script(Polled::Assigned(vec![0]));
        bench.memory.slow(false);
        bench.turn(&mut driver, 6);
        assert_eq!(bench.memory.durable(), ["first", "second"], "once each");
    }
}

#[test]
fn effects_under_way_count_as_waiting() {
    let mut bench = Bench::new(&[0]);
    bench.shared.options.pending_bytes_max = 4_000;
    bench.shared.options.records_max = 1;
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.slow(true);
    for n in 0..40 {
        bench.bad(0, &format!("{n}"));
    }
    let mut most = 0;
    for _ in 0..60 {
        bench.turn(&mut driver, 1);
        most = most.max(bench.memory.under_way().unwrap_or(0));
    }
    // A dead letter is some 500 bytes: what passes the bound waits for the end of what is under way.
    assert!((1..=8).contains(&most), "{most}");
    assert!(bench.memory.durable().len() >= 30, "{}", bench.memory.durable().len());
}

#[test]
fn an_unknown_outcome_is_looked_up() {
    for (outcome, name) in [(Outcome::UnknownDone, "done"), (Outcome::UnknownNot, "not done")] {
        let bench = Bench::new(&[0]);
        let mut driver = bench.driver();
        bench.turn(&mut driver, 1);
        bench.memory.outcome(outcome);
        bench.bad(0, "only");
        bench.turn(&mut driver, 8);
        assert_eq!(bench.memory.durable(), ["only"], "it was {name}");
    }
}

#[test]
fn a_revoked_partition_is_committed_first_and_a_lost_one_is_dropped() {
    let bench = Bench::new(&[0, 1]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "revoked");
    bench.bad(1, "lost");
    bench.memory.script(Polled::Records);
    bench.memory.script(Polled::Lost(vec![1]));
    bench.memory.script(Polled::Revoking(vec![0]));
    bench.turn(&mut driver, 3);
    assert_eq!(bench.memory.durable(), ["revoked"]);
    assert_eq!(bench.memory.released(), [1, 0]);
}

#[test]
fn a_partition_that_comes_back_goes_on_where_it_was_committed() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "before");
    bench.turn(&mut driver, 4);
    bench.memory.script(Polled::Lost(vec![0]));
    bench.memory.script(Polled::Assigned(vec![0]));
    bench.bad(0, "after");
    bench.turn(&mut driver, 6);
    assert_eq!(bench.memory.durable(), ["before", "after"]);
}

#[test]
fn a_worker_that_is_given_nothing_is_ready_and_hears_nothing_of_it() {
    let bench = Bench::new(&[]);
    let mut driver = bench.driver();
    assert!(!bench.shared.status.ready(), "it has not been dealt with yet");
    bench.turn(&mut driver, 1);
    assert!(bench.shared.status.ready());
    bench.memory.script(Polled::Assigned(vec![0]));
    bench.bad(0, "later");
    bench.turn(&mut driver, 5);
    assert_eq!(bench.memory.durable(), ["later"]);
}

#[test]
fn an_idle_partition_gets_a_tick_a_second_and_one_that_is_behind_gets_none() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1 + 20 * 3);
    let ticks = bench.memory.ticks();
    assert_eq!(ticks.len(), 3, "after 1, 2 and 3 s");
    assert!(ticks.iter().all(|tick| *tick == Tick { blind: None }));
    bench.memory.hide_end(0, 1_000);
    bench.turn(&mut driver, 20 * 3);
    assert_eq!(bench.memory.ticks().len(), 3);
}

#[test]
fn where_nothing_may_be_appended_time_goes_on_by_the_workers_clock_and_is_kept() {
    let bench = Bench::new(&[0]);
    bench.memory.forbid();
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "first");
    // What only time has moved is committed every ten seconds.
    bench.turn(&mut driver, 20 * 25);
    let reached = bench.memory.floor(0).expect("it was committed");
    assert!(reached > START + 10_000 && reached <= bench.clock.now() - 500, "{}", reached - START);
    assert_eq!((bench.memory.records(0), bench.memory.high(0)), (1, Some(1)), "nothing was appended");
    bench.memory.script(Polled::Lost(vec![0]));
    bench.memory.script(Polled::Assigned(vec![0]));
    bench.bad(0, "second");
    bench.turn(&mut driver, 6);
    assert_eq!(bench.memory.durable(), ["first", "second"]);
    assert!(bench.memory.floor(0) >= Some(reached), "time does not run back over a restart");
}

#[test]
fn a_local_tick_waits_until_all_is_read() {
    let bench = Bench::new(&[0]);
    bench.memory.forbid();
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "first");
    bench.turn(&mut driver, 20 * 5);
    // As far as was seen when the driver looked, everything is read; asked again, there is more.
    bench.memory.hold(true);
    bench.memory.hide_end(0, 1);
    bench.bad(0, "unread");
    let came = bench.clock.now();
    bench.turn(&mut driver, 20 * 30);
    let floor = bench.memory.floor(0).expect("it was committed");
    assert!(floor > START && floor < came, "time stands {} ms after the record came", floor - came);
    bench.memory.hold(false);
    bench.turn(&mut driver, 20 * 12);
    assert!(bench.memory.floor(0) > Some(came), "and goes on when it is read");
    assert_eq!(bench.memory.durable(), ["first", "unread"]);
}

#[test]
fn a_long_silence_without_ticks_in_the_log_is_no_outage_and_an_outage_is_one() {
    let bench = Bench::new(&[0]);
    bench.memory.forbid();
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "first");
    bench.turn(&mut driver, 20 * 20);
    bench.bad(0, "second");
    bench.turn(&mut driver, 20 * 2);
    assert_eq!(bench.memory.said(), Vec::<String>::new());
    bench.memory.unreachable(20);
    bench.turn(&mut driver, 20 * 9);
    assert_eq!(bench.memory.said(), ["pos.finding.raised feed-blind", "pos.finding.cleared feed-blind"]);
    assert_eq!(bench.memory.records(0), 2, "nothing was appended");
}

#[test]
fn an_outage_is_recorded_when_it_is_over_and_again_when_all_has_settled() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.unreachable(20);
    bench.turn(&mut driver, 20);
    assert_eq!(bench.memory.ticks(), []);
    bench.turn(&mut driver, 20 * 8);
    let told: Vec<Blind> = bench.memory.ticks().into_iter().filter_map(|tick| tick.blind).collect();
    assert_eq!(told, [Blind::Broker, Blind::Over]);
}

#[test]
fn partitions_that_were_lost_in_an_outage_were_not_watched_meanwhile() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.script(Polled::Lost(vec![0]));
    bench.turn(&mut driver, 20 * 6);
    bench.memory.script(Polled::Assigned(vec![0]));
    bench.turn(&mut driver, 20 * 8);
    let told: Vec<Blind> = bench.memory.ticks().into_iter().filter_map(|tick| tick.blind).collect();
    assert_eq!(told, [Blind::Broker, Blind::Over]);
}

#[test]
fn partitions_that_others_watched_meanwhile_were_seen() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.script(Polled::Revoking(vec![0]));
    bench.turn(&mut driver, 20 * 6);
    bench.memory.script(Polled::Assigned(vec![0]));
    bench.turn(&mut driver, 20 * 8);
    assert!(bench.memory.ticks().into_iter().all(|tick| tick.blind.is_none()));
}

#[test]
fn a_short_outage_is_not_blindness_and_loses_nothing() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "kept");
    bench.turn(&mut driver, 1);
    bench.memory.unreachable(3);
    bench.turn(&mut driver, 20);
    assert_eq!(bench.memory.durable(), ["kept"]);
    assert!(bench.memory.ticks().into_iter().all(|tick| tick.blind.is_none()));
}

#[test]
fn a_log_that_can_be_read_and_not_written_to_is_in_trouble_until_a_commit_succeeds() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "kept");
    (0..40).for_each(|_| bench.memory.outcome(Outcome::Refused));
    while driver.trouble_since.is_none() {
        bench.turn(&mut driver, 1);
    }
    bench.turn(&mut driver, 1);
    assert!(driver.trouble_since.is_some(), "a poll that succeeds is no recovery");
    let ticks = bench.memory.ticks().len();
    bench.turn(&mut driver, 30);
    assert_eq!(bench.memory.ticks().len(), ticks, "nothing more is written into it");
    bench.turn(&mut driver, 400);
    assert!(driver.trouble_since.is_none());
    assert_eq!(bench.memory.durable(), ["kept"]);
    assert!(bench.memory.ticks().len() > ticks);
}

#[test]
fn where_only_time_has_gone_on_the_position_follows_every_ten_seconds() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.turn(&mut driver, 20 * 9);
    assert_eq!(bench.memory.high(0), None);
    bench.turn(&mut driver, 20 * 2);
    assert_eq!(bench.memory.high(0), Some(9));
}

#[test]
fn a_request_to_stop_commits_what_was_read_and_closes_the_log() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.bad(0, "last");
    bench.turn(&mut driver, 1);
    bench.memory.outcome(Outcome::Aborted);
    bench.shared.shutdown.request();
    driver.run().expect("it stops in good order");
    assert_eq!(bench.memory.durable(), ["last"]);
    assert!(bench.memory.closed());
    assert!(!bench.shared.status.ready());
}

#[test]
fn too_many_effects_in_memory_are_committed_before_more_is_read() {
    let mut bench = Bench::new(&[0]);
    bench.shared.options.pending_bytes_max = 1;
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.outcome(Outcome::Aborted);
    bench.bad(0, "first");
    bench.turn(&mut driver, 1);
    bench.bad(0, "second");
    driver.turn().expect("it goes on");
    assert_eq!(bench.memory.durable(), ["first"], "the second was not read while the first was pending");
    bench.turn(&mut driver, 1);
    assert_eq!(bench.memory.durable(), ["first", "second"]);
}

#[test]
fn a_failure_that_does_not_pass_ends_the_worker_with_its_name() {
    let bench = Bench::new(&[0]);
    let mut driver = bench.driver();
    bench.turn(&mut driver, 1);
    bench.memory.broken();
    let failure = driver.turn().expect_err("the log is broken");
    assert!(failure.to_string().starts_with("topic-missing: "), "{failure}");
}
