//! Fetch requests and what their answers hold of each partition.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use klamm_protocol::messages::FetchRequest;
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use klamm_protocol::messages::fetch_response::PartitionData as PartitionResponse;
use klamm_protocol::{ApiKey, DecodeError, ErrorCode, Uuid};
use klamm_records::{AnyBatch, Batch, BatchError};

use super::aborted::{AbortedFilter, AbortedTransaction};
use super::fetch_session::{PartitionFetch, SessionFetch};
use super::positions::{Content, EpochEnd, Fetchable, PartitionData};
use super::records::CorruptBatch;
use crate::cluster::Metadata;
use crate::config::{ConsumerConfig, IsolationLevel};
use crate::connection::{self, Connection, Response};
use crate::{RequestError, TopicPartition};

/// Since version 13 a fetch names topics by their id.
const FIRST_VERSION_WITH_IDS: i16 = 13;
/// Since version 12 a leader compares the epoch of what was fetched last with its log.
const FIRST_VERSION_WITH_FETCHED_EPOCHS: i16 = 12;

/// An answer, sorted by partition.
pub(super) struct FetchAnswer {
    pub(super) code: ErrorCode,
    pub(super) session_id: i32,
    pub(super) partitions: Vec<(TopicPartition, PartitionAnswer)>,
}

/// What an answer says of one partition.
pub(super) enum PartitionAnswer {
    Data(PartitionData),
    /// The leader's log is not the one that was read.
    Diverged(EpochEnd),
    Refused {
        code: ErrorCode,
        /// The leader and its epoch, when the broker is not it.
        leader: Option<(i32, i32)>,
    },
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
    connection.enqueue(&request(config, session, version), version, timeout).await?.response().await
}

fn request(config: &ConsumerConfig, session: SessionFetch, version: i16) -> FetchRequest<'static> {
    let mut topics: BTreeMap<Arc<str>, FetchTopic<'static>> = BTreeMap::new();
    for (partition, fetch) in session.changed {
        let topic = topics.entry(Arc::clone(&partition.topic)).or_insert_with(|| FetchTopic {
            topic: partition.topic.to_string().into(),
            topic_id: fetch.topic_id,
            ..FetchTopic::default()
        });
        topic.partitions.push(fetch_partition(config, &partition, fetch, version));
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
    version: i16,
) -> FetchPartition {
    let compares_epochs = version >= FIRST_VERSION_WITH_FETCHED_EPOCHS;
    FetchPartition {
        partition: partition.partition,
        current_leader_epoch: fetch.current_leader_epoch,
        fetch_offset: fetch.offset,
        last_fetched_epoch: if compares_epochs { fetch.last_fetched_epoch } else { -1 },
        partition_max_bytes: config.max_partition_fetch_bytes,
        ..FetchPartition::default()
    }
}

/// Reads what a response says of the partitions asked for. Batches stay in its frame.
pub(super) fn read(
    response: Response,
    asked: &[Fetchable],
    config: &ConsumerConfig,
    metadata: &Metadata,
) -> Result<FetchAnswer, DecodeError> {
    let version = response.version();
    let frame = Arc::new(response.into_bytes());
    let decoded = connection::decode::<FetchRequest<'_>>(&frame, version)?;
    let asked: HashMap<_, _> = asked.iter().map(|asked| (&asked.partition, asked.offset)).collect();
    let mut partitions = Vec::new();
    for topic in decoded.responses {
        let by_id = metadata.topic_name(topic.topic_id).filter(|_| topic.topic.is_empty());
        let name: Arc<str> = by_id.cloned().unwrap_or_else(|| Arc::from(&*topic.topic));
        for partition in topic.partitions {
            let key = TopicPartition { topic: Arc::clone(&name), partition: partition.partition_index };
            if let Some(offset) = asked.get(&key) {
                partitions.push((key, partition_answer(&frame, partition, *offset, config)));
            }
        }
    }
    Ok(FetchAnswer { code: decoded.error_code, session_id: decoded.session_id, partitions })
}

fn partition_answer(
    frame: &Arc<Vec<u8>>,
    response: PartitionResponse<'_>,
    offset: i64,
    config: &ConsumerConfig,
) -> PartitionAnswer {
    if response.error_code.is_error() {
        let leader = Some((response.current_leader.leader_id, response.current_leader.leader_epoch));
        let leader = leader.filter(|(leader, _)| *leader >= 0);
        return PartitionAnswer::Refused { code: response.error_code, leader };
    }
    let end = &response.diverging_epoch;
    if end.end_offset >= 0 {
        return PartitionAnswer::Diverged(EpochEnd { epoch: end.epoch, end_offset: end.end_offset });
    }
    let (contents, corrupt) = contents(frame, &response, offset, config);
    let committed_only = config.isolation_level == IsolationLevel::ReadCommitted;
    let end_offset = if committed_only { response.last_stable_offset } else { response.high_watermark };
    let high_watermark = response.high_watermark;
    PartitionAnswer::Data(PartitionData { contents, corrupt, high_watermark, end_offset })
}

/// The batches up to the first damaged one, and what is wrong with that. It is told from this answer and not from
/// another that begins with it: a broker that looks for the offset behind the good ones may pass over it.
fn contents(
    frame: &Arc<Vec<u8>>,
    response: &PartitionResponse<'_>,
    offset: i64,
    config: &ConsumerConfig,
) -> (Vec<Content>, Option<CorruptBatch>) {
    let bytes = response.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
    let aborted = response.aborted_transactions.iter().flatten().map(|transaction| AbortedTransaction {
        producer_id: transaction.producer_id,
        first_offset: transaction.first_offset,
    });
    let mut filter = AbortedFilter::new(aborted.collect());
    let mut contents = Vec::new();
    // The first batch may begin before the offset asked for, or even end there.
    let mut due = Due::default();
    for batch in klamm_records::any_batches(bytes) {
        match checked(batch, due, config) {
            Ok(batch) => {
                due = Due { base_offset: batch.last_offset() + 1, last_offset: offset };
                contents.push(content(frame, &batch, &mut filter));
            }
            Err(corrupt) => return (contents, Some(corrupt)),
        }
    }
    (contents, None)
}

fn checked<'a>(
    batch: Result<AnyBatch<'a>, BatchError>,
    due: Due,
    config: &ConsumerConfig,
) -> Result<AnyBatch<'a>, CorruptBatch> {
    let batch = batch?;
    if config.check_crcs {
        batch.check_crc()?;
    }
    check_offsets(&batch, due)?;
    Ok(batch)
}

/// The least offsets that the next batch may have.
#[derive(Clone, Copy, Default)]
struct Due {
    base_offset: i64,
    last_offset: i64,
}

/// Offsets only grow from batch to batch; gaps are what compaction leaves.
fn check_offsets(batch: &AnyBatch<'_>, due: Due) -> Result<(), CorruptBatch> {
    let last_offset = batch.last_offset();
    let base_offset = match batch {
        AnyBatch::V2(batch) => batch.header().base_offset,
        // The old formats name the last offset only.
        AnyBatch::Legacy(_) => last_offset,
    };
    let is_in_order = base_offset <= last_offset && last_offset < i64::MAX;
    if is_in_order && due.base_offset <= base_offset && due.last_offset <= last_offset {
        return Ok(());
    }
    Err(CorruptBatch::Offsets { base_offset, last_offset, due: due.base_offset.max(due.last_offset) })
}

fn content(frame: &Arc<Vec<u8>>, batch: &AnyBatch<'_>, filter: &mut AbortedFilter) -> Content {
    let next_offset = batch.last_offset() + 1;
    // Before format v2 batches name no leader.
    let (is_void, leader_epoch) = match batch {
        AnyBatch::V2(batch) => (is_void(batch, filter), batch.header().partition_leader_epoch),
        AnyBatch::Legacy(_) => (false, -1),
    };
    if is_void {
        return Content::Skip { next_offset, leader_epoch };
    }
    let range = range_within(frame, batch.bytes());
    Content::Batch { frame: Arc::clone(frame), range, next_offset, leader_epoch }
}

/// Whether there is nothing to deliver of a batch.
fn is_void(batch: &Batch<'_>, filter: &mut AbortedFilter) -> bool {
    let header = batch.header();
    filter.is_aborted(batch) || header.attributes.is_control() || header.count == 0
}

/// Where in the frame a slice of it lies.
fn range_within(frame: &[u8], slice: &[u8]) -> Range<usize> {
    let start = slice.as_ptr() as usize - frame.as_ptr() as usize;
    start..start + slice.len()
}

/// What a fetch error of a partition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchFailure {
    /// Start over at another offset.
    OutOfRange,
    /// Again later, after a look at the metadata if so marked.
    Later { refresh: bool },
    /// The application must know.
    Fatal,
}

/// Sorts the errors of a fetch.
pub(super) fn fetch_failure(code: ErrorCode) -> FetchFailure {
    match code {
        ErrorCode::OFFSET_OUT_OF_RANGE => FetchFailure::OutOfRange,
        // Retriable for a producer, who sends again; what is damaged in the log stays so.
        ErrorCode::CORRUPT_MESSAGE => FetchFailure::Fatal,
        code if code.is_retriable() => {
            FetchFailure::Later { refresh: crate::cluster::asks_for_refresh(code) }
        }
        ErrorCode::UNKNOWN_SERVER_ERROR => FetchFailure::Later { refresh: false },
        _ => FetchFailure::Fatal,
    }
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

    /// Whether each content of an answer to a fetch at `offset` is to be delivered, and the offset behind it.
    fn read_at(offset: i64, bytes: &[u8], aborted: Vec<Aborted>) -> (Vec<(bool, i64)>, Option<CorruptBatch>) {
        let frame = Arc::new(bytes.to_vec());
        let response = PartitionResponse {
            records: Some(Records::Bytes(frame.as_slice().into())),
            aborted_transactions: Some(aborted),
            ..PartitionResponse::default()
        };
        let (contents, corrupt) = contents(&frame, &response, offset, &ConsumerConfig::default());
        let offsets = contents
            .iter()
            .map(|content| match content {
                Content::Batch { range, next_offset, .. } => {
                    assert_eq!(Batch::parse(&frame[range.clone()]).map(|b| b.bytes().len()), Ok(range.len()));
                    (true, *next_offset)
                }
                Content::Skip { next_offset, .. } => (false, *next_offset),
                other => panic!("{other:?}"),
            })
            .collect();
        (offsets, corrupt)
    }

    #[test]
    fn whole_batches_are_taken_and_aborted_ones_skipped() {
        let mut bytes = [batch(5, -1), batch(6, 9), batch(7, -1)].concat();
        bytes.extend(&batch(8, -1)[..40]);
        let aborted = vec![Aborted { producer_id: 9, first_offset: 6 }];
        assert_eq!(read_at(5, &bytes, aborted), (vec![(true, 6), (false, 7), (true, 8)], None));
        assert_eq!(read_at(5, &[], Vec::new()), (Vec::new(), None));
    }

    #[test]
    fn a_damaged_batch_is_an_error() {
        let mut bytes = batch(5, -1);
        *bytes.last_mut().expect("not empty") ^= 1;
        let (good, corrupt) = read_at(4, &[batch(4, -1), bytes].concat(), Vec::new());
        assert_eq!(good, [(true, 5)], "what is good is delivered first");
        assert!(matches!(corrupt, Some(CorruptBatch::Batch(_))), "{corrupt:?}");
    }

    #[test]
    fn offsets_grow_from_batch_to_batch() {
        let misfit =
            |offset, due| Some(CorruptBatch::Offsets { base_offset: offset, last_offset: offset, due });
        let table = [
            ("gaps", 3, vec![5, 7, 1 << 40], 3, None),
            ("the first ends before what was asked for", 5, vec![2, 5], 2, None),
            ("so does the second", 5, vec![2, 3], 1, misfit(3, 5)),
            ("one is below its predecessor", 5, vec![5, 6, 1, 7], 2, misfit(1, 7)),
            ("one is there twice", 5, vec![5, 5], 1, misfit(5, 6)),
            ("the first is negative", 5, vec![-5, 6], 0, misfit(-5, 0)),
            ("nothing can come behind the first", 5, vec![i64::MAX], 0, misfit(i64::MAX, 0)),
        ];
        for (name, offset, bases, good, expected) in table {
            let bytes: Vec<u8> = bases.into_iter().flat_map(|base| batch(base, -1)).collect();
            let (contents, corrupt) = read_at(offset, &bytes, Vec::new());
            assert_eq!((contents.len(), corrupt), (good, expected), "{name}");
        }
    }

    #[test]
    fn a_fetch_error_is_for_the_application_where_asking_again_cannot_help() {
        let table = [
            (ErrorCode::OFFSET_OUT_OF_RANGE, FetchFailure::OutOfRange),
            (ErrorCode::CORRUPT_MESSAGE, FetchFailure::Fatal),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, FetchFailure::Fatal),
            (ErrorCode::KAFKA_STORAGE_ERROR, FetchFailure::Later { refresh: true }),
            (ErrorCode::UNKNOWN_SERVER_ERROR, FetchFailure::Later { refresh: false }),
        ];
        for (code, expected) in table {
            assert_eq!(fetch_failure(code), expected, "{code}");
        }
    }
}
