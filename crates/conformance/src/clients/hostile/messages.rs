//! What is malformed, as the protocol's own decoder sees it, and whether an answer is one.

use std::collections::HashMap;
use std::sync::LazyLock;

use klamm_protocol::{ApiKey, Decode, Reader, header, messages};

/// Whether these bytes are this message in this version, to the last one.
type Reads = fn(&[u8], i16) -> bool;

macro_rules! readers {
    ($($name:ident)*) => {
        static READERS: LazyLock<HashMap<&'static str, Reads>> = LazyLock::new(|| {
            HashMap::from([$((stringify!($name), (|bytes, version| {
                let mut r = Reader::new(bytes);
                messages::$name::decode(&mut r, version).is_ok() && r.finish().is_ok()
            }) as Reads)),*])
        });
    };
}

klamm_protocol::for_each_message!(readers);

fn reads(name: &str, bytes: &[u8], version: i16) -> bool {
    READERS.get(name).is_some_and(|reads| reads(bytes, version))
}

/// Whether no broker can know what this frame wants.
pub(super) fn is_malformed(frame: &[u8]) -> bool {
    let mut r = Reader::new(frame);
    let Ok((key, header)) = header::decode_request(&mut r) else { return true };
    !reads(&format!("{key}Request"), r.remaining(), header.request_api_version)
}

/// The API that a frame names.
pub(super) fn api(frame: &[u8]) -> Option<ApiKey> {
    ApiKey::from_i16(i16::from_be_bytes(*frame.first_chunk()?))
}

/// Whether an answer belongs to this request: its correlation id, and then a response of its API and version.
pub(super) fn answers(request: &[u8], response: &[u8]) -> bool {
    let (Some(key), Some(version)) = (api(request), version(request)) else { return false };
    if response.get(..4) != request.get(4..8) {
        return false;
    }
    // Whatever version is asked for, ApiVersions tells at least in version 0 what there is.
    let version = if key == ApiKey::ApiVersions && !key.versions().contains(version) { 0 } else { version };
    let mut r = Reader::new(response);
    header::decode_response(&mut r, key, version).is_ok()
        && reads(&format!("{key}Response"), r.remaining(), version)
}

fn version(frame: &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(*frame.get(2..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::siege::QUESTION;
    use super::*;

    #[test]
    fn real_requests_are_well_formed_and_cut_ones_are_not() {
        assert!(!is_malformed(QUESTION));
        // One asks for a version of ApiVersions that nobody knows.
        let is_known =
            |request: &Vec<u8>| api(request).unwrap().versions().contains(version(request).unwrap());
        for request in golden::requests().unwrap().into_iter().filter(is_known) {
            assert!(!is_malformed(&request), "{request:02x?}");
            assert!(is_malformed(&request[..request.len() - 1]), "{request:02x?}");
        }
    }

    #[test]
    fn an_answer_has_the_id_of_its_request() {
        let heartbeat = b"\x00\x0c\x00\x00\x00\x00\x00\x07\xff\xff";
        assert!(answers(heartbeat, b"\x00\x00\x00\x07\x00\x00"));
        assert!(!answers(heartbeat, b"\x00\x00\x00\x08\x00\x00"));
        assert!(!answers(heartbeat, b"\x00\x00\x00\x07\x00"));
    }
}
