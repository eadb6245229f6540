//! Who leads, as answers on the wire tell it: one leader an epoch, one vote an epoch, and high watermarks that do not go back.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use klamm_protocol::messages::{
    BeginQuorumEpochRequest, FetchResponse, MetadataResponse, VoteRequest, VoteResponse,
};
use klamm_protocol::{ApiKey, Decode, Reader, Uuid};

use crate::network::Call;

/// What has been told so far.
#[derive(Default)]
pub(super) struct Leaders {
    /// By topic, partition and epoch.
    partitions: BTreeMap<(String, i32, i32), i32>,
    /// By epoch: the quorum's leader.
    quorum: BTreeMap<i32, i32>,
    /// By voter and epoch: for whom it has voted.
    votes: BTreeMap<(String, i32), i32>,
    /// By connection, topic and partition.
    high_watermarks: BTreeMap<(u64, Uuid, i32), i64>,
}

impl Leaders {
    pub(super) fn answered(&mut self, call: &Call, response: &[u8]) -> Result<(), String> {
        match call.key {
            ApiKey::Metadata => self.metadata(call, response),
            ApiKey::Fetch => self.fetched(call, response),
            ApiKey::Vote => self.voted(call, response),
            _ => Ok(()),
        }
    }

    /// A leader of the quorum says that it is one.
    pub(super) fn sent(&mut self, call: &Call) -> Result<(), String> {
        if call.key != ApiKey::BeginQuorumEpoch {
            return Ok(());
        }
        let Some(request) = read::<BeginQuorumEpochRequest<'_>>(&call.request, call) else { return Ok(()) };
        for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
            let (epoch, leader) = (partition.leader_epoch, partition.leader_id);
            only(self.quorum.entry(epoch), leader).map_err(|other| {
                format!("{leader} leads the quorum in epoch {epoch}, and so does {other}")
            })?;
        }
        Ok(())
    }

    fn metadata(&mut self, call: &Call, response: &[u8]) -> Result<(), String> {
        let Some(response) = read::<MetadataResponse<'_>>(response, call) else { return Ok(()) };
        for topic in &response.topics {
            let name = topic.name.as_deref().unwrap_or_default();
            for partition in topic.partitions.iter().filter(|partition| partition.leader_id >= 0) {
                let (index, epoch, leader) =
                    (partition.partition_index, partition.leader_epoch, partition.leader_id);
                only(self.partitions.entry((name.to_owned(), index, epoch)), leader).map_err(|other| {
                    format!("{leader} leads {name}-{index} in epoch {epoch}, and so does {other}")
                })?;
            }
        }
        Ok(())
    }

    fn voted(&mut self, call: &Call, response: &[u8]) -> Result<(), String> {
        let (Some(request), Some(response)) =
            (read::<VoteRequest<'_>>(&call.request, call), read::<VoteResponse<'_>>(response, call))
        else {
            return Ok(());
        };
        let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
        let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
        for (asked, _) in asked.zip(answers).filter(|(asked, it)| it.vote_granted && !asked.pre_vote) {
            let (candidate, epoch, voter) = (asked.replica_id, asked.replica_epoch, &call.server);
            only(self.votes.entry((voter.clone(), epoch)), candidate).map_err(|other| {
                format!("{voter} votes for {candidate} in epoch {epoch}, and has voted for {other}")
            })?;
        }
        Ok(())
    }

    fn fetched(&mut self, call: &Call, response: &[u8]) -> Result<(), String> {
        let Some(response) = read::<FetchResponse<'_>>(response, call) else { return Ok(()) };
        for topic in &response.responses {
            for partition in topic.partitions.iter().filter(|partition| !partition.error_code.is_error()) {
                let key = (call.link, topic.topic_id, partition.partition_index);
                let known = self.high_watermarks.entry(key).or_default();
                let now = partition.high_watermark;
                // A new leader of the quorum does not know it before an entry of its own epoch is committed.
                if now < 0 {
                    continue;
                }
                if now < *known {
                    let (index, before) = (partition.partition_index, *known);
                    return Err(format!(
                        "the high watermark of {}-{index} was {before}, and is {now}",
                        topic.topic_id
                    ));
                }
                *known = now;
            }
        }
        Ok(())
    }
}

/// Notes a value for which there may be one only; says which other one there was.
fn only<K: Ord>(entry: Entry<'_, K, i32>, value: i32) -> Result<(), i32> {
    let known = *entry.or_insert(value);
    if known == value { Ok(()) } else { Err(known) }
}

fn read<'a, T: Decode<'a>>(body: &'a [u8], call: &Call) -> Option<T> {
    T::decode(&mut Reader::new(body), call.version).ok()
}
