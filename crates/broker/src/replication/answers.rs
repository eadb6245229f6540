//! What a fetcher does with a leader's answer: records are appended straight from the received frame; what waits on the disk (cutting the
//! log, flushing) goes to a helper thread, with all of an answer's partitions at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::ListOffsetsRequest;
use klamm_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use klamm_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use klamm_replica::{EpochEnd, FetchKey, Fetcher, Position};

use super::fetcher::back_off_ms;
use crate::broker::Broker;
use crate::partition::{FetchedRecords, FollowError, Partition};
use crate::peers::{PeerConnection, PeerError};

/// The time that stands for the log's end.
const LATEST: i64 = -1;
/// The time that stands for the log's start.
const EARLIEST: i64 = -2;

/// A partition that is followed.
pub(super) struct Followed {
    pub(super) partition: Arc<Partition>,
    /// Whether it had all that is committed when the leader last answered.
    pub(super) is_caught_up: bool,
    /// Answers in a row that were errors.
    pub(super) failures: u32,
}

/// What is left to do for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Flush before fetching on.
    Flush,
    /// Cut the log where it parts from the leader's.
    Cut(EpochEnd),
    /// Cut the log where records are missing, to get them from the leader.
    CutAtGap,
    /// Find out where the leader's log is, and come back into it.
    ComeIntoRange,
}

/// What is left to do, for the position that the leader was asked from.
pub(super) type Duties = Vec<(FetchKey, Position, Duty)>;

/// Takes what can be taken at once.
pub(super) fn take(
    broker: &Broker,
    fetcher: &mut Fetcher,
    followed: &mut BTreeMap<FetchKey, Followed>,
    response: &FetchResponse<'_>,
) -> Duties {
    let mut duties = Vec::new();
    let answered: BTreeSet<FetchKey> = partitions(response).map(|(key, _)| key).collect();
    if !fetcher.answered(response.error_code, response.session_id, &answered) {
        tracing::debug!("a fetch session is begun anew: {}", response.error_code);
        return duties;
    }
    for (key, data) in partitions(response) {
        let (Some(asked), Some(known)) = (fetcher.position(key), followed.get_mut(&key)) else { continue };
        match take_one(&known.partition, asked, data) {
            Ok(None) => {
                known.failures = 0;
                note_progress(broker, known, data);
                go_on(fetcher, key, &known.partition);
            }
            Ok(Some(duty)) => {
                note_progress(broker, known, data);
                duties.push((key, asked, duty));
            }
            // A log that the disk has failed is not followed any more: the controller gets to know.
            Err(_) if known.partition.log().is_failed() => fetcher.leave(key),
            Err(error_code) => put_off(broker, fetcher, key, known, error_code),
        }
    }
    duties
}

fn partitions<'r>(
    response: &'r FetchResponse<'_>,
) -> impl Iterator<Item = (FetchKey, &'r PartitionData<'r>)> + 'r {
    response.responses.iter().flat_map(|topic| {
        let topic_id = topic.topic_id;
        let key = move |data: &PartitionData<'_>| FetchKey { topic_id, partition: data.partition_index };
        topic.partitions.iter().map(move |data| (key(data), data))
    })
}

fn take_one(
    partition: &Arc<Partition>,
    asked: Position,
    data: &PartitionData<'_>,
) -> Result<Option<Duty>, ErrorCode> {
    match data.error_code {
        ErrorCode::NONE => {}
        ErrorCode::OFFSET_OUT_OF_RANGE => return Ok(Some(Duty::ComeIntoRange)),
        error_code => return Err(error_code),
    }
    let diverging = &data.diverging_epoch;
    if diverging.end_offset >= 0 {
        let end = EpochEnd { epoch: diverging.epoch, end_offset: diverging.end_offset };
        return Ok(Some(Duty::Cut(end)));
    }
    if partition.has_gap() {
        return Ok(Some(Duty::CutAtGap));
    }
    let fetched = FetchedRecords {
        records: data.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default(),
        high_watermark: data.high_watermark,
        log_start_offset: data.log_start_offset,
    };
    match partition.take_fetched(asked, fetched) {
        Ok(must_flush) => Ok(must_flush.then_some(Duty::Flush)),
        Err(FollowError::Outdated) => Ok(None),
        // The log is about to be replaced, or to close.
        Err(FollowError::Append(klamm_log::AppendError::Closed)) if !partition.log().is_failed() => {
            Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        }
        Err(error) => {
            tracing::error!(
                "{}-{} does not take what its leader has at {}: {error}",
                partition.topic(),
                partition.index(),
                asked.fetch_offset,
            );
            Err(error.error_code())
        }
    }
}

/// What was fetched counts against the bound, and who has caught up is not held up by it.
fn note_progress(broker: &Broker, followed: &mut Followed, data: &PartitionData<'_>) {
    followed.is_caught_up = followed.partition.log().log_end_offset() >= data.high_watermark;
    if followed.partition.is_throttled_follower(broker.node_id()) {
        let bytes = data.records.as_ref().and_then(|records| records.as_bytes()).map_or(0, <[u8]>::len);
        broker.throttles().follower.record(bytes, broker.environment().clock.monotonic_ms());
    }
}

/// Goes on where the replica stands now, if it still follows.
fn go_on(fetcher: &mut Fetcher, key: FetchKey, partition: &Partition) {
    match partition.position() {
        Some(position) => fetcher.follow(key, position),
        None => fetcher.leave(key),
    }
}

/// Does not ask for a partition for a while. Its place may have changed meanwhile as well.
fn put_off(
    broker: &Broker,
    fetcher: &mut Fetcher,
    key: FetchKey,
    followed: &mut Followed,
    error_code: ErrorCode,
) {
    let (topic, index) = (followed.partition.topic(), followed.partition.index());
    tracing::debug!("{topic}-{index} is not fetched for now: {error_code}");
    go_on(fetcher, key, &followed.partition);
    let wait_ms = back_off_ms(broker, followed.failures) as i64;
    followed.failures = followed.failures.saturating_add(1);
    fetcher.delay(key, broker.environment().clock.monotonic_ms() + wait_ms);
}

/// Does what is left of an answer.
pub(super) async fn carry_out(
    broker: &Broker,
    fetcher: &mut Fetcher,
    followed: &mut BTreeMap<FetchKey, Followed>,
    connection: &mut PeerConnection,
    duties: Duties,
) -> Result<(), PeerError> {
    if duties.is_empty() {
        return Ok(());
    }
    let mut work = Vec::with_capacity(duties.len());
    // Should the leader be gone, what was appended is flushed all the same: the next request says that it is held.
    let mut connected = Ok(());
    for (key, asked, duty) in duties {
        let Some(known) = followed.get_mut(&key) else { continue };
        let range = match duty {
            Duty::ComeIntoRange if connected.is_err() => continue,
            Duty::ComeIntoRange => match leader_range(broker, connection, &known.partition, asked).await {
                Ok(Ok(range)) => Some(range),
                Ok(Err(error_code)) => {
                    put_off(broker, fetcher, key, known, error_code);
                    continue;
                }
                Err(error) => {
                    connected = Err(error);
                    continue;
                }
            },
            _ => None,
        };
        work.push((key, asked, duty, range, known.partition.clone()));
    }
    let done = broker.environment().blocking(move || {
        let done = work.into_iter().map(|(key, asked, duty, range, partition)| {
            (key, fulfil(&partition, asked, duty, range).map_err(|error| (error.error_code(), error)))
        });
        done.collect::<Vec<_>>()
    });
    for (key, result) in done.await.unwrap_or_default() {
        let Some(known) = followed.get_mut(&key) else { continue };
        match result {
            Ok(()) | Err((_, FollowError::Outdated)) => {
                known.failures = 0;
                go_on(fetcher, key, &known.partition);
            }
            Err((error_code, error)) => {
                if let Some(error) = error.storage() {
                    broker.note_storage_error(error);
                }
                put_off(broker, fetcher, key, known, error_code);
            }
        }
    }
    connected
}

fn fulfil(
    partition: &Partition,
    asked: Position,
    duty: Duty,
    range: Option<(i64, i64)>,
) -> Result<(), FollowError> {
    match (duty, range) {
        (Duty::Flush, _) => Ok(partition.flush_fetched()?),
        (Duty::Cut(end), _) => partition.cut_diverging(asked, end),
        (Duty::CutAtGap, _) => partition.cut_at_gap(asked),
        (Duty::ComeIntoRange, Some((start, end))) => partition.come_into_range(asked, start, end),
        (Duty::ComeIntoRange, None) => Err(FollowError::Outdated),
    }
}

/// Where the leader's log starts and ends.
async fn leader_range(
    broker: &Broker,
    connection: &mut PeerConnection,
    partition: &Partition,
    asked: Position,
) -> Result<Result<(i64, i64), ErrorCode>, PeerError> {
    let timeout = Duration::from_millis(broker.config().replica_socket_timeout_ms.max(1) as u64);
    let mut offsets = [0; 2];
    for (offset, timestamp) in offsets.iter_mut().zip([EARLIEST, LATEST]) {
        let wanted = ListOffsetsPartition {
            partition_index: partition.index(),
            current_leader_epoch: asked.leader_epoch,
            timestamp,
        };
        let request = ListOffsetsRequest {
            replica_id: broker.node_id(),
            topics: vec![ListOffsetsTopic {
                name: partition.topic().to_string().into(),
                partitions: vec![wanted],
            }],
            timeout_ms: timeout.as_millis() as i32,
            ..ListOffsetsRequest::default()
        };
        let response = connection.call(&request, timeout).await?;
        let found = response.topics.first().and_then(|topic| topic.partitions.first());
        match found.map(|found| (found.error_code, found.offset)) {
            Some((ErrorCode::NONE, found)) => *offset = found,
            Some((error_code, _)) => return Ok(Err(error_code)),
            None => return Ok(Err(ErrorCode::UNKNOWN_SERVER_ERROR)),
        }
    }
    Ok(Ok((offsets[0], offsets[1])))
}
