//! Operations on partitions, which only their leaders can carry out.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use klamm_protocol::ErrorCode;
use tokio::time::Instant;

use super::{Admin, AdminError, Outcomes, Refusal};
use crate::TopicPartition;
use crate::cluster::Cluster;

impl Admin {
    /// Asks each partition's leader, as long as an answer says that it is worth trying again.
    ///
    /// `ask` sends what concerns one broker and returns an answer for each of its partitions; partitions it leaves
    /// out count as not answered.
    pub(super) async fn ask_leaders<T, F>(
        &self,
        partitions: Vec<TopicPartition>,
        ask: impl Fn(Arc<Cluster>, i32, Vec<TopicPartition>) -> F,
    ) -> Result<Outcomes<TopicPartition, T>, AdminError>
    where
        F: Future<Output = Result<Outcomes<TopicPartition, T>, AdminError>>,
    {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        let mut done = Vec::new();
        let mut open = partitions;
        loop {
            let mut last_error = None;
            let mut again: Vec<(TopicPartition, Refusal)> = Vec::new();
            let (by_leader, unknown) = self.by_leader(&open).await?;
            for (partition, refusal) in unknown {
                // A missing topic does not come by waiting, a leader does.
                match refusal.code {
                    ErrorCode::LEADER_NOT_AVAILABLE => again.push((partition, refusal)),
                    _ => done.push((partition, Err(refusal))),
                }
            }
            for (leader, partitions) in by_leader {
                match ask(Arc::clone(&self.cluster), leader, partitions.clone()).await {
                    Ok(outcomes) => sort_out(outcomes, &mut done, &mut again),
                    Err(error) if error.is_retriable() => {
                        let code = ErrorCode::NETWORK_EXCEPTION;
                        let refusal = Refusal { code, message: Some(error.to_string()) };
                        again.extend(partitions.into_iter().map(|p| (p, refusal.clone())));
                        last_error = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            let pause = backoff.next();
            if again.is_empty() {
                return Ok(done);
            }
            if Instant::now() + pause >= deadline {
                return match last_error {
                    Some(error) if done.is_empty() => Err(error),
                    _ => Ok(done.into_iter().chain(again.into_iter().map(|(p, r)| (p, Err(r)))).collect()),
                };
            }
            open = again.into_iter().map(|(partition, _)| partition).collect();
            tokio::time::sleep(pause).await;
        }
    }

    /// The partitions by leader, and those without one.
    async fn by_leader(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<(BTreeMap<i32, Vec<TopicPartition>>, Vec<(TopicPartition, Refusal)>), AdminError> {
        let mut names: Vec<Arc<str>> = partitions.iter().map(|p| Arc::clone(&p.topic)).collect();
        names.sort();
        names.dedup();
        let metadata = self
            .cluster
            .retrying(self.cluster.api_deadline(), crate::RequestError::is_retriable, || {
                self.cluster.fetch_topics(&names)
            })
            .await?;
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for partition in partitions {
            match metadata.leader(&partition.topic, partition.partition) {
                Some(leader) => by_leader.entry(leader).or_default().push(partition.clone()),
                None => {
                    let exists = metadata.partition(&partition.topic, partition.partition).is_some();
                    let code = match metadata.topic_error(&partition.topic) {
                        Some(code) => code,
                        None if exists => ErrorCode::LEADER_NOT_AVAILABLE,
                        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    };
                    unknown.push((partition.clone(), Refusal { code, message: None }));
                }
            }
        }
        Ok((by_leader, unknown))
    }
}

fn sort_out<T>(
    outcomes: Outcomes<TopicPartition, T>,
    done: &mut Outcomes<TopicPartition, T>,
    again: &mut Vec<(TopicPartition, Refusal)>,
) {
    for (partition, outcome) in outcomes {
        match outcome {
            Err(refusal) if refusal.code.is_retriable() => again.push((partition, refusal)),
            outcome => done.push((partition, outcome)),
        }
    }
}
