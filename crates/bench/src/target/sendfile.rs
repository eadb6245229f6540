//! The `sendfile` floor: what fetch requests cost when every answer is a canned head and the next piece of one file.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::{env, thread};

use klamm_protocol::messages::FetchRequest;
use klamm_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use klamm_protocol::{ApiKey, Decode, Reader, Records, Writer, frame, header};
use rustix::net::SendFlags;

use crate::failure::{Failure, Result};

const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Connections do not read the same pages as long as there are no more of them: partitions have pages of their own too.
const PARTS: u64 = 4;

/// This program as a `sendfile` loop over a file.
pub(super) fn command(address: SocketAddr, file: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe().map_err(Failure::doing("the path of this program"))?);
    command.arg("sendfile-loop").arg(address.to_string()).arg(file);
    Ok(command)
}

/// Serves until the process is ended; each connection has a thread.
pub(crate) fn serve(address: SocketAddr, file: &Path) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    for part in (0..PARTS).cycle() {
        let (stream, _) = listener.accept()?;
        let file = file.to_owned();
        // A connection ends when the driver closes it.
        thread::spawn(move || serve_connection(stream, &file, part));
    }
    Ok(())
}

fn serve_connection(mut stream: TcpStream, path: &Path, part: u64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = vec![0; REQUEST_BYTES_MAX];
    let mut frame = AnswerFrame::to(read_request(&mut stream, &mut request)?)?;
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let part_len = end / PARTS / frame.records_len * frame.records_len;
    let mut position = part * part_len;
    loop {
        send_head(&stream, &frame.before)?;
        if position + frame.records_len > (part + 1) * part_len {
            position = part * part_len;
        }
        let piece_end = position + frame.records_len;
        while position < piece_end {
            let len = (piece_end - position) as usize;
            rustix::fs::sendfile(&stream, &file, Some(&mut position), len).map_err(std::io::Error::from)?;
        }
        stream.write_all(&frame.after)?;
        let request = read_request(&mut stream, &mut request)?;
        frame.before[frame::PREFIX_LEN..frame::PREFIX_LEN + 4].copy_from_slice(&request[4..8]);
    }
}

/// Sends bytes that more will follow.
fn send_head(stream: &TcpStream, bytes: &[u8]) -> Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += rustix::net::send(stream, &bytes[sent..], SendFlags::MORE).map_err(std::io::Error::from)?;
    }
    Ok(())
}

fn read_request<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let mut filled = 0;
    loop {
        if let Some(len) = frame::complete(&buffer[..filled], REQUEST_BYTES_MAX)?.map(<[u8]>::len) {
            return Ok(&buffer[frame::PREFIX_LEN..frame::PREFIX_LEN + len]);
        }
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(Failure::Other("the driver is gone".to_owned())),
            received => filled += received,
        }
    }
}

/// What stands around the records in every answer of a connection.
struct AnswerFrame {
    before: Vec<u8>,
    records_len: u64,
    after: Vec<u8>,
}

impl AnswerFrame {
    /// The frame that answers requests like this one, of one partition.
    fn to(request: &[u8]) -> Result<Self> {
        let mut r = Reader::new(request);
        let (_, head) = header::decode_request(&mut r)?;
        let version = head.request_api_version;
        let request = FetchRequest::decode(&mut r, version)?;
        let topic = request.topics.first().ok_or_else(|| Failure::Other("no topic".to_owned()))?;
        let asked = topic.partitions.first().ok_or_else(|| Failure::Other("no partition".to_owned()))?;
        let records_len = asked.partition_max_bytes as usize;
        let partition = PartitionData {
            partition_index: asked.partition,
            records: Some(Records::External(records_len)),
            ..Default::default()
        };
        let partitions = vec![partition];
        let topic = FetchableTopicResponse { topic_id: topic.topic_id, partitions, ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        let mut w = Writer::new();
        frame::encode_response(&mut w, ApiKey::Fetch, version, head.correlation_id, &response)?;
        let (mut before, gaps) = w.into_parts();
        let after = before.split_off(gaps.first().map_or(before.len(), |gap| gap.position));
        Ok(Self { before, records_len: records_len as u64, after })
    }
}
