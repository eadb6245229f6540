//! Committing offsets in the group's name.

use std::collections::BTreeMap;

use klamm_protocol::ErrorCode;

use super::Shared;
use super::group::offsets::{self, GroupOffset, OffsetsError};
use crate::{RequestError, TopicPartition};

/// Why offsets are not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Committing needs a group.
    #[error("committing needs the setting group.id")]
    NoGroup,
    /// The coordinator refuses: mostly because the group has given the partitions to others.
    #[error("the coordinator answered {code}{}", of(partition))]
    Refused {
        /// The coordinator's answer.
        code: ErrorCode,
        /// The partition it is about, if not all.
        partition: Option<TopicPartition>,
    },
    /// The coordinator cannot be reached.
    #[error(transparent)]
    Request(#[from] RequestError),
}

fn of(partition: &Option<TopicPartition>) -> String {
    partition.as_ref().map_or(String::new(), |partition| format!(" for {partition}"))
}

impl From<OffsetsError> for CommitError {
    fn from(error: OffsetsError) -> Self {
        match error {
            OffsetsError::Request(error) => Self::Request(error),
            OffsetsError::Refused(code) => Self::Refused { code, partition: None },
        }
    }
}

/// Commits offsets, looking the coordinator up again as long as answers say that it is worth it.
pub(super) async fn commit(
    shared: &Shared,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<(), CommitError> {
    let group = shared.config.group_id.as_deref().ok_or(CommitError::NoGroup)?;
    if offsets.is_empty() {
        return Ok(());
    }
    let answers = shared
        .cluster
        .retrying(shared.cluster.api_deadline(), OffsetsError::is_retriable, || async {
            let attempt = attempt(shared, group, offsets).await;
            if attempt.is_err() {
                shared.state.lock().coordinator = None;
            }
            attempt
        })
        .await?;
    let mut state = shared.state.lock();
    for (partition, code) in &answers {
        if let (false, Some(offset)) = (code.is_error(), offsets.get(partition)) {
            state.positions.note_committed(partition, offset.offset);
        }
    }
    let refused = answers.into_iter().find(|(_, code)| code.is_error());
    refused.map_or(Ok(()), |(partition, code)| Err(CommitError::Refused { code, partition: Some(partition) }))
}

/// Fetches committed offsets from the coordinator.
pub(super) async fn committed(
    shared: &Shared,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, GroupOffset>, OffsetsError> {
    let cluster = &shared.cluster;
    cluster
        .retrying(cluster.api_deadline(), OffsetsError::is_retriable, || async {
            let node = cluster.group_coordinator(group).await?;
            let connection = cluster.broker(node).await.map_err(RequestError::from)?;
            offsets::fetch(cluster, &connection, group, None, Some(partitions)).await
        })
        .await
}

async fn attempt(
    shared: &Shared,
    group: &str,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<Vec<(TopicPartition, ErrorCode)>, OffsetsError> {
    let known = shared.state.lock().coordinator;
    let node = match known {
        Some(node) => node,
        None => shared.cluster.group_coordinator(group).await?,
    };
    shared.state.lock().coordinator = Some(node);
    let connection = shared.cluster.coordinator(node).await.map_err(RequestError::from)?;
    let committer = shared.state.lock().committer.clone();
    offsets::commit(&shared.cluster, &connection, group, &committer, offsets).await
}
