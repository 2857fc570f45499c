//! tillwatch-diagnose-printer
