//! Committing offsets in the group's name.

use std::collections::BTreeMap;

use klamm_protocol::ErrorCode;

use super::group::offsets::{self, Committer, GroupOffset, OffsetsError};
use super::{Event, Shared, State};
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

/// What is known to be done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// All that was delivered: the application says so.
    Delivered,
    /// What was delivered before the application asked for more.
    Processed,
}

/// Commits the positions of what is done with. Commits take turns and each takes its positions when its turn has come, so that one
/// that is tried again cannot undo another that began later.
pub(super) async fn commit_positions(shared: &Shared, done: Done) -> Result<(), CommitError> {
    let _turn = shared.committing.lock().await;
    let (offsets, committer) = {
        let mut state = shared.state.lock();
        if done == Done::Delivered {
            state.positions.note_processed();
        }
        let offsets = state.positions.to_commit(done == Done::Processed);
        check_membership(&state, &offsets)?;
        (offsets, state.committer.clone())
    };
    commit(shared, &offsets, &committer).await
}

/// Commits these offsets when the commits before are done.
pub(super) async fn commit_offsets(
    shared: &Shared,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<(), CommitError> {
    let _turn = shared.committing.lock().await;
    let committer = {
        let state = shared.state.lock();
        check_membership(&state, offsets)?;
        state.committer.clone()
    };
    commit(shared, offsets, &committer).await
}

/// A subscribed consumer commits as a member, and for what it still has. As nobody it could move a group's offsets back while
/// that has no members; and where the partitions are lost and the application does not know yet, it must not take a commit of
/// nothing for one of what it was given.
fn check_membership(
    state: &State,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<(), CommitError> {
    let has_unknown_loss = || state.notices.iter().any(|notice| matches!(notice, Ok(Event::Lost(_))));
    let is_nobody = !offsets.is_empty() && state.committer.generation < 0;
    if !state.topics.is_empty() && (is_nobody || has_unknown_loss()) {
        return Err(CommitError::Refused { code: ErrorCode::ILLEGAL_GENERATION, partition: None });
    }
    Ok(())
}

/// Commits offsets, looking the coordinator up again as long as answers say that it is worth it. All attempts are in the name of
/// the generation in which the first was made: in a later one the partitions may be another member's. Once the partitions are lost there
/// is no further attempt.
async fn commit(
    shared: &Shared,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
    committer: &Committer,
) -> Result<(), CommitError> {
    let group = shared.config.group_id.as_deref().ok_or(CommitError::NoGroup)?;
    if offsets.is_empty() {
        return Ok(());
    }
    let answers = shared
        .cluster
        .retrying(shared.cluster.api_deadline(), OffsetsError::is_retriable, || async {
            if shared.state.lock().committer.losses != committer.losses {
                return Err(OffsetsError::Refused(ErrorCode::ILLEGAL_GENERATION));
            }
            let attempt = attempt(shared, group, offsets, committer).await;
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
    committer: &Committer,
) -> Result<Vec<(TopicPartition, ErrorCode)>, OffsetsError> {
    let known = shared.state.lock().coordinator;
    let node = match known {
        Some(node) => node,
        None => shared.cluster.group_coordinator(group).await?,
    };
    shared.state.lock().coordinator = Some(node);
    let connection = shared.cluster.coordinator(node).await.map_err(RequestError::from)?;
    offsets::commit(&shared.cluster, &connection, group, committer, offsets).await
}
