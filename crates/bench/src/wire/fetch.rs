//! Fetch requests of one partition or several, one at a time.

use klamm_protocol::messages::FetchRequest;
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use klamm_protocol::messages::fetch_response::FetchResponse;
use klamm_protocol::{ApiKey, Decode, Reader, Records, Writer, frame, header};

use super::{Connection, Topic};
use crate::failure::{Result, accepted};

const FETCH_VERSION: i16 = 17;

/// How much to fetch at once, and how long to wait for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchRange {
    pub(crate) bytes_max: i32,
    pub(crate) wait_ms_max: i32,
}

/// What one partition contributed to an answer.
pub(crate) struct FetchedPart<'a> {
    pub(crate) partition: i32,
    pub(crate) high_watermark: i64,
    pub(crate) records: &'a [u8],
}

/// A connection that fetches from one topic.
pub(crate) struct Fetcher<'a> {
    connection: Connection,
    topic: &'a Topic,
    range: FetchRange,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(connection: Connection, topic: &'a Topic, range: FetchRange) -> Self {
        Self { connection, topic, range }
    }

    /// Fetches from these partitions at these offsets and hands each part of the answer on.
    pub(crate) fn fetch(
        &mut self,
        positions: &[(i32, i64)],
        mut take: impl FnMut(FetchedPart<'_>) -> Result<()>,
    ) -> Result<()> {
        let request = self.request(positions);
        self.connection.send(&request?)?;
        let mut r = Reader::new(self.connection.receive()?);
        header::decode_response(&mut r, ApiKey::Fetch, FETCH_VERSION)?;
        let response = FetchResponse::decode(&mut r, FETCH_VERSION)?;
        accepted("Fetch", response.error_code)?;
        for part in response.responses.iter().flat_map(|topic| &topic.partitions) {
            accepted("Fetch", part.error_code)?;
            take(FetchedPart {
                partition: part.partition_index,
                high_watermark: part.high_watermark,
                records: part.records.as_ref().and_then(Records::as_bytes).unwrap_or_default(),
            })?;
        }
        Ok(())
    }

    fn request(&self, positions: &[(i32, i64)]) -> Result<Vec<u8>> {
        let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: self.range.bytes_max,
            ..Default::default()
        };
        let request = FetchRequest {
            max_wait_ms: self.range.wait_ms_max,
            min_bytes: 1,
            max_bytes: self.range.bytes_max.saturating_mul(positions.len() as i32),
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic_id: self.topic.id,
                partitions: positions.iter().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut w = Writer::new();
        frame::encode_request(&mut w, &request, FETCH_VERSION, 0, Some("klamm-bench"))?;
        Ok(w.into_bytes())
    }
}
