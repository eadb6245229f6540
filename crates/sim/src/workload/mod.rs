//! What clients do: produce, consume alone and in groups, and administer, all at once.

mod admin;
mod members;
mod producers;
mod readers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use klamm_client::TopicPartition;
use klamm_net::Network;

use crate::check::Checks;
use crate::network::{BROKER, Host, Net};
use crate::random::Dice;
use crate::trace::Trace;

pub(crate) use admin::create_topics;
pub(crate) use readers::audit;

/// The topics that live as long as the run. Nobody deletes them, so everything in them can be checked.
pub(crate) const TOPICS: [&str; 2] = ["topic-a", "topic-b"];
/// How many partitions each of them has.
pub(crate) const PARTITIONS: i32 = 2;

/// What all clients of a run share.
#[derive(Clone)]
pub(crate) struct Workload {
    /// Decides what they do.
    pub(crate) dice: Dice,
    /// The network.
    pub(crate) net: Net,
    /// What must hold.
    pub(crate) checks: Checks,
    /// Where they note what they did.
    pub(crate) trace: Trace,
    stopping: Arc<AtomicBool>,
    next_client: Arc<AtomicU64>,
}

impl Workload {
    /// No client yet.
    pub(crate) fn new(dice: Dice, net: Net, checks: Checks, trace: Trace) -> Self {
        Self { dice, net, checks, trace, stopping: Arc::default(), next_client: Arc::default() }
    }

    /// Starts the clients. They end some time after [`Workload::stop`].
    pub(crate) fn start(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let mut tasks = Vec::new();
        for index in 0..3 {
            tasks.push(tokio::task::spawn_local(producers::run(self.clone(), index)));
        }
        tasks.push(tokio::task::spawn_local(readers::run(self.clone())));
        for group in ["group-a", "group-b"] {
            for _ in 0..2 {
                tasks.push(tokio::task::spawn_local(members::run(self.clone(), group)));
            }
        }
        tasks.push(tokio::task::spawn_local(admin::run(self.clone())));
        tasks
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
        Arc::new(Host { net: self.net.clone(), name: name.to_owned(), process: None })
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
fn common(name: &str) -> Vec<(&'static str, String)> {
    vec![
        ("bootstrap.servers", BROKER.to_owned()),
        ("client.id", name.to_owned()),
        ("request.timeout.ms", "3000".to_owned()),
        ("default.api.timeout.ms", "8000".to_owned()),
        ("socket.connection.setup.timeout.ms", "2000".to_owned()),
        ("reconnect.backoff.max.ms", "300".to_owned()),
        ("retry.backoff.max.ms", "300".to_owned()),
    ]
}
