//! Input: a request's frame without its size, as a connection hands it to the broker.

use klamm_protocol::{Reader, header};

/// Runs one input.
pub fn run(frame: &[u8]) {
    let mut r = Reader::new(frame);
    let Ok((key, header)) = header::decode_request(&mut r) else { return };
    let check = crate::check(&format!("{key}Request"));
    let _ = check(r.remaining(), header.request_api_version);
}
