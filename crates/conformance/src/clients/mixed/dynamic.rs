//! A quorum whose voters are in the metadata log: Kafka's begins it, others join, and disks are replaced under either leader.

use std::process::Command;

use super::health::healthy;
use super::quorum::{directory_of, elect, follows, observes, wait_for_leader};
use super::{logs, look, software, wait_until};
use crate::check::{Fault, Verdict, expect, expect_all, expect_none};
use crate::clients::numbered::{Numbered, Producer};
use crate::nodes::{Cluster, Software, Voters};
use crate::stage::Stage;

/// Controllers: 1 and 2 are Kafka's, 3 is ours.
const KAFKAS: usize = 2;
const OURS: usize = 3;
/// A broker of each.
const BROKERS: [usize; 2] = [4, 5];
/// So many that their records alone are worth a snapshot.
const PARTITIONS: usize = 60;
const SETTINGS: [(&str, &str); 3] = [
    ("metadata.log.max.record.bytes.between.snapshots", "4096"),
    ("metadata.max.retention.bytes", "1"),
    ("default.replication.factor", "2"),
];

/// Our controller is added by Kafka's tool and by ours, is elected, serves brokers of both kinds under load, and gives a snapshot to
/// a Kafka controller whose disk was replaced; then the same the other way round.
pub(super) fn voters(stage: &Stage<'_>) -> Verdict {
    let ours = software(stage)?;
    let kafkas = &Software::Kafka;
    let members = [
        (kafkas, "controller"),
        (kafkas, "controller"),
        (ours, "controller"),
        (kafkas, "broker"),
        (ours, "broker"),
    ];
    let root = stage.scratch().join("cluster");
    let mut cluster = Cluster::format(&root, stage.peers, &members, &SETTINGS, Voters::Dynamic)?;
    cluster.start_all()?;
    joined(stage, &cluster)?;
    let topics = ["under-kafka", "under-ours"].map(|name| stage.own(name));
    created(stage, &cluster, &topics[0])?;
    let leader = wait_for_leader(stage, &cluster, |leader| leader != OURS)?;
    healthy(stage, &cluster, leader, &BROKERS)?;
    stage.report("`kafka-metadata-quorum add-controller` and `klamm quorum add-voter` made our controller a voter of Kafka's quorum")?;

    elect(stage, &mut cluster, OURS)?;
    created(stage, &cluster, &topics[1])?;
    let records = loaded(stage, &mut cluster)?;
    healthy(stage, &cluster, OURS, &BROKERS)?;
    stage.report(format!(
        "under our controller {records} records were acknowledged through kills of a broker of either software, none lost, none twice"
    ))?;
    replaced(stage, &mut cluster, OURS, KAFKAS)?;
    stage.report("a Kafka controller with a new disk began with our controller's snapshot")?;

    cluster.kill(OURS)?;
    let leader = wait_for_leader(stage, &cluster, |leader| leader != OURS)?;
    cluster.start(OURS)?;
    follows(stage, &cluster)?;
    replaced(stage, &mut cluster, leader, OURS)?;
    stage.report("our controller with a new disk began with a Kafka controller's snapshot")?;
    healthy(stage, &cluster, leader, &BROKERS)?;
    cluster.stop_all()?;
    compared(stage, &cluster, leader, &topics)
}

/// Both controllers that did not begin the quorum vote.
fn joined(stage: &Stage<'_>, cluster: &Cluster<'_>) -> Verdict {
    for node in [KAFKAS, OURS] {
        added(stage, cluster, node)?;
    }
    follows(stage, cluster)?;
    removed(stage, cluster, OURS)?;
    observes(stage, cluster, OURS)?;
    let Some(Software::Klamm(binary)) = stage.software else { return added(stage, cluster, OURS) };
    let mut add = Command::new(binary);
    add.args(["quorum", "add-voter", "--bootstrap-controller", &cluster.controllers()]);
    add.arg("--config").arg(cluster.folder(OURS).settings());
    stage.run(&mut add, "")?;
    follows(stage, cluster)
}

/// Kafka's tool makes a controller that keeps up a voter.
fn added(stage: &Stage<'_>, cluster: &Cluster<'_>, node: usize) -> Verdict {
    observes(stage, cluster, node)?;
    let settings = cluster.folder(node).settings();
    let args = format!(
        "--command-config {} --bootstrap-controller {} add-controller",
        settings.display(),
        cluster.controllers()
    );
    stage.tool("MetadataQuorumCommand", &args).map(drop)
}

/// Kafka's tool takes a controller's vote.
fn removed(stage: &Stage<'_>, cluster: &Cluster<'_>, node: usize) -> Verdict {
    let directory = directory_of(cluster, node)?;
    let args = format!(
        "--bootstrap-controller {} remove-controller --controller-id {node} --controller-directory-id {directory}",
        cluster.controllers()
    );
    stage.tool("MetadataQuorumCommand", &args).map(drop)
}

/// A topic with a replica on each broker, all of them in sync; both brokers lead.
fn created(stage: &Stage<'_>, cluster: &Cluster<'_>, topic: &str) -> Verdict {
    let server = format!("--bootstrap-server {}", cluster.bootstrap());
    wait_until("a topic to be created", || {
        let args = format!(
            "{server} --create --if-not-exists --topic {topic} --partitions {PARTITIONS} --replication-factor 2"
        );
        let said = look(stage, "TopicCommand", &args)?;
        let described = look(stage, "TopicCommand", &format!("{server} --describe --topic {topic}"))?;
        let is_led = BROKERS.iter().all(|id| described.contains(&format!("Leader: {id}\t")));
        Ok(if is_led { Ok(()) } else { Err(format!("{said}{described}")) })
    })?;
    in_sync(stage, &server, topic)
}

fn in_sync(stage: &Stage<'_>, server: &str, topic: &str) -> Verdict {
    wait_until("all replicas in sync", || {
        let args = format!("{server} --describe --under-replicated-partitions --topic {topic}");
        let said = look(stage, "TopicCommand", &args)?;
        Ok(if said.trim().is_empty() { Ok(()) } else { Err(said) })
    })
}

/// Each broker is killed once under load and comes back; how many records were acknowledged.
fn loaded(stage: &Stage<'_>, cluster: &mut Cluster<'_>) -> Verdict<usize> {
    let (bootstrap, topic) = (cluster.bootstrap(), stage.own("numbered"));
    created(stage, cluster, &topic)?;
    let what = Numbered {
        bootstrap: &bootstrap,
        topic: topic.clone(),
        is_idempotent: true,
        replication_factor: 2,
        rate: 3_000,
    };
    let producer = Producer::start(stage, what)?;
    producer.wait_for(5_000)?;
    for victim in BROKERS {
        cluster.kill(victim)?;
        producer.wait_for(5_000)?;
        cluster.start(victim)?;
        producer.wait_for(5_000)?;
        in_sync(stage, &format!("--bootstrap-server {bootstrap}"), &topic)?;
    }
    producer.finish()
}

/// The leader's log no longer begins at its first record; this controller loses its disk, and takes the leader's snapshot.
fn replaced(stage: &Stage<'_>, cluster: &mut Cluster<'_>, leader: usize, node: usize) -> Verdict {
    wait_until("a log that begins with a snapshot", || {
        let first = cluster.folder(leader).data().join(FIRST_SNAPSHOT);
        Ok(if first.exists() { Err(format!("{} is still there", first.display())) } else { Ok(()) })
    })?;
    removed(stage, cluster, node)?;
    cluster.stop(node)?;
    cluster.wipe(node)?;
    cluster.start(node)?;
    added(stage, cluster, node)?;
    follows(stage, cluster)?;
    let begins_at = logs::first_offset(&logs::log(&metadata(cluster, node))?);
    let fetched = begins_at.is_some_and(|offset| offset > 0);
    expect(fetched, "a log that begins behind a snapshot", || format!("it begins at {begins_at:?}"))
}

/// The snapshot that a quorum of its own begins with.
const FIRST_SNAPSHOT: &str = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";

fn metadata(cluster: &Cluster<'_>, node: usize) -> std::path::PathBuf {
    cluster.folder(node).data().join("__cluster_metadata-0")
}

/// What the leader and our controller both have is the same, and each software's tool reads what the other wrote.
fn compared(stage: &Stage<'_>, cluster: &Cluster<'_>, leader: usize, topics: &[String]) -> Verdict {
    let (theirs, ours) = (logs::log(&metadata(cluster, leader))?, logs::log(&metadata(cluster, OURS))?);
    let starts = [logs::first_offset(&theirs), logs::first_offset(&ours)].into_iter().flatten().max();
    let start = starts.ok_or_else(|| Fault::failed("two metadata logs", "one is empty"))?;
    let what = "the metadata logs of Kafka's controller and ours, from where both begin,";
    let common =
        logs::expect_common_front(what, logs::from_offset(&theirs, start), logs::from_offset(&ours, start))?;
    stage.report(format!("{common} bytes of the metadata log are equal on Kafka's controller and ours"))?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let dumped = logs::dumped_by_kafka(stage, &metadata(cluster, OURS))?;
    expect_all(&dumped, &topics)?;
    logs::dumped_by_klamm(stage, &metadata(cluster, leader), &topics)?;
    // A snapshot that came over the wire has the bytes that the other wrote.
    expect_none(&dumped, &["isvalid: false"])
}
