//! A broker under Kafka's controllers, beside Kafka's brokers.

use super::health::healthy;
use super::{logs, look, software, wait_until};
use crate::check::{Verdict, expect_all, expect_none};
use crate::clients::numbered::{Numbered, Producer};
use crate::nodes::{Cluster, Software, Voters};
use crate::stage::Stage;

/// Of Kafka's: 1 is controller and broker, 2 is broker. Ours is a broker.
const KAFKAS_CONTROLLER: usize = 1;
const KAFKAS: usize = 2;
const OURS: usize = 3;
const PARTITIONS: usize = 3;

/// It registers, follows Kafka's leaders into the ISR, leads partitions that Kafka's brokers follow, is killed and comes back
/// under load, as is the other; in the end the replicas have equal bytes.
pub(super) fn among_kafkas(stage: &Stage<'_>) -> Verdict {
    let ours = software(stage)?;
    let members = [(&Software::Kafka, "broker,controller"), (&Software::Kafka, "broker"), (ours, "broker")];
    let settings = [("min.insync.replicas", "2"), ("unclean.leader.election.enable", "false")];
    let mut cluster =
        Cluster::format(&stage.scratch().join("cluster"), stage.peers, &members, &settings, Voters::Static)?;
    cluster.start_all()?;
    let bootstrap = cluster.bootstrap();
    let admin =
        |class: &str, args: &str| look(stage, class, &format!("--bootstrap-server {bootstrap} {args}"));
    let topic = stage.own("numbered");
    wait_until("a topic with three replicas", || {
        let args = format!(
            "--create --if-not-exists --topic {topic} --partitions {PARTITIONS} --replication-factor 3"
        );
        let said = admin("TopicCommand", &args)?;
        Ok(if said.contains("Created topic") { Ok(()) } else { Err(said) })
    })?;
    let in_sync = || all_in_sync(stage, &bootstrap, &topic);
    in_sync()?;
    let what = Numbered {
        bootstrap: &bootstrap,
        topic: topic.clone(),
        is_idempotent: true,
        replication_factor: 3,
        rate: 3_000,
    };
    let producer = Producer::start(stage, what)?;
    producer.wait_for(5_000)?;
    let leaders =
        look(stage, "TopicCommand", &format!("--bootstrap-server {bootstrap} --describe --topic {topic}"))?;
    expect_all(&leaders, &[&format!("Leader: {OURS}\t"), "Leader: 1\t"])?;
    for kill in 0..stage.records(1, 2) {
        for victim in [OURS, KAFKAS] {
            cluster.kill(victim)?;
            producer.wait_for(5_000)?;
            cluster.start(victim)?;
            producer.wait_for(5_000)?;
            in_sync()?;
        }
        stage.note(format!("round {kill} of kills is over"))?;
    }
    balanced(stage, &bootstrap, &topic)?;
    let records = producer.finish()?;
    stage.report(format!("{records} records acknowledged by all through kills of either software's broker, none lost, none twice"))?;
    healthy(stage, &cluster, KAFKAS_CONTROLLER, &[OURS])?;
    moved(stage, &bootstrap, &topic)?;
    in_sync()?;
    let folders: Vec<_> = (1..=OURS).map(|id| cluster.folder(id).data()).collect();
    cluster.stop_all()?;
    let folders: Vec<_> = folders.iter().map(|folder| folder.as_path()).collect();
    let mut bytes = 0;
    for partition in 0..PARTITIONS {
        bytes += logs::expect_equal_replicas(&format!("{topic}-{partition}"), &folders)?;
    }
    stage.report(format!("{bytes} bytes of log are equal on all three brokers"))?;
    dumped(stage, &cluster, &topic)
}

fn all_in_sync(stage: &Stage<'_>, bootstrap: &str, topic: &str) -> Verdict {
    wait_until("all replicas in sync", || {
        let args = format!("--bootstrap-server {bootstrap} --describe --topic {topic}");
        let said = look(stage, "TopicCommand", &args)?;
        let isrs = said.lines().filter_map(|line| line.split_once("Isr: ")?.1.split('\t').next());
        let full = isrs.filter(|isr| isr.split(',').count() == OURS).count();
        Ok(if full == PARTITIONS { Ok(()) } else { Err(said) })
    })
}

/// The preferred leader leads each partition: one of them is ours.
fn balanced(stage: &Stage<'_>, bootstrap: &str, topic: &str) -> Verdict {
    wait_until("preferred leaders to lead", || {
        let election =
            format!("--bootstrap-server {bootstrap} --election-type preferred --all-topic-partitions");
        look(stage, "LeaderElectionCommand", &election)?;
        let args = format!("--bootstrap-server {bootstrap} --describe --topic {topic}");
        let said = look(stage, "TopicCommand", &args)?;
        let is_led = (1..=OURS).all(|id| said.contains(&format!("Leader: {id}\t")));
        Ok(if is_led { Ok(()) } else { Err(said) })
    })
}

/// A partition goes away from our broker and comes back.
fn moved(stage: &Stage<'_>, bootstrap: &str, topic: &str) -> Verdict {
    for replicas in ["[1,2]", "[3,1,2]"] {
        let plan = format!(
            "{{\"version\":1,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":0,\"replicas\":{replicas}}}]}}"
        );
        let file = stage.file("plan.json", &plan)?;
        let args = format!("--bootstrap-server {bootstrap} --reassignment-json-file {}", file.display());
        stage.tool("reassign.ReassignPartitionsCommand", &format!("{args} --execute"))?;
        wait_until("the reassignment to be complete", || {
            let said = look(stage, "reassign.ReassignPartitionsCommand", &format!("{args} --verify"))?;
            Ok(if said.contains("is completed") { Ok(()) } else { Err(said) })
        })?;
    }
    Ok(())
}

/// Kafka's tool reads our replica and our copy of the metadata log.
fn dumped(stage: &Stage<'_>, cluster: &Cluster<'_>, topic: &str) -> Verdict {
    let data = cluster.folder(OURS).data();
    let log = data.join(format!("{topic}-0/00000000000000000000.log"));
    let came = stage.tool("DumpLogSegments", &format!("--files {} --deep-iteration", log.display()))?;
    expect_none(&came, &["isvalid: false", "Found timestamp mismatch", "Non-consecutive", "corrupt"])?;
    let log = data.join("__cluster_metadata-0/00000000000000000000.log");
    let came =
        stage.tool("DumpLogSegments", &format!("--files {} --cluster-metadata-decoder", log.display()))?;
    expect_all(&came, &["REGISTER_BROKER_RECORD", topic])
}
