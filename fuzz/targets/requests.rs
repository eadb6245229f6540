//! See `klamm_fuzz::requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::requests::run(input));
