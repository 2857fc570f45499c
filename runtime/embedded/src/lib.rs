//! tillwatch-embedded
