//! See `klamm_fuzz::log_folder`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::log_folder::run(input));
