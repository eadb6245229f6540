//! See `klamm_fuzz::settings`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::settings::run(input));
