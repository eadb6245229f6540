//! Requests for the controller: who is asked, and who is asked next when that was the wrong one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_client::{Admin, AdminConfig, TopicPartition};
use klamm_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use klamm_protocol::messages::{
    AlterPartitionReassignmentsResponse, DescribeClusterRequest, DescribeClusterResponse, MetadataResponse,
    UnregisterBrokerResponse,
};
use klamm_protocol::{ApiKey, ErrorCode};

use crate::fake_broker::{FakeCluster, Incoming, Reply, metadata};

fn admin(bootstrap: &str, servers: &str) -> Admin {
    let quick = ("retry.backoff.ms", "1");
    Admin::new(AdminConfig::from_properties([(bootstrap, servers), quick]).expect("valid"))
}

#[tokio::test]
async fn a_change_follows_the_controller() {
    let has_moved = AtomicBool::new(false);
    let cluster = FakeCluster::start(2, 1, move |request| match request.key {
        ApiKey::Metadata => {
            let controller_id = if has_moved.load(Ordering::Relaxed) { 1 } else { 2 };
            let metadata = metadata(&request.ports, 1, |_| (1, 0));
            Some(Reply::answer(MetadataResponse { controller_id, ..metadata }))
        }
        ApiKey::AlterPartitionReassignments => {
            let is_late = has_moved.swap(true, Ordering::Relaxed);
            let error_code = if is_late { ErrorCode::NONE } else { ErrorCode::NOT_CONTROLLER };
            Some(Reply::answer(AlterPartitionReassignmentsResponse { error_code, ..Default::default() }))
        }
        _ => None,
    })
    .await;
    let moves = BTreeMap::from([(TopicPartition::new("t", 0), Some(vec![1, 2]))]);
    let admin = admin("bootstrap.servers", &cluster.bootstrap());
    admin.alter_partition_reassignments(&moves).await.expect("the new controller does it");
    let asked = cluster.received(ApiKey::AlterPartitionReassignments);
    assert_eq!(asked.iter().map(|request| request.broker).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn another_broker_passes_on_what_the_named_one_does_not_take() {
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let hanging = hangs.local_addr().expect("bound").port();
    let cluster = FakeCluster::start(1, 1, move |request| match request.key {
        ApiKey::Metadata => {
            let mut metadata = metadata(&request.ports, 1, |_| (1, 0));
            let mut named = metadata.brokers[0].clone();
            (named.node_id, named.port) = (2, i32::from(hanging));
            metadata.brokers.push(named);
            Some(Reply::answer(MetadataResponse { controller_id: 2, ..metadata }))
        }
        ApiKey::AlterPartitionReassignments => {
            Some(Reply::answer(AlterPartitionReassignmentsResponse::default()))
        }
        _ => None,
    })
    .await;
    let moves = BTreeMap::from([(TopicPartition::new("t", 0), Some(vec![1, 2]))]);
    let servers = cluster.bootstrap();
    let patient = [("bootstrap.servers", servers.as_str()), ("socket.connection.setup.timeout.ms", "600000")];
    let admin = Admin::new(AdminConfig::from_properties(patient).expect("valid"));
    admin.alter_partition_reassignments(&moves).await.expect("the other broker passes it on");
    assert_eq!(cluster.received(ApiKey::AlterPartitionReassignments).len(), 1);
}

#[tokio::test]
async fn controllers_are_asked_for_the_active_one() {
    let cluster = FakeCluster::start(2, 1, |request| match request.key {
        ApiKey::DescribeCluster => Some(Reply::answer(controllers(request))),
        ApiKey::UnregisterBroker => Some(Reply::answer(UnregisterBrokerResponse::default())),
        _ => None,
    })
    .await;
    let admin = admin("bootstrap.controllers", &cluster.bootstrap());
    admin.unregister_broker(7).await.expect("the active controller does it");
    let asked = cluster.received(ApiKey::UnregisterBroker);
    assert_eq!(asked.iter().map(|request| request.broker).collect::<Vec<_>>(), [2]);
    assert!(cluster.received(ApiKey::Metadata).is_empty(), "controllers know no topics");
}

/// Both nodes as controllers, the second one active.
fn controllers(request: &Incoming) -> DescribeClusterResponse<'static> {
    assert_eq!(request.decode::<DescribeClusterRequest>().endpoint_type, 2);
    let node = |(index, port): (usize, &u16)| DescribeClusterBroker {
        broker_id: index as i32 + 1,
        host: "127.0.0.1".into(),
        port: i32::from(*port),
        ..Default::default()
    };
    let brokers = request.ports.iter().enumerate().map(node).collect();
    DescribeClusterResponse { endpoint_type: 2, controller_id: 2, brokers, ..Default::default() }
}
