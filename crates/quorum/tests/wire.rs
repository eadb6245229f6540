//! Messages that a Kafka 4.4.0 controller exchanged, through the machine's own messages and back.

use klamm_metadata::snapshot::SnapshotId;
use klamm_protocol::header::RequestHeader;
use klamm_protocol::messages::{
    AddRaftVoterRequest, BeginQuorumEpochRequest, EndQuorumEpochRequest, FetchRequest as WireFetchRequest,
    FetchSnapshotRequest, RemoveRaftVoterRequest, UpdateRaftVoterRequest, VoteRequest as WireVoteRequest,
};
use klamm_protocol::{ApiKey, Decode, ErrorCode, Reader, Uuid};
use klamm_quorum::VoterEndpoint;
use klamm_quorum::message::{
    BeginEpochRequest, EndEpochRequest, EpochInfo, FetchRequest, NodeAddress, VoteRequest, VoteResponse,
};
use klamm_quorum::wire::{
    AddVoter, SnapshotPiece, SnapshotRequest, check_cluster_id, removal, updated_voter, voter_to_remove,
};

/// The requests of a golden exchange, by version: whole frames, header included.
fn requests(file: &str) -> Vec<(i16, Vec<u8>)> {
    let path = format!("{}/../protocol/golden/rpc/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let frame = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["version", version, "request", hex] => Some((version.parse().unwrap(), bytes(hex))),
        _ => None,
    };
    text.lines().filter_map(frame).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |index: usize| u8::from_str_radix(&hex[index..index + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn decode<'a, T: Decode<'a>>(key: ApiKey, version: i16, frame: &'a [u8]) -> T {
    let mut reader = Reader::new(frame);
    RequestHeader::decode(&mut reader, key.request_header_version(version)).unwrap();
    T::decode(&mut reader, version).unwrap()
}

#[test]
fn requests_keep_what_they_say() {
    for (version, frame) in requests("52-Vote.txt") {
        let wire: WireVoteRequest<'_> = decode(ApiKey::Vote, version, &frame);
        let request = VoteRequest::from_wire(&wire).unwrap();
        assert_eq!(request.to_wire(wire.cluster_id.as_deref().unwrap()), wire, "Vote {version}");
    }
    for (version, frame) in requests("53-BeginQuorumEpoch.txt") {
        let wire: BeginQuorumEpochRequest<'_> = decode(ApiKey::BeginQuorumEpoch, version, &frame);
        let request = BeginEpochRequest::from_wire(&wire).unwrap();
        let endpoints = wire.leader_endpoints.iter().map(|endpoint| VoterEndpoint {
            name: endpoint.name.to_string(),
            host: endpoint.host.to_string(),
            port: endpoint.port,
        });
        let again = request.to_wire(wire.cluster_id.as_deref().unwrap(), &endpoints.collect::<Vec<_>>());
        assert_eq!(again, wire, "BeginQuorumEpoch {version}");
    }
    for (version, frame) in requests("54-EndQuorumEpoch.txt") {
        let wire: EndQuorumEpochRequest<'_> = decode(ApiKey::EndQuorumEpoch, version, &frame);
        let request = EndEpochRequest::from_wire(&wire).unwrap();
        let named = wire.topics[0].partitions[0]
            .preferred_candidates
            .len()
            .max(wire.topics[0].partitions[0].preferred_successors.len());
        assert_eq!(
            (request.preferred_candidates.len(), request.epoch),
            (named, wire.topics[0].partitions[0].leader_epoch)
        );
    }
}

#[test]
fn changes_of_voters_keep_what_they_say() {
    let directory_id = Uuid::from_u128(1 << 64 | 7);
    for (version, frame) in requests("80-AddRaftVoter.txt") {
        let mut wire: AddRaftVoterRequest<'_> = decode(ApiKey::AddRaftVoter, version, &frame);
        let listener = wire.listeners[0].name.to_string();
        let cluster_id = wire.cluster_id.clone().unwrap();
        wire.voter_directory_id = directory_id;
        let request = AddVoter::from_wire(&wire, &listener).unwrap();
        assert_eq!(request.to_wire(&cluster_id, wire.timeout_ms), wire, "AddRaftVoter {version}");
        assert_eq!(AddVoter::from_wire(&wire, "OTHER"), Err(ErrorCode::INVALID_REQUEST));
        wire.voter_directory_id = Uuid::ZERO;
        assert_eq!(AddVoter::from_wire(&wire, &listener), Err(ErrorCode::INVALID_REQUEST));
    }
    for (version, frame) in requests("81-RemoveRaftVoter.txt") {
        let mut wire: RemoveRaftVoterRequest<'_> = decode(ApiKey::RemoveRaftVoter, version, &frame);
        wire.voter_directory_id = directory_id;
        let key = voter_to_remove(&wire).unwrap();
        assert_eq!(removal(key, wire.cluster_id.as_deref().unwrap()), wire);
    }
    for (version, frame) in requests("82-UpdateRaftVoter.txt") {
        let mut wire: UpdateRaftVoterRequest<'_> = decode(ApiKey::UpdateRaftVoter, version, &frame);
        wire.voter_directory_id = directory_id;
        let listener = wire.listeners[0].name.to_string();
        let voter = updated_voter(&wire, &listener).unwrap();
        let again = voter.to_update_request(wire.cluster_id.as_deref().unwrap(), wire.current_leader_epoch);
        assert_eq!(again, wire);
        wire.kraft_version_feature.min_supported_version =
            wire.kraft_version_feature.max_supported_version + 1;
        assert_eq!(updated_voter(&wire, &listener), Err(ErrorCode::INVALID_REQUEST));
    }
}

#[test]
fn pieces_of_snapshots_keep_what_they_say() {
    for (version, frame) in requests("59-FetchSnapshot.txt") {
        let wire: FetchSnapshotRequest<'_> = decode(ApiKey::FetchSnapshot, version, &frame);
        let request = SnapshotRequest::from_wire(&wire).unwrap();
        assert_eq!(request.to_wire(wire.cluster_id.as_deref().unwrap()), wire, "FetchSnapshot {version}");
    }
    let info = EpochInfo { error: ErrorCode::NONE, epoch: 3, leader_id: Some(1) };
    let id = SnapshotId { end_offset: 9, epoch: 2 };
    let piece = SnapshotPiece { info, id, size: 100, position: 40, length: 3 };
    let leader = NodeAddress { id: 1, host: "one".to_owned(), port: 9093 };
    let mut wire = piece.to_wire(Some(&leader));
    wire.topics[0].partitions[0].unaligned_records = Some(vec![1, 2, 3].into());
    assert_eq!(SnapshotPiece::from_wire(wire), Ok((piece, vec![1, 2, 3])));
}

/// Kafka's replicas end when they are told of a leader without its address.
#[test]
fn a_leader_is_told_of_with_its_address_only() {
    let info = EpochInfo { error: ErrorCode::NONE, epoch: 3, leader_id: Some(1) };
    let vote = VoteResponse { info, granted: false };
    let address = |id| NodeAddress { id, host: "one".to_owned(), port: 9093 };

    let told = vote.to_wire(Some(&address(1)));
    assert_eq!(VoteResponse::from_wire(&told), Ok(vote));
    assert_eq!((told.node_endpoints[0].node_id, &*told.node_endpoints[0].host), (1, "one"));
    for unknown in [None, Some(address(2))] {
        let unknown = unknown.as_ref();
        let unreachable = EpochInfo { leader_id: None, ..info };
        assert_eq!(EpochInfo::from_begin_response(&info.to_begin_response(unknown)), Ok(unreachable));
        assert_eq!(EpochInfo::from_end_response(&info.to_end_response(unknown)), Ok(unreachable));
        let told = vote.to_wire(unknown);
        assert_eq!(VoteResponse::from_wire(&told).unwrap().info, unreachable);
        assert!(told.node_endpoints.is_empty());
    }
}

#[test]
fn fetches_of_the_metadata_log_are_read() {
    for (version, frame) in requests("01-Fetch-controller.txt") {
        let wire: WireFetchRequest<'_> = decode(ApiKey::Fetch, version, &frame);
        match FetchRequest::from_wire(&wire) {
            Err(error) => {
                assert!(version < 13 && error == ErrorCode::INVALID_REQUEST, "Fetch {version}: {error}")
            }
            Ok(request) => {
                let partition = &wire.topics[0].partitions[0];
                assert!(version >= 13, "before there is no topic id");
                assert_eq!(
                    (request.offset, request.epoch),
                    (partition.fetch_offset, partition.current_leader_epoch)
                );
                assert_eq!(FetchRequest::from_wire(&request.to_wire("c", 500, 1)), Ok(request));
            }
        }
    }
}

#[test]
fn another_log_or_cluster_is_refused() {
    let vote = WireVoteRequest::default();
    assert_eq!(VoteRequest::from_wire(&vote), Err(ErrorCode::INVALID_REQUEST));
    assert_eq!(check_cluster_id(Some("a"), "b"), Err(ErrorCode::INCONSISTENT_CLUSTER_ID));
    assert_eq!(check_cluster_id(Some("a"), "a"), Ok(()));
    assert_eq!(check_cluster_id(None, "a"), Ok(()));
}
