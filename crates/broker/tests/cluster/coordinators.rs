//! Group coordinators move with their partitions.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use klamm_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use klamm_protocol::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};

use crate::cluster::{Cluster, eventually};
use crate::replicated::Replicated;

fn coordinator(cluster: &Cluster, by: i32) -> i32 {
    let request =
        FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..FindCoordinatorRequest::default() };
    cluster.ask(by, &request, 4).coordinators[0].node_id
}

fn commit(cluster: &Cluster, to: i32, offset: i64) -> ErrorCode {
    let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
    let topic =
        OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() };
    cluster.ask(to, &request, 8).topics[0].partitions[0].error_code
}

fn committed(cluster: &Cluster, from: i32) -> Result<i64, ErrorCode> {
    let topic =
        OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let group =
        OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let response = cluster.ask(from, &request, 8);
    let group = &response.groups[0];
    group.error_code.check().map(|()| group.topics[0].partitions[0].committed_offset)
}

#[test]
fn committed_offsets_outlive_their_coordinator() {
    let mut replicated = Replicated::new("1");
    replicated.produce_until_acknowledged(1, "a");
    eventually("there is a coordinator", || coordinator(&replicated.cluster, 1) > 0);
    let mut latest = 0;
    for round in 0..2 {
        let running: Vec<i32> = (1..=3).filter(|id| replicated.cluster.is_up(*id)).collect();
        let by = running[0];
        let mut old = -1;
        eventually("an offset is committed", || {
            old = coordinator(&replicated.cluster, by);
            latest += 1;
            running.contains(&old) && commit(&replicated.cluster, old, latest) == ErrorCode::NONE
        });
        for other in running.iter().filter(|id| **id != old) {
            assert_eq!(
                commit(&replicated.cluster, *other, 7777),
                ErrorCode::NOT_COORDINATOR,
                "round {round}"
            );
        }
        replicated.cluster.kill(old);
        let witness = running.iter().copied().find(|id| *id != old).unwrap();
        eventually("another one knows the offset", || {
            let new = coordinator(&replicated.cluster, witness);
            replicated.cluster.is_up(new) && committed(&replicated.cluster, new) == Ok(latest)
        });
        replicated.cluster.start_all(&[old]);
        replicated.settles();
    }
}
