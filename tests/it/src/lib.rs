//! tillwatch-it
