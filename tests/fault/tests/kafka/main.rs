//! Exactly once on a real Apache Kafka while members join, leave and only seem to have died; and the same behind TLS and passwords.

mod group;
mod secured;
