//! tillwatch-sdk
