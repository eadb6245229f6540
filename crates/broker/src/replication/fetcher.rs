//! One fetcher: a task with one connection to one leader's broker.
//!
//! When something is to be followed that was not, a fetch that waits at the leader is given up, with its connection: the new partition
//! would wait behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use klamm_protocol::messages::FetchRequest;
use klamm_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use klamm_replica::{FetchKey, Fetcher, FetcherRequest, Position};

use super::answers::{self, Followed};
use super::fetchers::{Change, Slot, key_of};
use crate::broker::Broker;
use crate::limits::REPLICA_RETRY_MS_MIN;
use crate::peers::{PeerConnection, PeerError};

/// A fetcher at work.
struct Task {
    broker: Arc<Broker>,
    slot: Arc<Slot>,
    fetcher: Fetcher,
    followed: BTreeMap<FetchKey, Followed>,
    connection: Option<PeerConnection>,
    /// Attempts to reach the leader that failed since one did not.
    failures: u32,
}

/// How an exchange with the leader ended.
enum Exchanged {
    /// With an answer, which was taken.
    Answered,
    /// It was given up, because there is something else to follow.
    Interrupted,
}

/// Why the leader was not asked.
#[derive(Debug, thiserror::Error)]
enum FetcherError {
    #[error("broker {0} is not registered on the listener for brokers")]
    NoEndpoint(i32),
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Fetches for ever what the slot says.
pub(super) async fn run(broker: Arc<Broker>, slot: Arc<Slot>) {
    let mut task = Task {
        broker,
        slot,
        fetcher: Fetcher::default(),
        followed: BTreeMap::new(),
        connection: None,
        failures: 0,
    };
    loop {
        task.round().await;
    }
}

impl Task {
    async fn round(&mut self) {
        self.take_changes();
        let now_ms = self.broker.environment().clock.monotonic_ms();
        self.hold_up_throttled(now_ms);
        let Some(request) = self.fetcher.next_request(now_ms) else {
            return self.rest(now_ms).await;
        };
        match self.exchange(&request).await {
            Ok(Exchanged::Answered) => self.failures = 0,
            Ok(Exchanged::Interrupted) => self.hang_up(),
            Err(error) => {
                let leader_id = self.slot.leader_id;
                match self.failures {
                    0 => tracing::info!("what broker {leader_id} leads cannot be fetched: {error}"),
                    _ => tracing::debug!("what broker {leader_id} leads cannot be fetched: {error}"),
                }
                self.hang_up();
                self.pause(back_off_ms(&self.broker, self.failures)).await;
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    fn take_changes(&mut self) {
        for change in self.slot.take() {
            match change {
                Change::Follow(partition) => {
                    let key = key_of(&partition);
                    if let Some(position) = partition.position() {
                        self.fetcher.follow(key, position);
                        self.followed.insert(key, Followed { partition, is_caught_up: false, failures: 0 });
                    }
                }
                Change::Leave(key) => {
                    self.fetcher.leave(key);
                    self.followed.remove(&key);
                }
            }
        }
    }

    /// What lags and is throttled is not asked for while the bound is exceeded.
    fn hold_up_throttled(&mut self, now_ms: i64) {
        let broker = &self.broker;
        let Some(due_ms) = broker.throttles().follower.due_ms(now_ms) else { return };
        for (key, followed) in &self.followed {
            if !followed.is_caught_up && followed.partition.is_throttled_follower(broker.node_id()) {
                self.fetcher.delay(*key, due_ms);
            }
        }
    }

    /// There is nothing to ask for now.
    async fn rest(&mut self, now_ms: i64) {
        if self.fetcher.is_empty() {
            self.hang_up();
        }
        match self.fetcher.next_due_ms(now_ms) {
            Some(due_ms) => self.pause((due_ms - now_ms).max(1) as u64).await,
            None => self.slot.woken.notified().await,
        }
    }

    /// Waits, but not beyond a change of what is followed.
    async fn pause(&self, ms: u64) {
        let _ = tokio::time::timeout(Duration::from_millis(ms), self.slot.woken.notified()).await;
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.fetcher.unanswered();
    }

    async fn exchange(&mut self, request: &FetcherRequest) -> Result<Exchanged, FetcherError> {
        let timeout = Duration::from_millis(self.broker.config().replica_socket_timeout_ms.max(1) as u64);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.dial(timeout).await?,
        };
        let request = fetch_request(&self.broker, request);
        let answer = tokio::select! {
            biased;
            answer = connection.call_frame(&request, timeout) => answer?,
            () = self.slot.something_to_follow() => return Ok(Exchanged::Interrupted),
        };
        let response = answer.decode::<FetchRequest<'_>>()?;
        let tasks = answers::take(&self.broker, &mut self.fetcher, &mut self.followed, &response);
        answers::carry_out(&self.broker, &mut self.fetcher, &mut self.followed, &mut connection, tasks)
            .await?;
        self.connection = Some(connection);
        Ok(Exchanged::Answered)
    }

    async fn dial(&self, timeout: Duration) -> Result<PeerConnection, FetcherError> {
        let leader_id = self.slot.leader_id;
        let image = self.broker.image().clone();
        let leader = image.cluster.broker(leader_id);
        let endpoint = leader.and_then(|broker| broker.endpoint(self.broker.fetchers().listener()));
        let endpoint = endpoint.ok_or(FetcherError::NoEndpoint(leader_id))?;
        let client_id = format!("broker-{}-fetcher", self.broker.node_id());
        let environment = self.broker.environment();
        Ok(PeerConnection::dial(environment, &endpoint.host, endpoint.port, &client_id, timeout).await?)
    }
}

/// The wait before the next attempt: short at first, since leaders move quickly, and `replica.fetch.backoff.ms` at most.
pub(super) fn back_off_ms(broker: &Broker, failures: u32) -> u64 {
    let max = broker.config().replica_fetch_backoff_ms.max(0) as u64;
    REPLICA_RETRY_MS_MIN.saturating_mul(1 << failures.min(16)).min(max)
}

fn fetch_request(broker: &Broker, request: &FetcherRequest) -> FetchRequest<'static> {
    let config = broker.config();
    let mut topics: Vec<FetchTopic<'static>> = Vec::new();
    for (key, position) in &request.partitions {
        let wanted = fetch_partition(key.partition, position, config.replica_fetch_max_bytes);
        match topics.last_mut().filter(|topic| topic.topic_id == key.topic_id) {
            Some(topic) => topic.partitions.push(wanted),
            None => topics.push(FetchTopic {
                topic_id: key.topic_id,
                partitions: vec![wanted],
                ..FetchTopic::default()
            }),
        }
    }
    let forgotten = request.forgotten.iter().map(|key| ForgottenTopic {
        topic_id: key.topic_id,
        partitions: vec![key.partition],
        ..ForgottenTopic::default()
    });
    FetchRequest {
        replica_state: ReplicaState { replica_id: broker.node_id(), replica_epoch: broker.epoch() },
        max_wait_ms: config.replica_fetch_wait_max_ms,
        min_bytes: config.replica_fetch_min_bytes,
        max_bytes: config.replica_fetch_response_max_bytes,
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        topics,
        forgotten_topics_data: forgotten.collect(),
        ..FetchRequest::default()
    }
}

fn fetch_partition(partition: i32, position: &Position, partition_max_bytes: i32) -> FetchPartition {
    FetchPartition {
        partition,
        current_leader_epoch: position.leader_epoch,
        fetch_offset: position.fetch_offset,
        last_fetched_epoch: position.last_fetched_epoch,
        log_start_offset: position.log_start_offset,
        partition_max_bytes,
        ..FetchPartition::default()
    }
}
