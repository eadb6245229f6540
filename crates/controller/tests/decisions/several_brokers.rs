//! Fencing, controlled shutdown, elections, ISR changes, reassignments and directories among three brokers.

use klamm_metadata::partition::NO_LEADER;
use klamm_metadata::{MetadataRecord, directory_id};
use klamm_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use klamm_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use klamm_protocol::messages::assign_replicas_to_dirs_request as assign;
use klamm_protocol::messages::elect_leaders_request::TopicPartitions;
use klamm_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, AssignReplicasToDirsRequest,
    BrokerHeartbeatRequest, BrokerRegistrationRequest, ElectLeadersRequest,
    ListPartitionReassignmentsRequest, UnregisterBrokerRequest,
};
use klamm_protocol::{ErrorCode, Uuid};

use crate::cluster::{Cluster, directory, registration};

/// Three brokers and a topic `t` of one partition on all of them.
fn three() -> Cluster {
    let mut cluster = Cluster::with_brokers(&[1, 2, 3]);
    cluster.create_assigned("t", &[&[1, 2, 3]]);
    cluster
}

/// Leader and ISR of partition 0 of `t`.
fn state(cluster: &Cluster) -> (i32, Vec<i32>) {
    let partition = cluster.partition("t", 0);
    (partition.leader, partition.isr.to_vec())
}

fn fence_overdue(cluster: &mut Cluster) -> Vec<i32> {
    let mut fenced = Vec::new();
    while let Some(id) = cluster.controller.overdue_broker(cluster.now_ms) {
        cluster.decide(|controller, _| controller.fence_overdue(id));
        fenced.push(id);
    }
    fenced
}

/// The leader of `t` proposes an ISR.
fn propose(cluster: &mut Cluster, isr: &[i32], edit: impl FnOnce(&mut AlterPartitionRequest)) -> ErrorCode {
    let partition = cluster.partition("t", 0).clone();
    let with_epoch =
        |&broker_id: &i32| BrokerState { broker_id, broker_epoch: cluster.epoch(broker_id).unwrap_or(-1) };
    let data = PartitionData {
        partition_index: 0,
        leader_epoch: partition.leader_epoch,
        new_isr_with_epochs: isr.iter().map(with_epoch).collect(),
        partition_epoch: partition.partition_epoch,
        ..Default::default()
    };
    let mut request = AlterPartitionRequest {
        broker_id: partition.leader,
        broker_epoch: cluster.epoch(partition.leader).unwrap_or(-1),
        topics: vec![TopicData { topic_id: cluster.topic("t").id, partitions: vec![data] }],
    };
    edit(&mut request);
    let response = cluster.decide(|controller, _| controller.alter_partition(&request));
    response.error_code.check().map_or_else(|error| error, |()| response.topics[0].partitions[0].error_code)
}

#[test]
fn a_silent_broker_is_fenced_and_loses_its_leaders() {
    let mut cluster = three();
    cluster.now_ms += 9_000;
    cluster.heartbeat(2, |_| {});
    cluster.heartbeat(3, |_| {});
    assert!(fence_overdue(&mut cluster).is_empty());
    let overdue_ms = cluster.controller.next_session_end_ms();
    assert_eq!(overdue_ms, Some(9_001), "who waits until then finds something to do");
    cluster.now_ms += 1;
    assert_eq!(fence_overdue(&mut cluster), [1]);
    assert_eq!(state(&cluster), (2, vec![2, 3]));
    assert!(!cluster.heartbeat(1, |_| {}).is_fenced, "it comes back by a heartbeat");
    assert_eq!(state(&cluster), (2, vec![2, 3]), "and into the ISR only through the leader");
}

#[test]
fn a_broker_that_is_gone_is_fenced_within_its_session() {
    let mut cluster = three();
    let epoch = cluster.epoch(1).unwrap();
    cluster.decide(|controller, _| controller.fence_gone(1, epoch - 1));
    assert_eq!(state(&cluster), (1, vec![1, 2, 3]), "that was an earlier incarnation");
    cluster.decide(|controller, _| controller.fence_gone(1, epoch));
    assert_eq!(state(&cluster), (2, vec![2, 3]));
    let (_, again) = cluster.decide_with_records(|controller, _| controller.fence_gone(1, epoch));
    assert!(again.is_empty());
}

#[test]
fn a_broker_that_lost_its_connection_may_be_succeeded() {
    let mut cluster = three();
    let (epoch, next) = (cluster.epoch(1).unwrap(), registration(1, 77));
    assert_eq!(cluster.register(&next), Err(ErrorCode::DUPLICATE_BROKER_REGISTRATION));
    cluster.controller.lose_contact(1, epoch - 1);
    assert_eq!(cluster.register(&next), Err(ErrorCode::DUPLICATE_BROKER_REGISTRATION));
    cluster.controller.lose_contact(1, epoch);
    cluster.heartbeat(1, |_| {});
    assert_eq!(cluster.register(&next), Err(ErrorCode::DUPLICATE_BROKER_REGISTRATION), "it has spoken again");
    cluster.controller.lose_contact(1, epoch);
    assert!(cluster.register(&next).is_ok());
    assert_eq!(state(&cluster), (2, vec![2, 3]), "what the killed one led is led by others");
}

#[test]
fn when_all_go_one_by_one_the_last_stays_eligible() {
    let mut cluster = three();
    cluster.now_ms += 9_001;
    assert_eq!(fence_overdue(&mut cluster), [1, 2, 3]);
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.leader, &*partition.isr, &*partition.elr), (NO_LEADER, &[][..], &[3][..]));
    cluster.heartbeat(1, |_| {});
    assert_eq!(state(&cluster), (NO_LEADER, vec![]), "broker 1 may lack what 3 has");
    cluster.heartbeat(3, |_| {});
    assert_eq!(state(&cluster), (3, vec![3]));
}

#[test]
fn controlled_shutdown_moves_leaders_and_waits_for_the_others() {
    let mut cluster = three();
    let wants_out = |request: &mut BrokerHeartbeatRequest| request.want_shut_down = true;
    let first = cluster.heartbeat(1, wants_out);
    assert!(!first.should_shut_down);
    assert_eq!(state(&cluster), (2, vec![2, 3]));
    assert!(!cluster.heartbeat(1, wants_out).should_shut_down, "2 and 3 have not seen it");
    cluster.heartbeat(2, |_| {});
    assert!(!cluster.heartbeat(1, wants_out).should_shut_down, "3 has not seen it");
    cluster.heartbeat(3, |_| {});
    let last = cluster.heartbeat(1, wants_out);
    assert!(last.should_shut_down && last.is_fenced);
}

#[test]
fn proposals_of_an_isr() {
    use ErrorCode as E;
    let mut cluster = three();
    cluster.heartbeat(3, |request| request.want_fence = true);
    assert_eq!(state(&cluster), (1, vec![1, 2]));
    let partition = |request: &mut AlterPartitionRequest, edit: fn(&mut PartitionData)| {
        edit(&mut request.topics[0].partitions[0]);
    };
    let mut case =
        |isr: &[i32], edit: &dyn Fn(&mut AlterPartitionRequest)| propose(&mut cluster, isr, |r| edit(r));
    assert_eq!(case(&[1], &|r| r.broker_epoch = 0), E::STALE_BROKER_EPOCH);
    assert_eq!(case(&[1], &|r| r.topics[0].topic_id = Uuid([9; 16])), E::UNKNOWN_TOPIC_ID);
    assert_eq!(case(&[1], &|r| partition(r, |p| p.partition_index = 7)), E::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(case(&[1], &|r| partition(r, |p| p.leader_epoch += 1)), E::NOT_CONTROLLER);
    assert_eq!(case(&[1], &|r| partition(r, |p| p.partition_epoch += 1)), E::NOT_CONTROLLER);
    assert_eq!(case(&[1], &|r| partition(r, |p| p.leader_epoch -= 1)), E::FENCED_LEADER_EPOCH);
    assert_eq!(case(&[1], &|r| partition(r, |p| p.partition_epoch -= 1)), E::INVALID_UPDATE_VERSION);
    assert_eq!(case(&[2], &|_| {}), E::INVALID_REQUEST);
    assert_eq!(case(&[1, 1], &|_| {}), E::INVALID_REQUEST);
    assert_eq!(case(&[1, 9], &|_| {}), E::INVALID_REQUEST);
    assert_eq!(case(&[1, 2, 3], &|_| {}), E::INELIGIBLE_REPLICA);
    assert_eq!(case(&[1, 2], &|r| partition(r, |p| p.leader_recovery_state = 1)), E::INVALID_REQUEST);
    assert_eq!(case(&[1, 2], &|r| partition(r, |p| p.leader_recovery_state = 5)), E::INVALID_REQUEST);
    assert_eq!(case(&[1], &|_| {}), E::NONE);
    assert_eq!(
        case(&[1, 2], &|r| partition(r, |p| p.new_isr_with_epochs[1].broker_epoch += 1)),
        E::INELIGIBLE_REPLICA
    );
    assert_eq!(case(&[1, 2], &|_| {}), E::NONE);
    assert_eq!(state(&cluster), (1, vec![1, 2]));
    cluster.heartbeat(3, |_| {});
    assert_eq!(propose(&mut cluster, &[1, 2, 3], |_| {}), E::NONE);
}

#[test]
fn elections_on_request_and_by_balancing() {
    let mut cluster = three();
    cluster.heartbeat(1, |request| request.want_fence = true);
    cluster.heartbeat(1, |_| {});
    assert_eq!(state(&cluster), (2, vec![2, 3]));
    let elect = |cluster: &mut Cluster, election_type, topics: Option<&'static str>| {
        let one = |topic: &'static str| TopicPartitions { topic: topic.into(), partitions: vec![0] };
        let topic_partitions = topics.map(|topic| vec![one(topic)]);
        let request = ElectLeadersRequest { election_type, topic_partitions, ..Default::default() };
        let response = cluster.decide(|controller, _| controller.elect_leaders(&request));
        let results = response.replica_election_results.into_iter().flat_map(|topic| topic.partition_result);
        (response.error_code, results.map(|result| result.error_code).collect::<Vec<_>>())
    };
    use ErrorCode as E;
    assert_eq!(elect(&mut cluster, 0, Some("t")), (E::NONE, vec![E::PREFERRED_LEADER_NOT_AVAILABLE]));
    assert_eq!(elect(&mut cluster, 1, Some("t")), (E::NONE, vec![E::ELECTION_NOT_NEEDED]));
    assert_eq!(elect(&mut cluster, 0, Some("u")), (E::NONE, vec![E::UNKNOWN_TOPIC_OR_PARTITION]));
    assert_eq!(elect(&mut cluster, 7, Some("t")), (E::INVALID_REQUEST, vec![]));
    assert_eq!(elect(&mut cluster, 1, None), (E::NONE, vec![]), "what needs no election is left out");
    assert_eq!(propose(&mut cluster, &[2, 3, 1], |_| {}), E::NONE);
    assert_eq!(elect(&mut cluster, 0, None), (E::NONE, vec![E::NONE]));
    assert_eq!(state(&cluster), (1, vec![2, 3, 1]));

    cluster.heartbeat(1, |request| request.want_fence = true);
    cluster.heartbeat(1, |_| {});
    propose(&mut cluster, &[1, 2, 3], |_| {});
    assert!(cluster.controller.has_imbalanced_partitions());
    assert!(!cluster.decide(|controller, _| controller.balance_leaders()), "that was all");
    assert_eq!(state(&cluster).0, 1);
    assert!(!cluster.controller.has_imbalanced_partitions());
}

fn reassign(cluster: &mut Cluster, replicas: Option<&[i32]>) -> ErrorCode {
    let partition = ReassignablePartition { partition_index: 0, replicas: replicas.map(<[i32]>::to_vec) };
    let topic = ReassignableTopic { name: "t".into(), partitions: vec![partition] };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let response = cluster.decide(|controller, _| controller.alter_partition_reassignments(&request));
    response.responses[0].partitions[0].error_code
}

fn ongoing(cluster: &Cluster) -> usize {
    let request = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    cluster.controller.list_partition_reassignments(&request).topics.len()
}

#[test]
fn a_reassignment_runs_through() {
    let mut cluster = Cluster::with_brokers(&[1, 2, 3]);
    cluster.create_assigned("t", &[&[1, 2]]);
    assert_eq!(reassign(&mut cluster, Some(&[9])), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(reassign(&mut cluster, None), ErrorCode::NO_REASSIGNMENT_IN_PROGRESS);
    assert_eq!(reassign(&mut cluster, Some(&[3, 2])), ErrorCode::NONE);
    let moving = cluster.partition("t", 0);
    assert_eq!(
        (&*moving.replicas, &*moving.adding_replicas, &*moving.removing_replicas),
        (&[3, 2, 1][..], &[3][..], &[1][..])
    );
    assert_eq!(moving.directory(3), Some(directory(3)));
    assert_eq!(ongoing(&cluster), 1);
    let code = propose(&mut cluster, &[1, 2, 3], |_| {});
    assert_eq!(code, ErrorCode::NEW_LEADER_ELECTED, "the old leader is no replica any more");
    let done = cluster.partition("t", 0);
    assert_eq!((&*done.replicas, &*done.isr, done.leader), (&[3, 2][..], &[2, 3][..], 3));
    assert_eq!(ongoing(&cluster), 0);
}

/// Both would be decided by what is there before either.
#[test]
fn a_partition_is_reassigned_once_in_a_request() {
    let mut cluster = Cluster::with_brokers(&[1, 2, 3]);
    cluster.create_assigned("t", &[&[1, 2]]);
    let to =
        |replicas: &[i32]| ReassignablePartition { partition_index: 0, replicas: Some(replicas.to_vec()) };
    let topic = |partitions| ReassignableTopic { name: "t".into(), partitions };
    let topics = vec![topic(vec![to(&[1, 2, 3]), to(&[2, 1])]), topic(vec![to(&[1])])];
    let request = AlterPartitionReassignmentsRequest {
        topics,
        allow_replication_factor_change: true,
        ..Default::default()
    };
    let response = cluster.decide(|controller, _| controller.alter_partition_reassignments(&request));
    let codes = response.responses.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code);
    let twice = ErrorCode::INVALID_REQUEST;
    assert_eq!(codes.collect::<Vec<_>>(), [ErrorCode::NONE, twice, twice]);
    let moving = cluster.partition("t", 0);
    assert_eq!((&*moving.replicas, &*moving.adding_replicas), (&[1, 2, 3][..], &[3][..]));
}

#[test]
fn a_reassignment_is_cancelled() {
    let mut cluster = Cluster::with_brokers(&[1, 2, 3]);
    cluster.create_assigned("t", &[&[1, 2]]);
    reassign(&mut cluster, Some(&[3, 2]));
    assert_eq!(reassign(&mut cluster, None), ErrorCode::NONE);
    let back = cluster.partition("t", 0);
    assert_eq!((&*back.replicas, back.is_reassigning(), back.leader), (&[2, 1][..], false, 1));
    assert_eq!(reassign(&mut cluster, Some(&[1, 2])), ErrorCode::NONE, "an order alone changes at once");
    assert!(cluster.partition("t", 0).has_preferred_leader());
}

/// What was added and is to leave again is not waited for: Kafka's controller does, and the reassignment never ends.
#[test]
fn a_reassignment_is_replaced_by_another() {
    let mut cluster = Cluster::with_brokers(&[1, 2, 3, 4]);
    let replicas = |cluster: &Cluster| {
        let now = cluster.partition("t", 0);
        (now.replicas.to_vec(), now.adding_replicas.to_vec(), now.removing_replicas.to_vec())
    };
    cluster.create_assigned("t", &[&[1, 2]]);
    reassign(&mut cluster, Some(&[3, 2]));
    reassign(&mut cluster, Some(&[4, 3]));
    assert_eq!(replicas(&cluster), (vec![4, 3, 1, 2], vec![3, 4], vec![1, 2]), "both are still being added");
    reassign(&mut cluster, Some(&[2, 1]));
    assert_eq!(replicas(&cluster), (vec![2, 1], vec![], vec![]), "all of it is in sync already");
}

#[test]
fn unregistering_takes_a_broker_out_of_everything() {
    let mut cluster = three();
    let request = UnregisterBrokerRequest { broker_id: 2 };
    let response = cluster.decide(|controller, _| controller.unregister_broker(&request));
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert_eq!(state(&cluster), (1, vec![1, 3]));
    let again = cluster.decide(|controller, _| controller.unregister_broker(&request));
    assert_eq!(again.error_code, ErrorCode::BROKER_ID_NOT_REGISTERED);
}

#[test]
fn directories_are_assigned_fail_and_are_cordoned() {
    let mut cluster = three();
    let (topic_id, other) = (cluster.topic("t").id, Uuid([7; 16]));
    let request = |id, partition_index| AssignReplicasToDirsRequest {
        broker_id: 1,
        broker_epoch: cluster.epoch(1).unwrap(),
        directories: vec![assign::DirectoryData {
            id,
            topics: vec![assign::TopicData {
                topic_id,
                partitions: vec![assign::PartitionData { partition_index }],
            }],
        }],
    };
    let (lost, unknown, stay) = (request(directory_id::LOST, 0), request(other, 5), request(directory(1), 0));
    let code = |cluster: &mut Cluster, request: &AssignReplicasToDirsRequest| {
        let (response, records) =
            cluster.decide_with_records(|controller, _| controller.assign_replicas_to_dirs(request));
        (response.directories[0].topics[0].partitions[0].error_code, records.len())
    };
    assert_eq!(code(&mut cluster, &stay), (ErrorCode::NONE, 0), "nothing changes");
    assert_eq!(code(&mut cluster, &unknown).0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(&mut cluster, &lost), (ErrorCode::NONE, 2), "the assignment, then the move of the lead");
    assert_eq!(state(&cluster), (2, vec![2, 3]));

    cluster.heartbeat(2, |request| request.offline_log_dirs = vec![directory(2)]);
    assert_eq!(state(&cluster), (3, vec![3]), "a replica on a failed disk leads nothing");

    cluster.heartbeat(3, |request| request.cordoned_log_dirs = Some(vec![directory(3)]));
    let response = cluster.create(vec![crate::cluster::assigned("u", &[&[3]])]);
    assert_eq!(response.topics[0].error_code, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
}

/// A broker that comes back tells that it has lost the directory of a partition which only it could lead.
#[test]
fn what_is_lost_with_a_directory_is_not_led_again() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create_assigned("t", &[&[1]]);
    cluster.heartbeat(1, |request| request.want_fence = true);
    cluster.controller.lose_contact(1, cluster.epoch(1).unwrap());
    let previous_broker_epoch = cluster.epoch(1).unwrap();
    let two = vec![directory(1), directory(9)];
    let again = registration(1, 77);
    let again = BrokerRegistrationRequest { previous_broker_epoch, log_dirs: two, ..again };
    cluster.register(&again).unwrap();
    assert_eq!((state(&cluster).0, &*cluster.partition("t", 0).elr), (NO_LEADER, &[1][..]));
    let lost = |request: &mut BrokerHeartbeatRequest| request.offline_log_dirs = vec![directory(1)];
    assert!(cluster.heartbeat(1, lost).is_fenced, "first the directory goes");
    assert!(!cluster.heartbeat(1, lost).is_fenced);
    assert_eq!(state(&cluster).0, NO_LEADER);
}

/// A broker was stopped in order, and came back without the directory. What it has in another one is not the copy that was eligible.
#[test]
fn an_empty_copy_in_place_of_a_lost_one_is_not_eligible() {
    let mut cluster = Cluster::with_brokers(&[1, 2]);
    cluster.create_assigned("t", &[&[1, 2]]);
    let minimum = klamm_protocol::messages::ConfigRecord {
        resource_type: 2,
        resource_name: "t".into(),
        name: "min.insync.replicas".into(),
        value: Some("2".into()),
    };
    cluster.commit(&[MetadataRecord::Config(minimum)]);
    cluster.heartbeat(2, |request| request.want_fence = true);
    assert_eq!((state(&cluster), &*cluster.partition("t", 0).elr), ((1, vec![1]), &[2][..]));
    cluster.controller.lose_contact(2, cluster.epoch(2).unwrap());
    let previous_broker_epoch = cluster.epoch(2).unwrap();
    let again = BrokerRegistrationRequest {
        previous_broker_epoch,
        log_dirs: vec![directory(9)],
        ..registration(2, 77)
    };
    cluster.register(&again).unwrap();
    assert_eq!(&*cluster.partition("t", 0).elr, [2], "it was stopped in order");
    let topics = vec![assign::TopicData {
        topic_id: cluster.topic("t").id,
        partitions: vec![assign::PartitionData { partition_index: 0 }],
    }];
    let request = AssignReplicasToDirsRequest {
        broker_id: 2,
        broker_epoch: cluster.epoch(2).unwrap(),
        directories: vec![assign::DirectoryData { id: directory(9), topics }],
    };
    cluster.decide_with_records(|controller, _| controller.assign_replicas_to_dirs(&request));
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.directory(2), &*partition.elr), (Some(directory(9)), &[][..]));
}

#[test]
fn an_unclean_election_where_the_topic_allows_it() {
    let mut cluster = three();
    cluster.heartbeat(2, |request| request.want_fence = true);
    cluster.heartbeat(3, |request| request.want_fence = true);
    cluster.heartbeat(1, |request| request.want_fence = true);
    assert_eq!(state(&cluster), (NO_LEADER, vec![]));
    cluster.heartbeat(2, |_| {});
    assert!(!cluster.decide(|controller, _| controller.elect_unclean_leaders()));
    assert_eq!(state(&cluster).0, NO_LEADER, "broker 2 is not eligible");
    let config = klamm_protocol::messages::ConfigRecord {
        resource_type: 2,
        resource_name: "t".into(),
        name: "unclean.leader.election.enable".into(),
        value: Some("true".into()),
    };
    cluster.commit(&[MetadataRecord::Config(config)]);
    cluster.decide(|controller, _| controller.elect_unclean_leaders());
    assert_eq!(state(&cluster), (2, vec![2]));
    assert_eq!(cluster.partition("t", 0).leader_recovery_state.code(), 1);
}
