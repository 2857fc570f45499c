//! See `targets::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tillwatch_fuzz::targets::decode::run(data));
