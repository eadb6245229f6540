//! Operation of a cluster: replicas are moved, leaders elected, voters taken out and back in, while everything goes on.

use std::collections::BTreeMap;

use klamm_client::{Admin as Client, AdminError, ElectionType};

use super::Workload;
use super::admin::Admin;
use crate::shape::{Shape, controller_listener, directory_id, node_id};

/// Operates until the workload stops.
pub(super) async fn run(workload: Workload) {
    if workload.shape == Shape::One {
        return;
    }
    let Some(admin) = Admin::open(&workload) else { return };
    while !workload.is_stopping() {
        workload.pause(4000).await;
        match workload.dice.below(5) {
            // A move may leave a single copy, where nobody promises anything about a power loss that takes what is not flushed.
            0 | 1 if workload.layout.is_durable => reassign(&workload, admin.client()).await,
            2 => cancel(&workload, admin.client()).await,
            3 => elect(&workload, admin.client()).await,
            _ => change_voters(&workload, admin.client()).await,
        }
    }
}

/// Gives a partition two or three replicas, anywhere.
async fn reassign(workload: &Workload, admin: &Client) {
    let partition = workload.some_partition();
    let mut brokers = workload.shape.broker_ids();
    let count = workload.dice.within(2..4) as usize;
    let replicas: Vec<i32> =
        (0..count).map(|_| brokers.swap_remove(workload.dice.below(brokers.len() as u64) as usize)).collect();
    let wanted = BTreeMap::from([(partition.clone(), Some(replicas.clone()))]);
    let begun = admin.alter_partition_reassignments(&wanted).await;
    workload.trace.note(format_args!("{partition} is to move to {replicas:?}: {}", begun.is_ok()));
}

async fn cancel(workload: &Workload, admin: &Client) {
    let partition = workload.some_partition();
    let cancelled = admin.alter_partition_reassignments(&BTreeMap::from([(partition.clone(), None)])).await;
    workload.trace.note(format_args!("{partition} is not to move any more: {}", cancelled.is_ok()));
}

/// Unclean elections are not asked for: they may lose what was promised.
async fn elect(workload: &Workload, admin: &Client) {
    let elected = admin.elect_leaders(ElectionType::Preferred, None).await;
    workload.trace.note(format_args!("preferred leaders are elected: {}", elected.is_ok()));
}

/// Takes one voter out, or one back in.
async fn change_voters(workload: &Workload, admin: &Client) {
    if !workload.layout.has_dynamic_voters {
        return;
    }
    let changed = try_change_voters(workload, admin).await;
    if let Err(error) = changed {
        workload.trace.note(format_args!("the voters stay as they are: {error}"));
    }
}

async fn try_change_voters(workload: &Workload, admin: &Client) -> Result<(), AdminError> {
    let quorum = admin.describe_quorum().await?;
    let is_voter = |node: usize| quorum.voters.iter().any(|voter| voter.id == node_id(node));
    let controllers: Vec<usize> =
        (0..workload.shape.nodes()).filter(|node| workload.shape.is_controller(*node)).collect();
    let node = match controllers.iter().find(|node| !is_voter(**node)) {
        Some(node) => *node,
        None => *workload.dice.pick(&controllers),
    };
    let (id, directory) = (node_id(node), directory_id(node));
    if is_voter(node) {
        admin.remove_raft_voter(id, directory).await?;
        workload.trace.note(format_args!("controller {id} votes no more"));
    } else {
        admin.add_raft_voter(id, directory, &[controller_listener(node)]).await?;
        workload.trace.note(format_args!("controller {id} votes again"));
    }
    Ok(())
}
