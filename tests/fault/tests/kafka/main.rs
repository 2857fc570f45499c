//! Exactly once on a real Apache Kafka, whatever dies: members, brokers, connections, members that only seem to have died; and the same behind
//! TLS and passwords.

mod chaos;
mod group;
mod restore;
mod secured;
mod unknown;
