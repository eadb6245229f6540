//! Whether the cluster is whole: every node says so of all partitions, and every voter keeps up.

use std::collections::BTreeSet;
use std::time::Duration;

use klamm_client::{Admin, AdminConfig, AdminError};
use tokio::time::Instant;

use crate::failure::Result;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A voter that was not at the leader's end for so long does not keep up, in milliseconds.
const VOTER_LAG_MS_MAX: i64 = 3_000;

/// Waits until all is in sync, doing `meanwhile` before each look. Gives how long that took, or what is missing when the time
/// is over.
pub(crate) async fn wait(
    addresses: &[String],
    within: Duration,
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<std::result::Result<Duration, String>> {
    let began = Instant::now();
    loop {
        meanwhile()?;
        let missing = match missing(addresses).await {
            Ok(None) => return Ok(Ok(began.elapsed())),
            Ok(Some(missing)) => missing,
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= within {
            return Ok(Err(missing));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is not in sync; each node is asked by itself, since one that lags behind may not know.
async fn missing(addresses: &[String]) -> std::result::Result<Option<String>, AdminError> {
    for (node, address) in (1..).zip(addresses) {
        if let Some(missing) = missing_at(address, addresses.len()).await? {
            return Ok(Some(format!("node {node} says: {missing}")));
        }
    }
    Ok(None)
}

async fn missing_at(address: &str, nodes: usize) -> std::result::Result<Option<String>, AdminError> {
    let patience = [("default.api.timeout.ms", "2000"), ("request.timeout.ms", "2000")];
    let properties = [("bootstrap.servers", address)].into_iter().chain(patience);
    let Ok(config) = AdminConfig::from_properties(properties) else { return Ok(None) };
    let admin = Admin::new(config);
    for topic in admin.list_topics(true).await? {
        for partition in &topic.partitions {
            let all: BTreeSet<_> = partition.replicas.iter().collect();
            let in_sync: BTreeSet<_> = partition.isr.iter().collect();
            if partition.leader.is_none() || all != in_sync {
                let (replicas, isr, leader) = (&partition.replicas, &partition.isr, partition.leader);
                return Ok(Some(format!(
                    "{}-{} has replicas {replicas:?}, in sync {isr:?}, leader {leader:?}",
                    topic.name, partition.index
                )));
            }
        }
    }
    let cluster = admin.describe_cluster(true).await?;
    let serving = cluster.brokers.iter().filter(|broker| !broker.is_fenced).count();
    if serving < nodes {
        return Ok(Some(format!("{serving} of {nodes} brokers serve")));
    }
    missing_voter(&admin, nodes).await
}

async fn missing_voter(admin: &Admin, nodes: usize) -> std::result::Result<Option<String>, AdminError> {
    let quorum = admin.describe_quorum().await?;
    let Some(leader) = quorum.voters.iter().find(|voter| voter.id == quorum.leader) else {
        return Ok(Some("the metadata quorum has no leader".to_owned()));
    };
    if quorum.voters.len() < nodes {
        return Ok(Some(format!("{} of {nodes} voters", quorum.voters.len())));
    }
    let behind = quorum.voters.iter().find(|voter| {
        voter.id != leader.id && leader.last_caught_up_ms - voter.last_caught_up_ms > VOTER_LAG_MS_MAX
    });
    Ok(behind.map(|voter| format!("voter {} is behind", voter.id)))
}
