//! Who leads, as answers on the wire tell it: one leader an epoch, one vote an epoch, and high watermarks that do not go back: not on a
//! connection, and not within an epoch of the leader that consumers name, whoever of them asks after another was told.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use klamm_protocol::messages::{
    BeginQuorumEpochRequest, FetchRequest, FetchResponse, MetadataResponse, VoteRequest, VoteResponse,
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
    /// By connection, topic and partition: the leader's epoch that the consumer has named last. A fetch session goes on with it.
    epochs: BTreeMap<(u64, Uuid, i32), i32>,
    /// By topic, partition and leader's epoch: which high watermarks were told when, ascending.
    told: BTreeMap<(Uuid, i32, i32), Vec<Told>>,
}

struct Told {
    at: u64,
    high_watermark: i64,
}

impl Leaders {
    /// An answer is given, at a moment of the checks' count.
    pub(super) fn answered(&mut self, call: &Call, response: &[u8], now: u64) -> Result<(), String> {
        match call.key {
            ApiKey::Metadata => self.metadata(call, response),
            ApiKey::Fetch => self.fetched(call, response, now),
            ApiKey::Vote => self.voted(call, response),
            _ => Ok(()),
        }
    }

    /// A request leaves.
    pub(super) fn sent(&mut self, call: &Call) -> Result<(), String> {
        match call.key {
            ApiKey::BeginQuorumEpoch => self.leads(call),
            ApiKey::Fetch if !call.is_from_node => {
                self.note_epochs(call);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_epochs(&mut self, call: &Call) {
        let Some(request) = read::<FetchRequest<'_>>(&call.request, call) else { return };
        for topic in &request.topics {
            for partition in &topic.partitions {
                let key = (call.link, topic.topic_id, partition.partition);
                self.epochs.insert(key, partition.current_leader_epoch);
            }
        }
    }

    /// A leader of the quorum says that it is one.
    fn leads(&mut self, call: &Call) -> Result<(), String> {
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

    fn fetched(&mut self, call: &Call, response: &[u8], now: u64) -> Result<(), String> {
        let Some(response) = read::<FetchResponse<'_>>(response, call) else { return Ok(()) };
        for topic in &response.responses {
            for partition in topic.partitions.iter().filter(|partition| !partition.error_code.is_error()) {
                let key = (call.link, topic.topic_id, partition.partition_index);
                // A new leader of the quorum does not know it before an entry of its own epoch is committed.
                if partition.high_watermark < 0 {
                    continue;
                }
                let known = self.high_watermarks.entry(key).or_default();
                let before = self.epochs.get(&key).filter(|epoch| **epoch >= 0).map_or(*known, |epoch| {
                    let told = self.told.entry((key.1, key.2, *epoch)).or_default();
                    note_told(told, partition.high_watermark, call.sent_at, now).max(*known)
                });
                if partition.high_watermark < before {
                    return Err(format!(
                        "the high watermark of {}-{} was {before}, and is {}",
                        topic.topic_id, partition.partition_index, partition.high_watermark
                    ));
                }
                *known = partition.high_watermark;
            }
        }
        Ok(())
    }
}

/// Notes a high watermark that is told now to somebody who asked at `asked_at`; returns the one that was told last before that.
fn note_told(told: &mut Vec<Told>, high_watermark: i64, asked_at: u64, now: u64) -> i64 {
    let before = told[..told.partition_point(|told| told.at < asked_at)].last();
    let before = before.map_or(0, |told| told.high_watermark);
    if told.last().is_none_or(|last| last.high_watermark < high_watermark) {
        told.push(Told { at: now, high_watermark });
    }
    before
}

/// Notes a value for which there may be one only; says which other one there was.
fn only<K: Ord>(entry: Entry<'_, K, i32>, value: i32) -> Result<(), i32> {
    let known = *entry.or_insert(value);
    if known == value { Ok(()) } else { Err(known) }
}

fn read<'a, T: Decode<'a>>(body: &'a [u8], call: &Call) -> Option<T> {
    T::decode(&mut Reader::new(body), call.version).ok()
}
