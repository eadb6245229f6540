//! Groups of the other protocols, as far as classic groups and offsets must know of them.
//!
//! A group id belongs to one kind of group at a time. What is in the log about consumer, share and streams groups is
//! kept as the set of live record keys: enough to keep classic members out of such a group, to know whether it has
//! members, and to delete it whole.

use std::collections::{BTreeMap, BTreeSet};

use klamm_protocol::coordinator_record::GroupKey;

use crate::record::CoordinatorRecord;

/// The kinds of groups with a protocol of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForeignKind {
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071.
    Streams,
}

/// What a record of another protocol is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForeignRecord<'k> {
    pub(crate) kind: ForeignKind,
    pub(crate) group_id: &'k str,
    role: Role<'k>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role<'k> {
    /// The group itself: without it there is none.
    Group,
    Member(&'k str),
    Detail,
}

/// A group of another protocol.
#[derive(Debug, PartialEq)]
pub(crate) struct ForeignGroup {
    pub(crate) kind: ForeignKind,
    members: BTreeSet<Box<str>>,
    /// Every key that has a value, by its bytes.
    keys: BTreeMap<Vec<u8>, GroupKey<'static>>,
}

impl ForeignGroup {
    pub(crate) fn new(kind: ForeignKind) -> Self {
        Self { kind, members: BTreeSet::new(), keys: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the group can be deleted by deleting its records here. A share group has state elsewhere too.
    pub(crate) fn is_deletable(&self) -> bool {
        self.is_empty() && self.kind != ForeignKind::Share
    }

    /// The records that delete the group: its own last, so that a reader in between still sees a group.
    pub(crate) fn tombstones(&self) -> Vec<CoordinatorRecord<'static>> {
        let is_group =
            |key: &&GroupKey<'static>| ForeignRecord::of(key).is_some_and(|it| it.role == Role::Group);
        let details = self.keys.values().filter(|key| !is_group(key));
        let group = self.keys.values().filter(is_group);
        details.chain(group).cloned().map(CoordinatorRecord::tombstone).collect()
    }

    /// Applies a record of this group. False when the group is gone with it.
    pub(crate) fn apply(&mut self, record: ForeignRecord<'_>, key: &GroupKey<'_>, has_value: bool) -> bool {
        let Ok(bytes) = key.to_bytes() else { return true };
        if has_value {
            self.keys.insert(bytes, key.clone().into_static());
            if let Role::Member(member_id) = record.role {
                self.members.insert(member_id.into());
            }
            return true;
        }
        self.keys.remove(&bytes);
        if let Role::Member(member_id) = record.role {
            self.members.remove(member_id);
        }
        record.role != Role::Group
    }
}

impl<'k> ForeignRecord<'k> {
    /// None for records of classic groups and of offsets.
    pub(crate) fn of(key: &'k GroupKey<'_>) -> Option<Self> {
        use ForeignKind::{Consumer, Share, Streams};
        use Role::{Detail, Group, Member};
        let (kind, group_id, role) = match key {
            GroupKey::LegacyOffsetCommit(_) | GroupKey::OffsetCommit(_) | GroupKey::GroupMetadata(_) => {
                return None;
            }
            GroupKey::ConsumerGroupMetadata(key) => (Consumer, &key.group_id, Group),
            GroupKey::ConsumerGroupPartitionMetadata(key) => (Consumer, &key.group_id, Detail),
            GroupKey::ConsumerGroupMemberMetadata(key) => (Consumer, &key.group_id, Member(&key.member_id)),
            GroupKey::ConsumerGroupTargetAssignmentMetadata(key) => (Consumer, &key.group_id, Detail),
            GroupKey::ConsumerGroupTargetAssignmentMember(key) => (Consumer, &key.group_id, Detail),
            GroupKey::ConsumerGroupCurrentMemberAssignment(key) => (Consumer, &key.group_id, Detail),
            GroupKey::ConsumerGroupRegularExpression(key) => (Consumer, &key.group_id, Detail),
            GroupKey::ShareGroupMetadata(key) => (Share, &key.group_id, Group),
            GroupKey::ShareGroupMemberMetadata(key) => (Share, &key.group_id, Member(&key.member_id)),
            GroupKey::ShareGroupTargetAssignmentMetadata(key) => (Share, &key.group_id, Detail),
            GroupKey::ShareGroupTargetAssignmentMember(key) => (Share, &key.group_id, Detail),
            GroupKey::ShareGroupCurrentMemberAssignment(key) => (Share, &key.group_id, Detail),
            GroupKey::ShareGroupStatePartitionMetadata(key) => (Share, &key.group_id, Detail),
            GroupKey::StreamsGroupMetadata(key) => (Streams, &key.group_id, Group),
            GroupKey::StreamsGroupMemberMetadata(key) => (Streams, &key.group_id, Member(&key.member_id)),
            GroupKey::StreamsGroupTargetAssignmentMetadata(key) => (Streams, &key.group_id, Detail),
            GroupKey::StreamsGroupTargetAssignmentMember(key) => (Streams, &key.group_id, Detail),
            GroupKey::StreamsGroupCurrentMemberAssignment(key) => (Streams, &key.group_id, Detail),
            GroupKey::StreamsGroupTopology(key) => (Streams, &key.group_id, Detail),
        };
        Some(Self { kind, group_id, role })
    }
}
