//! tillwatch-compensate
