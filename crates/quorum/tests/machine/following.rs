//! A follower, fed with answers that a network of well-behaved replicas gives seldom or never.

use klamm_metadata::ControlRecord;
use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::KRaftVersionRecord;
use klamm_quorum::log_state::EpochStart;
use klamm_quorum::message::{EpochInfo, Fetched, FetchedBatch, FetchedContents, Request};
use klamm_quorum::{ElectionState, LogState, OffsetAndEpoch, Output, Quorum, QuorumStart, VoterSet};

use crate::network::{config, voter};

const NOW_MS: i64 = 1_000;
const EPOCH: i32 = 5;
const LEADER: i32 = 1;

/// Node 3, which follows node 1 in epoch 5; its log has epoch 1 up to 30, 2 up to 55 and 4 up to 70, and 30 is committed.
fn following() -> Quorum {
    let epochs = [(1, 0), (2, 30), (4, 55)].map(|(epoch, offset)| EpochStart { epoch, offset });
    let log = LogState { end_offset: 70, flushed_offset: 70, epochs: epochs.to_vec(), ..LogState::default() };
    let election = ElectionState { epoch: EPOCH, leader_id: Some(LEADER), voted: None };
    let voters = VoterSet::new([1, 2, 3].map(voter));
    let start = QuorumStart { election, log, voters, voters_offset: -1, ..QuorumStart::default() };
    Quorum::open(config(3), start, NOW_MS).0
}

fn answer(quorum: &mut Quorum, high_watermark: i64, contents: FetchedContents) -> Vec<Output> {
    let info = EpochInfo { error: ErrorCode::NONE, epoch: EPOCH, leader_id: Some(LEADER) };
    let outputs = quorum.handle_fetch_response(NOW_MS, LEADER, &Fetched { info, high_watermark, contents });
    quorum.check_invariants();
    outputs
}

fn diverging(offset: i64, epoch: i32) -> FetchedContents {
    FetchedContents::Diverging(OffsetAndEpoch { offset, epoch })
}

fn fetch_offsets(outputs: &[Output]) -> Vec<i64> {
    let offset = |output: &Output| match output {
        Output::Send { request: Request::Fetch(request), .. } => Some(request.offset),
        _ => None,
    };
    outputs.iter().filter_map(offset).collect()
}

#[test]
fn nothing_is_committed_before_the_log_is_known_to_be_the_leaders() {
    let mut quorum = following();
    let outputs = answer(&mut quorum, 100, diverging(60, 3));
    assert_eq!(outputs[0], Output::Truncate { end_offset: 55 });
    assert_eq!((outputs.len(), fetch_offsets(&outputs)), (2, vec![55]), "no high watermark: {outputs:?}");
    let outputs = answer(&mut quorum, 100, diverging(30, 1));
    assert_eq!(outputs[0], Output::Truncate { end_offset: 30 });
    let batch = FetchedBatch { base_offset: 30, end_offset: 40, epoch: 3 };
    let outputs = answer(&mut quorum, 100, FetchedContents::Batches(vec![batch]));
    assert_eq!(
        outputs[..2],
        [Output::AppendFetched { base_offset: 30, end_offset: 40 }, Output::HighWatermark(40)]
    );
}

#[test]
fn a_snapshot_to_load_commits_nothing_of_the_log_it_replaces() {
    let mut quorum = following();
    let id = SnapshotId { end_offset: 9_000, epoch: 4 };
    let outputs = answer(&mut quorum, 10_000, FetchedContents::Snapshot(id));
    assert_eq!(outputs, [Output::FetchSnapshot { from: LEADER, id }]);
    let outputs = quorum.on_request_failed(NOW_MS, 2);
    assert_eq!(fetch_offsets(&outputs), [0i64; 0], "another node's failure does not end the loading");
}

#[test]
fn a_leader_that_lacks_what_is_committed_stops_the_node() {
    let mut quorum = following();
    answer(&mut quorum, 50, FetchedContents::Batches(Vec::new()));
    let outputs = answer(&mut quorum, 50, diverging(40, 3));
    let leader_end = OffsetAndEpoch { offset: 40, epoch: 3 };
    assert_eq!(outputs[0], Output::CommittedIsMissing { leader_end, high_watermark: 50 });
    assert_eq!(quorum.log().end_offset, 70, "nothing was cut");
}

#[test]
fn a_level_that_was_not_committed_is_taken_back() {
    let mut quorum = following();
    let level = KRaftVersionRecord { version: 0, kraft_version: 1 };
    quorum.on_control_record(60, &ControlRecord::KRaftVersion(level));
    assert_eq!([60, 61].map(|offset| quorum.kraft_version_before(offset)), [0, 1]);
    answer(&mut quorum, 100, diverging(60, 3));
    assert_eq!(quorum.kraft_version(), 0);
}
