//! From librdkafka's errors to the log's: a code of the runbook, who must act, whether retrying helps.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tillwatch_core::log::{LogError, Who};

/// Code, who must act, whether the same call may work later.
type Class = (&'static str, Who, bool);

/// The error of one call; `what` says what was tried, on which topic, partition or broker.
pub(crate) fn of(error: &KafkaError, what: &str) -> LogError {
    match error {
        // The value is left out: it may be a secret.
        KafkaError::ClientConfig(_, why, key, _) => LogError {
            code: "kafka-config",
            what: format!("{what}: librdkafka refuses property {key}: {why}"),
            who: Who::Config,
            retry: false,
        },
        KafkaError::ClientCreation(why) => LogError {
            code: "kafka-config",
            what: format!("{what}: librdkafka cannot make a client: {why}"),
            who: Who::Config,
            retry: false,
        },
        _ => match error.rdkafka_error_code() {
            Some(code) => of_code(code, &format!("{what}: {error}")),
            None => LogError { code: "kafka-client", what: format!("{what}: {error}"), who: Who::Us, retry: false },
        },
    }
}

/// As [`of`], about a topic that was there when the log was opened: a client whose broker is just coming back may see it without its partitions,
/// or not at all, for a moment.
pub(crate) fn of_known(error: &KafkaError, what: &str) -> LogError {
    let error = of(error, what);
    LogError { retry: error.retry || error.code == "topic-missing", ..error }
}

/// The error of a code; `what` is the whole message but for what to do.
pub(crate) fn of_code(code: RDKafkaErrorCode, what: &str) -> LogError {
    let ((name, who, retry), advice) = class(code);
    LogError { code: name, what: format!("{what}. {advice}"), who, retry }
}

fn class(code: RDKafkaErrorCode) -> (Class, &'static str) {
    use RDKafkaErrorCode as Code;
    match code {
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::BrokerNotAvailable
        | Code::NetworkException => (
            ("broker-unreachable", Who::Operations, true),
            "Check that the brokers run and can be reached from here, the names and ports in `brokers`, and whether they want TLS",
        ),
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::WaitingForCoordinator
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::Retry
        | Code::Outdated
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::ReplicaNotAvailable
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::StaleBrokerEpoch
        | Code::NotController
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::ThrottlingQuotaExceeded
        | Code::RebalanceInProgress
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::UnstableOffsetCommit
        | Code::ConcurrentTransactions => (
            ("kafka-timeout", Who::Operations, true),
            "It is tried again; if that lasts, look at the brokers' health and load",
        ),
        Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL | Code::UnsupportedSASLMechanism => (
            ("kafka-authentication", Who::Config, false),
            "Check `security`: certificate authority, certificate, mechanism, user name and password",
        ),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => {
            (("kafka-authorization", Who::Operations, false), "Give this user the rights that docs/runbook.md lists")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
            (("topic-missing", Who::Operations, false), "Create it with `tillwatch topics create`")
        }
        Code::Fenced | Code::FencedInstanceId | Code::ProducerFenced | Code::InvalidProducerEpoch => (
            ("fenced", Who::Operations, false),
            "Another worker with the same slot is running; give every worker a slot of its own, or stop one",
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => (
            ("record-too-large", Who::Operations, false),
            "Raise the topic's max.message.bytes to what `tillwatch topics check` asks for",
        ),
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => (
            ("offset-out-of-range", Who::Operations, false),
            "Records were deleted before they were read: lengthen the topic's retention. To go on without them, stop all workers and delete \
             the partition's committed offset",
        ),
        Code::InvalidTransactionTimeout => (
            ("kafka-config", Who::Config, false),
            "Lower `timeouts.transaction_ms` to the broker's transaction.max.timeout.ms",
        ),
        Code::InvalidSessionTimeout => (
            ("kafka-config", Who::Config, false),
            "Bring `timeouts.session_ms` within the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
        ),
        _ => (("kafka-client", Who::Us, false), "This should not happen: please report it with the lines around it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_who_must_act_and_whether_to_retry() {
        let down = of(&KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown), "reading metadata of pos.events");
        assert_eq!((down.code, down.who, down.retry), ("broker-unreachable", Who::Operations, true));
        assert!(down.what.starts_with("reading metadata of pos.events: "), "{}", down.what);
        let gone = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);
        assert_eq!((of(&gone, "").code, of(&gone, "").retry), ("topic-missing", false));
        assert_eq!((of_known(&gone, "").code, of_known(&gone, "").retry), ("topic-missing", true));
        let fenced = of(&KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId), "polling");
        assert_eq!((fenced.code, fenced.who, fenced.retry), ("fenced", Who::Operations, false));
    }

    #[test]
    fn a_refused_property_does_not_show_its_value() {
        let error = rdkafka::ClientConfig::new()
            .set("sasl.password", "hunter2")
            .set("security.protocol", "hunter3")
            .create_native_config()
            .err()
            .expect("refused");
        let shown = of(&error, "connecting");
        assert_eq!(shown.code, "kafka-config");
        assert!(!shown.what.contains("hunter2"), "{}", shown.what);
    }
}
