//! Fetch requests and what their answers hold of each partition.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use klamm_protocol::messages::FetchRequest;
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use klamm_protocol::messages::fetch_response::PartitionData as PartitionResponse;
use klamm_protocol::{ApiKey, DecodeError, ErrorCode, Uuid};
use klamm_records::{AnyBatch, BatchError};

use super::aborted::{AbortedFilter, AbortedTransaction};
use super::fetch_session::{PartitionFetch, SessionFetch};
use super::positions::{Content, PartitionData};
use super::records::CorruptBatch;
use crate::cluster::Metadata;
use crate::config::{ConsumerConfig, IsolationLevel};
use crate::connection::{self, Connection, Response};
use crate::{RequestError, TopicPartition};

/// Since version 13 a fetch names topics by their id.
const FIRST_VERSION_WITH_IDS: i16 = 13;

/// An answer, sorted by partition.
pub(super) struct FetchAnswer {
    pub(super) code: ErrorCode,
    pub(super) session_id: i32,
    pub(super) partitions: Vec<(TopicPartition, PartitionAnswer)>,
}

/// What an answer says of one partition.
pub(super) enum PartitionAnswer {
    Data(PartitionData),
    Refused {
        code: ErrorCode,
        /// The leader and its epoch, when the broker is not it.
        leader: Option<(i32, i32)>,
    },
    Corrupt(CorruptBatch),
}

/// Sends what a session wants and returns the response.
pub(super) async fn fetch(
    connection: &Connection,
    config: &ConsumerConfig,
    session: SessionFetch,
) -> Result<Response, RequestError> {
    let newest = connection.version_of(ApiKey::Fetch)?;
    let ids = session.changed.values().map(|fetch| fetch.topic_id);
    let ids_known = ids.chain(session.forgotten.iter().map(|(_, id)| *id)).all(|id| !id.is_zero());
    let version = if ids_known { newest } else { newest.min(FIRST_VERSION_WITH_IDS - 1) };
    let timeout = connection.timeout() + std::time::Duration::from_millis(config.fetch_max_wait_ms as u64);
    connection.enqueue(&request(config, session), version, timeout).await?.response().await
}

fn request(config: &ConsumerConfig, session: SessionFetch) -> FetchRequest<'static> {
    let mut topics: BTreeMap<Arc<str>, FetchTopic<'static>> = BTreeMap::new();
    for (partition, fetch) in session.changed {
        let topic = topics.entry(Arc::clone(&partition.topic)).or_insert_with(|| FetchTopic {
            topic: partition.topic.to_string().into(),
            topic_id: fetch.topic_id,
            ..FetchTopic::default()
        });
        topic.partitions.push(fetch_partition(config, &partition, fetch));
    }
    let mut forgotten: BTreeMap<(Arc<str>, [u8; 16]), Vec<i32>> = BTreeMap::new();
    for (partition, id) in session.forgotten {
        forgotten.entry((partition.topic, id.0)).or_default().push(partition.partition);
    }
    let forget = |((topic, id), partitions): ((Arc<str>, [u8; 16]), Vec<i32>)| ForgottenTopic {
        topic: topic.to_string().into(),
        topic_id: Uuid(id),
        partitions,
    };
    FetchRequest {
        max_wait_ms: config.fetch_max_wait_ms,
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: config.isolation_level.code(),
        session_id: session.session_id,
        session_epoch: session.session_epoch,
        topics: topics.into_values().collect(),
        forgotten_topics_data: forgotten.into_iter().map(forget).collect(),
        ..FetchRequest::default()
    }
}

fn fetch_partition(
    config: &ConsumerConfig,
    partition: &TopicPartition,
    fetch: PartitionFetch,
) -> FetchPartition {
    FetchPartition {
        partition: partition.partition,
        current_leader_epoch: fetch.current_leader_epoch,
        fetch_offset: fetch.offset,
        partition_max_bytes: config.max_partition_fetch_bytes,
        ..FetchPartition::default()
    }
}

/// Reads a response. Batches stay in its frame.
pub(super) fn read(
    response: Response,
    config: &ConsumerConfig,
    metadata: &Metadata,
) -> Result<FetchAnswer, DecodeError> {
    let version = response.version();
    let frame = Arc::new(response.into_bytes());
    let decoded = connection::decode::<FetchRequest<'_>>(&frame, version)?;
    let mut partitions = Vec::new();
    for topic in decoded.responses {
        let by_id = metadata.topic_name(topic.topic_id).filter(|_| topic.topic.is_empty());
        let name: Arc<str> = by_id.cloned().unwrap_or_else(|| Arc::from(&*topic.topic));
        for partition in topic.partitions {
            let key = TopicPartition { topic: Arc::clone(&name), partition: partition.partition_index };
            partitions.push((key, partition_answer(&frame, partition, config)));
        }
    }
    Ok(FetchAnswer { code: decoded.error_code, session_id: decoded.session_id, partitions })
}

fn partition_answer(
    frame: &Arc<Vec<u8>>,
    response: PartitionResponse<'_>,
    config: &ConsumerConfig,
) -> PartitionAnswer {
    if response.error_code.is_error() {
        let leader = Some((response.current_leader.leader_id, response.current_leader.leader_epoch));
        let leader = leader.filter(|(leader, _)| *leader >= 0);
        return PartitionAnswer::Refused { code: response.error_code, leader };
    }
    match contents(frame, &response, config) {
        Ok(contents) => {
            let committed_only = config.isolation_level == IsolationLevel::ReadCommitted;
            let end_offset =
                if committed_only { response.last_stable_offset } else { response.high_watermark };
            PartitionAnswer::Data(PartitionData {
                contents,
                high_watermark: response.high_watermark,
                end_offset,
            })
        }
        Err(corrupt) => PartitionAnswer::Corrupt(corrupt),
    }
}

fn contents(
    frame: &Arc<Vec<u8>>,
    response: &PartitionResponse<'_>,
    config: &ConsumerConfig,
) -> Result<Vec<Content>, CorruptBatch> {
    let bytes = response.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
    let aborted = response.aborted_transactions.iter().flatten().map(|transaction| AbortedTransaction {
        producer_id: transaction.producer_id,
        first_offset: transaction.first_offset,
    });
    let mut filter = AbortedFilter::new(aborted.collect());
    let mut contents = Vec::new();
    for batch in klamm_records::any_batches(bytes) {
        match checked(batch, config) {
            Ok(batch) => contents.push(content(frame, &batch, &mut filter)),
            Err(corrupt) if contents.is_empty() => return Err(corrupt),
            // What stands before it is good. The next fetch begins with the damaged one.
            Err(_) => break,
        }
    }
    Ok(contents)
}

fn checked<'a>(
    batch: Result<AnyBatch<'a>, BatchError>,
    config: &ConsumerConfig,
) -> Result<AnyBatch<'a>, CorruptBatch> {
    let batch = batch?;
    if config.check_crcs {
        batch.check_crc()?;
    }
    Ok(batch)
}

fn content(frame: &Arc<Vec<u8>>, batch: &AnyBatch<'_>, filter: &mut AbortedFilter) -> Content {
    let next_offset = batch.last_offset() + 1;
    match leader_epoch_if_wanted(batch, filter) {
        None => Content::Skip { next_offset },
        Some(leader_epoch) => {
            let range = range_within(frame, batch.bytes());
            Content::Batch { frame: Arc::clone(frame), range, next_offset, leader_epoch }
        }
    }
}

/// The leader epoch of a batch that is to be delivered; −1 before format v2. `None` for what is void or not data.
fn leader_epoch_if_wanted(batch: &AnyBatch<'_>, filter: &mut AbortedFilter) -> Option<i32> {
    let AnyBatch::V2(batch) = batch else { return Some(-1) };
    let header = batch.header();
    let is_void = filter.is_aborted(batch) || header.attributes.is_control() || header.count == 0;
    (!is_void).then_some(header.partition_leader_epoch)
}

/// Where in the frame a slice of it lies.
fn range_within(frame: &[u8], slice: &[u8]) -> Range<usize> {
    let start = slice.as_ptr() as usize - frame.as_ptr() as usize;
    start..start + slice.len()
}

#[cfg(test)]
mod tests {
    use klamm_protocol::Records;
    use klamm_protocol::messages::fetch_response::AbortedTransaction as Aborted;
    use klamm_records::{BatchBuilder, NewRecord};

    use super::*;

    fn batch(offset: i64, producer: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(offset).producer(producer, 0, 0).transactional(producer >= 0);
        builder.append(&NewRecord { value: Some(b"v"), ..NewRecord::default() });
        builder.build()
    }

    fn offsets(bytes: &[u8], aborted: Vec<Aborted>) -> Result<Vec<(bool, i64)>, CorruptBatch> {
        let frame = Arc::new(bytes.to_vec());
        let response = PartitionResponse {
            records: Some(Records::Bytes(frame.as_slice().into())),
            aborted_transactions: Some(aborted),
            ..PartitionResponse::default()
        };
        let contents = contents(&frame, &response, &ConsumerConfig::default())?;
        Ok(contents
            .iter()
            .map(|content| match content {
                Content::Batch { range, next_offset, .. } => {
                    assert_eq!(
                        klamm_records::Batch::parse(&frame[range.clone()]).map(|b| b.bytes().len()),
                        Ok(range.len())
                    );
                    (true, *next_offset)
                }
                Content::Skip { next_offset } | Content::End { offset: next_offset } => (false, *next_offset),
            })
            .collect())
    }

    #[test]
    fn whole_batches_are_taken_and_aborted_ones_skipped() {
        let mut bytes = [batch(5, -1), batch(6, 9), batch(7, -1)].concat();
        bytes.extend(&batch(8, -1)[..40]);
        let aborted = vec![Aborted { producer_id: 9, first_offset: 6 }];
        assert_eq!(offsets(&bytes, aborted), Ok(vec![(true, 6), (false, 7), (true, 8)]));
        assert_eq!(offsets(&[], Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn a_damaged_batch_is_an_error() {
        let mut bytes = batch(5, -1);
        *bytes.last_mut().expect("not empty") ^= 1;
        assert!(matches!(offsets(&bytes, Vec::new()), Err(CorruptBatch::Batch(_))));
        let after_good = [batch(4, -1), bytes].concat();
        assert_eq!(offsets(&after_good, Vec::new()), Ok(vec![(true, 5)]), "what is good is delivered first");
    }
}
