//! tillwatch-kafka
