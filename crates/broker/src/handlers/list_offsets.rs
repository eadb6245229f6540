//! ListOffsets v1–11: the offset that belongs to a time, or to one of the special times below zero.
//!
//! A consumer is told of what is committed, a follower of the whole log. A leader that is new does not tell consumers where the log ends
//! before it knows again that its own start is committed: they would be told of a place that they have been beyond.

use std::collections::HashSet;

use klamm_log::Log;
use klamm_protocol::messages::ListOffsetsRequest;
use klamm_protocol::messages::list_offsets_request::ListOffsetsPartition;
use klamm_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use klamm_protocol::{ErrorCode, Reader};

use crate::partition::{Isolation, Partition};
use crate::request::{HandlerResult, RequestContext};

/// From this version on answers tell the leader epoch.
const LEADER_EPOCH_SINCE: i16 = 4;
/// From this version on a leader that does not know the end yet has an error of its own for that.
const NOT_AVAILABLE_SINCE: i16 = 5;
/// The time that stands for the end.
const LATEST: i64 = -1;

/// Who asks the leader for the whole log, and who a replica wherever it is.
const CONSUMER: i32 = -1;
const DEBUGGER: i32 = -2;

/// What of the log is visible: to a consumer what its isolation says, to others all.
type View = Option<Isolation>;

/// A special time, and the first version that knows it.
struct Special {
    timestamp: i64,
    since: i16,
    find: fn(&Log, View) -> Result<Found, ErrorCode>,
}

const SPECIALS: &[Special] = &[
    Special { timestamp: LATEST, since: 0, find: latest },
    Special { timestamp: -2, since: 0, find: earliest },
    Special { timestamp: -3, since: 7, find: max_timestamp },
    Special { timestamp: -4, since: 8, find: earliest },
    Special { timestamp: -5, since: 9, find: nothing_tiered },
    Special { timestamp: -6, since: 11, find: nothing_tiered },
];

/// An offset with its time and leader epoch, each −1 where it has none.
struct Found {
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

impl Found {
    const NONE: Self = Self { timestamp: -1, offset: -1, leader_epoch: -1 };
}

pub(crate) fn handle(context: &RequestContext<'_>, mut body: Reader<'_>) -> HandlerResult {
    let request: ListOffsetsRequest<'_> = context.decode(&mut body)?;
    let asker = Asker {
        view: (request.replica_id == CONSUMER).then(|| Isolation::from_wire(request.isolation_level)),
        needs_leader: request.replica_id != DEBUGGER,
        version: context.version,
    };
    let duplicates = duplicates(&request);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = if duplicates.contains(&(&*topic.name, asked.partition_index)) {
                Err(ErrorCode::INVALID_REQUEST)
            } else {
                let partition = context.broker.partition_by_name(&topic.name, asked.partition_index);
                partition.and_then(|partition| find(&partition, asked, &asker))
            };
            answer(asked.partition_index, found, context.version)
        });
        ListOffsetsTopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
    });
    let topics = topics.collect();
    context.respond(&ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
}

/// Partitions that the request names more than once.
fn duplicates<'r>(request: &'r ListOffsetsRequest<'_>) -> HashSet<(&'r str, i32)> {
    let mut seen = HashSet::new();
    let all = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (&*topic.name, partition.partition_index)));
    all.filter(|partition| !seen.insert(*partition)).collect()
}

/// Who asks, and in which version.
struct Asker {
    view: View,
    needs_leader: bool,
    version: i16,
}

fn find(partition: &Partition, asked: &ListOffsetsPartition, asker: &Asker) -> Result<Found, ErrorCode> {
    match asker.needs_leader {
        true => partition.check_leader(asked.current_leader_epoch)?,
        false => partition.check_replica(asked.current_leader_epoch)?,
    }
    let log = partition.log();
    let end_is_known = asker.view.is_none() || partition.knows_committed_end();
    let not_available = match asker.version {
        ..NOT_AVAILABLE_SINCE => ErrorCode::LEADER_NOT_AVAILABLE,
        _ => ErrorCode::OFFSET_NOT_AVAILABLE,
    };
    if asked.timestamp >= 0 {
        let found = at_time(&log, asked.timestamp, asker.view)?;
        return if found.offset < 0 && !end_is_known { Err(not_available) } else { Ok(found) };
    }
    let special = SPECIALS
        .iter()
        .find(|special| special.timestamp == asked.timestamp && special.since <= asker.version);
    let special = special.ok_or(ErrorCode::UNSUPPORTED_VERSION)?;
    if special.timestamp == LATEST && !end_is_known {
        return Err(not_available);
    }
    (special.find)(&log, asker.view)
}

/// The end of what may be seen.
fn visible_end(log: &Log, view: View) -> i64 {
    match view {
        Some(Isolation::ReadUncommitted) => log.high_watermark(),
        Some(Isolation::ReadCommitted) => log.last_stable_offset(),
        None => log.log_end_offset(),
    }
}

fn latest(log: &Log, view: View) -> Result<Found, ErrorCode> {
    let leader_epoch = log.latest_epoch().unwrap_or(-1);
    Ok(Found { timestamp: -1, offset: visible_end(log, view), leader_epoch })
}

fn earliest(log: &Log, _: View) -> Result<Found, ErrorCode> {
    let leader_epoch = log.earliest_epoch().unwrap_or(-1);
    Ok(Found { timestamp: -1, offset: log.log_start_offset(), leader_epoch })
}

fn max_timestamp(log: &Log, view: View) -> Result<Found, ErrorCode> {
    let found = log.max_timestamp_record();
    visible(log, found, view)
}

/// There is no tiered storage, so nothing is in it.
fn nothing_tiered(_: &Log, _: View) -> Result<Found, ErrorCode> {
    Ok(Found::NONE)
}

fn at_time(log: &Log, timestamp: i64, view: View) -> Result<Found, ErrorCode> {
    let found = log.offset_for_timestamp(timestamp);
    visible(log, found, view)
}

fn visible(
    log: &Log,
    found: Result<Option<klamm_log::RecordPosition>, klamm_log::StorageError>,
    view: View,
) -> Result<Found, ErrorCode> {
    match found {
        Ok(Some(at)) if at.offset < visible_end(log, view) => Ok(Found {
            timestamp: at.timestamp,
            offset: at.offset,
            leader_epoch: at.leader_epoch.unwrap_or(-1),
        }),
        Ok(_) => Ok(Found::NONE),
        Err(error) => {
            tracing::error!("a look-up by time failed: {error}");
            Err(ErrorCode::KAFKA_STORAGE_ERROR)
        }
    }
}

fn answer(
    partition_index: i32,
    found: Result<Found, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let (error_code, found) = match found {
        Ok(found) => (ErrorCode::NONE, found),
        Err(error_code) => (error_code, Found::NONE),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp: found.timestamp,
        offset: found.offset,
        leader_epoch: if version >= LEADER_EPOCH_SINCE { found.leader_epoch } else { -1 },
    }
}
