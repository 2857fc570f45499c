//! tillwatch
