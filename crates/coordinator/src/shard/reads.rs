//! What administrators ask: ListGroups and DescribeGroups. They see the live state, committed or not.

use klamm_protocol::ErrorCode;
use klamm_protocol::messages::ListGroupsRequest;
use klamm_protocol::messages::describe_groups_response::DescribedGroup;
use klamm_protocol::messages::list_groups_response::ListedGroup;

use super::{Group, Shard};

/// From this version on DescribeGroups tells that a group does not exist; before, such a group is Dead.
const DESCRIBE_NOT_FOUND_FROM: i16 = 6;
const CLASSIC_TYPE: &str = "classic";

impl Shard {
    /// ListGroups 0–5: the classic groups of this shard that pass both filters, by id. Filters know no case; an empty one
    /// passes everything. A shard that is not active has no groups.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while the shard loads; that then is the answer to the whole request.
    pub fn list_groups(
        &self,
        request: &ListGroupsRequest<'_>,
    ) -> Result<Vec<ListedGroup<'static>>, ErrorCode> {
        match self.unavailable() {
            Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => {
                return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
            }
            Some(_) => return Ok(Vec::new()),
            None => {}
        }
        let types = &request.types_filter;
        if !types.is_empty() && !types.iter().any(|name| name.eq_ignore_ascii_case(CLASSIC_TYPE)) {
            return Ok(Vec::new());
        }
        let states = &request.states_filter;
        let passes = |state: &str| {
            states.is_empty() || states.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(state))
        };
        let classic = self.groups.values().filter_map(|group| match group {
            Group::Classic(group) if passes(group.state().name()) => Some(group.list()),
            _ => None,
        });
        let mut listed: Vec<_> = classic.collect();
        listed.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        Ok(listed)
    }

    /// DescribeGroups 0–6, for one group.
    #[must_use]
    pub fn describe_group(&self, group_id: &str, api_version: i16) -> DescribedGroup<'static> {
        let id = group_id.to_owned().into();
        if let Some(error_code) = self.unavailable() {
            return DescribedGroup { group_id: id, error_code, ..DescribedGroup::default() };
        }
        let reason = match self.groups.get(group_id) {
            Some(Group::Classic(group)) => return group.describe(),
            Some(Group::Foreign(_)) => format!("Group {group_id} is not a classic group."),
            None => format!("Group {group_id} not found."),
        };
        let dead = DescribedGroup { group_id: id, group_state: "Dead".into(), ..DescribedGroup::default() };
        if api_version < DESCRIBE_NOT_FOUND_FROM {
            return dead;
        }
        DescribedGroup {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(reason.into()),
            ..dead
        }
    }
}
