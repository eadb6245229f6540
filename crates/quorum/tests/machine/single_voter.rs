//! A quorum of one: what it does at its start, and what others that fetch from it get.

use klamm_metadata::ControlRecord;
use klamm_metadata::log_batch::{BatchContents, decode_batch, encode_control_batch};
use klamm_metadata::snapshot::{Snapshot, SnapshotId};
use klamm_protocol::ErrorCode;
use klamm_quorum::log_state::EpochStart;
use klamm_quorum::message::{FetchAnswer, FetchRequest, VoteRequest};
use klamm_quorum::role::Role;
use klamm_quorum::{
    AppendSlot, ElectionState, Leadership, LogState, OffsetAndEpoch, Output, Quorum, QuorumStart, ReplicaKey,
    VoterNode, VoterSet,
};
use klamm_records::batches;

use crate::network::{config, voter};

fn golden(path: &str) -> Vec<u8> {
    let path = format!("{}/../protocol/golden/files/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn start_alone() -> QuorumStart {
    QuorumStart { voters: VoterSet::new([voter(1)]), voters_offset: -1, ..QuorumStart::default() }
}

fn open(start: QuorumStart) -> (Quorum, Vec<Output>) {
    let (quorum, outputs) = Quorum::open(config(1), start, 1_000);
    quorum.check_invariants();
    (quorum, outputs)
}

/// A quorum of one that leads and has committed its first record.
fn leading() -> Quorum {
    let (mut quorum, _) = open(start_alone());
    quorum.on_log_flushed(1_000, 1);
    quorum
}

fn election(epoch: i32, leader_id: Option<i32>, voted: Option<i32>) -> Output {
    Output::PersistElectionState(ElectionState { epoch, leader_id, voted: voted.map(ReplicaKey::of_id) })
}

#[test]
fn the_only_voter_leads_at_once() {
    let (mut quorum, outputs) = open(start_alone());
    let [persist, Output::AppendControl { base_offset: 0, epoch: 1, records }] = outputs.as_slice() else {
        panic!("{outputs:?}");
    };
    assert_eq!(
        *persist,
        election(1, Some(1), None),
        "the vote for itself and the lead reach the disk as one"
    );
    assert!(matches!(records.as_slice(), [ControlRecord::LeaderChange(_)]));
    assert_eq!(quorum.high_watermark(), 0, "nothing is committed before it is flushed");
    let outputs = quorum.on_log_flushed(1_001, 1);
    let expected = [Output::HighWatermark(1), Output::Leadership(Leadership::Leading { epoch: 1 })];
    assert_eq!(outputs, expected);
    assert_eq!(quorum.deadline_ms(), None);
    quorum.check_invariants();
}

#[test]
fn a_restart_raises_the_epoch() {
    let log = LogState {
        end_offset: 50,
        flushed_offset: 50,
        epochs: vec![EpochStart { epoch: 1, offset: 0 }],
        ..LogState::default()
    };
    let election_state = ElectionState { epoch: 1, leader_id: Some(1), voted: None };
    let (mut quorum, outputs) = open(QuorumStart { election: election_state, log, ..start_alone() });
    assert_eq!((quorum.epoch(), quorum.is_leader()), (2, true));
    assert_eq!(outputs[0], election(2, Some(1), None));
    let outputs = quorum.on_log_flushed(1_001, 51);
    assert_eq!(outputs[0], Output::HighWatermark(51), "what was there before is committed with it");
}

#[test]
fn the_first_batch_is_kafkas() {
    let bytes = golden("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint");
    let snapshot = Snapshot::decode(&bytes).unwrap();
    let voters = VoterSet::from_record(snapshot.quorum.voters.as_ref().unwrap());
    let log = LogState {
        latest_snapshot: Some(SnapshotId::BOOTSTRAP),
        earliest_snapshot: Some(SnapshotId::BOOTSTRAP),
        ..LogState::default()
    };
    let local: VoterNode = voters.get(1).unwrap().clone();
    let start = QuorumStart { kraft_version: 1, voters, voters_offset: -1, log, ..QuorumStart::default() };
    let (quorum, outputs) = Quorum::open(klamm_quorum::QuorumConfig { local, ..config(1) }, start, 1_000);
    let timestamp_ms = 1_795_361_054_846;
    let appended = outputs.iter().find_map(|output| match output {
        Output::AppendControl { base_offset, epoch, records } => {
            Some(encode_control_batch(*base_offset, *epoch, timestamp_ms, records).unwrap())
        }
        _ => None,
    });
    let log = golden("__cluster_metadata-0/00000000000000000000.log");
    let first = batches(&log).next().unwrap().unwrap();
    assert_eq!(appended.unwrap(), first.bytes());

    let persisted = outputs.iter().rev().find_map(|output| match output {
        Output::PersistElectionState(state) => Some(quorum.election_state_json(state)),
        _ => None,
    });
    let file = golden("__cluster_metadata-0/quorum-state");
    assert_eq!(persisted.unwrap(), String::from_utf8(file).unwrap());
}

#[test]
fn kafkas_log_restores_the_voters() {
    let log = golden("__cluster_metadata-0/00000000000000000000.log");
    let mut quorum = leading();
    for batch in batches(&log) {
        let batch = decode_batch(&batch.unwrap()).unwrap();
        let BatchContents::Control(records) = batch.contents else { continue };
        for (offset, record) in (batch.base_offset..).zip(&records) {
            quorum.on_control_record(offset, record);
        }
    }
    assert_eq!(quorum.kraft_version(), 1);
    let voter = quorum.current_voters().get(1).unwrap();
    assert_eq!((voter.endpoints[0].host.as_str(), voter.endpoints[0].port), ("127.0.0.1", 29093));
}

#[test]
fn records_are_committed_when_flushed() {
    let mut quorum = leading();
    assert_eq!(quorum.append(3), Ok(AppendSlot { base_offset: 1, epoch: 1 }));
    assert_eq!(quorum.append(2), Ok(AppendSlot { base_offset: 4, epoch: 1 }));
    assert_eq!(quorum.on_log_flushed(1_001, 4), [Output::HighWatermark(4)]);
    assert_eq!(quorum.on_log_flushed(1_002, 4), []);
    assert_eq!(quorum.on_log_flushed(1_003, 6), [Output::HighWatermark(6)]);
    quorum.check_invariants();
}

#[test]
fn observers_fetch_and_are_described() {
    let mut quorum = leading();
    quorum.append(9).unwrap();
    quorum.on_log_flushed(1_001, 10);
    let observer = ReplicaKey::of_id(7);
    let mut fetch = |now_ms, epoch, offset, last_fetched_epoch| {
        let request =
            FetchRequest { replica: observer, epoch, offset, last_fetched_epoch, high_watermark: -1 };
        let (reply, outputs) = quorum.handle_fetch(now_ms, &request);
        assert_eq!(outputs, []);
        (reply.info.error, reply.high_watermark, reply.answer)
    };
    let records = FetchAnswer::Records { end_offset: 10 };
    let diverging = FetchAnswer::Diverging(OffsetAndEpoch { offset: 10, epoch: 1 });
    assert_eq!(fetch(1_100, 1, 0, 0), (ErrorCode::NONE, 10, records));
    assert_eq!(fetch(1_200, 1, 4, 1), (ErrorCode::NONE, 10, records));
    assert_eq!(fetch(1_300, 1, 11, 1), (ErrorCode::NONE, 10, diverging));
    assert_eq!(fetch(1_300, 0, 4, 0), (ErrorCode::FENCED_LEADER_EPOCH, 10, FetchAnswer::Refused));
    assert_eq!(fetch(1_300, 2, 4, 1), (ErrorCode::UNKNOWN_LEADER_EPOCH, 10, FetchAnswer::Refused));
    assert_eq!(fetch(1_300, 1, -1, 0), (ErrorCode::INVALID_REQUEST, 10, FetchAnswer::Refused));
    let description = quorum.describe(1_400).unwrap();
    let [seen] = description.observers.as_slice() else { panic!("{description:?}") };
    assert_eq!(
        (seen.key, seen.log_end_offset, seen.last_fetch_ms, seen.last_caught_up_ms),
        (observer, 4, 1_200, -1)
    );
    let [own] = description.voters.as_slice() else { panic!("{description:?}") };
    assert_eq!((own.key.id, own.log_end_offset, own.last_caught_up_ms), (1, 10, 1_400));
}

#[test]
fn votes_are_refused_with_kafkas_errors() {
    let request = |epoch, last_epoch, offset, pre_vote| VoteRequest {
        voter: ReplicaKey::of_id(1),
        candidate: ReplicaKey::of_id(2),
        epoch,
        log_end: OffsetAndEpoch { offset, epoch: last_epoch },
        pre_vote,
    };
    let cases = [
        ("an epoch that is over", request(0, 0, 0, true), ErrorCode::FENCED_LEADER_EPOCH),
        ("a log from the future", request(5, 5, 9, false), ErrorCode::INVALID_REQUEST),
        ("an impossible log", request(5, 4, -1, false), ErrorCode::INVALID_REQUEST),
        ("this epoch has a leader", request(1, 0, 9, false), ErrorCode::NONE),
        ("a pre-vote against a leader that lives", request(1, 1, 9, true), ErrorCode::NONE),
    ];
    for (name, request, error) in cases {
        let mut quorum = leading();
        let (response, outputs) = quorum.handle_vote(1_100, &request);
        assert_eq!((response.info.error, response.granted), (error, false), "{name}");
        assert_eq!(outputs, [], "{name}");
    }
    let mut quorum = leading();
    let elsewhere = VoteRequest { voter: ReplicaKey::of_id(9), ..request(1, 1, 9, true) };
    assert_eq!(quorum.handle_vote(1_100, &elsewhere).0.info.error, ErrorCode::INVALID_VOTER_KEY);
}

#[test]
fn a_voter_that_resigns_leads_again_if_nobody_else_can() {
    let mut quorum = leading();
    let outputs = quorum.resign(2_000);
    assert_eq!(outputs, [Output::Leadership(Leadership::Nobody { epoch: 1 })]);
    assert!(quorum.append(1).is_err());
    while !quorum.is_leader() {
        let now_ms = quorum.deadline_ms().unwrap();
        quorum.tick(now_ms);
        quorum.check_invariants();
    }
    assert!(matches!(quorum.role(), Role::Leader(_)) && quorum.epoch() > 1);
}
