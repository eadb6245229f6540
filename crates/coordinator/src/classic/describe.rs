//! What DescribeGroups and ListGroups say about a classic group.

use klamm_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use klamm_protocol::messages::list_groups_response::ListedGroup;

use super::group::{ClassicGroup, GroupState};
use super::member::Member;

impl ClassicGroup {
    /// What members offered is told in a stable group only; before, there is no protocol it would be for.
    pub(crate) fn describe(&self) -> DescribedGroup<'static> {
        let protocol = self.protocol_name.as_deref().filter(|_| self.state == GroupState::Stable);
        let describe = |member: &Member| DescribedGroupMember {
            member_id: member.id.to_string().into(),
            group_instance_id: member.instance_id.as_deref().map(|id| id.to_owned().into()),
            client_id: member.client_id.to_string().into(),
            client_host: member.client_host.to_string().into(),
            member_metadata: protocol.map_or(&[][..], |name| member.metadata(name)).to_vec().into(),
            member_assignment: member.assignment.clone().into(),
        };
        DescribedGroup {
            group_id: self.id.to_string().into(),
            group_state: self.state.name().into(),
            protocol_type: self.protocol_type_name(),
            protocol_data: protocol.unwrap_or_default().to_owned().into(),
            members: self.members.values().map(describe).collect(),
            ..DescribedGroup::default()
        }
    }

    pub(crate) fn list(&self) -> ListedGroup<'static> {
        ListedGroup {
            group_id: self.id.to_string().into(),
            protocol_type: self.protocol_type_name(),
            group_state: self.state.name().into(),
            group_type: "classic".into(),
        }
    }

    fn protocol_type_name(&self) -> std::borrow::Cow<'static, str> {
        self.protocol_type.as_deref().unwrap_or_default().to_owned().into()
    }
}
