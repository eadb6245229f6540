//! Peers that send a byte at a time, that do not read, that say half a sentence, that stop talking.

use std::thread;
use std::time::{Duration, Instant};

use klamm_protocol::messages::FetchRequest;
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use klamm_protocol::{ApiKey, Encode, Writer, header};

use super::messages;
use super::siege::{QUESTION, Siege};
use super::wire::{Answer, Connection, with_size};
use crate::check::{Fault, Verdict, expect};
use crate::stage::Stage;

/// Settings of the node: silent connections are closed soon.
const IDLE: (&str, &str) = ("connections.max.idle.ms", "8000");
/// That, and what a busy machine adds.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_millis(200);
/// Requests that a deaf peer sends unless it is stopped: far more answers than a broker should keep for it.
const UNREAD_ANSWERS: usize = 300;
const VERSION: i16 = 11;

pub(super) fn slow_peers(stage: &Stage<'_>) -> Verdict {
    let siege = Siege::start(stage, &[IDLE])?;
    let address = siege.address();
    let (deaf, silent) = (deaf(stage, address)?, silent(stage, address)?);
    let before = Instant::now();
    drip(stage, address)?;
    half_open(stage, address)?;
    silent.into_iter().try_for_each(|connection| closed(connection, before))?;
    drop(deaf);
    siege.end()
}

/// Requests that arrive byte by byte are answered once they are whole.
fn drip(stage: &Stage<'_>, address: &str) -> Verdict {
    let count = stage.records(50, 200);
    let pause = Duration::from_millis(stage.records(20, 1000) as u64);
    let open = |_| Connection::open(address, IDLE_TIME_MAX);
    let mut connections = (0..count).map(open).collect::<Result<Vec<_>, _>>()?;
    for byte in with_size(QUESTION) {
        connections.iter_mut().try_for_each(|connection| connection.send_raw(&[byte]))?;
        thread::sleep(pause);
    }
    for connection in &mut connections {
        let answer = connection.receive();
        let is_right = matches!(&answer, Answer::Frame(frame) if messages::answers(QUESTION, frame));
        expect(is_right, "the list of APIs for a request that came byte by byte", || format!("{answer:?}"))?;
    }
    stage.report(format!("{count} peers that send a byte every {} ms are answered", pause.as_millis()))
}

/// Ask for records again and again and read none of the answers, until their requests are taken no more.
fn deaf(stage: &Stage<'_>, address: &str) -> Verdict<Vec<Connection>> {
    let count = stage.records(20, 200);
    let request = fetch(&stage.own("numbered"))?;
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(address, PATIENCE)?;
        let sent = (0..UNREAD_ANSWERS).take_while(|_| connection.send(&request).is_ok()).count();
        stage.note(format!("{sent} requests were taken from a peer that reads nothing"))?;
        connections.push(connection);
    }
    stage.report(format!("{count} peers ask for up to {UNREAD_ANSWERS} MiB each and read nothing"))?;
    Ok(connections)
}

fn fetch(topic: &str) -> Verdict<Vec<u8>> {
    let partitions = (0..3).map(|partition| FetchPartition {
        partition,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    let topic = FetchTopic { topic: topic.into(), partitions: partitions.collect(), ..Default::default() };
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let mut w = Writer::new();
    let written = header::encode_request(&mut w, ApiKey::Fetch, VERSION, 1, Some("deaf"))
        .and_then(|()| request.encode(&mut w, VERSION));
    written.map_err(|error| Fault::failed("a request", error.to_string()))?;
    Ok(w.into_bytes())
}

/// Begin a request and never end it.
fn silent(stage: &Stage<'_>, address: &str) -> Verdict<Vec<Connection>> {
    let count = stage.records(50, 500);
    let bytes = with_size(QUESTION);
    let mut connections = Vec::new();
    for i in 0..count {
        let mut connection = Connection::open(address, IDLE_TIME_MAX)?;
        connection.send_raw(&bytes[..i % bytes.len()])?;
        connections.push(connection);
    }
    stage.report(format!("{count} peers fall silent in the middle of a request and are closed"))?;
    Ok(connections)
}

fn closed(mut connection: Connection, since: Instant) -> Verdict {
    let answer = connection.receive();
    expect(answer == Answer::Closed, "a silent connection to be closed", || {
        format!("{answer:?} after {:?}", since.elapsed())
    })
}

/// Ask and close their own side; whether they still get the answer or not, their connections end.
fn half_open(stage: &Stage<'_>, address: &str) -> Verdict {
    let count = stage.records(50, 500);
    for _ in 0..count {
        let mut connection = Connection::open(address, IDLE_TIME_MAX)?;
        connection.send(QUESTION)?;
        connection.end()?;
        let mut last = connection.receive();
        if let Answer::Frame(_) = last {
            last = connection.receive();
        }
        expect(last == Answer::Closed, "the end of a half-open connection", || format!("{last:?}"))?;
    }
    stage.report(format!("{count} half-open connections are ended"))
}
