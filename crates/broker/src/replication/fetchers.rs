//! Which fetcher fetches which partition: `num.replica.fetchers` for each broker that leads something that is followed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_replica::FetchKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::fetcher;
use crate::broker::Broker;
use crate::environment::Place;
use crate::partition::Partition;

/// A fetcher: the leader's broker id, and a number among those for it.
type SlotId = (i32, usize);

/// All fetchers.
#[derive(Default)]
pub(crate) struct Fetchers {
    /// `inter.broker.listener.name`: where leaders are fetched from.
    listener: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<SlotId, Arc<Slot>>,
    assigned: BTreeMap<FetchKey, SlotId>,
}

/// What a fetcher's task is told.
pub(super) struct Slot {
    pub(super) leader_id: i32,
    changes: Mutex<Vec<Change>>,
    pub(super) woken: Notify,
}

/// A change of what a fetcher follows.
pub(super) enum Change {
    Follow(Arc<Partition>),
    Leave(FetchKey),
}

impl Slot {
    pub(super) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock())
    }

    /// Waits until there is something to follow that was not followed, or not in its present epoch.
    pub(super) async fn something_to_follow(&self) {
        while !self.changes.lock().iter().any(|change| matches!(change, Change::Follow(_))) {
            self.woken.notified().await;
        }
    }

    fn tell(&self, change: Change) {
        self.changes.lock().push(change);
        self.woken.notify_one();
    }
}

impl Fetchers {
    /// No fetchers yet.
    pub(crate) fn new(listener: String) -> Self {
        Self { listener, state: Mutex::default() }
    }

    /// The listener on which brokers talk to each other.
    pub(crate) fn listener(&self) -> &str {
        &self.listener
    }

    /// Follows a partition from where it stands, from a leader that is new, or in a new epoch.
    pub(crate) fn follow(&self, broker: &Arc<Broker>, partition: Arc<Partition>, leader_id: i32) {
        let key = key_of(&partition);
        let count = broker.config().num_replica_fetchers.max(1) as usize;
        let id = (leader_id, spread(key) % count);
        let mut state = self.state.lock();
        if let Some(old) = state.assigned.insert(key, id).filter(|old| *old != id) {
            state.tell(old, Change::Leave(key));
        }
        let is_new = !state.slots.contains_key(&id);
        let slot = state.slots.entry(id).or_insert_with(|| Slot::new(leader_id));
        if is_new {
            let (broker, slot) = (broker.clone(), slot.clone());
            let place = Place::Worker(id.1 + leader_id.unsigned_abs() as usize);
            broker.clone().environment().spawn(place, move || fetcher::run(broker, slot));
        }
        state.tell(id, Change::Follow(partition));
    }

    /// Follows a partition no longer.
    pub(crate) fn leave(&self, key: FetchKey) {
        let mut state = self.state.lock();
        if let Some(old) = state.assigned.remove(&key) {
            state.tell(old, Change::Leave(key));
        }
    }
}

impl State {
    fn tell(&self, id: SlotId, change: Change) {
        if let Some(slot) = self.slots.get(&id) {
            slot.tell(change);
        }
    }
}

impl Slot {
    fn new(leader_id: i32) -> Arc<Self> {
        Arc::new(Self { leader_id, changes: Mutex::default(), woken: Notify::new() })
    }
}

/// A partition as fetchers name it.
pub(crate) fn key_of(partition: &Partition) -> FetchKey {
    FetchKey { topic_id: partition.topic_id(), partition: partition.index() }
}

/// A number that is the same for a partition on every broker and in every run.
fn spread(key: FetchKey) -> usize {
    let topic = key.topic_id.0.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    topic.wrapping_add(key.partition.unsigned_abs() as usize)
}
