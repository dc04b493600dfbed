#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| queue_core::fuzz::store(bytes));
