//! Input: int16 API key and int16 version of the request, then the response's frame without its size.

#![no_main]

use klamm_protocol::{ApiKey, Reader, header};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    let mut r = Reader::new(input);
    let (Ok(key), Ok(version)) = (r.i16(), r.i16()) else { return Corpus::Reject };
    let Some(key) = ApiKey::from_i16(key) else { return Corpus::Reject };
    if header::decode_response(&mut r, key, version).is_err() {
        return Corpus::Reject;
    }
    let check = klamm_fuzz::check(&format!("{key}Response"));
    let _ = check(r.remaining(), version);
    Corpus::Keep
});
