//! A controller in Kafka's quorum.

use super::quorum::{elect, follows, wait_for_leader};
use super::{logs, look, software, wait_until};
use crate::check::{Verdict, expect_all};
use crate::nodes::{Cluster, Software, Voters};
use crate::stage::Stage;

/// Kafka's controllers are 1 and 2, ours is 3, and 4 is Kafka's broker.
const OURS: usize = 3;
const BROKER: usize = 4;

/// It votes and follows, is elected, Kafka's nodes work under it, and hands the lead back when it is killed.
pub(super) fn among_kafkas(stage: &Stage<'_>) -> Verdict {
    let ours = software(stage)?;
    let members = [
        (&Software::Kafka, "controller"),
        (&Software::Kafka, "controller"),
        (ours, "controller"),
        (&Software::Kafka, "broker"),
    ];
    // Snapshots come soon, so that they are made and fetched here.
    let settings = [("metadata.log.max.record.bytes.between.snapshots", "4096")];
    let mut cluster =
        Cluster::format(&stage.scratch().join("cluster"), stage.peers, &members, &settings, Voters::Static)?;
    cluster.start_all()?;
    let bootstrap = cluster.bootstrap();
    follows(stage, &cluster)?;
    create(stage, &bootstrap, &stage.own("under-kafka"))?;
    let elections = elect(stage, &mut cluster, OURS)?;
    stage.report(format!(
        "our controller was elected in Kafka's quorum after {elections} kills of a leader"
    ))?;
    // What follows it: a topic, a setting, a restart of the broker and of a follower.
    create(stage, &bootstrap, &stage.own("under-ours"))?;
    let args =
        format!("--bootstrap-server {bootstrap} --alter --topic {} --partitions 5", stage.own("under-ours"));
    stage.tool("TopicCommand", &args)?;
    cluster.stop(BROKER)?;
    cluster.start(BROKER)?;
    for follower in [1, 2] {
        cluster.stop(follower)?;
        cluster.start(follower)?;
        follows(stage, &cluster)?;
    }
    create(stage, &bootstrap, &stage.own("after-restarts"))?;
    cluster.kill(OURS)?;
    wait_for_leader(stage, &cluster, |leader| leader != OURS)?;
    create(stage, &bootstrap, &stage.own("after-the-kill"))?;
    cluster.start(OURS)?;
    follows(stage, &cluster)?;
    let topics = stage.tool("TopicCommand", &format!("--bootstrap-server {bootstrap} --list"))?;
    let all = ["under-kafka", "under-ours", "after-restarts", "after-the-kill"].map(|name| stage.own(name));
    expect_all(&topics, &all.each_ref().map(String::as_str))?;
    cluster.stop_all()?;
    compared(stage, &cluster, &all)
}

fn create(stage: &Stage<'_>, bootstrap: &str, topic: &str) -> Verdict {
    wait_until("a topic to be created", || {
        let args =
            format!("--bootstrap-server {bootstrap} --create --if-not-exists --topic {topic} --partitions 2");
        let said = look(stage, "TopicCommand", &args)?;
        let described = look(
            stage,
            "TopicCommand",
            &format!("--bootstrap-server {bootstrap} --describe --topic {topic}"),
        )?;
        let is_led = described.matches(&format!("Leader: {BROKER}\t")).count() == 2;
        Ok(if is_led { Ok(()) } else { Err(format!("{said}{described}")) })
    })
}

/// The metadata logs are the same, and each software's tool reads what the other wrote.
fn compared(stage: &Stage<'_>, cluster: &Cluster<'_>, topics: &[String]) -> Verdict {
    let metadata = |id: usize| cluster.folder(id).data().join("__cluster_metadata-0");
    let (theirs, ours) = (logs::log(&metadata(1))?, logs::log(&metadata(OURS))?);
    let common =
        logs::expect_common_front("the metadata logs of Kafka's controller and ours", &theirs, &ours)?;
    stage.report(format!("{common} bytes of the metadata log are equal on Kafka's controller and ours"))?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    expect_all(&logs::dumped_by_kafka(stage, &metadata(OURS))?, &topics)?;
    logs::dumped_by_klamm(stage, &metadata(1), &topics)
}
