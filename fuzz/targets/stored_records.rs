//! See `klamm_fuzz::stored_records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::stored_records::run(input));
