//! See `klamm_fuzz::responses`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_fuzz::responses::run(input));
