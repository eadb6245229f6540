//! Bytes that are no requests, and requests that are not whole.

use std::io::Write;

use crate::running::{
    Random, Reaction, Running, framed, golden_request, reaction, read_frame, resident_bytes,
};

/// Requests with every kind of field.
const REQUESTS: [(&str, i16); 7] = [
    ("00-Produce", 9),
    ("01-Fetch", 12),
    ("03-Metadata", 12),
    ("08-OffsetCommit", 9),
    ("11-JoinGroup", 9),
    ("19-CreateTopics", 7),
    ("44-IncrementalAlterConfigs", 1),
];

#[test]
fn sizes_that_no_frame_has_close_the_connection() {
    let running = Running::start(&["socket.request.max.bytes=100000"]);
    for size in [-1, i32::MIN, i32::MAX, 100_001] {
        let bytes = [&size.to_be_bytes()[..], &[0; 100]].concat();
        assert_eq!(reaction(&mut running.connect(), &bytes), Reaction::Closed, "size {size}");
    }
    for size in [0, 1, 7] {
        assert_eq!(
            reaction(&mut running.connect(), &framed(&vec![0; size])),
            Reaction::Closed,
            "size {size}"
        );
    }
    running.serves_others();
}

#[test]
fn random_bytes_are_no_danger() {
    let running = Running::start(&[]);
    let mut random = Random(1);
    for round in 0..400 {
        let length = random.below(2000);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        // Most of them get past the size and to some API's decoder.
        if round % 4 != 0 && bytes.len() > 8 {
            bytes[0..2].copy_from_slice(&(random.below(70) as i16).to_be_bytes());
            bytes[2..4].copy_from_slice(&(random.below(14) as i16).to_be_bytes());
            bytes = framed(&bytes);
        }
        reaction(&mut running.connect(), &bytes);
    }
    running.serves_others();
}

#[test]
fn a_request_cut_anywhere_closes_the_connection() {
    let running = Running::start(&[]);
    for (file, version) in REQUESTS {
        let request = golden_request(file, version);
        for length in 0..request.len() {
            let cut = framed(&request[..length]);
            assert_eq!(reaction(&mut running.connect(), &cut), Reaction::Closed, "{file} as {length} bytes");
            let unfinished = &framed(&request)[..length];
            assert_eq!(
                reaction(&mut running.connect(), unfinished),
                Reaction::Closed,
                "{file} after {length}"
            );
        }
    }
    running.serves_others();
}

#[test]
fn lengths_inside_a_request_allocate_nothing() {
    let running = Running::start_alone();
    for (file, version) in REQUESTS {
        let request = golden_request(file, version);
        let before = resident_bytes();
        for at in 8..request.len() {
            for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x07][..], &[0x7f, 0xff, 0xff, 0xff]] {
                let mut changed = request.clone();
                let end = request.len().min(at + bytes.len());
                changed[at..end].copy_from_slice(&bytes[..end - at]);
                // An answer may take its time: a changed wait is a wait.
                let mut stream = running.connect();
                stream.write_all(&framed(&changed)).unwrap();
            }
        }
        running.serves_others();
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 32 << 20, "{file}: {grown} bytes");
    }
}

#[test]
fn what_is_not_served_closes_the_connection() {
    let running = Running::start(&[]);
    let metadata = golden_request("03-Metadata", 12);
    for (key, version) in
        [(-1, 0), (99, 0), (i16::MAX, 0), (3, -1), (3, 99), (0, 2), (4, 0), (52, 0), (56, 0)]
    {
        let mut request = metadata.clone();
        request[0..2].copy_from_slice(&i16::to_be_bytes(key));
        request[2..4].copy_from_slice(&i16::to_be_bytes(version));
        assert_eq!(reaction(&mut running.connect(), &framed(&request)), Reaction::Closed, "{key} {version}");
    }
    // Which versions there are is told whoever asks.
    let mut asking = running.connect();
    let request = golden_request("18-ApiVersions-unknown-version", 99);
    asking.write_all(&framed(&request)).unwrap();
    let answer = read_frame(&mut asking).unwrap();
    assert_eq!((&answer[..4], &answer[4..6]), (&request[4..8], &35_i16.to_be_bytes()[..]));
    running.serves_others();
}

#[test]
fn a_bad_request_takes_only_itself_down() {
    let running = Running::start(&[]);
    let metadata = framed(&golden_request("03-Metadata", 12));
    let mut stream = running.connect();
    // The first is answered although the second ends the connection.
    stream.write_all(&[&metadata[..], &framed(&[0xff; 20])].concat()).unwrap();
    assert!(read_frame(&mut stream).is_ok());
    assert!(read_frame(&mut stream).is_err());
    running.serves_others();
}
