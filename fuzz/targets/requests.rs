//! Input: a request's frame without its size, as a connection hands it to the broker.

#![no_main]

use klamm_protocol::{Reader, header};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|frame: &[u8]| -> Corpus {
    let mut r = Reader::new(frame);
    let Ok((key, header)) = header::decode_request(&mut r) else { return Corpus::Reject };
    let check = klamm_fuzz::check(&format!("{key}Request"));
    let _ = check(r.remaining(), header.request_api_version);
    Corpus::Keep
});
