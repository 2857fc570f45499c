//! See `targets::stored`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tillwatch_fuzz::targets::stored::run(data));
