//! See `klamm_fuzz::record_batches`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::record_batches::run(input));
