//! What needs several brokers: moves under a throttle, elections of leaders, folders and features of three nodes.

use serde_json::Value;

use crate::check::{Check, Fault, Needs, Verdict, expect, expect_all, expect_none};
use crate::clients::mixed::{look, wait_until};
use crate::nodes::{Cluster, Software, Voters};
use crate::stage::Stage;

pub(super) const CHECKS: &[Check] = &[Check::new("kafka-tools", "on-three", Needs::Program, on_three)];

const NODES: usize = 3;
/// Enough for the topic's records to be moved in a moment.
const THROTTLE: &str = "50000000";
/// What the tool writes while a throttled move is under way, and takes away after it.
const THROTTLED: &str = "replication.throttled";

/// A cluster of three, and a topic of three partitions with two replicas each.
struct Three<'s, 'p> {
    stage: &'s Stage<'p>,
    cluster: Cluster<'p>,
    bootstrap: String,
    topic: String,
}

fn on_three(stage: &Stage<'_>) -> Verdict {
    let mut three = Three::start(stage)?;
    three.moved_under_a_throttle()?;
    three.leaders_come_back()?;
    three.folders()?;
    three.features()
}

impl<'s, 'p> Three<'s, 'p> {
    fn start(stage: &'s Stage<'p>) -> Verdict<Self> {
        let software =
            stage.software.ok_or_else(|| Fault::Skipped("it starts nodes of its own".to_owned()))?;
        if *software == Software::Kafka && !stage.is_full {
            return Err(Fault::Skipped("it starts several JVMs; --full does".to_owned()));
        }
        let root = stage.scratch().join("cluster");
        let members = [(software, "broker,controller"); NODES];
        let mut cluster = Cluster::format(&root, stage.peers, &members, &[], Voters::Static)?;
        cluster.start_all()?;
        let (bootstrap, topic) = (cluster.bootstrap(), stage.own("moved"));
        let three = Self { stage, cluster, bootstrap, topic };
        wait_until("three brokers to serve", || {
            let said = look(
                stage,
                "ClusterTool",
                &format!("list-endpoints --bootstrap-server {}", three.bootstrap),
            )?;
            let serving = said.split_whitespace().filter(|word| *word == "unfenced").count();
            Ok(if serving == NODES { Ok(()) } else { Err(said) })
        })?;
        let topic = &three.topic;
        three.tool("TopicCommand", &format!("--create --topic {topic} --replica-assignment 1:2,2:3,3:1"))?;
        let args = format!("--bootstrap-server {} --topic {topic}", three.bootstrap);
        stage.tool_reading("ConsoleProducer", &args, &"a record that is moved\n".repeat(20_000))?;
        Ok(three)
    }

    fn tool(&self, class: &str, args: &str) -> Verdict<String> {
        self.stage.tool(class, &format!("--bootstrap-server {} {args}", self.bootstrap))
    }

    fn look(&self, class: &str, args: &str) -> Verdict<String> {
        look(self.stage, class, &format!("--bootstrap-server {} {args}", self.bootstrap))
    }

    /// The throttle is set with the move, and `--verify` takes it away once that is complete.
    fn moved_under_a_throttle(&self) -> Verdict {
        let replicas = ["[3,1]", "[1,2]", "[2,3]"];
        let entries = (0..).zip(replicas).map(|(partition, replicas)| {
            let topic = &self.topic;
            format!("{{\"topic\":\"{topic}\",\"partition\":{partition},\"replicas\":{replicas}}}")
        });
        let plan = format!("{{\"version\":1,\"partitions\":[{}]}}", entries.collect::<Vec<_>>().join(","));
        let file = self.stage.file("plan.json", &plan)?;
        let (tool, plan) =
            ("reassign.ReassignPartitionsCommand", format!("--reassignment-json-file {}", file.display()));
        let said = self.tool(tool, &format!("{plan} --execute --throttle {THROTTLE}"))?;
        let started = "Successfully started partition reassignments for ";
        expect_all(&said, &[&format!("throttle limit was set to {THROTTLE} B/s"), started])?;
        expect_all(
            &self.dynamic_settings()?,
            &[&format!("{THROTTLED}.rate={THROTTLE}"), "throttled.replicas"],
        )?;
        let mut verified = String::new();
        wait_until("the move to be complete", || {
            verified = self.look(tool, &format!("{plan} --verify"))?;
            let completed = verified.matches(" is completed.").count();
            Ok(if completed == replicas.len() { Ok(()) } else { Err(verified.clone()) })
        })?;
        let cleared =
            ["Clearing broker-level throttles on brokers 1,2,3", "Clearing topic-level throttles on topic "];
        expect_all(&verified, &cleared)?;
        expect_none(&self.dynamic_settings()?, &[THROTTLED])?;
        let said = self.tool("TopicCommand", &format!("--describe --topic {}", self.topic))?;
        let replicas = ["Partition: 0", "Replicas: 3,1", "Replicas: 1,2", "Replicas: 2,3"];
        expect_all(&said, &replicas)
    }

    /// What is set while the cluster runs, of the brokers and the topic.
    fn dynamic_settings(&self) -> Verdict<String> {
        let topic = format!("--entity-type topics --entity-name {}", self.topic);
        let brokers = (1..=NODES).map(|id| format!("--entity-type brokers --entity-name {id}"));
        let described = brokers
            .chain([topic])
            .map(|entity| self.tool("kafka.admin.ConfigCommand", &format!("--describe {entity}")));
        Ok(described.collect::<Verdict<Vec<_>>>()?.concat())
    }

    /// A broker that was away leads again what it is the preferred leader of, when that is asked for.
    fn leaders_come_back(&mut self) -> Verdict {
        self.cluster.stop(2)?;
        self.cluster.start(2)?;
        let describe = format!("--describe --topic {}", self.topic);
        wait_until("two replicas in sync of each partition", || {
            let said = self.look("TopicCommand", &describe)?;
            let isrs = said.lines().filter_map(|line| line.split_once("Isr: ")?.1.split('\t').next());
            let whole = isrs.filter(|isr| isr.split(',').count() == 2).count();
            Ok(if whole == NODES { Ok(()) } else { Err(said) })
        })?;
        let said = self.tool("LeaderElectionCommand", "--election-type preferred --all-topic-partitions")?;
        let elected = "Successfully completed leader election (PREFERRED) for partitions ";
        expect_all(&said, &[elected, &format!("{}-2", self.topic)])?;
        wait_until("each broker to lead a partition", || {
            let said = self.look("TopicCommand", &describe)?;
            let is_led = (1..=NODES).all(|id| said.contains(&format!("Leader: {id}\t")));
            Ok(if is_led { Ok(()) } else { Err(said) })
        })
    }

    /// Each broker has one folder without an error, and two of the topic's replicas in it.
    fn folders(&self) -> Verdict {
        let came = self
            .tool("LogDirsCommand", &format!("--describe --broker-list 1,2,3 --topic-list {}", self.topic))?;
        let json = came.lines().find(|line| line.starts_with('{')).unwrap_or_default();
        let json: Value =
            serde_json::from_str(json).map_err(|error| Fault::failed("a line of JSON", error.to_string()))?;
        let brokers = json["brokers"].as_array().cloned().unwrap_or_default();
        let is_whole = |broker: &Value| {
            let folder = &broker["logDirs"][0];
            folder["error"].is_null() && folder["partitions"].as_array().is_some_and(|all| all.len() == 2)
        };
        let is_as_expected = brokers.len() == NODES && brokers.iter().all(is_whole);
        expect(is_as_expected, "two replicas in a folder of each broker", || came.clone())
    }

    /// The tool is of 4.3 and has no name for the metadata version of 4.4, which is level 33.
    fn features(&self) -> Verdict {
        let came = self.tool("FeatureCommand", "describe")?;
        let line = |name: &str| {
            came.lines().find(|line| line.contains(&format!("Feature: {name} "))).unwrap_or_default()
        };
        expect_all(line("metadata.version"), &["FinalizedVersionLevel: UNKNOWN 33"])?;
        expect_all(line("kraft.version"), &["SupportedMaxVersion: 1", "FinalizedVersionLevel: 0"])
    }
}
