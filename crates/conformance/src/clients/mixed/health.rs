//! A cluster of both kinds of nodes in the eyes of Kafka's tools.

use super::{field, look, quorum, wait_until};
use crate::check::{Verdict, expect, expect_all, expect_none};
use crate::nodes::{CLUSTER_ID, Cluster};
use crate::stage::Stage;

const FILTERS: [&str; 3] =
    ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"];

/// They show nothing that is amiss: this node leads the quorum, and these brokers, which do not vote, keep up with the metadata.
pub(super) fn healthy(stage: &Stage<'_>, cluster: &Cluster<'_>, leader: usize, brokers: &[usize]) -> Verdict {
    let server = format!("--bootstrap-server {}", cluster.bootstrap());
    for filter in FILTERS {
        wait_until(filter, || {
            let said = look(stage, "TopicCommand", &format!("{server} --describe {filter}"))?;
            Ok(if said.trim().is_empty() { Ok(()) } else { Err(said) })
        })?;
    }
    brokers.iter().try_for_each(|broker| quorum::observes(stage, cluster, *broker))?;
    let status = quorum::status(stage, cluster, "status")?;
    let leads = field(&status, "LeaderId").is_some_and(|id| id == leader.to_string());
    expect(leads, &format!("node {leader} to lead the quorum"), || status.clone())?;
    let list = brokers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let dirs = look(stage, "LogDirsCommand", &format!("{server} --describe --broker-list {list}"))?;
    for broker in brokers {
        expect_all(&dirs, &[&format!("\"broker\":{broker}"), "\"error\":null"])?;
    }
    expect_none(&look(stage, "BrokerApiVersionsCommand", &server)?, &["ERROR"])?;
    expect_all(&look(stage, "ClusterTool", &format!("cluster-id {server}"))?, &[CLUSTER_ID])?;
    let controllers = format!("--bootstrap-controller {}", cluster.controllers());
    for asked in [&server, &controllers] {
        let features = look(stage, "FeatureCommand", &format!("{asked} describe"))?;
        expect_all(&features, &["metadata.version", "kraft.version", "FinalizedVersionLevel"])?;
    }
    Ok(())
}
