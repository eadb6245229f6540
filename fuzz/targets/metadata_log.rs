//! See `klamm_fuzz::metadata_log`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::metadata_log::run(input));
