//! tillwatch-host
