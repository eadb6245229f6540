//! Groups and their committed offsets.

use std::collections::BTreeMap;

use klamm_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use klamm_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use klamm_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest,
    OffsetDeleteRequest, consumer_group_describe_response,
};
use klamm_protocol::{ErrorCode, Request};

use super::{Admin, AdminError, Outcomes, Refusal};
use crate::TopicPartition;
use crate::consumer::group::{offsets, subscription};
use crate::topic_partition::by_topic;

pub use crate::consumer::group::offsets::GroupOffset;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// `consumer` for consumers, `connect` for Connect's workers; empty for groups without members.
    pub protocol_type: String,
    /// Its state, such as `Stable` or `Empty`; empty where the broker is too old to say.
    pub state: String,
    /// Its kind, such as `Classic` or `Consumer`; empty where the broker is too old to say.
    pub kind: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// The assignor in use, for consumers.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The coordinator's name for it.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// The topics it has subscribed to, for consumers.
    pub subscribed_topics: Vec<String>,
    /// The partitions it holds, for consumers.
    pub assignment: Vec<TopicPartition>,
}

impl Admin {
    /// All groups of all brokers, by id; of certain states (`Stable`, `Empty`, …) or kinds (`Classic`, `Consumer`, …)
    /// only, if any are given.
    pub async fn list_groups(
        &self,
        states: &[&str],
        kinds: &[&str],
    ) -> Result<Vec<GroupListing>, AdminError> {
        let brokers = self.describe_cluster(false).await?.brokers;
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|state| (*state).into()).collect(),
            types_filter: kinds.iter().map(|kind| (*kind).into()).collect(),
        };
        let mut groups = Vec::new();
        for node in brokers {
            let id = node.broker.id;
            let response = self
                .cluster
                .retrying(self.cluster.api_deadline(), AdminError::is_retriable, || async {
                    let response = self.cluster.call_broker(id, &request).await?;
                    let checked = Refusal::check(response.error_code, None::<&str>);
                    checked
                        .map_err(|refusal| AdminError::refused(format!("groups of broker {id}"), refusal))?;
                    Ok(response)
                })
                .await?;
            groups.extend(response.groups.into_iter().map(|group| GroupListing {
                id: group.group_id.into_owned(),
                protocol_type: group.protocol_type.into_owned(),
                state: group.group_state.into_owned(),
                kind: group.group_type.into_owned(),
                coordinator: id,
            }));
        }
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// A group of consumers, or a classic group of any kind, with its members.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let classic = self.describe_classic_group(group).await;
        let is_missing = matches!(&classic, Err(AdminError::Refused { refusal, .. })
            if refusal.code == ErrorCode::GROUP_ID_NOT_FOUND);
        if !is_missing {
            return classic;
        }
        // It may be a group of the newer protocol (KIP-848); a broker without that knows no such group.
        self.describe_consumer_group(group).await.or(classic)
    }

    async fn describe_consumer_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.into()], ..Default::default() };
        let (coordinator, described) = self
            .of_coordinator(group, &request, |response| {
                let described = response.groups.into_iter().next();
                let code = described.as_ref().map_or(ErrorCode::GROUP_ID_NOT_FOUND, |d| d.error_code);
                let message = described.as_ref().and_then(|d| d.error_message.clone());
                Refusal::check(code, message).map(|()| described)
            })
            .await?;
        let missing = Refusal { code: ErrorCode::GROUP_ID_NOT_FOUND, message: None };
        let described = described.ok_or_else(|| refused(group, missing))?;
        Ok(GroupDescription {
            id: group.to_owned(),
            state: described.group_state.into_owned(),
            protocol_type: subscription::PROTOCOL_TYPE.to_owned(),
            assignor: described.assignor_name.into_owned(),
            coordinator,
            members: described.members.into_iter().map(consumer_member).collect(),
        })
    }

    async fn describe_classic_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let request = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
        let (coordinator, described) = self
            .of_coordinator(group, &request, |response| {
                let described = response.groups.into_iter().next();
                let code = described.as_ref().map_or(ErrorCode::GROUP_ID_NOT_FOUND, |d| d.error_code);
                let message = described.as_ref().and_then(|d| d.error_message.clone());
                Refusal::check(code, message).map(|()| described)
            })
            .await?;
        let missing = Refusal { code: ErrorCode::GROUP_ID_NOT_FOUND, message: None };
        let described = described.ok_or_else(|| refused(group, missing.clone()))?;
        // Older brokers describe a group that does not exist as a dead one.
        if described.group_state == "Dead" {
            return Err(refused(group, missing));
        }
        Ok(description(described, coordinator))
    }

    /// Deletes groups that have no members, with their offsets.
    pub async fn delete_groups<S: AsRef<str>>(
        &self,
        groups: impl IntoIterator<Item = S>,
    ) -> Result<Outcomes<String, ()>, AdminError> {
        let mut outcomes = Vec::new();
        for group in groups {
            let group = group.as_ref();
            let request = DeleteGroupsRequest { groups_names: vec![group.into()] };
            let deleted = self
                .of_coordinator(group, &request, |response| {
                    response
                        .results
                        .into_iter()
                        .next()
                        .map_or(Ok(()), |result| Refusal::check(result.error_code, result.error_message))
                })
                .await;
            outcomes.push((group.to_owned(), refusal_of(deleted.map(|_| ()))?));
        }
        Ok(outcomes)
    }

    /// A group's committed offsets: of these partitions, or of all.
    pub async fn list_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, AdminError> {
        let deadline = self.cluster.api_deadline();
        self.cluster
            .retrying(deadline, offsets::OffsetsError::is_retriable, || async {
                let node = self.cluster.group_coordinator(group).await?;
                let connection = self.cluster.broker(node).await.map_err(crate::RequestError::from)?;
                offsets::fetch(&self.cluster, &connection, group, None, partitions).await
            })
            .await
            .map_err(|error| offsets_error(group, error))
    }

    /// Sets a group's offsets. The group must have no members.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, GroupOffset>,
    ) -> Result<Outcomes<TopicPartition, ()>, AdminError> {
        let deadline = self.cluster.api_deadline();
        let committed = self
            .cluster
            .retrying(deadline, offsets::OffsetsError::is_retriable, || async {
                let node = self.cluster.group_coordinator(group).await?;
                let connection = self.cluster.broker(node).await.map_err(crate::RequestError::from)?;
                offsets::commit(&self.cluster, &connection, group, &offsets::Committer::none(), offsets).await
            })
            .await
            .map_err(|error| offsets_error(group, error))?;
        let check = |(partition, code)| (partition, Refusal::check(code, None::<&str>));
        Ok(committed.into_iter().map(check).collect())
    }

    /// Deletes a group's offsets of partitions whose topic no member subscribes to.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<TopicPartition, ()>, AdminError> {
        let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter().map(|(name, partitions)| {
            let partition = |(partition_index, ())| OffsetDeleteRequestPartition { partition_index };
            OffsetDeleteRequestTopic {
                name: name.to_string().into(),
                partitions: partitions.into_iter().map(partition).collect(),
            }
        });
        let request = OffsetDeleteRequest { group_id: group.into(), topics: topics.collect() };
        let (_, topics) = self
            .of_coordinator(group, &request, |response| {
                Refusal::check(response.error_code, None::<&str>).map(|()| response.topics)
            })
            .await?;
        let results = topics.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |p| {
                let partition = TopicPartition::new(&topic.name, p.partition_index);
                (partition, Refusal::check(p.error_code, None::<&str>))
            })
        });
        Ok(results.collect())
    }

    /// Asks a group's coordinator, looking it up again as long as answers say that it is worth it.
    async fn of_coordinator<R: Request, T>(
        &self,
        group: &str,
        request: &R,
        check: impl Fn(R::Response<'static>) -> Result<T, Refusal>,
    ) -> Result<(i32, T), AdminError> {
        self.cluster
            .retrying(self.cluster.api_deadline(), AdminError::is_retriable, || async {
                let node = self.cluster.group_coordinator(group).await?;
                let connection = self.cluster.broker(node).await.map_err(crate::RequestError::from)?;
                let response = connection.call(request).await?;
                let checked = check(response).map_err(|refusal| refused(group, refusal))?;
                Ok((node, checked))
            })
            .await
    }
}

fn refused(group: &str, refusal: Refusal) -> AdminError {
    AdminError::refused(format!("group `{group}`"), refusal)
}

fn refusal_of(result: Result<(), AdminError>) -> Result<Result<(), Refusal>, AdminError> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(AdminError::Refused { refusal, .. }) => Ok(Err(refusal)),
        Err(error) => Err(error),
    }
}

fn offsets_error(group: &str, error: offsets::OffsetsError) -> AdminError {
    match error {
        offsets::OffsetsError::Request(error) => error.into(),
        offsets::OffsetsError::Refused(code) => refused(group, Refusal { code, message: None }),
    }
}

fn description(group: DescribedGroup<'_>, coordinator: i32) -> GroupDescription {
    let is_consumer = group.protocol_type == subscription::PROTOCOL_TYPE;
    GroupDescription {
        id: group.group_id.into_owned(),
        state: group.group_state.into_owned(),
        protocol_type: group.protocol_type.into_owned(),
        assignor: group.protocol_data.into_owned(),
        coordinator,
        members: group.members.into_iter().map(|m| member(m, is_consumer)).collect(),
    }
}

fn consumer_member(member: consumer_group_describe_response::Member<'_>) -> GroupMember {
    let assigned = member.assignment.topic_partitions.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(&topic.topic_name, *partition))
    });
    GroupMember {
        id: member.member_id.into_owned(),
        instance_id: super::owned(member.instance_id),
        client_id: member.client_id.into_owned(),
        client_host: member.client_host.into_owned(),
        subscribed_topics: member.subscribed_topic_names.iter().map(ToString::to_string).collect(),
        assignment: assigned.collect(),
    }
}

fn member(member: DescribedGroupMember<'_>, is_consumer: bool) -> GroupMember {
    // What cannot be read is another program's, and not ours to complain about.
    let subscribed = subscription::decode_subscription(&member.member_metadata).ok().filter(|_| is_consumer);
    let assigned = subscription::decode_assignment(&member.member_assignment).ok().filter(|_| is_consumer);
    GroupMember {
        id: member.member_id.into_owned(),
        instance_id: super::owned(member.group_instance_id),
        client_id: member.client_id.into_owned(),
        client_host: member.client_host.into_owned(),
        subscribed_topics: subscribed.map(|s| s.topics).unwrap_or_default(),
        assignment: assigned.unwrap_or_default(),
    }
}
