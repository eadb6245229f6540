//! A tap on the wire: sees whole requests and responses as they pass, and may change them where a bug is planted.

use std::collections::{BTreeMap, VecDeque};

use klamm_protocol::messages::ProduceRequest;
use klamm_protocol::{ApiKey, Decode, Reader, frame, header};

use crate::check::Checks;
use crate::plants::Plants;

/// A request on its way, with its response when that has come.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// On which connection.
    pub(crate) link: u64,
    /// Who asks.
    pub(crate) client: String,
    /// Whom.
    pub(crate) server: String,
    /// Whether one node asks another.
    pub(crate) is_from_node: bool,
    /// The request's kind.
    pub(crate) key: ApiKey,
    /// Its version.
    pub(crate) version: i16,
    /// Its body.
    pub(crate) request: Vec<u8>,
    /// The number of the newest generation that was known when it left, by the checks' count.
    pub(crate) sent_at: u64,
}

/// The tap.
pub(crate) struct Tap {
    checks: Checks,
    plants: Plants,
    links: BTreeMap<u64, Conversation>,
}

#[derive(Default)]
struct Conversation {
    /// What has been written on each side and is no complete frame yet.
    partial: [Vec<u8>; 2],
    unanswered: VecDeque<Call>,
}

impl Tap {
    /// A tap that tells the checks what it sees.
    pub(crate) fn new(checks: Checks, plants: Plants) -> Self {
        Self { checks, plants, links: BTreeMap::new() }
    }

    /// Bytes of one side of a connection between those named; returns what passes on: whole frames only.
    pub(super) fn pass(&mut self, link: u64, names: &[String; 2], side: usize, bytes: &[u8]) -> Vec<u8> {
        let conversation = self.links.entry(link).or_default();
        conversation.partial[side].extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some(whole) = next_frame(&mut conversation.partial[side]) {
            let whole = if side == 0 {
                conversation.request((link, names), whole, &self.checks, &self.plants)
            } else {
                conversation.response(whole, &self.checks, &self.plants)
            };
            passed.extend_from_slice(&(whole.len() as u32).to_be_bytes());
            passed.extend_from_slice(&whole);
        }
        passed
    }
}

impl Conversation {
    fn request(
        &mut self,
        (link, [client, server]): (u64, &[String; 2]),
        whole: Vec<u8>,
        checks: &Checks,
        plants: &Plants,
    ) -> Vec<u8> {
        let mut reader = Reader::new(&whole);
        let Ok((key, head)) = header::decode_request(&mut reader) else { return whole };
        let version = head.request_api_version;
        let head_length = whole.len() - reader.remaining().len();
        let request = whole[head_length..].to_vec();
        let mut body = request.clone();
        let is_from_node = client.starts_with("node ");
        plants.on_request(key, version, is_from_node, &mut body);
        let sent_at = checks.begin();
        if key != ApiKey::Produce || expects_answer(&body, version) {
            let (client, server) = (client.clone(), server.clone());
            let call = Call { link, client, server, is_from_node, key, version, request, sent_at };
            checks.asked(&call);
            self.unanswered.push_back(call);
        }
        [&whole[..head_length], &body].concat()
    }

    fn response(&mut self, whole: Vec<u8>, checks: &Checks, plants: &Plants) -> Vec<u8> {
        let Some(call) = self.unanswered.pop_front() else { return whole };
        let mut reader = Reader::new(&whole);
        if header::decode_response(&mut reader, call.key, call.version).is_err() {
            return whole;
        }
        let head_length = whole.len() - reader.remaining().len();
        let mut body = whole[head_length..].to_vec();
        plants.on_response(&call, &mut body);
        checks.answered(&call, &body);
        [&whole[..head_length], &body].concat()
    }
}

fn expects_answer(body: &[u8], version: i16) -> bool {
    ProduceRequest::decode(&mut Reader::new(body), version).map_or(true, |request| request.acks != 0)
}

/// Cuts the next frame off, without its size.
fn next_frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let size = frame::size(bytes, usize::MAX).ok()??;
    if bytes.len() < frame::PREFIX_LEN + size {
        return None;
    }
    let rest = bytes.split_off(frame::PREFIX_LEN + size);
    let whole = std::mem::replace(bytes, rest);
    Some(whole[frame::PREFIX_LEN..].to_vec())
}
