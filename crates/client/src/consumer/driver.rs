//! The task behind a consumer: looks up where to start, fetches ahead, keeps the group membership.
//!
//! Each round looks at the shared state, starts what is due as background steps, and waits for one of them to end,
//! for the application, or for the time something becomes due. At most one fetch per broker is on its way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm_protocol::{ErrorCode, Uuid};
use tokio::task::JoinSet;

use super::fetch::{self, FetchAnswer, FetchFailure, PartitionAnswer, fetch_failure};
use super::fetch_session::{FetchSession, PartitionFetch};
use super::group::offsets::{GroupOffset, OffsetsError};
use super::group_driver::{GroupDriver, GroupEvent};
use super::positions::{Fetchable, Lookup};
use super::{ConsumeError, Shared};
use crate::admin::{ListedOffset, Outcomes};
use crate::clock::now_ms;
use crate::cluster::{Metadata, Topics};
use crate::connection::Response;
use crate::{Admin, AdminError, RequestError, TopicPartition};

/// What a background step has come to.
pub(super) enum Event {
    Fetched {
        node: i32,
        asked: Vec<Fetchable>,
        result: Result<Response, RequestError>,
    },
    Committed {
        asked: Vec<(TopicPartition, u64)>,
        result: Result<BTreeMap<TopicPartition, GroupOffset>, OffsetsError>,
    },
    Listed {
        lookups: Vec<Lookup>,
        result: Result<Outcomes<TopicPartition, ListedOffset>, AdminError>,
    },
    Refreshed(Result<Arc<Metadata>, RequestError>),
    Group(GroupEvent),
}

#[derive(Default)]
struct Node {
    session: FetchSession,
    is_fetching: bool,
}

struct Driver {
    shared: Arc<Shared>,
    events: JoinSet<Event>,
    nodes: BTreeMap<i32, Node>,
    /// Of the topics that were fetched from.
    topic_ids: BTreeMap<Arc<str>, Uuid>,
    /// Of the metadata that these were compared with.
    generation: u64,
    group: Option<GroupDriver>,
    wants_refresh: bool,
    is_refreshing: bool,
    refresh_not_before_ms: i64,
}

/// Runs until the consumer is closed; leaves the group then.
pub(super) async fn run(shared: Arc<Shared>) {
    let group = shared.config.group_id.as_ref().map(|group| GroupDriver::new(group, &shared.config));
    let mut driver = Driver {
        shared,
        events: JoinSet::new(),
        nodes: BTreeMap::new(),
        topic_ids: BTreeMap::new(),
        generation: 0,
        group,
        wants_refresh: false,
        is_refreshing: false,
        refresh_not_before_ms: 0,
    };
    while !driver.shared.is_closing.load(Ordering::Acquire) {
        let now = now_ms();
        let wake_at = driver.act(now);
        driver.wait(wake_at, now).await;
    }
    if let Some(group) = &driver.group {
        group.leave(&driver.shared).await;
    }
}

impl Driver {
    /// Starts what is due. Says when to look again.
    fn act(&mut self, now: i64) -> Option<i64> {
        let group_at = match &mut self.group {
            Some(group) => group.act(&self.shared, &mut self.events, now),
            None => None,
        };
        self.look_up_committed(now);
        self.look_up_offsets(now);
        self.fetch(now);
        self.wants_refresh |= self.shared.cluster.is_stale();
        let refresh_at = self.refresh(now);
        let positions_at = self.shared.state.lock().positions.next_ms(now);
        [group_at, refresh_at, positions_at].into_iter().flatten().min()
    }

    async fn wait(&mut self, wake_at: Option<i64>, now: i64) {
        let pause_ms = wake_at.map_or(u64::from(u32::MAX), |at| (at - now).max(0) as u64);
        let shared = Arc::clone(&self.shared);
        // In this order, and not in a random one: what has happened is handled first, and runs can be repeated.
        tokio::select! {
            biased;
            Some(event) = self.events.join_next(), if !self.events.is_empty() => {
                if let Ok(event) = event {
                    self.handle(event);
                }
                while let Some(Ok(event)) = self.events.try_join_next() {
                    self.handle(event);
                }
            }
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }

    fn retry_at(&self, now: i64) -> i64 {
        now + self.shared.config.client.retry_backoff_ms as i64
    }

    fn report(&self, error: ConsumeError) {
        self.shared.state.lock().notices.push_back(Err(error));
        self.shared.ready.notify_waiters();
    }

    fn look_up_committed(&mut self, now: i64) {
        let Some(group) = self.shared.config.group_id.clone() else { return };
        let asked = self.shared.state.lock().positions.take_uncommitted(now);
        if asked.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.events.spawn(async move {
            let partitions: Vec<TopicPartition> =
                asked.iter().map(|(partition, _)| partition.clone()).collect();
            let result = super::commit::committed(&shared, &group, &partitions).await;
            Event::Committed { asked, result }
        });
    }

    fn look_up_offsets(&mut self, now: i64) {
        let lookups = self.shared.state.lock().positions.take_lookups(now);
        if lookups.is_empty() {
            return;
        }
        let admin = Admin::over(Arc::clone(&self.shared.cluster));
        let isolation_level = self.shared.config.isolation_level;
        self.events.spawn(async move {
            let specs = lookups.iter().map(|lookup| (lookup.partition.clone(), lookup.spec)).collect();
            let result = admin.list_offsets(&specs, isolation_level).await;
            Event::Listed { lookups, result }
        });
    }

    fn fetch(&mut self, now: i64) {
        let metadata = self.shared.cluster.metadata();
        self.note_new_topics(&metadata);
        let fetchables = self.shared.state.lock().positions.fetchable(now);
        let leader = |p: &TopicPartition| metadata.leader(&p.topic, p.partition);
        let held_up: Vec<i32> = fetchables.full.iter().filter_map(leader).collect();
        let mut by_node: BTreeMap<i32, Vec<Fetchable>> = BTreeMap::new();
        for fetchable in fetchables.ready {
            // A leader that was followed by another one may not know it, and have less than was read already (KIP-320).
            let TopicPartition { topic, partition } = &fetchable.partition;
            let known_epoch = metadata.partition(topic, *partition).map_or(-1, |known| known.leader_epoch);
            match leader(&fetchable.partition).filter(|_| known_epoch >= fetchable.fetched_epoch) {
                Some(node) => by_node.entry(node).or_default().push(fetchable),
                None => self.wants_refresh = true,
            }
        }
        for (node, asked) in by_node {
            let is_fetching = self.nodes.get(&node).is_some_and(|node| node.is_fetching);
            if !is_fetching && !held_up.contains(&node) {
                self.fetch_from(node, asked, &metadata);
            }
        }
    }

    /// What is known of a topic's leaders ends with the topic.
    fn note_new_topics(&mut self, metadata: &Metadata) {
        if std::mem::replace(&mut self.generation, metadata.generation) == metadata.generation {
            return;
        }
        let mut state = self.shared.state.lock();
        for (name, id) in &mut self.topic_ids {
            let Some(topic) = metadata.topic(name).filter(|topic| topic.id != *id) else { continue };
            state.positions.forget_epochs(name);
            *id = topic.id;
        }
    }

    fn fetch_from(&mut self, node: i32, mut asked: Vec<Fetchable>, metadata: &Metadata) {
        let mut state = self.shared.state.lock();
        asked.retain(|fetchable| state.positions.fetching(&fetchable.partition, fetchable.version));
        drop(state);
        if asked.is_empty() {
            return;
        }
        let topics = asked.iter().filter_map(|fetchable| metadata.topic(&fetchable.partition.topic));
        self.topic_ids.extend(topics.map(|topic| (Arc::clone(&topic.name), topic.id)));
        let wanted = asked.iter().map(|f| (f.partition.clone(), partition_fetch(f, metadata))).collect();
        let entry = self.nodes.entry(node).or_default();
        entry.is_fetching = true;
        let session = entry.session.request(wanted);
        let shared = Arc::clone(&self.shared);
        self.events.spawn(async move {
            let result = match shared.cluster.broker_for_fetches(node).await {
                Ok(connection) => fetch::fetch(&connection, &shared.config, session).await,
                Err(error) => Err(error.into()),
            };
            Event::Fetched { node, asked, result }
        });
    }

    /// Begins a refresh if one is wanted and due. Says when it will be due if it is not.
    fn refresh(&mut self, now: i64) -> Option<i64> {
        if !self.wants_refresh || self.is_refreshing {
            return None;
        }
        if now < self.refresh_not_before_ms {
            return Some(self.refresh_not_before_ms);
        }
        (self.wants_refresh, self.is_refreshing) = (false, true);
        self.refresh_not_before_ms = self.retry_at(now);
        let state = self.shared.state.lock();
        let assigned = state.positions.partitions().map(|partition| Arc::clone(&partition.topic));
        let subscribed = state.topics.iter().map(|topic| Arc::from(topic.as_str()));
        let of_members = self.group.iter().flat_map(GroupDriver::assigned_topics);
        let of_members = of_members.map(|topic| Arc::from(topic.as_str()));
        let mut topics: Vec<Arc<str>> = assigned.chain(subscribed).chain(of_members).collect();
        drop(state);
        topics.sort();
        topics.dedup();
        let shared = Arc::clone(&self.shared);
        let auto_create = self.shared.config.allow_auto_create_topics;
        self.events.spawn(async move {
            Event::Refreshed(shared.cluster.refresh(Topics::Named(&topics), auto_create).await)
        });
        None
    }

    fn handle(&mut self, event: Event) {
        let now = now_ms();
        match event {
            Event::Fetched { node, asked, result } => self.fetched(node, &asked, result, now),
            Event::Committed { asked, result } => self.committed(&asked, result, now),
            Event::Listed { lookups, result } => self.listed(&lookups, result, now),
            Event::Group(event) => {
                if let Some(group) = &mut self.group {
                    group.handle(&self.shared, event, now);
                }
            }
            Event::Refreshed(result) => {
                self.is_refreshing = false;
                match (result, &mut self.group) {
                    (Ok(metadata), Some(group)) => group.metadata_changed(&metadata),
                    (Ok(_), None) => {}
                    (Err(error), _) => {
                        tracing::debug!(%error, "metadata not refreshed");
                        self.wants_refresh = true;
                    }
                }
            }
        }
    }

    fn fetched(&mut self, id: i32, asked: &[Fetchable], result: Result<Response, RequestError>, now: i64) {
        let metadata = self.shared.cluster.metadata();
        let read = result.and_then(|response| {
            let broker = response.broker().clone();
            let decoded = fetch::read(response, asked, &self.shared.config, &metadata);
            let api = klamm_protocol::ApiKey::Fetch;
            decoded.map_err(|source| RequestError::Decode { broker, api, source })
        });
        let node = self.nodes.entry(id).or_default();
        node.is_fetching = false;
        match read {
            Ok(answer) if node.session.answered(answer.code, answer.session_id) => {
                self.take_in(asked, answer, now);
            }
            Ok(answer) => {
                let is_session_error = [
                    ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                    ErrorCode::INVALID_FETCH_SESSION_EPOCH,
                    ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
                ]
                .contains(&answer.code);
                let at = if is_session_error { now } else { self.retry_at(now) };
                self.fetch_again(asked, at);
            }
            Err(error) => {
                tracing::debug!(%error, "fetch failed");
                node.session.lost();
                self.wants_refresh = true;
                self.fetch_again(asked, self.retry_at(now));
            }
        }
    }

    fn fetch_again(&self, asked: &[Fetchable], at: i64) {
        let mut state = self.shared.state.lock();
        asked.iter().for_each(|f| state.positions.retry(&f.partition, f.version, at));
    }

    fn take_in(&mut self, asked: &[Fetchable], answer: FetchAnswer, now: i64) {
        let mut answers: HashMap<TopicPartition, PartitionAnswer> = answer.partitions.into_iter().collect();
        for fetchable in asked {
            match answers.remove(&fetchable.partition) {
                None => self.fetch_again(std::slice::from_ref(fetchable), 0),
                Some(PartitionAnswer::Data(data)) => {
                    let mut state = self.shared.state.lock();
                    state.positions.fetched(&fetchable.partition, fetchable.version, data);
                }
                Some(PartitionAnswer::Diverged(end)) => {
                    tracing::info!(partition = %fetchable.partition, ?end, "the leader's log is not the one read");
                    let mut state = self.shared.state.lock();
                    state.positions.diverged(&fetchable.partition, fetchable.version, end, now);
                }
                Some(PartitionAnswer::Refused { code, leader }) => self.refused(fetchable, code, leader, now),
            }
        }
        self.shared.ready.notify_waiters();
    }

    fn refused(&mut self, asked: &Fetchable, code: ErrorCode, leader: Option<(i32, i32)>, now: i64) {
        let partition = &asked.partition;
        let is_moved = leader.is_some_and(|(leader, epoch)| {
            self.shared.cluster.note_leader(&partition.topic, partition.partition, leader, epoch)
        });
        match fetch_failure(code) {
            FetchFailure::Later { .. } if is_moved => self.fetch_again(std::slice::from_ref(asked), 0),
            FetchFailure::Later { refresh } => {
                self.wants_refresh |= refresh;
                self.fetch_again(std::slice::from_ref(asked), self.retry_at(now));
            }
            FetchFailure::OutOfRange => {
                self.shared.state.lock().positions.out_of_range(partition, asked.version, now);
            }
            FetchFailure::Fatal => {
                let error = ConsumeError::Partition { partition: partition.clone(), code };
                self.shared.state.lock().positions.failed(partition, asked.version, error);
            }
        }
    }

    fn committed(
        &mut self,
        asked: &[(TopicPartition, u64)],
        result: Result<BTreeMap<TopicPartition, GroupOffset>, OffsetsError>,
        now: i64,
    ) {
        let mut state = self.shared.state.lock();
        let stuck = match result {
            Ok(offsets) => state.positions.committed(asked, &offsets, now),
            Err(error) => {
                tracing::debug!(%error, "committed offsets not fetched");
                let at = now + self.shared.config.client.retry_backoff_max_ms as i64;
                asked.iter().for_each(|(p, version)| state.positions.retry(p, *version, at));
                Vec::new()
            }
        };
        drop(state);
        stuck.into_iter().for_each(|partition| self.report(ConsumeError::NoOffset { partition }));
    }

    fn listed(
        &mut self,
        lookups: &[Lookup],
        result: Result<Outcomes<TopicPartition, ListedOffset>, AdminError>,
        now: i64,
    ) {
        let retry_at = now + self.shared.config.client.retry_backoff_max_ms as i64;
        let outcomes = result.unwrap_or_else(|error| {
            tracing::debug!(%error, "offsets not listed");
            Vec::new()
        });
        let outcomes: HashMap<TopicPartition, _> = outcomes.into_iter().collect();
        for lookup in lookups {
            let mut state = self.shared.state.lock();
            match outcomes.get(&lookup.partition) {
                Some(Ok(listed)) => state.positions.found(lookup, listed),
                Some(Err(refusal)) if fetch_failure(refusal.code) == FetchFailure::Fatal => {
                    drop(state);
                    let (partition, code) = (lookup.partition.clone(), refusal.code);
                    self.report(ConsumeError::Partition { partition, code });
                }
                _ => {
                    state.positions.retry(&lookup.partition, lookup.version, retry_at);
                    self.wants_refresh = true;
                }
            }
        }
    }
}

fn partition_fetch(fetchable: &Fetchable, metadata: &Metadata) -> PartitionFetch {
    let TopicPartition { topic, partition } = &fetchable.partition;
    PartitionFetch {
        topic_id: metadata.topic(topic).map_or(Uuid::ZERO, |topic| topic.id),
        offset: fetchable.offset,
        current_leader_epoch: metadata.partition(topic, *partition).map_or(-1, |p| p.leader_epoch),
        last_fetched_epoch: fetchable.fetched_epoch,
    }
}
