//! What clients do: produce, consume alone and in groups, and administer, all at once.

mod admin;
mod members;
mod operator;
mod producers;
mod readers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use klamm_client::TopicPartition;
use klamm_net::Network;
use tokio::task::{JoinHandle, spawn_local};

use crate::check::Checks;
use crate::network::{Host, Net, Party};
use crate::random::Dice;
use crate::shape::{Layout, Shape};
use crate::trace::Trace;

pub(crate) use admin::{create_topics, wait_for_sync};
pub(crate) use readers::audit;

/// The topics that live as long as the run. Nobody deletes them, so everything in them can be checked.
pub(crate) const TOPICS: [&str; 2] = ["topic-a", "topic-b"];
/// How many partitions each of them has.
pub(crate) const PARTITIONS: i32 = 2;

/// What all clients of a run share.
#[derive(Clone)]
pub(crate) struct Workload {
    /// Decides what this client does.
    pub(crate) dice: Dice,
    seed: u64,
    /// The cluster.
    pub(crate) layout: Layout,
    /// Which nodes it has.
    pub(crate) shape: Shape,
    /// The network.
    pub(crate) net: Net,
    /// What must hold.
    pub(crate) checks: Checks,
    /// Where they note what they did.
    pub(crate) trace: Trace,
    stopping: Arc<AtomicBool>,
    next_client: Arc<AtomicU64>,
}

/// What a client is.
#[derive(Clone, Copy)]
enum Kind {
    Producer(u32),
    Reader,
    Member(&'static str),
    Admin,
    Operator,
}

const CLIENTS: [Kind; 10] = [
    Kind::Producer(0),
    Kind::Producer(1),
    Kind::Producer(2),
    Kind::Reader,
    Kind::Member("group-a"),
    Kind::Member("group-a"),
    Kind::Member("group-b"),
    Kind::Member("group-b"),
    Kind::Admin,
    Kind::Operator,
];

/// How many clients there are.
pub(crate) const CLIENT_COUNT: usize = CLIENTS.len();

impl Workload {
    /// No client yet.
    pub(crate) fn new(seed: u64, layout: Layout, net: Net, checks: Checks, trace: Trace) -> Self {
        let dice = Dice::new(seed, "workload");
        let shape = layout.shape;
        let (stopping, next_client) = (Arc::default(), Arc::default());
        Self { dice, seed, layout, shape, net, checks, trace, stopping, next_client }
    }

    /// Starts the clients but those left out. They end some time after [`Workload::stop`].
    pub(crate) fn start(&self, without: &BTreeSet<usize>) -> Vec<JoinHandle<()>> {
        let chosen = CLIENTS.iter().enumerate().filter(|(number, _)| !without.contains(number));
        chosen.map(|(number, kind)| self.of_client(number).start_client(*kind)).collect()
    }

    /// The same with dice of a client's own, so that what one client does is not decided by whether there is another.
    fn of_client(&self, number: usize) -> Self {
        let dice = Dice::new(self.seed, &format!("client {number}"));
        Self { dice, next_client: Arc::new(AtomicU64::new(1000 * (number as u64 + 1))), ..self.clone() }
    }

    fn start_client(self, kind: Kind) -> JoinHandle<()> {
        match kind {
            Kind::Producer(index) => spawn_local(producers::run(self, index)),
            Kind::Reader => spawn_local(readers::run(self)),
            Kind::Member(group) => spawn_local(members::run(self, group)),
            Kind::Admin => spawn_local(admin::run(self)),
            Kind::Operator => spawn_local(operator::run(self)),
        }
    }

    /// Lets all clients finish what they are doing.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.next_client.fetch_add(1, Ordering::Relaxed))
    }

    fn network(&self, name: &str) -> Arc<dyn Network> {
        Arc::new(Host { net: self.net.clone(), name: name.to_owned(), party: Party::Client, process: None })
    }

    pub(crate) async fn pause(&self, ms_max: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.below(ms_max))).await;
    }

    fn some_partition(&self) -> TopicPartition {
        let topic = self.dice.pick(&TOPICS);
        TopicPartition::new(topic, self.dice.below(PARTITIONS as u64) as i32)
    }
}

/// The partitions of the topics that live as long as the run.
pub(crate) fn partitions() -> Vec<TopicPartition> {
    let of = |topic| (0..PARTITIONS).map(move |index| TopicPartition::new(topic, index));
    TOPICS.iter().flat_map(of).collect()
}

/// Settings that all clients have, patient enough for a restart and impatient enough for a run.
fn common(workload: &Workload, name: &str) -> Vec<(&'static str, String)> {
    vec![
        ("bootstrap.servers", workload.shape.bootstrap_servers()),
        ("client.id", name.to_owned()),
        ("request.timeout.ms", "3000".to_owned()),
        ("default.api.timeout.ms", "8000".to_owned()),
        ("socket.connection.setup.timeout.ms", "2000".to_owned()),
        ("reconnect.backoff.max.ms", "300".to_owned()),
        ("retry.backoff.max.ms", "300".to_owned()),
    ]
}
