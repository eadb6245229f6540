//! Input: int16 API key and int16 version of the request, then the response's frame without its size.

use klamm_protocol::{ApiKey, Reader, header};

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut r = Reader::new(input);
    let (Ok(key), Ok(version)) = (r.i16(), r.i16()) else { return };
    let Some(key) = ApiKey::from_i16(key) else { return };
    if header::decode_response(&mut r, key, version).is_err() {
        return;
    }
    let check = crate::check(&format!("{key}Response"));
    let _ = check(r.remaining(), version);
}
