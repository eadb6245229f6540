//! Peers that are slow, silent, or many.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use klamm_protocol::ErrorCode;

use crate::running::{
    Running, fetch_frame, framed, golden_batches, golden_request, read_frame, resident_bytes,
};

/// Writes the same again and again until the other side takes no more, or `bytes_max`; how many bytes it took.
fn write_until_stuck(stream: &mut TcpStream, bytes: &[u8], bytes_max: usize) -> Result<usize, ErrorKind> {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut written = 0;
    while written < bytes_max {
        match stream.write(&bytes[written % bytes.len()..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.kind()),
        }
    }
    Ok(written)
}

#[test]
fn a_peer_that_never_reads_is_held_back_and_costs_little() {
    const PEERS: usize = 20;
    let running = Running::start_alone();
    let mut client = running.client();
    let large = golden_batches().into_iter().find(|(name, _)| name == "codec-none").unwrap().1;
    for _ in 0..200 {
        assert_eq!(client.produce("t", &large).0, ErrorCode::NONE);
    }
    let metadata = framed(&golden_request("03-Metadata", 12));
    for request in [metadata, fetch_frame("t", 0)] {
        let before = resident_bytes();
        let many = request.repeat(200);
        let peers: Vec<_> = (0..PEERS)
            .map(|_| {
                let mut peer = running.connect();
                let written = write_until_stuck(&mut peer, &many, 64 << 20).unwrap();
                assert!(written < 64 << 20, "it takes whatever is sent");
                peer
            })
            .collect();
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < PEERS * (3 << 20), "{grown} bytes for {PEERS} peers");
        running.serves_others();
        drop(peers);
    }
}

#[test]
fn a_frame_that_is_announced_and_never_sent_costs_little() {
    let running = Running::start_alone();
    let before = resident_bytes();
    let mut peers: Vec<_> = (0..300).map(|_| running.connect()).collect();
    for peer in &mut peers {
        peer.write_all(&[&(100_i32 << 20).to_be_bytes()[..], &[0; 10]].concat()).unwrap();
    }
    running.serves_others();
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 300 * 100 * 1024, "{grown} bytes");
}

#[test]
fn a_request_may_come_a_byte_at_a_time() {
    let running = Running::start(&[]);
    let mut stream = running.connect();
    for byte in framed(&golden_request("03-Metadata", 12)) {
        stream.write_all(&[byte]).unwrap();
        running.connect();
    }
    assert!(read_frame(&mut stream).is_ok());
    running.serves_others();
}

#[test]
fn a_connection_without_progress_ends() {
    let running = Running::start(&["connections.max.idle.ms=300"]);
    let whole = framed(&golden_request("03-Metadata", 12));
    for begun in [&[][..], &whole[..2], &whole[..20]] {
        let mut silent = running.connect();
        silent.write_all(begun).unwrap();
        let began = Instant::now();
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }
    // One that does not read what it asked for makes no progress either.
    let mut deaf = running.connect();
    let began = Instant::now();
    while write_until_stuck(&mut deaf, &whole, 64 << 20).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is kept");
    }
    running.serves_others();
}

#[test]
fn thousands_of_connections_are_cheap() {
    let running = Running::start_alone();
    let before = resident_bytes();
    let request = framed(&golden_request("18-ApiVersions", 3));
    let mut peers = Vec::new();
    for _ in 0..3000 {
        // As many as this process may open.
        let Ok(mut peer) = TcpStream::connect(running.address) else { break };
        peer.write_all(&request).unwrap();
        peers.push(peer);
    }
    let reserve = peers.len() / 10;
    drop(peers.drain(..reserve));
    for peer in &mut peers {
        assert!(read_frame(peer).is_ok());
    }
    running.serves_others();
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < peers.len() * 32 * 1024, "{grown} bytes for {} connections", peers.len());
}

/// Whether a new connection is served.
fn is_served(running: &Running) -> bool {
    let mut stream = running.connect();
    let request = framed(&golden_request("18-ApiVersions", 3));
    // A refused one may be closed before or after the request is sent.
    stream.write_all(&request).is_ok() && read_frame(&mut stream).is_ok()
}

#[test]
fn connections_beyond_the_limits_are_refused_and_those_within_are_not_touched() {
    for setting in ["max.connections=5", "max.connections.per.ip=5"] {
        let running = Running::start(&[setting]);
        let request = framed(&golden_request("18-ApiVersions", 3));
        let began = Instant::now();
        // What this test had open before may take a moment to be gone.
        let mut peers = Vec::new();
        while peers.len() < 5 {
            let mut peer = running.connect();
            if peer.write_all(&request).is_ok() && read_frame(&mut peer).is_ok() {
                peers.push(peer);
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{setting}");
        }
        for _ in 0..20 {
            assert!(!is_served(&running), "{setting}");
        }
        for peer in &mut peers {
            peer.write_all(&request).unwrap();
            assert!(read_frame(peer).is_ok(), "{setting}");
        }
        drop(peers);
        while !is_served(&running) {
            assert!(began.elapsed() < Duration::from_secs(20), "{setting}");
        }
    }
}
