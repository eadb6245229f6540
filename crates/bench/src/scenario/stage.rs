//! Where a scenario runs: its target, how long, and nodes and topics to run on.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use klamm_protocol::Uuid;

use crate::failure::Result;
use crate::load::Phase;
use crate::target::{Cluster, Launcher, Node, Target};
use crate::wire::Topic;

use super::warm::Shared;

const GONE_TIME_MAX: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);

/// How much of everything.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) warm_up: Duration,
    pub(crate) counted: Duration,
    /// Bytes after which a counted phase is long enough.
    pub(crate) bytes_max: u64,
    pub(crate) fetched_topic_bytes: u64,
    pub(crate) cold_bytes: u64,
    pub(crate) open_loop: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) idle_connections: usize,
    pub(crate) partitions: i32,
    /// Partitions of a cluster, each with a replica on every node.
    pub(crate) replicated_partitions: i32,
}

impl Scale {
    /// For figures that are published.
    pub(crate) fn full() -> Self {
        Self {
            warm_up: Duration::from_secs(5),
            counted: Duration::from_secs(8),
            bytes_max: 4_000_000_000,
            fetched_topic_bytes: 1_000_000_000,
            cold_bytes: 4_000_000_000,
            open_loop: Duration::from_secs(30),
            memory_bytes: 10_000_000_000,
            idle_connections: 10_000,
            partitions: 10_000,
            replicated_partitions: 3_000,
        }
    }

    /// The same sizes, but counted phases of this length and everything else that lasts in proportion.
    pub(crate) fn lasting(self, counted: Duration) -> Self {
        let share = counted.as_secs_f64() / self.counted.as_secs_f64();
        Self {
            warm_up: self.warm_up.mul_f64(share),
            counted,
            bytes_max: (self.bytes_max as f64 * share) as u64,
            cold_bytes: (self.cold_bytes as f64 * share) as u64,
            open_loop: self.open_loop.mul_f64(share),
            ..self
        }
    }

    /// For a look in between.
    pub(crate) fn quick() -> Self {
        Self {
            warm_up: Duration::from_secs(2),
            counted: Duration::from_secs(2),
            bytes_max: 1_500_000_000,
            fetched_topic_bytes: 256_000_000,
            cold_bytes: 1_000_000_000,
            open_loop: Duration::from_secs(5),
            memory_bytes: 1_000_000_000,
            idle_connections: 1_000,
            partitions: 1_000,
            replicated_partitions: 300,
        }
    }
}

/// One target's turn in one round of a scenario.
pub(crate) struct Stage<'a> {
    pub(crate) target: Target,
    pub(crate) scale: &'a Scale,
    pub(crate) launcher: &'a Launcher,
    pub(crate) shared: &'a Shared,
    /// Topics made so far, so that each has a name of its own.
    pub(crate) topics: &'a Cell<u32>,
    /// Whether this is the target's first turn in this scenario.
    pub(crate) is_first: bool,
}

impl Stage<'_> {
    /// The node that runs through all scenarios. A floor keeps nothing that is worth keeping warm: it is always new.
    pub(crate) fn node(&self) -> Result<Rc<Node>> {
        if self.target.is_floor() {
            return Ok(Rc::new(self.fresh(&[])?));
        }
        self.shared.node(self.target, || self.fresh(&[]))
    }

    /// The cluster that runs through all scenarios.
    pub(crate) fn cluster(&self) -> Result<Rc<RefCell<Cluster>>> {
        self.shared.cluster(self.target, || {
            let mut cluster = Cluster::create(self.launcher, self.target, &[])?;
            cluster.start(self.launcher)?;
            Ok(cluster)
        })
    }

    /// A cluster of the scenario's own, alone on the machine, not yet running.
    pub(crate) fn fresh_cluster(&self) -> Result<Cluster> {
        self.shared.drop_all();
        Cluster::create(self.launcher, self.target, &[])
    }

    /// A node of the scenario's own.
    pub(crate) fn fresh(&self, settings: &[(&str, &str)]) -> Result<Node> {
        self.launcher.launch(self.target, settings)
    }

    /// Runs with a topic that is deleted afterwards. Floors take any topic for granted.
    pub(crate) fn with_topic<T>(
        &self,
        node: &Node,
        partitions: i32,
        configs: &[(&str, &str)],
        run: impl FnOnce(&Topic) -> Result<T>,
    ) -> Result<T> {
        self.topics.set(self.topics.get() + 1);
        let name = format!("bench-{}", self.topics.get());
        if node.target().is_floor() {
            let id = Uuid::from_u128(u128::from(self.topics.get()));
            return run(&Topic { name, id, partitions });
        }
        let topic = Topic::create(node.address(), &name, partitions, configs)?;
        let done = run(&topic);
        topic.delete(node.address())?;
        wait_until_gone(&node.data(), &topic);
        done
    }

    /// Runs with a topic that has a replica on every node, and is deleted afterwards.
    pub(crate) fn with_replicated_topic<T>(
        &self,
        cluster: &mut Cluster,
        partitions: i32,
        run: impl FnOnce(&mut Cluster, &Topic) -> Result<T>,
    ) -> Result<T> {
        self.topics.set(self.topics.get() + 1);
        let name = format!("bench-{}", self.topics.get());
        let topic = Topic::create_replicated(&cluster.addresses(), &name, partitions)?;
        let done = run(cluster, &topic)?;
        topic.delete(cluster.nodes()[0].address())?;
        cluster.nodes().iter().for_each(|node| wait_until_gone(&node.data(), &topic));
        Ok(done)
    }

    /// Before anything is counted. What is compiled while it runs gets more time at first.
    pub(crate) fn warm_up(&self) -> Phase {
        let time = if self.is_first && self.target == Target::Kafka { 3 } else { 1 } * self.scale.warm_up;
        let bytes = if self.target == Target::Kafka { u64::MAX } else { self.scale.bytes_max / 4 };
        Phase { time, bytes }
    }

    pub(crate) fn counted(&self) -> Phase {
        Phase { time: self.scale.counted, bytes: self.scale.bytes_max }
    }
}

/// Waits until the files of a deleted topic are deleted too, so that the next turn does not share the disk with them.
/// A broker that takes longer than a while is not waited for.
fn wait_until_gone(data: &Path, topic: &Topic) {
    let is_there = || {
        let names = fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().starts_with(&format!("{}-", topic.name)))
    };
    let begin = Instant::now();
    while is_there() && begin.elapsed() < GONE_TIME_MAX {
        thread::sleep(LOOK);
    }
}
