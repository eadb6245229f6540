//! A classic group to its record, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm_protocol::messages::GroupMetadataValue;
use klamm_protocol::messages::group_metadata_value::MemberMetadata;

use super::group::{ClassicGroup, GroupState};
use super::member::{Member, Protocol, Subscription};
use crate::record::CoordinatorRecord;
use crate::turn::Turn;

impl ClassicGroup {
    /// The group as it is written: its generation, and what every member offered and is assigned.
    pub(super) fn metadata_record(
        &self,
        assignments: &BTreeMap<Arc<str>, Vec<u8>>,
    ) -> CoordinatorRecord<'static> {
        let protocol = self.protocol_name.as_deref();
        let members = self.members.values().map(|member| MemberMetadata {
            member_id: member.id.to_string().into(),
            group_instance_id: member.instance_id.as_deref().map(|id| id.to_owned().into()),
            client_id: member.client_id.to_string().into(),
            client_host: member.client_host.to_string().into(),
            rebalance_timeout: member.subscription.rebalance_timeout_ms,
            session_timeout: member.subscription.session_timeout_ms,
            subscription: member.metadata(protocol.unwrap_or_default()).to_vec().into(),
            assignment: assignments.get(&member.id).cloned().unwrap_or_default().into(),
        });
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().to_owned().into(),
            generation: self.generation,
            protocol: protocol.map(|name| name.to_owned().into()),
            leader: self.leader.as_deref().map(|id| id.to_owned().into()),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: members.collect(),
        };
        CoordinatorRecord::group(&self.id, value)
    }

    /// The record that says a group exists, before it has had a generation.
    pub(crate) fn creation_record(&self) -> CoordinatorRecord<'static> {
        let value = GroupMetadataValue {
            protocol: None,
            leader: None,
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            ..GroupMetadataValue::default()
        };
        CoordinatorRecord::group(&self.id, value)
    }

    /// The group that a record describes.
    pub(crate) fn from_record(id: Arc<str>, value: &GroupMetadataValue<'_>) -> Self {
        let mut group = Self::new(id, value.current_state_timestamp);
        group.state_since_ms = (value.current_state_timestamp != -1).then_some(value.current_state_timestamp);
        group.generation = value.generation;
        group.protocol_name = value.protocol.as_deref().map(Into::into);
        for member in &value.members {
            let member = member_from_record(member, value.protocol.as_deref());
            group.add(member, &value.protocol_type, None);
        }
        group.protocol_type = (!value.protocol_type.is_empty()).then(|| value.protocol_type.as_ref().into());
        group.leader = value.leader.as_deref().map(Into::into);
        group.state = if group.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        group.mend_leader();
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// A record whose leader is no member would leave the group without anybody to assign.
    fn mend_leader(&mut self) {
        if self.leader.as_ref().is_none_or(|leader| !self.members.contains_key(leader)) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// The shard is now the group's coordinator: every member gets a whole session to report.
    pub(crate) fn take_over(&mut self, turn: &mut Turn<'_>) {
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            self.hear_from(turn, &member_id);
        }
        // A rebalance gives all a chance to commit before the last of them are left out.
        if self.members.len() > turn.settings.group_max_size {
            self.prepare_rebalance(turn);
        }
    }
}

fn member_from_record(record: &MemberMetadata<'_>, protocol: Option<&str>) -> Member {
    let rebalance_timeout_ms =
        if record.rebalance_timeout == -1 { record.session_timeout } else { record.rebalance_timeout };
    let offered =
        Protocol { name: protocol.unwrap_or_default().into(), metadata: record.subscription.as_ref().into() };
    Member {
        id: record.member_id.as_ref().into(),
        instance_id: record.group_instance_id.as_deref().map(Into::into),
        client_id: record.client_id.as_ref().into(),
        client_host: record.client_host.as_ref().into(),
        subscription: Subscription {
            rebalance_timeout_ms,
            session_timeout_ms: record.session_timeout,
            protocols: vec![offered],
        },
        assignment: record.assignment.to_vec(),
        is_new: false,
        session: None,
        parked_join: None,
        parked_sync: None,
    }
}
