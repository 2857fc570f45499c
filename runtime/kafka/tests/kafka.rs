//! The log, its topics and its tools on a real Apache Kafka.

mod on_kafka {
    mod admin;
    mod cover;
    mod large;
    mod log;
}
mod support;
