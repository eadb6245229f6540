//! `golden/rpc`: one real exchange for every API and version.

use std::collections::BTreeSet;

use klamm_protocol::{
    ApiKey, Encode, Reader, Writer,
    header::{self, RequestHeader, ResponseHeader},
};

use crate::{codecs::Codec, golden};

/// A request and its response: frames without their size.
pub(crate) struct Exchange {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

/// The exchanges in which both sides know the version.
pub(crate) fn exchanges() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for (file, text) in golden::files("rpc") {
        if file == "18-ApiVersions-unknown-version.txt" {
            continue;
        }
        let key = ApiKey::from_i16(file[..2].parse().expect("a key")).expect("a known key");
        for pair in golden::lines(&text).chunks(2) {
            let (version, request) = side(&pair[0], "request");
            let (answered, response) = side(&pair[1], "response");
            assert_eq!(version, answered, "{file}");
            exchanges.push(Exchange { key, version, request, response });
        }
    }
    exchanges
}

fn side(line: &str, expected: &str) -> (i16, Vec<u8>) {
    let words: Vec<&str> = line.split(' ').collect();
    let ["version", version, kind, hex] = words[..] else { panic!("no exchange: {line}") };
    assert_eq!(kind, expected);
    (version.parse().expect("a version"), golden::unhex(hex))
}

#[test]
fn every_exchange_round_trips() {
    let exchanges = exchanges();
    for exchange in &exchanges {
        let correlation_id = assert_request(exchange);
        assert_response(exchange, correlation_id);
    }
    let on_controller = 15; // Fetch once more, as the quorum speaks it
    assert_eq!(exchanges.len(), 309 + on_controller);
}

fn assert_request(exchange: &Exchange) -> i32 {
    let &Exchange { key, version, .. } = exchange;
    let mut r = Reader::new(&exchange.request);
    let (decoded_key, header) = header::decode_request(&mut r).expect("a request header");
    assert_eq!((decoded_key, header.request_api_version), (key, version));
    assert_eq!(header.client_id.as_deref(), Some("golden"));
    let body = r.remaining();
    Codec::of(&format!("{key}Request")).assert_round_trip(body, version);

    let mut w = Writer::new();
    header::encode_request(&mut w, key, version, header.correlation_id, Some("golden")).expect("a header");
    assert_eq!([w.as_bytes(), body].concat(), exchange.request);
    header.correlation_id
}

fn assert_response(exchange: &Exchange, correlation_id: i32) {
    let &Exchange { key, version, .. } = exchange;
    let mut r = Reader::new(&exchange.response);
    assert_eq!(header::decode_response(&mut r, key, version), Ok(correlation_id));
    let body = r.remaining();
    Codec::of(&format!("{key}Response")).assert_round_trip(body, version);

    let mut w = Writer::new();
    header::encode_response(&mut w, key, version, correlation_id).expect("a header");
    assert_eq!([w.as_bytes(), body].concat(), exchange.response);
}

#[test]
fn every_version_of_every_api_has_an_exchange() {
    let seen: BTreeSet<_> = exchanges().into_iter().map(|e| (e.key, e.version)).collect();
    for key in ApiKey::ALL {
        let versions = key.versions();
        for version in versions.min..=versions.max {
            assert!(seen.contains(&(*key, version)), "{key} {version}");
        }
    }
}

/// ApiVersions in a version that nobody knows: its header can be read all the same, and the answer is in
/// version 0.
#[test]
fn an_unknown_version_of_api_versions_has_a_readable_header() {
    let files = golden::files("rpc");
    let (_, text) =
        files.iter().find(|(name, _)| name == "18-ApiVersions-unknown-version.txt").expect("the file");
    let lines = golden::lines(text);
    let (version, request) = side(&lines[0], "request");
    let mut r = Reader::new(&request);
    let (key, header) = header::decode_request(&mut r).expect("a header");
    assert_eq!((key, header.request_api_version, version), (ApiKey::ApiVersions, 99, 99));

    let response = golden::unhex(lines[1].rsplit(' ').next().expect("hex"));
    let mut r = Reader::new(&response);
    assert_eq!(header::decode_response(&mut r, key, 99), Ok(header.correlation_id));
    Codec::of("ApiVersionsResponse").assert_round_trip(r.remaining(), 0);
}

#[test]
fn header_versions_follow_the_flexible_versions() {
    let cases = [
        (ApiKey::Produce, 8, 1, 0),
        (ApiKey::Produce, 9, 2, 1),
        (ApiKey::ApiVersions, 2, 1, 0),
        (ApiKey::ApiVersions, 3, 2, 0),
        (ApiKey::SaslHandshake, 1, 1, 0),
        (ApiKey::OffsetDelete, 0, 1, 0),
        (ApiKey::Vote, 0, 2, 1),
    ];
    for (key, version, request, response) in cases {
        assert_eq!(key.request_header_version(version), request, "{key} {version}");
        assert_eq!(key.response_header_version(version), response, "{key} {version}");
    }
}

#[test]
fn headers_encode_as_messages() {
    let header =
        RequestHeader { request_api_key: 3, request_api_version: 12, correlation_id: 7, client_id: None };
    let mut w = Writer::new();
    header.encode(&mut w, 2).expect("a header");
    ResponseHeader { correlation_id: 7 }.encode(&mut w, 0).expect("a header");
    assert_eq!(w.into_bytes(), [0, 3, 0, 12, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0, 7]);
}
