//! The cluster as a whole: versions, features, quorum, log folders, leaders, producers.

use serde_json::Value;

use super::{check, create, produce};
use crate::check::{Check, Fault, Verdict, expect, expect_all, expect_equal, rows};
use crate::program::End;
use crate::stage::Stage;

pub(super) const CHECKS: &[Check] = &[
    check("broker-api-versions", broker_api_versions),
    check("cluster-id", cluster_id),
    check("features", features),
    check("quorum-status", quorum_status),
    check("quorum-replication", quorum_replication),
    check("log-dirs", log_dirs),
    check("leader-election", leader_election),
    check("describe-producers", describe_producers),
];

/// No API is unknown to the tool's client, and each of these is usable in Kafka 4.4's newest version the client knows.
fn broker_api_versions(stage: &Stage<'_>) -> Verdict {
    let came = stage.admin("BrokerApiVersionsCommand", "")?;
    expect_all(&came, &[&format!("{} (id: 1 rack: null isFenced: false) -> (", stage.bootstrap)])?;
    let usable = [
        "Produce(0): 0 to 13 [usable: 13]",
        "Fetch(1): 4 to 18 [usable: 18]",
        "Metadata(3): 0 to 13 [usable: 13]",
        "JoinGroup(11): 0 to 9 [usable: 9]",
        "CreateTopics(19): 2 to 7 [usable: 7]",
        "InitProducerId(22)",
        "IncrementalAlterConfigs(44): 0 to 1 [usable: 1]",
        "DescribeTopicPartitions(75): 0 [usable: 0]",
    ];
    expect_all(&came, &usable)
}

fn cluster_id(stage: &Stage<'_>) -> Verdict {
    let came = stage.tool("ClusterTool", &format!("cluster-id --bootstrap-server {}", stage.bootstrap))?;
    let id = came.trim().strip_prefix("Cluster ID: ").unwrap_or_default();
    expect(id.len() == 22, "Cluster ID: and 22 characters", || came.clone())?;
    let came =
        stage.tool("ClusterTool", &format!("list-endpoints --bootstrap-server {}", stage.bootstrap))?;
    let port = stage.bootstrap.rsplit(':').next().unwrap_or_default();
    let row = vec!["1", "127.0.0.1", port, "null", "unfenced", "broker"];
    expect(rows(&came).contains(&row), &format!("{row:?}"), || came.clone())
}

/// The tool is of 4.3 and has no name for the metadata version of 4.4, which is level 33.
fn features(stage: &Stage<'_>) -> Verdict {
    let came = stage.tool("FeatureCommand", &format!("--bootstrap-server {} describe", stage.bootstrap))?;
    let line = |name: &str| {
        came.lines().find(|line| line.contains(&format!("Feature: {name} "))).unwrap_or_default()
    };
    expect_all(
        line("metadata.version"),
        &["SupportedMinVersion: 3.3-IV3", "FinalizedVersionLevel: UNKNOWN 33"],
    )?;
    expect_all(line("kraft.version"), &["SupportedMaxVersion: 1", "FinalizedVersionLevel: 0"])
}

fn quorum_status(stage: &Stage<'_>) -> Verdict {
    let came = stage.admin("MetadataQuorumCommand", "describe --status")?;
    let field = |name: &str| {
        let value = came.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        value.map(str::trim).unwrap_or_default()
    };
    expect_equal("LeaderId", field("LeaderId"), "1")?;
    let is_positive = |name: &str| field(name).parse::<i64>().is_ok_and(|number| number > 0);
    expect(
        is_positive("LeaderEpoch") && is_positive("HighWatermark"),
        "an epoch and a high watermark",
        || came.clone(),
    )?;
    expect_all(field("CurrentVoters"), &["\"id\": 1", "CONTROLLER://127.0.0.1:"])
}

fn quorum_replication(stage: &Stage<'_>) -> Verdict {
    let came = stage.admin("MetadataQuorumCommand", "describe --replication")?;
    let all = rows(&came);
    let leader = all.iter().find(|row| row.first() == Some(&"1") && row.last() == Some(&"Leader"));
    let leader = leader.ok_or_else(|| Fault::failed("node 1 as Leader", came.clone()))?;
    expect_equal("the leader's lag", leader[3], "0")
}

fn log_dirs(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("sized");
    create(stage, &topic, 2)?;
    produce(stage, &topic, &"record\n".repeat(100))?;
    let came = stage.admin("LogDirsCommand", &format!("--describe --topic-list {topic}"))?;
    let json = came.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let json: Value =
        serde_json::from_str(json).map_err(|error| Fault::failed("a line of JSON", error.to_string()))?;
    let folder = &json["brokers"][0]["logDirs"][0];
    expect(folder["error"].is_null() && folder["logDir"].is_string(), "a folder without error", || {
        came.clone()
    })?;
    let partitions = folder["partitions"].as_array().cloned().unwrap_or_default();
    expect_equal("partitions", partitions.len(), 2)?;
    let size: i64 = partitions.iter().filter_map(|partition| partition["size"].as_i64()).sum();
    expect(size > 600, "a size above that of the values", || came.clone())
}

fn leader_election(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("elected");
    create(stage, &topic, 1)?;
    let args = format!("--election-type preferred --topic {topic} --partition 0");
    let came = stage.admin("LeaderElectionCommand", &args)?;
    expect_all(&came, &[&format!("Valid replica already elected for partitions {topic}-0")])?;
    let absent = format!(
        "--bootstrap-server {} --election-type preferred --topic {topic}-absent --partition 0",
        stage.bootstrap
    );
    let output = stage.tool_ending_somehow("LeaderElectionCommand", &absent, "")?;
    expect(output.end != End::Exit(0), "an error for an absent topic", || format!("{output:?}"))?;
    expect_all(&(output.stdout + &output.stderr), &["UnknownTopicOrPartitionException"])
}

/// The idempotent producer that wrote is known with its last sequence number.
fn describe_producers(stage: &Stage<'_>) -> Verdict {
    let topic = stage.own("produced");
    create(stage, &topic, 1)?;
    produce(stage, &topic, "0\n1\n2\n")?;
    let args =
        format!("--bootstrap-server {} describe-producers --topic {topic} --partition 0", stage.bootstrap);
    let came = stage.tool("TransactionsCommand", &args)?;
    let all = rows(&came);
    let row = all.get(1).ok_or_else(|| Fault::failed("a producer", came.clone()))?;
    expect_equal("epoch and last sequence", vec![row[1], row[3]], vec!["0", "2"])
}
