//! See `klamm_fuzz::compression`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::compression::run(input));
