//! A quorum of three voters, as Kafka's tool sees it.

use std::fs;

use super::{field, look, wait_until};
use crate::check::{Fault, Verdict};
use crate::nodes::Cluster;
use crate::stage::Stage;

const VOTERS: usize = 3;
/// Elections until a given controller must have won one.
const ELECTIONS_MAX: usize = 12;
/// How far behind the leader's end a node may be that keeps up: an idle leader writes twice a second.
const LAG_MAX: i64 = 5;

/// A line of the table of replicas.
struct Replica<'a> {
    id: &'a str,
    directory: &'a str,
    lag: i64,
    /// -1 until it was at the leader's end once, which a new voter has to have been.
    caught_up_ms: i64,
    /// `Leader`, `Follower` or `Observer`.
    status: &'a str,
}

fn replicas(table: &str) -> impl Iterator<Item = Replica<'_>> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter_map(|row| match row.as_slice() {
        [id, directory, _end, lag, _fetched, caught_up, status] => {
            let (lag, caught_up_ms) = (lag.parse().ok()?, caught_up.parse().ok()?);
            Some(Replica { id, directory, lag, caught_up_ms, status })
        }
        _ => None,
    })
}

impl Replica<'_> {
    fn keeps_up(&self) -> bool {
        self.caught_up_ms >= 0 && (0..=LAG_MAX).contains(&self.lag)
    }
}

/// What Kafka's tool says of the quorum.
pub(super) fn status(stage: &Stage<'_>, cluster: &Cluster<'_>, what: &str) -> Verdict<String> {
    look(
        stage,
        "MetadataQuorumCommand",
        &format!("--bootstrap-controller {} describe --{what}", cluster.controllers()),
    )
}

/// Every voter is in reach of the leader's end.
pub(super) fn follows(stage: &Stage<'_>, cluster: &Cluster<'_>) -> Verdict {
    wait_until("three voters that keep up", || {
        let said = status(stage, cluster, "replication")?;
        let voters = replicas(&said).filter(|replica| ["Leader", "Follower"].contains(&replica.status));
        let is_whole = voters.filter(Replica::keeps_up).count() == VOTERS;
        Ok(if is_whole { Ok(()) } else { Err(said) })
    })
}

/// A node that does not vote is in reach of the leader's end, with the directory it has.
pub(super) fn observes(stage: &Stage<'_>, cluster: &Cluster<'_>, node: usize) -> Verdict {
    let (id, directory) = (node.to_string(), directory_of(cluster, node)?);
    wait_until(&format!("node {node} to keep up as an observer"), || {
        let said = status(stage, cluster, "replication")?;
        let observes = replicas(&said).any(|replica| {
            let is_it = replica.id == id && replica.directory == directory;
            is_it && replica.status == "Observer" && replica.keeps_up()
        });
        Ok(if observes { Ok(()) } else { Err(said) })
    })
}

/// The id of a node's metadata directory.
pub(super) fn directory_of(cluster: &Cluster<'_>, node: usize) -> Verdict<String> {
    let properties = fs::read_to_string(cluster.folder(node).data().join("meta.properties"))?;
    let id = properties.lines().find_map(|line| line.strip_prefix("directory.id="));
    id.map(str::to_owned).ok_or_else(|| Fault::failed("a directory id", properties.clone()))
}

fn leader(stage: &Stage<'_>, cluster: &Cluster<'_>) -> Verdict<Result<usize, String>> {
    let said = status(stage, cluster, "status")?;
    Ok(field(&said, "LeaderId").and_then(|id| id.parse().ok()).ok_or(said))
}

pub(super) fn wait_for_leader(
    stage: &Stage<'_>,
    cluster: &Cluster<'_>,
    is_right: impl Fn(usize) -> bool,
) -> Verdict<usize> {
    let mut found = 0;
    wait_until("a leader of the quorum", || {
        Ok(leader(stage, cluster)?.and_then(|id| {
            found = id;
            if is_right(id) { Ok(()) } else { Err(format!("node {id} leads")) }
        }))
    })?;
    Ok(found)
}

/// Kills whichever controller leads until this one does; how often that was.
pub(super) fn elect(stage: &Stage<'_>, cluster: &mut Cluster<'_>, node: usize) -> Verdict<usize> {
    for kills in 0..ELECTIONS_MAX {
        let leader = wait_for_leader(stage, cluster, |_| true)?;
        if leader == node {
            return Ok(kills);
        }
        cluster.kill(leader)?;
        wait_for_leader(stage, cluster, |other| other != leader)?;
        cluster.start(leader)?;
        follows(stage, cluster)?;
    }
    Err(Fault::failed(format!("node {node} to be elected"), format!("not in {ELECTIONS_MAX} elections")))
}
