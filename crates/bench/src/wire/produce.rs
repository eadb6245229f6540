//! Produce requests, prepared as bytes.

use klamm_protocol::messages::ProduceRequest;
use klamm_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use klamm_protocol::messages::produce_response::ProduceResponse;
use klamm_protocol::{ApiKey, Decode, Reader, Writer, frame, header};

use super::{PreparedBatch, Topic};
use crate::failure::{Result, accepted};

/// What current clients send.
pub(crate) const PRODUCE_VERSION: i16 = 13;
const TIMEOUT_MS: i32 = 30_000;

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    Leader,
    All,
}

/// The frame of a request with this batch for each of these partitions.
pub(crate) fn produce_frame(
    topic: &Topic,
    partitions: &[i32],
    batch: &PreparedBatch,
    acks: Acks,
) -> Result<Vec<u8>> {
    let data =
        |index: &i32| PartitionProduceData { index: *index, records: Some(batch.bytes.as_slice().into()) };
    let request = ProduceRequest {
        acks: if acks == Acks::All { -1 } else { 1 },
        timeout_ms: TIMEOUT_MS,
        topic_data: vec![TopicProduceData {
            topic_id: topic.id,
            partition_data: partitions.iter().map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut w = Writer::new();
    frame::encode_request(&mut w, &request, PRODUCE_VERSION, 0, Some("klamm-bench"))?;
    Ok(w.into_bytes())
}

/// Fails unless every batch of the request was taken.
pub(crate) fn check_produced(answer: &[u8]) -> Result<()> {
    let mut r = Reader::new(answer);
    header::decode_response(&mut r, ApiKey::Produce, PRODUCE_VERSION)?;
    let response = ProduceResponse::decode(&mut r, PRODUCE_VERSION)?;
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.try_for_each(|partition| accepted("Produce", partition.error_code))
}

/// Frames of one length in one piece of memory, sent over and over; any `depth` of them in a row lie side by side.
pub(crate) struct FrameRing {
    bytes: Vec<u8>,
    frame_len: usize,
    frames: usize,
    next: usize,
}

impl FrameRing {
    /// A ring of these frames, of which up to `depth` are sent at once.
    pub(crate) fn new(frames: &[Vec<u8>], depth: usize) -> Self {
        let bytes: Vec<u8> = frames.iter().cycle().take(frames.len() + depth).flatten().copied().collect();
        Self { frame_len: bytes.len() / (frames.len() + depth), bytes, frames: frames.len(), next: 0 }
    }

    /// The next `count` frames.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.next * self.frame_len;
        self.next = (self.next + count) % self.frames;
        &self.bytes[start..start + count * self.frame_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_goes_around() {
        let mut ring = FrameRing::new(&[b"aa".to_vec(), b"bb".to_vec(), b"cc".to_vec()], 4);
        let taken: Vec<&[u8]> = vec![b"aabb", b"ccaabbcc", b"", b"aa"];
        for expected in taken {
            assert_eq!(ring.take(expected.len() / 2), expected);
        }
    }
}
