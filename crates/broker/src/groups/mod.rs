//! Drives the group coordinator: one [`Shard`] for each partition of `__consumer_offsets` that is led here.
//!
//! A shard's inputs are serialised by its lock; the records of a step are appended while the lock is held, so no decision is made
//! on a state that is not yet in the log. Answers that have to wait leave through a channel when a later step gives them.

mod hosted_shard;
mod loading;
mod timers;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use klamm_coordinator::{
    GroupSettings, Moment, RequestContext as ShardContext, Response as GroupResponse, Shard, Step,
};
use klamm_metadata::MetadataImage;
use klamm_protocol::Uuid;
use parking_lot::RwLock;
use tokio::sync::{Notify, oneshot};

use crate::environment::Environment;
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::partition::Partition;
use hosted_shard::HostedShard;

/// All shards that are here.
pub(crate) struct GroupCoordinator {
    environment: Environment,
    settings: GroupSettings,
    /// `offsets.topic.num.partitions`: what counts until there is such a topic.
    partitions_by_default: i32,
    /// The topic's own number of partitions, as it was when it was first seen: groups must not move when partitions are added.
    partitions: OnceLock<i32>,
    shards: RwLock<BTreeMap<i32, Arc<HostedShard>>>,
    /// Notified when a shard's next deadline has moved ahead.
    rescheduled: Arc<Notify>,
}

/// The answer to a call, now or later.
pub(crate) enum Reply {
    Now(GroupResponse),
    /// Dropped without a value when the broker stops.
    Later(oneshot::Receiver<GroupResponse>),
}

/// What a shard needs to know about the caller.
pub(crate) struct Caller<'c> {
    pub(crate) api_version: i16,
    pub(crate) client_id: &'c str,
    pub(crate) client_host: &'c str,
    pub(crate) now: Moment,
}

impl GroupCoordinator {
    /// A coordinator without shards.
    pub(crate) fn new(environment: Environment, settings: GroupSettings, partitions_by_default: i32) -> Self {
        let rescheduled = Arc::new(Notify::new());
        Self {
            environment,
            settings,
            partitions_by_default,
            partitions: OnceLock::new(),
            shards: RwLock::default(),
            rescheduled,
        }
    }

    /// The partition of `__consumer_offsets` that a group belongs to.
    pub(crate) fn partition_for(&self, group_id: &str, image: &MetadataImage) -> i32 {
        let topic = || image.topics.by_name(CONSUMER_OFFSETS);
        let count = match (self.partitions.get(), topic()) {
            (Some(count), _) => *count,
            (None, Some(topic)) => *self.partitions.get_or_init(|| topic.partition_count() as i32),
            (None, None) => self.partitions_by_default,
        };
        klamm_coordinator::partition_for(group_id, count)
    }

    /// Hands a request about a group to the shard of its partition.
    pub(crate) fn call<'a>(
        &self,
        caller: &Caller<'_>,
        partition: i32,
        input: impl FnOnce(&mut Shard, &ShardContext<'_>) -> Step<'a>,
    ) -> Reply {
        match self.shard(partition) {
            Some(shard) => shard.call(caller, input),
            None => Reply::Now(self.not_here(caller, input)),
        }
    }

    /// Reads the state of a partition's shard.
    pub(crate) fn read<T>(&self, partition: i32, read: impl FnOnce(&Shard) -> T) -> T {
        match self.shard(partition) {
            Some(shard) => shard.read(read),
            None => read(&Shard::new(self.settings.clone())),
        }
    }

    /// Reads the state of each shard in turn.
    pub(crate) fn read_all<T, E>(&self, mut read: impl FnMut(&Shard) -> Result<T, E>) -> Result<Vec<T>, E> {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        shards.iter().map(|shard| shard.read(&mut read)).collect()
    }

    /// How many shards still replay their partition.
    pub(crate) fn loading_count(&self) -> usize {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        shards.iter().filter(|shard| shard.read(Shard::is_loading)).count()
    }

    /// This broker leads a partition of `__consumer_offsets` now: replays it, and then coordinates its groups.
    pub(crate) fn load(self: &Arc<Self>, partition: Arc<Partition>) {
        let index = partition.index();
        let shard = HostedShard::new(
            partition,
            self.settings.clone(),
            self.environment.clone(),
            self.rescheduled.clone(),
        );
        let shard = Arc::new(shard);
        let earlier = self.shards.write().insert(index, shard.clone());
        if let Some(earlier) = earlier {
            earlier.unload();
        }
        loading::start(&self.environment, shard);
    }

    /// This broker no longer leads a partition of `__consumer_offsets`.
    pub(crate) fn unload(&self, index: i32) {
        if let Some(shard) = self.shards.write().remove(&index) {
            shard.unload();
        }
    }

    /// Topics are gone: the offsets of all groups in them are removed.
    pub(crate) fn topics_deleted(&self, topics: &[(Uuid, &str)]) {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        shards.iter().for_each(|shard| shard.topics_deleted(topics));
    }

    /// Runs the shards' timers for ever.
    pub(crate) async fn run_timers(self: Arc<Self>) {
        timers::run(&self).await;
    }

    fn shard(&self, index: i32) -> Option<Arc<HostedShard>> {
        self.shards.read().get(&index).cloned()
    }

    /// A shard that coordinates nothing knows how each request is refused.
    fn not_here<'a>(
        &self,
        caller: &Caller<'_>,
        input: impl FnOnce(&mut Shard, &ShardContext<'_>) -> Step<'a>,
    ) -> GroupResponse {
        let context = caller.shard_context(klamm_coordinator::RequestId(0));
        let step = input(&mut Shard::new(self.settings.clone()), &context);
        let answer = step.answers.into_iter().next();
        answer.expect("a shard that is not active answers at once").response
    }
}

/// Now, as shards want it.
pub(crate) fn moment(environment: &Environment) -> Moment {
    Moment { monotonic_ms: environment.clock.monotonic_ms(), wall_ms: environment.clock.now_ms() }
}

impl<'c> Caller<'c> {
    fn shard_context(&self, request: klamm_coordinator::RequestId) -> ShardContext<'c> {
        ShardContext {
            request,
            api_version: self.api_version,
            client_id: self.client_id,
            client_host: self.client_host,
            now: self.now,
        }
    }
}
