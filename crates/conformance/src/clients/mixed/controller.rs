//! A controller in Kafka's quorum.

use std::process::Command;

use super::{field, logs, look, software, wait_until};
use crate::check::{Fault, Verdict, expect_all, expect_none};
use crate::nodes::{Cluster, Software};
use crate::stage::Stage;

/// Kafka's controllers are 1 and 2, ours is 3, and 4 is Kafka's broker.
const OURS: usize = 3;
const BROKER: usize = 4;
/// Elections until ours must have won one.
const ELECTIONS_MAX: usize = 12;

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
    let mut cluster = Cluster::format(&stage.scratch().join("cluster"), stage.peers, &members, &settings)?;
    cluster.start_all()?;
    let bootstrap = cluster.bootstrap();
    follows(stage, &cluster)?;
    create(stage, &bootstrap, &stage.own("under-kafka"))?;
    let elections = elect_ours(stage, &mut cluster)?;
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

fn status(stage: &Stage<'_>, cluster: &Cluster<'_>, what: &str) -> Verdict<String> {
    look(
        stage,
        "MetadataQuorumCommand",
        &format!("--bootstrap-controller {} describe --{what}", cluster.controllers()),
    )
}

/// Every voter is in reach of the leader's end.
fn follows(stage: &Stage<'_>, cluster: &Cluster<'_>) -> Verdict {
    wait_until("three voters that keep up", || {
        let said = status(stage, cluster, "replication")?;
        let rows = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let voters = rows.filter(|row| row.contains(&"Leader") || row.contains(&"Follower"));
        let lags = voters.filter_map(|row| row.get(3)?.parse::<i64>().ok());
        Ok(if lags.filter(|lag| (0..=5).contains(lag)).count() == 3 { Ok(()) } else { Err(said) })
    })
}

fn leader(stage: &Stage<'_>, cluster: &Cluster<'_>) -> Verdict<Result<usize, String>> {
    let said = status(stage, cluster, "status")?;
    Ok(field(&said, "LeaderId").and_then(|id| id.parse().ok()).ok_or(said))
}

fn wait_for_leader(
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

/// Kills whichever of Kafka's controllers leads until ours does; how often that was.
fn elect_ours(stage: &Stage<'_>, cluster: &mut Cluster<'_>) -> Verdict<usize> {
    for kills in 0..ELECTIONS_MAX {
        let leader = wait_for_leader(stage, cluster, |_| true)?;
        if leader == OURS {
            return Ok(kills);
        }
        cluster.kill(leader)?;
        wait_for_leader(stage, cluster, |other| other != leader)?;
        cluster.start(leader)?;
        follows(stage, cluster)?;
    }
    Err(Fault::failed("our controller to be elected", format!("not in {ELECTIONS_MAX} elections")))
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
    let mut snapshots = 0;
    for file in std::fs::read_dir(metadata(OURS))? {
        let path = file?.path();
        let is_snapshot = path.extension().is_some_and(|extension| extension == "checkpoint");
        if is_snapshot || path.extension().is_some_and(|extension| extension == "log") {
            let args = format!("--files {} --cluster-metadata-decoder", path.display());
            let came = stage.tool("DumpLogSegments", &args)?;
            expect_none(&came, &["isvalid: false", "Non-consecutive", "corrupt", "Exception"])?;
            if !is_snapshot {
                expect_all(&came, &topics.iter().map(String::as_str).collect::<Vec<_>>())?;
            }
            snapshots += usize::from(is_snapshot);
        }
    }
    stage.report(format!("DumpLogSegments reads our metadata log and {snapshots} snapshots"))?;
    let Some(Software::Klamm(binary)) = stage.software else { return Ok(()) };
    let mut dump = Command::new(binary);
    dump.args(["log", "dump", "--records", "--verify"]).arg(metadata(1));
    let came = stage.run(&mut dump, "")?.stdout;
    expect_all(&came, &topics.iter().map(String::as_str).collect::<Vec<_>>())?;
    stage.report("`klamm log dump` reads Kafka's metadata log and snapshots")
}
