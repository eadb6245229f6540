//! Bounds on replication hold up replicas that are behind, and nobody else.

use std::time::{Duration, Instant};

use klamm_protocol::ErrorCode;

use crate::cluster::Resource;
use crate::replicated::{ALL, LEADER, Replicated};
use crate::replication::reassign;

/// Bytes a second.
const RATE: &str = "2000000";
const RECORD_BYTES: usize = 900_000;
const RECORDS: usize = 5;

/// A topic of which only one broker has the records, as many as two seconds of the rate.
fn with_one_replica() -> (Replicated, i32) {
    let replicated = Replicated::new("1");
    replicated.produce_until_acknowledged(1, "everywhere");
    replicated.settles();
    let leader = replicated.leader(1);
    reassign(&replicated, &[leader]);
    for _ in 0..RECORDS {
        replicated.produce(leader, LEADER, &["x".repeat(RECORD_BYTES)]).unwrap();
    }
    (replicated, leader)
}

fn set(replicated: &Replicated, resource: Resource, name: &'static str, value: Option<&'static str>) {
    assert_eq!(replicated.cluster.set(1, resource, name, value), ErrorCode::NONE, "{name}");
}

/// How long the others take to get what one has.
fn time_to_replicate(replicated: &Replicated, leader: i32) -> Duration {
    let began = Instant::now();
    let others = (1..=3).filter(|id| *id != leader);
    let replicas: Vec<i32> = [leader].into_iter().chain(others).collect();
    reassign(replicated, &replicas);
    began.elapsed()
}

/// Two followers of one leader share its bound.
#[test]
fn a_leader_sends_followers_that_are_behind_no_more_than_the_bound() {
    let (replicated, leader) = with_one_replica();
    set(&replicated, Resource::Topic("t"), "leader.replication.throttled.replicas", Some("*"));
    set(&replicated, Resource::AllBrokers, "leader.replication.throttled.rate", Some(RATE));
    let throttled = time_to_replicate(&replicated, leader);
    assert!(throttled > Duration::from_secs(3), "{throttled:?}");
    // In sync now, they are not held up, whatever the bound is.
    set(&replicated, Resource::AllBrokers, "leader.replication.throttled.rate", Some("1"));
    let began = Instant::now();
    replicated.produce(leader, ALL, &["y".repeat(RECORD_BYTES)]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    replicated.settles();
}

#[test]
fn a_follower_that_is_behind_fetches_no_more_than_the_bound() {
    let (replicated, leader) = with_one_replica();
    let named = ["", "0:2,0:3", "0:1,0:3", "0:1,0:2"][leader as usize];
    set(&replicated, Resource::Topic("t"), "follower.replication.throttled.replicas", Some(named));
    set(&replicated, Resource::AllBrokers, "follower.replication.throttled.rate", Some(RATE));
    let throttled = time_to_replicate(&replicated, leader);
    assert!(throttled > Duration::from_secs(1), "{throttled:?}");
    reassign(&replicated, &[leader]);
    set(&replicated, Resource::AllBrokers, "follower.replication.throttled.rate", Some("1000"));
    set(&replicated, Resource::Topic("t"), "follower.replication.throttled.replicas", None);
    let unthrottled = time_to_replicate(&replicated, leader);
    assert!(unthrottled < throttled, "{unthrottled:?}, but {throttled:?} with a bound");
    replicated.settles();
}
