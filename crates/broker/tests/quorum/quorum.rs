//! What a quorum of several nodes does: elect, replicate, outlive its leader, take nodes in and let them go.

use klamm_broker::InitialControllers;
use klamm_broker::environment::Clock;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::add_raft_voter_request::Listener;
use klamm_protocol::messages::update_features_request::FeatureUpdateKey;
use klamm_protocol::messages::{AddRaftVoterRequest, RemoveRaftVoterRequest, UpdateFeaturesRequest};

use crate::cluster::Cluster;
use crate::node::{CLUSTER_ID, Node, free_port};

/// A leader that only falls silent is waited for longer than any test waits, so what happens before is not for that reason.
const PATIENT: &str = "controller.quorum.fetch.timeout.ms=60000";

/// The nodes' metadata logs are the same bytes.
fn assert_same_logs(cluster: &Cluster) {
    let logs: Vec<_> = cluster.nodes.iter().map(|node| (node.id, node.log_bytes())).collect();
    let shortest = logs.iter().map(|(_, log)| log.len()).min().unwrap();
    assert!(shortest > 0);
    for (id, log) in &logs {
        assert!(log[..shortest] == logs[0].1[..shortest], "the log of node {id} is another");
    }
}

#[test]
fn static_voters_elect_a_leader_replicate_and_outlive_it() {
    let mut cluster = Cluster::of_static_voters(3, &[PATIENT]);
    for retention_ms in 1..=10 {
        cluster.decide(retention_ms);
    }
    cluster.in_step();
    assert_same_logs(&cluster);
    let old = cluster.leader();
    cluster.node(old).kill();
    cluster.decide(11);
    assert_ne!(cluster.leader(), old);
    cluster.node(old).start();
    cluster.in_step();
    cluster.decide(12);
    let described = cluster.in_step();
    assert_eq!(described.current_voters.len(), 3);
    assert_same_logs(&cluster);
}

#[test]
fn a_wall_clock_that_is_set_moves_nothing_but_timestamps() {
    let mut cluster = Cluster::of_static_voters(3, &[PATIENT]);
    cluster.decide(1);
    let before = cluster.in_step();
    for by_ms in [3_600_000, -7_200_000] {
        cluster.nodes.iter().for_each(|node| node.clock.jump(by_ms));
        // The leader looks at its timers before each of them.
        cluster.decide(2);
        cluster.decide(3);
        let after = cluster.in_step();
        assert_eq!((after.leader_id, after.leader_epoch), (before.leader_id, before.leader_epoch));
        let now_ms = cluster.node(after.leader_id).clock.now_ms();
        for voter in after.current_voters {
            let age_ms = now_ms - voter.last_fetch_timestamp;
            assert!((0..60_000).contains(&age_ms), "node {} fetched {age_ms} ms ago", voter.replica_id);
        }
    }
}

#[test]
fn a_leader_that_stops_hands_over_at_once() {
    let mut cluster = Cluster::of_static_voters(3, &[PATIENT]);
    cluster.decide(1);
    cluster.in_step();
    let old = cluster.leader();
    cluster.node(old).stop();
    cluster.decide(2);
    cluster.node(old).start();
    cluster.in_step();
    assert_same_logs(&cluster);
}

#[test]
fn what_only_the_old_leader_had_is_cut_back() {
    let mut cluster = Cluster::of_static_voters(3, &[]);
    cluster.decide(1);
    cluster.in_step();
    let old = cluster.leader();
    let others: Vec<i32> = (1..=3).filter(|id| *id != old).collect();
    others.iter().for_each(|id| cluster.node(*id).kill());
    // The leader appends what it decides, and cannot commit it: it loses the lead before it can answer.
    let response = cluster.node(old).alter_retention(99).unwrap();
    assert_eq!(response, ErrorCode::NOT_CONTROLLER);
    cluster.node(old).kill();
    others.iter().for_each(|id| cluster.node(*id).start());
    cluster.decide(2);
    cluster.node(old).start();
    cluster.decide(3);
    cluster.in_step();
    assert_same_logs(&cluster);
}

/// A quorum of one whose voters are in the log, with snapshots taken all the time.
fn standalone(settings: &[&str]) -> Cluster {
    let port = free_port();
    let first = member(1, port, port);
    let mut first = settings.iter().fold(first, |node, setting| node.with(setting));
    first.format(InitialControllers::Standalone);
    first.start();
    Cluster { nodes: vec![first] }
}

fn member(id: i32, port: u16, first_port: u16) -> Node {
    let others = format!("controller.quorum.bootstrap.servers=127.0.0.1:{first_port}");
    Node::controller(id, port, &others).with("metadata.log.max.record.bytes.between.snapshots=1")
}

fn join(cluster: &mut Cluster, id: i32, settings: &[&str]) {
    let first_port = cluster.node(1).port;
    let node = member(id, free_port(), first_port);
    let mut node = settings.iter().fold(node, |node, setting| node.with(setting));
    node.format(InitialControllers::Nobody);
    node.start();
    cluster.nodes.push(node);
    cluster.in_step();
}

fn add_voter(cluster: &mut Cluster, id: i32) -> ErrorCode {
    let (port, voter_directory_id) = (cluster.node(id).port, cluster.node(id).directory_id());
    let listener = Listener { name: "CONTROLLER".into(), host: "127.0.0.1".into(), port };
    let request = AddRaftVoterRequest {
        cluster_id: Some(CLUSTER_ID.into()),
        timeout_ms: 10_000,
        voter_id: id,
        voter_directory_id,
        listeners: vec![listener],
        ack_when_committed: true,
    };
    cluster.ask(&request, 1).error_code
}

fn remove_voter(cluster: &mut Cluster, id: i32) -> ErrorCode {
    let voter_directory_id = cluster.node(id).directory_id();
    let request =
        RemoveRaftVoterRequest { cluster_id: Some(CLUSTER_ID.into()), voter_id: id, voter_directory_id };
    cluster.ask(&request, 0).error_code
}

fn voters(cluster: &Cluster) -> Vec<i32> {
    let mut ids: Vec<_> = cluster.in_step().current_voters.iter().map(|voter| voter.replica_id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_quorum_of_one_grows_to_three_and_shrinks() {
    let mut cluster = standalone(&[]);
    cluster.decide(1);
    cluster.wait_for("a snapshot", |cluster| (cluster.nodes[0].snapshots().len() > 1).then_some(()));
    // An empty folder gets the snapshot first, and then the log.
    join(&mut cluster, 2, &[]);
    assert!(cluster.node(2).snapshots().iter().all(|name| !name.starts_with("00000000000000000000-")));
    join(&mut cluster, 3, &[]);
    assert_eq!(voters(&cluster), [1]);
    assert_eq!(add_voter(&mut cluster, 2), ErrorCode::NONE);
    assert_eq!(add_voter(&mut cluster, 2), ErrorCode::DUPLICATE_VOTER);
    assert_eq!(add_voter(&mut cluster, 3), ErrorCode::NONE);
    assert_eq!(voters(&cluster), [1, 2, 3]);
    cluster.decide(2);
    cluster.in_step();
    cluster.node(1).kill();
    cluster.decide(3);
    cluster.node(1).start();
    assert_eq!(voters(&cluster), [1, 2, 3]);
    assert_eq!(remove_voter(&mut cluster, 1), ErrorCode::NONE);
    assert_eq!(voters(&cluster), [2, 3]);
    assert_eq!(remove_voter(&mut cluster, 1), ErrorCode::VOTER_NOT_FOUND);
    // A leader that removes itself hands over.
    let leader = cluster.leader();
    assert_eq!(remove_voter(&mut cluster, leader), ErrorCode::NONE);
    let left = if leader == 2 { 3 } else { 2 };
    assert_eq!(voters(&cluster), [left]);
    assert_eq!(cluster.leader(), left);
    cluster.decide(4);
    cluster.in_step();
}

#[test]
fn controllers_join_by_themselves_where_they_are_told_to() {
    let mut cluster = standalone(&[]);
    join(&mut cluster, 2, &["controller.quorum.auto.join.enable=true"]);
    cluster.wait_for("joining", |cluster| (cluster.describe()?.current_voters.len() == 2).then_some(()));
    cluster.decide(1);
    cluster.in_step();
}

fn raise_kraft_version(cluster: &Cluster) -> (ErrorCode, String) {
    let key = FeatureUpdateKey {
        feature: "kraft.version".into(),
        max_version_level: 1,
        upgrade_type: 1,
        ..FeatureUpdateKey::default()
    };
    let request =
        UpdateFeaturesRequest { timeout_ms: 10_000, feature_updates: vec![key], ..Default::default() };
    let response = cluster.ask(&request, 2);
    (response.error_code, response.error_message.unwrap_or_default().into_owned())
}

#[test]
fn voters_of_the_settings_move_to_the_log_and_may_change_from_then_on() {
    let mut cluster = Cluster::of_static_voters(3, &["controller.quorum.fetch.timeout.ms=1000"]);
    cluster.in_step();
    let leader = cluster.leader();
    let other = (1..=3).find(|id| *id != leader).unwrap();
    assert_eq!(remove_voter(&mut cluster, other), ErrorCode::UNSUPPORTED_VERSION);
    // Each voter tells the leader what it is, in its time.
    let raised = cluster.wait_for("the voters' descriptions", |cluster| match raise_kraft_version(cluster) {
        (ErrorCode::INVALID_UPDATE_VERSION | ErrorCode::NOT_CONTROLLER, _) => None,
        raised => Some(raised),
    });
    assert_eq!(raised, (ErrorCode::NONE, String::new()));
    let described = cluster.in_step();
    for voter in &described.current_voters {
        assert_eq!(voter.replica_directory_id, cluster.node(voter.replica_id).directory_id());
    }
    assert_same_logs(&cluster);
    let leader = cluster.leader();
    let other = (1..=3).find(|id| *id != leader).unwrap();
    assert_eq!(remove_voter(&mut cluster, other), ErrorCode::NONE);
    assert_eq!(voters(&cluster).len(), 2);
    assert_eq!(add_voter(&mut cluster, other), ErrorCode::NONE);
    // The settings still name the voters; the log is what counts.
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.decide(1);
    assert_eq!(voters(&cluster), [1, 2, 3]);
    assert_eq!(raise_kraft_version(&cluster).0, ErrorCode::NONE, "it is at that level");
}

#[test]
fn a_level_is_refused_while_voters_have_not_said_what_they_support() {
    // They tell it after as long as they wait for a leader.
    let cluster = Cluster::of_static_voters(3, &[PATIENT]);
    let silent = cluster.wait_for("registration", |cluster| match raise_kraft_version(cluster) {
        (ErrorCode::INVALID_UPDATE_VERSION, message) if message.contains("not registered") => None,
        (error, message) => Some((error, message)),
    });
    assert_eq!(silent.0, ErrorCode::INVALID_UPDATE_VERSION);
    assert!(silent.1.contains("has not told the leader yet"), "{}", silent.1);
}

#[test]
fn what_a_snapshot_replaces_is_forgotten() {
    let mut cluster = standalone(&["metadata.max.retention.bytes=1"]);
    let bootstrap = "00000000000000000000-0000000000.checkpoint";
    for retention_ms in 1..=3 {
        let before = cluster.nodes[0].snapshots();
        cluster.decide(retention_ms);
        cluster.wait_for("a snapshot", |cluster| {
            let names = cluster.nodes[0].snapshots();
            (names.len() == 1 && names != before && names[0] != bootstrap).then_some(())
        });
    }
    // The log no longer has what the snapshot has; both a new node and a restart go on from there.
    join(&mut cluster, 2, &[]);
    cluster.node(1).kill();
    cluster.node(1).start();
    cluster.decide(4);
    cluster.in_step();
}

#[test]
fn a_voter_that_listens_elsewhere_has_its_description_replaced() {
    let mut cluster = standalone(&[]);
    join(&mut cluster, 2, &["controller.quorum.fetch.timeout.ms=500"]);
    assert_eq!(add_voter(&mut cluster, 2), ErrorCode::NONE);
    cluster.in_step();
    cluster.node(2).stop();
    let port = free_port();
    cluster.node(2).move_to(port);
    cluster.node(2).start();
    cluster.wait_for("the new description", |cluster| {
        cluster.nodes[0].voter_ports().contains(&(2, port)).then_some(())
    });
    cluster.decide(1);
    cluster.in_step();
}
