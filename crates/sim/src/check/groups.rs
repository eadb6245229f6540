//! What is known of groups, from what passes on the wire.

use std::collections::BTreeMap;

use klamm_client::TopicPartition;
use klamm_protocol::messages::{
    JoinGroupRequest, JoinGroupResponse, MetadataResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use klamm_protocol::{ApiKey, Decode, ErrorCode, Reader, Uuid};

use super::commits::Commits;
use super::nodes::Nodes;
use crate::network::Call;
use crate::shape::node_named;
use crate::trace::Trace;

/// Who owns a partition of a topic.
type Owners = BTreeMap<(String, i32), String>;

/// The model of all groups.
#[derive(Default)]
pub(super) struct Groups {
    moment: u64,
    /// By group: the newest generation in which a member got its assignment, and when.
    ///
    /// That one is committed, and whoever coordinates next knows it. A generation that was given out by JoinGroup alone is not: a
    /// coordinator that lost its lead without knowing gives them out as well, and those of the true one are still good.
    generations: BTreeMap<String, Generation>,
    /// By the moment of asking: the epochs of the coordinators of the groups whose offsets are asked for, as the one who was asked knows them.
    asked: BTreeMap<u64, BTreeMap<String, i32>>,
    /// By group: who owns a partition in the newest generation with assignments.
    owners: BTreeMap<String, (i32, Owners)>,
    /// By group, topic and partition: the commits.
    committed: BTreeMap<(String, String, i32), Commits>,
    /// Topics by id, which newer requests name them by.
    names: BTreeMap<Uuid, String>,
    commits: u64,
    assignments: u64,
}

#[derive(Clone, Copy)]
struct Generation {
    id: i32,
    since: u64,
}

impl Groups {
    pub(super) fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.commits, self.assignments)
    }

    /// A power loss may have taken commits.
    pub(super) fn lose_commits(&mut self) {
        let now = self.tick();
        self.committed.values_mut().for_each(|commits| commits.lost(now));
        self.generations.clear();
        self.owners.clear();
    }

    /// A request leaves.
    pub(super) fn sent(&mut self, call: &Call, nodes: &Nodes) {
        match call.key {
            ApiKey::OffsetCommit => self.commit_sent(call),
            ApiKey::OffsetFetch => self.offsets_asked(call, nodes),
            _ => {}
        }
    }

    fn commit_sent(&mut self, call: &Call) {
        let Some(request) = read::<OffsetCommitRequest<'_>>(&call.request, call) else { return };
        for (key, offset) in self.commits_in(&request) {
            self.committed.entry(key).or_default().sent(offset, call.sent_at);
        }
    }

    fn offsets_asked(&mut self, call: &Call, nodes: &Nodes) {
        let Some(request) = read::<OffsetFetchRequest<'_>>(&call.request, call) else { return };
        let Some(node) = node_named(&call.server) else { return };
        let groups = request.groups.iter().map(|group| group.group_id.to_string());
        let epochs = groups.map(|group| (group.clone(), nodes.coordinator_epoch(node, &group)));
        self.asked.insert(call.sent_at, epochs.collect());
    }

    fn commits_in(&self, request: &OffsetCommitRequest<'_>) -> Vec<((String, String, i32), i64)> {
        let group = request.group_id.to_string();
        let mut commits = Vec::new();
        for topic in &request.topics {
            let name = self.name(&topic.name, topic.topic_id);
            for partition in &topic.partitions {
                let key = (group.clone(), name.clone(), partition.partition_index);
                commits.push((key, partition.committed_offset));
            }
        }
        commits
    }

    pub(super) fn answered(
        &mut self,
        call: &Call,
        response: &[u8],
        nodes: &Nodes,
        trace: &Trace,
    ) -> Result<(), String> {
        self.tick();
        match call.key {
            ApiKey::JoinGroup => joined(call, response, trace),
            ApiKey::SyncGroup => self.synced(call, response, trace),
            ApiKey::OffsetCommit => self.offsets_committed(call, response, trace),
            ApiKey::OffsetFetch => self.offsets_fetched(call, response, nodes, trace),
            ApiKey::Metadata => {
                self.learn_names(call, response);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn learn_names(&mut self, call: &Call, response: &[u8]) {
        let topics = read::<MetadataResponse<'_>>(response, call).map(|response| response.topics);
        for topic in topics.into_iter().flatten() {
            if let Some(name) = topic.name.filter(|name| !name.is_empty()) {
                self.names.insert(topic.topic_id, name.into_owned());
            }
        }
    }

    fn name(&self, name: &str, id: Uuid) -> String {
        if name.is_empty() { self.names.get(&id).cloned().unwrap_or_default() } else { name.to_owned() }
    }

    fn synced(&mut self, call: &Call, response: &[u8], trace: &Trace) -> Result<(), String> {
        let (Some(request), Some(response)) = (
            read::<SyncGroupRequest<'_>>(&call.request, call),
            read::<SyncGroupResponse<'_>>(response, call),
        ) else {
            return Err("the answer to a SyncGroup is unreadable".to_owned());
        };
        if response.error_code.is_error() {
            return Ok(());
        }
        self.assignments += 1;
        let (group, member) = (request.group_id.to_string(), request.member_id.to_string());
        let (id, since) = (request.generation_id, self.moment);
        let known = self.generations.entry(group.clone()).or_insert(Generation { id, since });
        if id > known.id {
            *known = Generation { id, since };
        }
        let (generation, owners) = self.owners.entry(group).or_default();
        if request.generation_id < *generation {
            return Ok(());
        }
        if request.generation_id > *generation {
            (*generation, *owners) = (request.generation_id, BTreeMap::new());
        }
        let partitions = assigned(&response.assignment);
        trace.note(format_args!(
            "{} is {member}, in generation {generation} with {partitions:?}",
            call.client
        ));
        for partition in partitions {
            let (topic, index) = partition.clone();
            let before = owners.insert(partition, member.clone()).filter(|owner| *owner != member);
            if let Some(owner) = before {
                return Err(format!(
                    "{topic}-{index} belongs to {owner} and to {member} in generation {generation}"
                ));
            }
        }
        Ok(())
    }

    fn offsets_committed(&mut self, call: &Call, response: &[u8], trace: &Trace) -> Result<(), String> {
        let (Some(request), Some(response)) = (
            read::<OffsetCommitRequest<'_>>(&call.request, call),
            read::<OffsetCommitResponse<'_>>(response, call),
        ) else {
            return Err("the answer to an OffsetCommit is unreadable".to_owned());
        };
        let answers = response.topics.iter().flat_map(|topic| topic.partitions.iter());
        let codes: Vec<ErrorCode> = answers.map(|partition| partition.error_code).collect();
        if codes.iter().any(|code| !code.is_error()) {
            self.is_current(&request.group_id, &request, call.sent_at)?;
        }
        let who = (&call.client, request.generation_id_or_member_epoch, &request.member_id);
        let now = self.moment;
        for ((key, offset), code) in self.commits_in(&request).into_iter().zip(codes) {
            if !code.is_error() {
                self.commits += 1;
                trace.detail(format_args!("{who:?} has committed {}-{} {offset}", key.1, key.2));
            }
            let commits = self.committed.entry(key).or_default();
            match code {
                ErrorCode::NONE => commits.acknowledged(call.sent_at, now),
                code if NEVER_APPLIED.contains(&code) => commits.refused(call.sent_at),
                _ => {}
            }
        }
        Ok(())
    }

    /// A commit that was accepted was not of a generation that was over when it was sent.
    fn is_current(&self, group: &str, request: &OffsetCommitRequest<'_>, sent_at: u64) -> Result<(), String> {
        let stated = request.generation_id_or_member_epoch;
        match self.generations.get(group) {
            Some(known) if stated >= 0 && stated < known.id && known.since < sent_at => Err(format!(
                "a commit of generation {stated} of {group} was accepted in generation {}",
                known.id
            )),
            _ => Ok(()),
        }
    }

    /// Offsets are told from memory, by whoever takes itself for the coordinator. So does Kafka's: an OffsetFetch waits for what was
    /// appended, and does not ask whether somebody else leads by now. Then what is told may be old, and was committed all the same.
    fn offsets_fetched(
        &mut self,
        call: &Call,
        response: &[u8],
        nodes: &Nodes,
        trace: &Trace,
    ) -> Result<(), String> {
        let epochs = self.asked.remove(&call.sent_at).unwrap_or_default();
        let Some(response) = read::<OffsetFetchResponse<'_>>(response, call) else {
            return Err("the answer to an OffsetFetch is unreadable".to_owned());
        };
        for group in response.groups.iter().filter(|group| !group.error_code.is_error()) {
            let epoch = epochs.get(&*group.group_id).copied().unwrap_or(-1);
            let is_deposed = epoch < nodes.newest_coordinator_epoch(&group.group_id);
            for topic in &group.topics {
                let fine = topic.partitions.iter().filter(|partition| !partition.error_code.is_error());
                for partition in fine {
                    let name = self.name(&topic.name, topic.topic_id);
                    let (index, offset) = (partition.partition_index, partition.committed_offset);
                    trace.detail(format_args!(
                        "{} is told that {name}-{index} {offset} is committed",
                        call.client
                    ));
                    let key = (group.group_id.to_string(), name, partition.partition_index);
                    let Some(commits) = self.committed.get_mut(&key) else { continue };
                    if is_deposed && commits.was(offset) {
                        commits.told_late(offset);
                    } else if !commits.may_be(offset, call.sent_at) {
                        let (group, topic, index) = key;
                        let last = commits.last();
                        return Err(format!(
                            "{group} has committed {last:?} of {topic}-{index} last, and {offset} is there"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// A member begins at an offset. Where its place may be deleted, it begins anywhere, and rightly so.
    pub(super) fn starts_at(
        &self,
        group: &str,
        partition: &TopicPartition,
        offset: i64,
        deletable_below: i64,
    ) -> Result<(), String> {
        let key = (group.to_owned(), partition.topic.to_string(), partition.partition);
        let Some(commits) = self.committed.get(&key) else { return Ok(()) };
        match commits.lowest(self.moment).filter(|lowest| offset < *lowest && *lowest >= deletable_below) {
            Some(lowest) if !commits.was_told_late(offset) => Err(format!("{lowest} was committed")),
            _ => Ok(()),
        }
    }
}

fn joined(call: &Call, response: &[u8], trace: &Trace) -> Result<(), String> {
    let (Some(request), Some(response)) =
        (read::<JoinGroupRequest<'_>>(&call.request, call), read::<JoinGroupResponse<'_>>(response, call))
    else {
        return Err("the answer to a JoinGroup is unreadable".to_owned());
    };
    if !response.error_code.is_error() {
        let subscription =
            request.protocols.first().map(|protocol| protocol.metadata.escape_ascii().to_string());
        let (member, generation) = (&response.member_id, response.generation_id);
        trace.detail(format_args!("{member} joins generation {generation} with {subscription:?}"));
    }
    Ok(())
}

/// A commit that is answered with one of these is not appended.
const NEVER_APPLIED: [ErrorCode; 3] =
    [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::REBALANCE_IN_PROGRESS];

fn read<'a, T: Decode<'a>>(body: &'a [u8], call: &Call) -> Option<T> {
    T::decode(&mut Reader::new(body), call.version).ok()
}

/// The partitions in a member's assignment: version, topics with partitions, user data.
fn assigned(bytes: &[u8]) -> Vec<(String, i32)> {
    parse_assignment(bytes).unwrap_or_default()
}

fn parse_assignment(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    let mut rest = bytes.get(2..)?;
    let mut take = |length: usize| {
        let taken = rest.get(..length)?;
        rest = &rest[length..];
        Some(taken)
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    let mut partitions = Vec::new();
    for _ in 0..number(take(4)?) {
        let length = number(take(2)?);
        let topic = String::from_utf8(take(length)?.to_vec()).ok()?;
        for _ in 0..number(take(4)?) {
            partitions.push((topic.clone(), number(take(4)?) as i32));
        }
    }
    Some(partitions)
}
