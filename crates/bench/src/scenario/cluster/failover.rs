//! Nodes that die, stand still or are restarted, as a producer notices it.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::{Failure, Result};
use crate::load::{Probe, Probes};
use crate::target::Cluster;
use crate::wire::{Connection, Topic, active_controller};

/// Longer than any broker's time-outs together.
const TIME_MAX: Duration = Duration::from_secs(120);
/// How long all goes well before something is done, and afterwards.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(1);
const BACKOFF: Duration = Duration::from_millis(10);
/// Kafka's broker.session.timeout.ms, after which a node that stands still counts as gone.
const SESSION_MS: f64 = 9_000.0;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "cluster-kill",
            "SIGKILL of a partition's leader: until a record that was sent afterwards is acknowledged, acks=all",
            Metric::new("ms").absolute(AtMost(1_000.0)),
            kill,
        ),
        scenario(
            "cluster-pause",
            "the same with SIGSTOP",
            Metric::new("ms").absolute(AtMost(SESSION_MS + 1_000.0)),
            pause,
        ),
        scenario(
            "cluster-restart",
            "a node is stopped cleanly and started again: the longest time without an acknowledgement that any of three \
             producers sees, acks=all",
            Metric::new("ms").absolute(AtMost(200.0)),
            restart,
        ),
        scenario(
            "cluster-controller",
            "SIGKILL of the node with the active controller: until a topic is created",
            Metric::new("ms").absolute(AtMost(1_500.0)),
            controller,
        ),
    ]
}

/// A run's time, on a cluster that is whole before and after it.
type Measure = fn(&Stage<'_>, &mut Cluster, &Topic) -> Result<Duration>;

fn scenario(name: &str, about: &str, metric: Metric, measure: Measure) -> Scenario {
    Scenario {
        name: name.to_owned(),
        about: about.to_owned(),
        floor: None,
        is_quick: false,
        metrics: vec![metric],
        rounds_max: u32::MAX,
        run: Box::new(move |stage| run(stage, measure)),
    }
}

fn run(stage: &Stage<'_>, measure: Measure) -> Result<Figures> {
    let cluster = stage.cluster()?;
    stage.with_replicated_topic(&mut cluster.borrow_mut(), 3, |cluster, topic| {
        let time = measure(stage, cluster, topic)?;
        topic.wait_until_replicated(&cluster.addresses())?;
        Ok(Figures::new([time.as_secs_f64() * 1e3]))
    })
}

fn kill(stage: &Stage<'_>, cluster: &mut Cluster, topic: &Topic) -> Result<Duration> {
    let (leader, probe) = probe_first_partition(cluster, topic)?;
    let begin = Instant::now();
    cluster.node_mut(leader).kill()?;
    let acknowledged = probe.first_after(begin, TIME_MAX)?;
    cluster.node_mut(leader).start(stage.launcher)?;
    Ok(acknowledged - begin)
}

fn pause(_stage: &Stage<'_>, cluster: &mut Cluster, topic: &Topic) -> Result<Duration> {
    let (leader, probe) = probe_first_partition(cluster, topic)?;
    let begin = Instant::now();
    cluster.nodes()[leader].pause()?;
    let acknowledged = probe.first_after(begin, TIME_MAX);
    cluster.nodes()[leader].resume()?;
    Ok(acknowledged? - begin)
}

/// The node that leads the first partition, and a producer that writes there.
fn probe_first_partition(cluster: &Cluster, topic: &Topic) -> Result<(usize, Probe)> {
    let nodes = cluster.addresses();
    let probe = Probe::start(&nodes, topic, 0)?;
    probe.first_after(Instant::now() + QUIET, TIME_MAX)?;
    Ok((topic.leaders(nodes[0])?[0], probe))
}

fn restart(stage: &Stage<'_>, cluster: &mut Cluster, topic: &Topic) -> Result<Duration> {
    let nodes = cluster.addresses();
    let probes = Probes::start(&nodes, topic)?;
    probes.wait_until_all_go(TIME_MAX)?;
    thread::sleep(QUIET);
    let leader = topic.leaders(nodes[0])?[0];
    let begin = Instant::now();
    cluster.node_mut(leader).stop()?;
    cluster.node_mut(leader).start(stage.launcher)?;
    topic.wait_until_replicated(&nodes)?;
    thread::sleep(QUIET);
    Ok(probes.longest_gap_since(begin))
}

fn controller(stage: &Stage<'_>, cluster: &mut Cluster, topic: &Topic) -> Result<Duration> {
    let nodes = cluster.addresses();
    let active = active_controller(&mut Connection::open(nodes[0])?)?;
    let active = active.ok_or_else(|| Failure::Other("there is no active controller".to_owned()))?;
    let others: Vec<SocketAddr> = nodes.iter().copied().filter(|node| *node != nodes[active]).collect();
    let begin = Instant::now();
    cluster.node_mut(active).kill()?;
    let name = format!("{}-after", topic.name);
    let created = create_at_any(&others, &name, begin + TIME_MAX)?;
    cluster.node_mut(active).start(stage.launcher)?;
    topic.wait_until_replicated(&nodes)?;
    let created_topic = Topic { name, id: topic.id, partitions: 1 };
    created_topic.delete(nodes[active])?;
    Ok(created - begin)
}

/// Asks the nodes in turn for a topic of one replica until one of them says that it is there.
fn create_at_any(nodes: &[SocketAddr], name: &str, deadline: Instant) -> Result<Instant> {
    for node in nodes.iter().cycle() {
        let asked = Connection::open_with_patience(*node, PATIENCE)
            .and_then(|mut connection| Topic::try_create(&mut connection, name, (1, 1), &[]));
        match asked {
            Ok(_) => break,
            Err(Failure::Refused { code, .. }) if code == klamm_protocol::ErrorCode::TOPIC_ALREADY_EXISTS => {
                break;
            }
            Err(failure) if Instant::now() > deadline => return Err(failure),
            Err(_) => thread::sleep(BACKOFF),
        }
    }
    Ok(Instant::now())
}
