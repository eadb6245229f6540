//! The state of a classic group and the ways to change it that keep it whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::ConsumerProtocolSubscription;
use klamm_protocol::{Decode, Reader};

use super::member::{Member, Parked, Protocol, Subscription};
use crate::offsets::Expiry;
use crate::timer::Timer;

/// The protocol type whose subscriptions this crate can read.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where a classic group is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// No members; perhaps committed offsets.
    Empty,
    /// Waits for its members to join.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

impl GroupState {
    /// As ListGroups and DescribeGroups spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The first rebalance of an empty group, which waits a while for more members whether or not all have joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// How long the delay now running lasts.
    pub(super) delay_ms: i64,
    /// By how much it may still be extended.
    pub(super) remaining_ms: i64,
    /// Somebody joined while it ran.
    pub(super) has_newcomer: bool,
}

/// A classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(super) id: Arc<str>,
    pub(super) state: GroupState,
    /// When the group entered its state; unknown after records of Kafka before 2.1.
    pub(super) state_since_ms: Option<i64>,
    /// `consumer`, `connect`, …; none until a first member brings it.
    pub(super) protocol_type: Option<Box<str>>,
    /// What the members voted for; none in an empty group.
    pub(super) protocol_name: Option<Box<str>>,
    pub(super) generation: i32,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    /// Member ids by instance id.
    pub(super) static_members: BTreeMap<Box<str>, Arc<str>>,
    /// Members that were told their id and have not joined with it yet.
    pub(super) pending_members: BTreeMap<Arc<str>, Option<Timer>>,
    /// Members of this generation that have not synced yet.
    pub(super) pending_sync: BTreeSet<Arc<str>>,
    /// By how many members each protocol is offered.
    pub(super) offers: BTreeMap<Box<str>, usize>,
    /// The topics of all subscriptions; none where they cannot be told.
    pub(super) subscribed_topics: Option<BTreeSet<Box<str>>>,
    pub(super) parked_joins: usize,
    /// Set exactly while the first rebalance of an empty group is prepared.
    pub(super) initial_delay: Option<InitialDelay>,
    pub(super) join_timer: Option<Timer>,
    pub(super) sync_timer: Option<Timer>,
}

impl ClassicGroup {
    /// An empty group that nobody has joined.
    pub(crate) fn new(id: Arc<str>, wall_ms: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_since_ms: Some(wall_ms),
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            offers: BTreeMap::new(),
            subscribed_topics: None,
            parked_joins: 0,
            initial_delay: None,
            join_timer: None,
            sync_timer: None,
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether the group only holds offsets: it exists because somebody committed, not because somebody joined.
    pub(crate) fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.is_unused()
    }

    /// Whether nobody is in the group, or about to be.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_empty() && self.pending_members.is_empty()
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// From when on the retention time of the group's offsets runs (KIP-211).
    pub(crate) fn expiry(&self) -> Expiry {
        match self.state {
            _ if self.protocol_type.is_none() => Expiry::SinceCommit,
            GroupState::Empty => self.state_since_ms.map_or(Expiry::SinceCommit, Expiry::Since),
            GroupState::Stable if self.subscribed_topics.is_some() => Expiry::SinceCommit,
            _ => Expiry::Never,
        }
    }

    /// Whether offsets of `topic` are in use. A consumer group whose subscriptions cannot be told counts as
    /// subscribed to everything.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribed_topics.as_ref().map_or(self.uses_consumer_protocol(), |topics| topics.contains(topic))
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn enter(&mut self, state: GroupState, wall_ms: i64) {
        if state != GroupState::PreparingRebalance {
            self.initial_delay = None;
        }
        self.state = state;
        self.state_since_ms = Some(wall_ms);
    }

    /// Whether `member_id` speaks for the member, and for `instance_id` where one is given.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(owner) if **owner != *member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Adds a member that waits for the answer to its join, if `parked` is given.
    pub(super) fn add(&mut self, mut member: Member, protocol_type: &str, parked: Option<Parked>) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        self.leader.get_or_insert_with(|| Arc::clone(&member.id));
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), Arc::clone(&member.id));
        }
        self.pending_members.remove(&member.id);
        self.count_offers(&member.subscription.protocols);
        self.parked_joins += usize::from(parked.is_some());
        member.parked_join = parked;
        self.members.insert(Arc::clone(&member.id), member);
    }

    /// Takes a member, or pending member, out. Requests it has waiting come back with it.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        self.pending_members.remove(member_id);
        self.note_sync(member_id);
        let member = self.members.remove(member_id)?;
        self.uncount_offers(&member.subscription.protocols);
        self.parked_joins -= usize::from(member.parked_join.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives the place of a static member to `new_id`; what waited under the old id comes back.
    pub(super) fn rename(
        &mut self,
        old_id: &str,
        new_id: &Arc<str>,
    ) -> Option<(Option<Parked>, Option<Parked>)> {
        let mut member = self.members.remove(old_id)?;
        let parked = (member.parked_join.take(), member.parked_sync.take());
        self.parked_joins -= usize::from(parked.0.is_some());
        member.id = Arc::clone(new_id);
        member.session = None;
        member.is_new = false;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), Arc::clone(new_id));
        }
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(new_id));
        }
        // Nobody syncs under the old id any more.
        self.note_sync(old_id);
        self.members.insert(Arc::clone(new_id), member);
        Some(parked)
    }

    /// No sync of this member is waited for any more.
    pub(super) fn note_sync(&mut self, member_id: &str) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.sync_timer = None;
        }
    }

    /// Replaces what the member subscribed to.
    pub(super) fn resubscribe(&mut self, member_id: &str, subscription: Subscription) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let old = std::mem::replace(&mut member.subscription, subscription);
        let new = member.subscription.protocols.clone();
        self.uncount_offers(&old.protocols);
        self.count_offers(&new);
    }

    /// Lets a join wait. The one that waited before, if any, comes back: a member waits once.
    pub(super) fn park_join(&mut self, member_id: &str, parked: Parked) -> Option<Parked> {
        let member = self.members.get_mut(member_id)?;
        let superseded = member.parked_join.replace(parked);
        self.parked_joins += usize::from(superseded.is_none());
        superseded
    }

    /// Takes the waiting join of a member, to answer it.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<Parked> {
        let parked = self.members.get_mut(member_id)?.parked_join.take();
        self.parked_joins -= usize::from(parked.is_some());
        parked
    }

    pub(super) fn all_members_joined(&self) -> bool {
        self.members.len() == self.parked_joins && self.pending_members.is_empty()
    }

    /// Makes sure that the leader is among those who joined; false when nobody did.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &Arc<str>| self.members.get(id).is_some_and(Member::is_awaiting_join);
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.values().find(|member| member.is_awaiting_join());
        let Some(elected) = joined.map(|member| Arc::clone(&member.id)) else { return false };
        self.leader = Some(elected);
        true
    }

    /// The longest any member wants to be waited for.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let longest = self.members.values().map(|member| member.subscription.rebalance_timeout_ms).max();
        i64::from(longest.unwrap_or(0).max(0))
    }

    /// Whether a member that offers `protocols` can be in this group together with those that are.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|offered| self.is_offered_by_all(&offered.name))
    }

    /// The protocol with the most votes: each member votes for the first of its own that all support. Among equals the
    /// first by name wins, so that every replay of the same joins elects the same.
    pub(super) fn select_protocol(&self) -> Option<Box<str>> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let offered = member.subscription.protocols.iter();
            if let Some(choice) =
                offered.map(|protocol| &*protocol.name).find(|name| self.is_offered_by_all(name))
            {
                *votes.entry(choice).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.into())
    }

    /// Starts the next generation with the members there are.
    pub(super) fn begin_next_generation(&mut self, wall_ms: i64) {
        self.generation = self.generation.wrapping_add(1);
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let next = if self.members.is_empty() { GroupState::Empty } else { GroupState::CompletingRebalance };
        self.enter(next, wall_ms);
        self.pending_sync.clear();
    }

    /// The topics of all members' subscriptions, as far as this is a consumer group and they can be read.
    pub(super) fn compute_subscribed_topics(&self) -> Option<BTreeSet<Box<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(member.metadata(protocol))?);
        }
        Some(topics)
    }

    fn is_offered_by_all(&self, protocol: &str) -> bool {
        self.offers.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    fn count_offers(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            *self.offers.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    fn uncount_offers(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            if let Some(count) = self.offers.get_mut(&protocol.name) {
                *count -= 1;
            }
        }
        self.offers.retain(|_, count| *count > 0);
    }
}

/// The topics of one subscription: an int16 version, then the fields of that version. Topics come first in all of
/// them, so the oldest layout reads every one.
fn subscribed_topics(subscription: &[u8]) -> Option<Vec<Box<str>>> {
    let (_version, fields) = subscription.split_first_chunk::<2>()?;
    let parsed = ConsumerProtocolSubscription::decode(&mut Reader::new(fields), 0).ok()?;
    Some(parsed.topics.iter().map(|topic| topic.as_ref().into()).collect())
}
