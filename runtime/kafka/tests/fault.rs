//! What the client does when a broker misbehaves, on librdkafka's mock of one. The mock keeps no promise of transactions itself, so what is
//! asked here is only what this side concludes and does next.

mod support;

use std::time::Duration;

use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use support::{commit, fill, join, until};
use tillwatch_core::log::{Committed, Log as _, Polled, RawRecord};
use tillwatch_kafka::{Config, KafkaLog};

type Mock = MockCluster<'static, DefaultProducerContext>;

fn start() -> (Mock, Config) {
    let mock = MockCluster::new(1).expect("mock");
    let mut config = Config::new(vec![mock.bootstrap_servers()], "group", "w0");
    // The mock keeps senders' timestamps.
    config.recorded_timestamps = true;
    config.timeouts.transaction_ms = 2_000;
    config.timeouts.session_ms = 6_000;
    let outputs = config.outputs.clone();
    let topics = [
        &config.input,
        &config.changelog,
        &outputs.findings,
        &outputs.commands,
        &outputs.evidence,
        &outputs.incidents,
        &outputs.dead_letters,
        &outputs.shadow,
    ];
    for topic in topics {
        mock.create_topic(topic, 1, 1).expect("topic");
    }
    (mock, config)
}

/// In the group, with three records read and nothing committed: the mock forgets the offsets of a transaction, not its records, so whoever is to
/// be restored must not have committed.
fn joined(config: &Config) -> KafkaLog {
    fill(config, 0, 3);
    let (mut log, _) = support::joined(config);
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.len() == 3);
    log
}

fn connected(config: &Config) -> KafkaLog {
    let mut log = joined(config);
    assert_eq!(log.commit(&[commit(0, 1, "first")]), Ok(Committed::Done));
    log
}

#[test]
fn an_end_that_nobody_confirms_is_unknown_until_the_position_is_asked_for() {
    let (mock, config) = start();
    let mut log = connected(&config);
    mock.broker_round_trip_time(1, Duration::from_millis(500)).expect("slow");
    mock.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 50]);
    let outcome = log.commit(&[commit(0, 2, "second")]);
    assert!(matches!(outcome, Ok(Committed::Unknown { .. })), "{outcome:?}");
    mock.clear_request_errors(RDKafkaApiKey::EndTxn);
    mock.broker_round_trip_time(1, Duration::ZERO).expect("fast");
    log.position(0).expect("decided by a new producer");
    assert_eq!(log.commit(&[commit(0, 2, "second")]), Ok(Committed::Done));
}

#[test]
fn an_end_that_is_refused_for_good_is_unknown_too() {
    let (mock, config) = start();
    let mut log = connected(&config);
    mock.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE]);
    let outcome = log.commit(&[commit(0, 2, "second")]);
    assert!(matches!(outcome, Ok(Committed::Unknown { .. })), "{outcome:?}");
    assert_eq!(log.commit(&[commit(0, 2, "second")]), Ok(Committed::Done));
}

#[test]
fn a_connection_lost_in_the_middle_of_the_end_is_retried_and_then_the_producer_is_replaced() {
    let (mock, config) = start();
    let mut log = connected(&config);
    mock.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
    assert_eq!(log.commit(&[commit(0, 2, "second")]), Ok(Committed::Done));
    assert_eq!(log.commit(&[commit(0, 3, "third")]), Ok(Committed::Done));
}

#[test]
fn offsets_that_the_group_refuses_abort_the_transaction_and_the_next_one_works() {
    let (mock, config) = start();
    let mut log = connected(&config);
    for refusal in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    ] {
        mock.request_errors(RDKafkaApiKey::TxnOffsetCommit, &[refusal]);
        let outcome = log.commit(&[commit(0, 2, "second")]);
        assert!(matches!(outcome, Ok(Committed::Aborted { .. })), "{refusal:?}: {outcome:?}");
        assert_eq!(log.commit(&[commit(0, 2, "second")]), Ok(Committed::Done), "after {refusal:?}");
    }
}

#[test]
fn a_record_that_is_not_taken_aborts_the_transaction_and_the_next_one_works() {
    let (mock, config) = start();
    let mut log = connected(&config);
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    let outcome = log.commit(&[commit(0, 2, "second")]);
    assert!(matches!(outcome, Ok(Committed::Aborted { .. })), "{outcome:?}");
    assert_eq!(log.commit(&[commit(0, 2, "second")]), Ok(Committed::Done));
}

#[test]
fn a_topic_that_may_not_be_written_to_is_the_operators_and_nothing_is_committed() {
    let (mock, config) = start();
    let mut log = connected(&config);
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let error = log.commit(&[commit(0, 2, "second")]).expect_err("refused");
    assert_eq!((error.code, error.retry), ("kafka-authorization", false), "{error}");
    assert_eq!(log.commit(&[commit(0, 2, "second")]), Ok(Committed::Done));
}

#[test]
fn a_worker_that_the_group_forgot_loses_its_partitions_and_gets_them_anew() {
    let (mock, config) = start();
    let mut log = joined(&config);
    mock.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    let mut seen = Vec::new();
    let polled = until(&mut log, &mut seen, |polled, _| *polled != Polled::Records);
    assert_eq!(polled, Polled::Lost(vec![0]));
    let outcome = log.commit(&[commit(0, 3, "too late")]);
    assert!(matches!(outcome, Ok(Committed::Aborted { .. })), "{outcome:?}");
    log.release(&[0]).expect("released");
    join(&mut log);
    assert_eq!(log.commit(&[commit(0, 3, "anew")]), Ok(Committed::Done));
}

#[test]
fn a_worker_that_takes_no_records_still_hears_that_its_partitions_are_gone() {
    let (mock, config) = start();
    let mut log = joined(&config);
    fill(&config, 3, 3);
    mock.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    let mut none = |_, record: RawRecord<'_>| panic!("record {} was not asked for", record.offset);
    let polled = (0..600).find_map(|_| match log.poll(Duration::from_millis(100), 0, &mut none) {
        Ok(Polled::Records) => None,
        other => Some(other),
    });
    assert_eq!(polled, Some(Ok(Polled::Lost(vec![0]))));
    log.release(&[0]).expect("released");
    join(&mut log);
    let mut seen = Vec::new();
    until(&mut log, &mut seen, |_, seen| seen.iter().any(|record| record.offset == 5));
    assert!(seen.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset), "each once and in order: {seen:?}");
}

#[test]
fn records_that_were_not_asked_for_come_when_they_are() {
    let (_mock, config) = start();
    let mut log = connected(&config);
    for round in 0..20 {
        fill(&config, 3 + round, 1);
        let mut none = |_, record: RawRecord<'_>| panic!("record {} was not asked for", record.offset);
        assert_eq!(log.poll(Duration::from_millis(20), 0, &mut none), Ok(Polled::Records));
        let mut seen = Vec::new();
        until(&mut log, &mut seen, |_, seen| !seen.is_empty());
        assert_eq!(
            seen.iter().map(|record| record.offset).collect::<Vec<_>>(),
            [3 + i64::try_from(round).expect("small")]
        );
    }
}

#[test]
fn closing_does_not_wait_for_what_the_driver_has_not_answered() {
    let (mock, config) = start();
    let mut log = KafkaLog::connect(&config).expect("connected");
    until(&mut log, &mut Vec::new(), |polled, _| matches!(polled, Polled::Assigned(_)));
    log.close().expect("closed with an assignment that is not started");

    let mut log = connected(&config);
    mock.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    until(&mut log, &mut Vec::new(), |polled, _| matches!(polled, Polled::Lost(_)));
    log.close().expect("closed with a loss that is not released");
    drop(KafkaLog::connect(&config).expect("connected"));
}

#[test]
fn a_producer_that_is_fenced_again_and_again_has_a_live_twin() {
    let (mock, config) = start();
    let mut log = connected(&config);
    for _ in 0..3 {
        mock.request_errors(RDKafkaApiKey::AddPartitionsToTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
        let outcome = log.commit(&[commit(0, 2, "second")]);
        assert!(matches!(outcome, Ok(Committed::Aborted { .. })), "{outcome:?}");
    }
    let error = log.commit(&[commit(0, 2, "second")]).expect_err("a live twin");
    assert_eq!((error.code, error.retry), ("fenced", false), "{error}");
    assert!(error.what.contains("w0"), "{error}");
}

#[test]
fn a_broker_that_goes_away_is_told_and_the_log_goes_on_when_it_is_back() {
    let (mock, config) = start();
    let mut log = connected(&config);
    assert!(log.health().reachable);
    mock.broker_down(1).expect("down");
    let error = (0..600).find_map(|_| log.poll(Duration::from_millis(100), 10, &mut |_, _| {}).err()).expect("told");
    assert_eq!((error.code, error.retry), ("broker-unreachable", true), "{error}");
    assert!(!log.health().reachable);
    mock.broker_up(1).expect("up");
    fill(&config, 3, 1);
    let mut seen = Vec::new();
    for _ in 0..600 {
        let polled = log.poll(Duration::from_millis(100), 10, &mut |_, record| seen.push(record.offset));
        assert!(polled.as_ref().err().is_none_or(|error| error.retry), "{polled:?}");
        if !seen.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [3]);
}
