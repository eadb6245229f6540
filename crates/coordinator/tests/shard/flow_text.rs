//! How the scripts of `flows` print answers and records.

use klamm_coordinator::Response;
use klamm_protocol::coordinator_record::{GroupKey, GroupValue};
use klamm_protocol::messages::ConsumerProtocolSubscription;
use klamm_protocol::{Decode, Reader};

use crate::driver::Event;
use crate::flows::Flow;

impl Flow {
    pub(crate) fn print(&self, event: Event) -> String {
        match event {
            Event::Logged(offset, record) => {
                format!("log {offset}: {}", self.print_record(&record.key, record.value))
            }
            Event::Answered(answer) => {
                format!("r{} {}", answer.request.0, self.print_response(answer.response))
            }
        }
    }

    fn print_record(&self, key: &GroupKey<'_>, value: Option<GroupValue<'_>>) -> String {
        match (key, value) {
            (GroupKey::GroupMetadata(key), None) => format!("group {} gone", key.group),
            (GroupKey::GroupMetadata(key), Some(GroupValue::GroupMetadata(value))) => {
                let members = value.members.iter().map(|member| {
                    let assignment = String::from_utf8_lossy(&member.assignment).into_owned();
                    format!(" {}={}/{assignment}", self.name(&member.member_id), topics(&member.subscription))
                });
                format!(
                    "group {} gen={} {:?}/{} leader={} at={}{}",
                    key.group,
                    value.generation,
                    value.protocol_type,
                    value.protocol.as_deref().unwrap_or("null"),
                    value.leader.map_or("null".to_owned(), |id| self.name(&id)),
                    value.current_state_timestamp,
                    members.collect::<String>()
                )
            }
            (GroupKey::OffsetCommit(key), None) => {
                format!("offset {} {}-{} gone", key.group, key.topic, key.partition)
            }
            (GroupKey::OffsetCommit(key), Some(GroupValue::OffsetCommit(value))) => {
                let expires = Some(value.expire_timestamp).filter(|at| *at != -1);
                format!(
                    "offset {} {}-{}={} {:?} at={}{}",
                    key.group,
                    key.topic,
                    key.partition,
                    value.offset,
                    value.metadata,
                    value.commit_timestamp,
                    expires.map(|at| format!(" expires={at}")).unwrap_or_default()
                )
            }
            (key, value) => panic!("unexpected record {key:?} {value:?}"),
        }
    }

    fn print_response(&self, response: Response) -> String {
        match response {
            Response::JoinGroup(it) => {
                let members = it.members.iter().map(|member| {
                    let instance = member.group_instance_id.as_deref().map(|id| format!("({id})"));
                    let name = self.name(&member.member_id);
                    format!(" {name}{}={}", instance.unwrap_or_default(), topics(&member.metadata))
                });
                let members: String = members.collect();
                let name = it.protocol_name.as_deref().unwrap_or("null");
                if it.error_code.is_error() {
                    return format!(
                        "join {} member={} protocol={name:?}",
                        it.error_code,
                        self.name(&it.member_id)
                    );
                }
                let skip = if it.skip_assignment { " skip" } else { "" };
                let (id, leader) = (self.name(&it.member_id), self.name(&it.leader));
                format!("join gen={} {name} member={id} leader={leader}{members}{skip}", it.generation_id)
            }
            Response::SyncGroup(it) if it.error_code.is_error() => format!("sync {}", it.error_code),
            Response::SyncGroup(it) => {
                let protocol = it.protocol_name.unwrap_or_default();
                format!("sync {protocol} {:?}", String::from_utf8_lossy(&it.assignment))
            }
            Response::Heartbeat(it) => format!("heartbeat {}", it.error_code),
            Response::LeaveGroup(it) => {
                let members = it.members.iter().map(|member| {
                    let instance = member.group_instance_id.as_deref().unwrap_or_default();
                    format!(" {}{instance}:{}", self.name(&member.member_id), member.error_code)
                });
                format!("leave {}{}", it.error_code, members.collect::<String>())
            }
            Response::OffsetCommit(it) => {
                let topics = it.topics.iter().flat_map(|topic| {
                    topic
                        .partitions
                        .iter()
                        .map(|at| format!(" {}-{}:{}", topic.name, at.partition_index, at.error_code))
                });
                format!("commit{}", topics.collect::<String>())
            }
            Response::OffsetFetch(it) => {
                let topics = it.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| {
                        let metadata = at.metadata.as_deref().unwrap_or("null");
                        format!(
                            " {}-{}={} {metadata:?} {}",
                            topic.name, at.partition_index, at.committed_offset, at.error_code
                        )
                    })
                });
                format!("fetch {}{}", it.error_code, topics.collect::<String>())
            }
            Response::OffsetDelete(it) => {
                let topics = it.topics.iter().flat_map(|topic| {
                    topic
                        .partitions
                        .iter()
                        .map(|at| format!(" {}-{}:{}", topic.name, at.partition_index, at.error_code))
                });
                format!("offset-delete {}{}", it.error_code, topics.collect::<String>())
            }
            Response::DeleteGroups(results) => {
                let results = results.iter().map(|it| format!(" {}:{}", it.group_id, it.error_code));
                format!("delete{}", results.collect::<String>())
            }
        }
    }
}

/// The topics of a consumer's subscription.
pub(crate) fn topics(subscription: &[u8]) -> String {
    let Some((_, fields)) = subscription.split_first_chunk::<2>() else { return "-".to_owned() };
    let parsed = ConsumerProtocolSubscription::decode(&mut Reader::new(fields), 3).expect("a subscription");
    format!("[{}]", parsed.topics.join("+"))
}
